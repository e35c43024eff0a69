"""llama.cpp: llama-server, from the `xllamacpp` wheel (the genuine server, without its program), its own image, or a binary of the user's."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from servegrid.engines._checkpoints import gguf_file
from servegrid.engines.base import LAUNCH, Container, Engine, Launch, Metrics, Reported, ServerSpec, flags
from servegrid.engines.served_types import ServedTypes, TypeSources, from_info


class LlamaCpp(Engine):
    """llama.cpp with llama-server's own flags; weight quantization is a property of the GGUF file.

    It splits a model over all the GPUs that it sees, which are `tensor_parallel`: by layers, unless the option split-mode says `row`.
    """

    name = "llamacpp"
    title = "llama.cpp"
    runtimes = ("venv", "docker", "command", "url")
    images = {
        "cpu": "ghcr.io/ggml-org/llama.cpp:server-b11549",
        "cuda": "ghcr.io/ggml-org/llama.cpp:server-cuda-b11549",
    }
    program = "servers/llama_server.py"
    devices = ("cpu", "cuda")
    speculation_kinds = ("ngram", "draft")
    quantizations = {
        "none": "f32",
        "int8": "q8_0",
        **{native: native for native in ("f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1")},
        **{native: native for native in ("q2_k", "q3_k_m", "q4_k_s", "q4_k_m", "q5_k_m", "q6_k")},
    }
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        LAUNCH: ("host", "port"),
        "model.source": ("model", "m", "hf-repo", "hf", "hfr", "hf-file", "hff", "model-url", "mu", "alias", "a"),
        "server.concurrency": ("parallel", "np"),
        "server.context_tokens": ("ctx-size", "c"),
        "server.cpu_threads": ("threads", "t"),
        "server.prefix_cache": ("cache-prompt",),
        "model.draft": ("model-draft", "md", "spec-draft-model"),
        "grid.speculation": ("spec-type", "spec-ngram-simple-size-m", "spec-draft-n-max"),
        "engines.<name>.api_key_env": ("api-key", "api-key-file"),
    }
    # the log names the cache where it is verbose enough (`K (f16): 8.00 MiB`); the default is that of common/arg.cpp
    type_sources: ClassVar[TypeSources] = TypeSources(
        kv_cache=r"K \((\w+)\): ", kv_cache_flags=("--cache-type-k", "-ctk"), kv_cache_default="f16"
    )
    key_variable = "LLAMA_API_KEY"
    own_types: ClassVar[Mapping[str, str]] = {"cuda": "own"}
    has_tensor_parallel = True
    info_paths = ("/props",)
    metrics = Metrics(
        running="llamacpp:requests_processing",
        waiting="llamacpp:requests_deferred",
        drafts="llamacpp:spec_decode_num_drafts_total",
        drafted_tokens="llamacpp:spec_decode_num_draft_tokens_total",
        accepted_tokens="llamacpp:spec_decode_num_accepted_tokens_total",
    )

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: K-quants without a ready file, a split without GPUs, or a GPU with the wheel, which has none."""
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        if (
            self.quantizations[spec.quantization].endswith(("_k", "_s", "_m"))
            and spec.quantization not in spec.model.gguf
        ):
            return f"{spec.quantization} needs a ready file: name it under model.gguf.{spec.quantization}"
        if spec.tensor_parallel > 1 and spec.kind != "cuda":
            return "llama.cpp splits a model over GPUs alone; on a CPU it takes all cores (server.cpu_threads)"
        if spec.kind == "cuda" and spec.runtime == "venv":
            return "the wheel of llama.cpp computes on the CPU alone; use runtime docker, or command with a CUDA build"
        return None

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Version, slots and context per slot from /props; the wheel does not know its build."""
        props = answers.get("/props") or {}
        build = str(props.get("build_info") or "")
        context = (props.get("default_generation_settings") or {}).get("n_ctx")
        version = build if build and not build.startswith("b0-") else None
        return Reported(version=version, context_tokens=context, concurrency=props.get("total_slots"))

    def answered_types(self, answers: Mapping[str, Any]) -> ServedTypes:
        """Type of the GGUF file from /props."""
        return from_info(answers.get("/props"), "model_ftype")

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The GGUF of the model, and of the draft model if one is used (never quantized)."""
        files = {"model": gguf_file(spec, self.quantizations)}
        if spec.speculation.kind == "draft" and spec.draft:
            files["draft"] = f"{spec.draft.folder}/{spec.weights or 'f32'}.gguf"
        return files

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Flags of llama-server; slots share one context of concurrency x context_tokens, prompt caches are off unless asked for."""
        line = ["--model", str(launch.files["model"]), "--host", launch.host, "--port", str(launch.port)]
        line += ["--metrics", "--no-webui", "--alias", spec.model.name]
        line += ["--parallel", str(spec.concurrency), "--ctx-size", str(spec.concurrency * spec.context_tokens)]
        if spec.cpu_threads:
            line += ["--threads", str(spec.cpu_threads)]
        if spec.kind == "cuda":
            line += ["--n-gpu-layers", "all", "--fit", "off"]
        if not spec.prefix_cache:
            line += ["--no-cache-prompt", "--cache-ram", "0"]
        return line + self._speculation(spec, launch) + flags(spec.options)

    def container(self, spec: ServerSpec) -> Container:
        """Container settings; tags and the entry point llama-server are those of llama.cpp's docs/docker.md, untested."""
        return Container(port=8080)

    def _speculation(self, spec: ServerSpec, launch: Launch) -> list[str]:
        length = str(spec.speculation.length)
        if spec.speculation.kind == "ngram":
            # llama.cpp matches the last 12 tokens by default; the other engines' n-grams match 2.
            window = ["--spec-ngram-simple-size-n", "2", "--spec-ngram-simple-min-hits", "1"]
            return ["--spec-type", "ngram-simple", "--spec-ngram-simple-size-m", length, *window]
        if spec.speculation.kind == "draft":
            draft = ["--spec-type", "draft-simple", "--model-draft", str(launch.files["draft"])]
            return [*draft, "--spec-draft-n-max", length, "--spec-draft-n-min", "0", "--spec-draft-p-min", "0"]
        return []
