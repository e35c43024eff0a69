"""llama.cpp's own server, out of the xllamacpp wheel, behind llama-server's own command line.

The wheel has the server but no command line: the table below says which of llama-server's flags sets which of its
parameters. A real llama-server given the same flags behaves the same, so it can take this program's place.

Every LLAMA_ARG_* environment variable of llama-server is ignored here; LLAMA_API_KEY is read.
"""

import argparse
import functools
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import xllamacpp

SWITCHES_ON, SWITCHES_OFF = ("on", "enabled", "true", "1"), ("off", "disabled", "false", "0")
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
ALL_LAYERS, AUTO_LAYERS = -2, -1
INT_MAX = 2**31 - 1
# llama.cpp logs from a thread that cannot be waited for, piece by piece: a line written meanwhile lands inside one.
LOG_S = 0.2


@dataclass(frozen=True)
class Flag:
    """One flag of llama-server: its spellings, the parameter it sets, and how its text is read.

    A flag that takes no text has the parameter's value in `value` and no `read`.
    """

    names: str
    path: str
    read: Callable[[str], Any] | None = None
    value: Any = None


def comma_list(text: str) -> list[str]:
    """Parts of a comma-separated list, without empty ones."""
    return [part for part in text.split(",") if part]


def alias_set(text: str) -> set[str]:
    """Names of the model in a comma-separated list."""
    return {part.strip() for part in comma_list(text)}


def on_off(text: str) -> bool:
    """Value of a switch in any of llama.cpp's spellings."""
    if text not in SWITCHES_ON + SWITCHES_OFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of on, off")
    return text in SWITCHES_ON


def flash_attention(text: str) -> Any:
    """Value of --flash-attn: on, off or auto."""
    kinds = xllamacpp.llama_flash_attn_type
    if text in ("auto", "-1"):
        return kinds.LLAMA_FLASH_ATTN_TYPE_AUTO
    if text not in SWITCHES_ON + SWITCHES_OFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of on, off, auto")
    return kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED if on_off(text) else kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED


def cache_type(text: str) -> Any:
    """Data type of the keys or values in the KV cache."""
    if text not in CACHE_TYPES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(CACHE_TYPES)}")
    return xllamacpp.ggml_type[f"GGML_TYPE_{text.upper()}"]


def layers(text: str) -> int:
    """Number of layers on the GPU: a number, auto or all."""
    return {"auto": AUTO_LAYERS, "all": ALL_LAYERS}.get(text) or int(text)


def split_mode(text: str) -> Any:
    """Mode in which the model is split over several GPUs."""
    modes = {kind.name.removeprefix("LLAMA_SPLIT_MODE_").lower(): kind for kind in xllamacpp.llama_split_mode}
    if text not in modes:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(modes)}")
    return modes[text]


def number(text: str, least: int, most: int = INT_MAX) -> int:
    """Whole number within bounds."""
    if not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
    return int(text)


def slots(text: str) -> int:
    """Number of slots, -1 for llama-server's own choice (4, with one KV cache for all)."""
    return -1 if int(text) == -1 else number(text, 1)


def speculation(text: str) -> list[Any]:
    """Kinds of speculation, tried in this order; the list starts with none, as llama.cpp's own does."""
    prefix = "COMMON_SPECULATIVE_TYPE_"
    kinds = {k.name.removeprefix(prefix).lower().replace("_", "-"): k for k in xllamacpp.common_speculative_type}
    none = kinds["none"]
    del kinds["count"]
    names = comma_list(text)
    for name in names:
        if name not in kinds:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(kinds)}")
    return [none, *(kinds[name] for name in (["none"] if "none" in names else names))]


ngram_size = functools.partial(number, least=1, most=1024)
positive = functools.partial(number, least=1)

FLAGS = (
    Flag("-m --model", "model.path", str),
    Flag("-a --alias", "model_alias", alias_set),
    Flag("--host", "hostnames", comma_list),
    Flag("--port", "port", functools.partial(number, least=0, most=65535)),
    Flag("--api-key", "api_keys", comma_list),
    Flag("--threads-http", "n_threads_http", int),
    Flag("-to --timeout", "timeout_read", int),
    Flag("-c --ctx-size", "n_ctx", functools.partial(number, least=0)),
    Flag("-np --parallel", "n_parallel", slots),
    Flag("-kvu --kv-unified", "kv_unified", value=True),
    Flag("-no-kvu --no-kv-unified", "kv_unified", value=False),
    Flag("-b --batch-size", "n_batch", int),
    Flag("-ub --ubatch-size", "n_ubatch", int),
    Flag("-t --threads", "cpuparams.n_threads", int),
    Flag("-tb --threads-batch", "cpuparams_batch.n_threads", int),
    Flag("-ngl --gpu-layers --n-gpu-layers", "n_gpu_layers", layers),
    Flag("-sm --split-mode", "split_mode", split_mode),
    Flag("-mg --main-gpu", "main_gpu", int),
    Flag("-fit --fit", "fit_params", on_off),
    Flag("-fa --flash-attn", "flash_attn_type", flash_attention),
    Flag("-ctk --cache-type-k", "cache_type_k", cache_type),
    Flag("-ctv --cache-type-v", "cache_type_v", cache_type),
    Flag("--cache-prompt", "cache_prompt", value=True),
    Flag("--no-cache-prompt", "cache_prompt", value=False),
    Flag("-cram --cache-ram", "cache_ram_mib", int),
    Flag("--cache-idle-slots", "cache_idle_slots", value=True),
    Flag("--no-cache-idle-slots", "cache_idle_slots", value=False),
    Flag("--cache-reuse", "n_cache_reuse", int),
    Flag("-sps --slot-prompt-similarity", "slot_prompt_similarity", float),
    Flag("-cb --cont-batching", "cont_batching", value=True),
    Flag("-nocb --no-cont-batching", "cont_batching", value=False),
    Flag("--warmup", "warmup", value=True),
    Flag("--no-warmup", "warmup", value=False),
    Flag("--metrics", "endpoint_metrics", value=True),
    Flag("--slots", "endpoint_slots", value=True),
    Flag("--no-slots", "endpoint_slots", value=False),
    Flag("--ui --webui", "ui", value=True),
    Flag("--no-ui --no-webui", "ui", value=False),
    Flag("-s --seed", "sampling.seed", lambda text: int(text) % 2**32),
    Flag("-lv --verbosity --log-verbosity", "verbosity", int),
    Flag("-v --verbose --log-verbose", "verbosity", value=INT_MAX),
    # llama.cpp pauses its log; from outside it can only be told that no message is important enough.
    Flag("--log-disable", "verbosity", value=-1),
    Flag("--spec-type", "speculative.types", speculation),
    Flag("--spec-ngram-simple-size-n", "speculative.ngram_simple.size_n", ngram_size),
    Flag("--spec-ngram-simple-size-m", "speculative.ngram_simple.size_m", ngram_size),
    Flag("--spec-ngram-simple-min-hits", "speculative.ngram_simple.min_hits", positive),
    Flag("--spec-ngram-mod-n-match", "speculative.ngram_mod.n_match", positive),
    Flag("--spec-ngram-mod-n-min", "speculative.ngram_mod.n_min", int),
    Flag("--spec-ngram-mod-n-max", "speculative.ngram_mod.n_max", int),
    Flag("-md --model-draft --spec-draft-model", "speculative.draft.mparams.path", str),
    Flag("--spec-draft-n-max", "speculative.draft.n_max", int),
    Flag("--spec-draft-n-min", "speculative.draft.n_min", int),
    Flag("--spec-draft-p-min --draft-p-min", "speculative.draft.p_min", float),
    Flag("--spec-draft-p-split --draft-p-split", "speculative.draft.p_split", float),
    Flag("-td --threads-draft --spec-draft-threads", "speculative.draft.cpuparams.n_threads", int),
    Flag("-tbd --threads-batch-draft --spec-draft-threads-batch", "speculative.draft.cpuparams_batch.n_threads", int),
    Flag("-ngld --gpu-layers-draft --n-gpu-layers-draft --spec-draft-ngl", "speculative.draft.n_gpu_layers", layers),
    Flag("-ctkd --cache-type-k-draft --spec-draft-type-k", "speculative.draft.cache_type_k", cache_type),
    Flag("-ctvd --cache-type-v-draft --spec-draft-type-v", "speculative.draft.cache_type_v", cache_type),
)


def fail(message: str) -> NoReturn:
    """End the program with a line on stderr and status 1."""
    print(f"llama_server: error: {message}", file=sys.stderr, flush=True)
    sys.exit(1)


def build() -> str:
    """Build of llama.cpp in the wheel, whose version ends in its number (the build info has it in some wheels only)."""
    build_number = xllamacpp.__version__.rsplit(".", 1)[-1]
    info = xllamacpp.BUILD_INFO
    commit = "" if info["commit"] == "unknown" else f" commit {info['commit']}"
    return f"llama.cpp b{build_number}{commit} (xllamacpp {xllamacpp.__version__}, {info['compiler']}, {info['build_target']})"


def parser() -> argparse.ArgumentParser:
    """Parser of the command line: one option per row of FLAGS, stored under its parameter's path."""
    parser = argparse.ArgumentParser(prog="llama_server", usage="%(prog)s -m FILE.gguf [flags]", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=build())
    for flag in FLAGS:
        names: list[str] = flag.names.split()
        common: dict[str, Any] = {"dest": flag.path, "default": argparse.SUPPRESS}
        if flag.read:
            parser.add_argument(*names, **common, type=flag.read, metavar="VALUE")
        else:
            parser.add_argument(*names, **common, action="store_const", const=flag.value)
    return parser


def _inherit_threads(settings: dict[str, Any]) -> None:
    """Fill in thread counts that are not given: of the prompt from generation, of the draft model from the main model."""
    main, draft = "cpuparams", "speculative.draft.cpuparams"
    for target, source in ((f"{main}_batch", main), (draft, main), (f"{draft}_batch", f"{main}_batch")):
        if f"{source}.n_threads" in settings:
            settings.setdefault(f"{target}.n_threads", settings[f"{source}.n_threads"])


def parameters(arguments: Sequence[str]) -> Any:
    """Parameters of llama.cpp for a command line, with the defaults that only its server has."""
    settings = vars(parser().parse_args(arguments))
    settings.setdefault("n_parallel", -1)
    _inherit_threads(settings)
    if "LLAMA_API_KEY" in os.environ:
        settings.setdefault("api_keys", comma_list(os.environ["LLAMA_API_KEY"]))
    if "timeout_read" in settings:
        settings["timeout_write"] = settings["timeout_read"]
    if settings.get("n_ctx") == 0:  # asked for the model's own: nothing may shrink it
        settings["fit_params_min_ctx"] = -1
    params = xllamacpp.CommonParams()
    params.default_template_kwargs = {"preserve_reasoning": "true"}
    for path, value in settings.items():
        *parents, name = path.split(".")
        setattr(functools.reduce(getattr, parents, params), name, value)
    return params


def check_models(params: Any) -> None:
    """End the program if a model file does not exist, before llama.cpp does so at length."""
    if not params.model.path:
        fail("no model: give one with -m FILE.gguf")
    for path in filter(None, (params.model.path, params.speculative.draft.mparams.path)):
        if not os.path.isfile(path):
            fail(f"no such model file: {path}")


def bind_error(host: str, port: int) -> str | None:
    """Reason why an address cannot be listened on; None when it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        return f"cannot listen on {host}:{port}: {error.strerror or error}"
    return None


def reset_signal_handlers() -> None:
    """Let SIGTERM and SIGINT end the process at once, whatever llama.cpp does; there is nothing to save."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Serve until a signal ends the process."""
    reset_signal_handlers()
    params = parameters(sys.argv[1:])
    check_models(params)
    print(f"llama_server: {build()}", file=sys.stderr, flush=True)
    for host in params.hostnames:
        if reason := None if host.endswith(".sock") else bind_error(host, params.port):
            fail(reason)
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        time.sleep(LOG_S)
        fail(f"llama.cpp did not start, its log above says why ({error})")
    reset_signal_handlers()  # some builds of llama.cpp put handlers of their own in place
    print(f"llama_server: ready on {server.listening_address}", file=sys.stderr, flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
