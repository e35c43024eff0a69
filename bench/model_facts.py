"""Measure what the built-in model promises: its speed, how well it can be speculated on, how far engines agree on it.

    .venv/bin/python bench/model_facts.py --python <an environment with xllamacpp, ctranslate2 and tokenizers>

Prints a table in Markdown. Where the engines have environments of their own, give --llamacpp-python and
--ctranslate2-python instead.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import requests
from tokenizers import Tokenizer

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from servegrid.model import builtin, gguf_file  # noqa: E402
from servegrid.prompts.generate import generate_prompts  # noqa: E402
from servegrid.prompts.length_distribution import LengthDistribution  # noqa: E402
from servegrid.prompts.word_source import word_source_for  # noqa: E402

LLAMA_SERVER = """
import json, sys, xllamacpp as x
settings, p, kinds = json.loads(sys.argv[1]), x.CommonParams(), x.common_speculative_type
p.model.path, p.port, p.hostnames = settings["model"], settings["port"], ["127.0.0.1"]
p.n_parallel, p.n_ctx, p.cache_ram_mib, p.warmup = settings["slots"], 1024 * settings["slots"], 0, False
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = settings["threads"]
if settings["exact"]:
    p.cache_type_k = p.cache_type_v = x.ggml_type.GGML_TYPE_F32
    p.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
if "ngram" in settings:
    p.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    p.speculative.ngram_simple.size_n, p.speculative.ngram_simple.size_m = settings["window"], settings["ngram"]
    p.speculative.ngram_simple.min_hits = 1
if "draft" in settings:
    p.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    p.speculative.draft.mparams.path, p.speculative.draft.n_max = settings["draft_model"], settings["draft"]
    p.speculative.draft.n_min, p.speculative.draft.p_min = 0, 0.0
server = x.Server(p)
print("ready", flush=True)
sys.stdin.read()
"""

CTRANSLATE2 = """
import json, sys, time, ctranslate2
settings = json.load(sys.stdin)
generator = ctranslate2.Generator(settings["model"], compute_type=settings["type"], intra_threads=settings["threads"])
begun = time.monotonic()
results = generator.generate_batch(
    settings["prompts"], max_length=settings["tokens"], min_length=settings["tokens"], sampling_topk=1,
    include_prompt_in_result=False, max_batch_size=settings["batch"])
print(json.dumps([[result.sequences_ids[0] for result in results], time.monotonic() - begun]))
"""


class Facts:
    """The files and the prompts, and how to have them answered."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder = arguments, folder
        self.rows: list[tuple[str, str, str]] = []
        builtin.build(folder / "main")
        builtin.build_draft(folder / "draft")
        gguf_file.convert(folder / "draft", folder / "draft.gguf", "f32")
        convert = [arguments.ctranslate2_python, SCRIPTS / "to_ctranslate2.py", "--checkpoint", folder / "main"]
        subprocess.run([*convert, "--out", folder / "ctranslate2"], check=True)
        tokenizer = folder / "main" / "tokenizer.json"
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        lengths = LengthDistribution(arguments.input_mean, arguments.input_mean // 4, arguments.input_mean * 4)
        self.prompts = [p.text for p in generate_prompts(arguments.count, lengths, None, 0, word_source_for(tokenizer))]

    def llama(self, quantization: str = "f32", slots: int = 1, **more: Any) -> list[dict[str, Any]]:
        """The server's answers, one a prompt, `slots` at a time."""
        model = self.folder / f"{quantization}.gguf"
        if not model.exists():
            gguf_file.convert(self.folder / "main", model, quantization)
        settings = {"model": str(model), "slots": slots, "threads": self.arguments.threads, "exact": False, **more}
        settings |= {"draft_model": str(self.folder / "draft.gguf"), "window": self.arguments.window}
        with _llama_server(self.arguments.llamacpp_python, settings) as url, ThreadPoolExecutor(slots) as threads:
            return list(threads.map(lambda text: self._ask(url, text), self.prompts))

    def _ask(self, url: str, text: str) -> dict[str, Any]:
        body = {"prompt": text, "n_predict": self.arguments.output_tokens, "temperature": 0, "ignore_eos": True}
        answer = requests.post(f"{url}/completion", json={**body, "cache_prompt": False, "return_tokens": True})
        answer.raise_for_status()
        completion: dict[str, Any] = answer.json()
        if completion["timings"]["prompt_n"] != len(self.tokenizer.encode(text).ids):
            sys.exit(
                f"llama.cpp counts {completion['timings']['prompt_n']} tokens in {text!r}, the tokenizer another number"
            )
        return completion

    def ctranslate2(self, compute_type: str, batch: int) -> list[list[int]]:
        """Output token ids, one list a prompt."""
        prompts = [self.tokenizer.encode(text).tokens for text in self.prompts]
        settings = {"model": str(self.folder / "ctranslate2"), "type": compute_type, "threads": self.arguments.threads}
        settings |= {"prompts": prompts, "tokens": self.arguments.output_tokens, "batch": batch}
        command = [self.arguments.ctranslate2_python, "-c", CTRANSLATE2]
        run = subprocess.run(command, input=json.dumps(settings), capture_output=True, text=True, check=True)
        ids: list[list[int]] = json.loads(run.stdout)[0]
        return ids

    def row(self, what: str, of: str, value: str) -> None:
        """Add a row, and show it at once."""
        self.rows.append((what, of, value))
        print(f"| {what} | {of} | {value} |", flush=True)


@contextmanager
def _llama_server(python: str, settings: dict[str, Any]) -> Iterator[str]:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-c", LLAMA_SERVER, json.dumps({**settings, "port": port})]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            url = f"http://127.0.0.1:{port}"
            while requests.get(f"{url}/health").status_code != 200:
                time.sleep(0.05)
            yield url
        finally:
            server.kill()


def _speed(answers: list[dict[str, Any]]) -> str:
    tokens = sum(answer["timings"]["predicted_n"] for answer in answers)
    return f"{1000 * tokens / sum(answer['timings']['predicted_ms'] for answer in answers):.0f} tokens/s"


def _agreement(first: list[list[int]], second: list[list[int]]) -> str:
    """Equal texts, and the mean share of a text before the first difference."""
    equal = sum(a == b for a, b in zip(first, second, strict=True))
    pairs = [list(zip(a, b, strict=True)) for a, b in zip(first, second, strict=True)]
    common = [next((i for i, (a, b) in enumerate(pair) if a != b), len(pair)) / len(pair) for pair in pairs]
    return f"{equal} of {len(first)} equal, {100 * sum(common) / len(common):.1f} % before the first difference"


def _tokens(answers: list[dict[str, Any]]) -> list[list[int]]:
    return [answer["tokens"] for answer in answers]


def _texts(facts: Facts, base: list[list[int]]) -> None:
    distinct = sum(len(set(text)) for text in base) / len(base)
    cycles = [any(text[-k:] == text[-2 * k : -k] for k in range(1, len(text) // 3)) for text in base]
    facts.row("different texts", "f32", f"{len({tuple(text) for text in base})} of {len(base)}")
    facts.row("different words in a text", "f32", f"{distinct:.1f} of {facts.arguments.output_tokens}")
    facts.row("texts that end in a cycle", "f32", f"{sum(cycles)} of {len(base)}")


def _agreements(facts: Facts, base: list[list[int]]) -> None:
    """The default server computes attention partly in float16 (flash attention, KV cache); `exact` does not."""
    exact = _tokens(facts.llama(exact=True))
    facts.row("agreement", "llama.cpp f32, default and exact attention", _agreement(base, exact))
    together = _tokens(facts.llama(exact=True, slots=8))
    facts.row("agreement", "llama.cpp f32, exact attention, one slot and 8 at once", _agreement(exact, together))
    for batch in (1, 8):
        batched = facts.ctranslate2("float32", batch)
        facts.row("agreement", f"llama.cpp exact and CTranslate2 float32, batch {batch}", _agreement(exact, batched))
    facts.row("agreement", "llama.cpp f32, one slot and 8 at once", _agreement(base, _tokens(facts.llama(slots=8))))
    for quantization in ("f16", "q8_0", "q4_0"):
        answers = facts.llama(quantization)
        facts.row("speed", f"llama.cpp {quantization}", _speed(answers))
        facts.row("agreement", f"llama.cpp f32 and {quantization}", _agreement(base, _tokens(answers)))
    int8 = facts.ctranslate2("int8", 1)
    facts.row("agreement", "CTranslate2 float32 and int8", _agreement(facts.ctranslate2("float32", 1), int8))


def _speculation(facts: Facts, base: list[list[int]]) -> None:
    for kind in ("ngram", "draft"):
        for length in (1, 2, 4, 8):
            answers = facts.llama(**{kind: length})
            drafted = sum(answer["timings"].get("draft_n", 0) for answer in answers)
            accepted = sum(answer["timings"].get("draft_n_accepted", 0) for answer in answers)
            share = f"{accepted / drafted:.3f} of {drafted} drafted" if drafted else "nothing drafted"
            facts.row("acceptance", f"{kind}, {length} tokens", share)
            facts.row("speed", f"{kind}, {length} tokens", _speed(answers))
            facts.row("agreement", f"without and with {kind}, {length} tokens", _agreement(base, _tokens(answers)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="Python of an environment with both engines")
    parser.add_argument("--llamacpp-python", help="Python of an environment with xllamacpp")
    parser.add_argument("--ctranslate2-python", help="Python of an environment with ctranslate2")
    parser.add_argument("--count", type=int, default=40, help="prompts")
    parser.add_argument("--input-mean", type=int, default=96, help="mean prompt length in tokens")
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--window", type=int, default=2, help="tokens that n-gram speculation looks up")
    arguments = parser.parse_args()
    arguments.llamacpp_python = arguments.llamacpp_python or arguments.python
    arguments.ctranslate2_python = arguments.ctranslate2_python or arguments.python
    print("| what | of | value |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        facts = Facts(arguments, Path(folder))
        answers = facts.llama()
        facts.row("speed", "llama.cpp f32, one stream", _speed(answers))
        base = _tokens(answers)
        _texts(facts, base)
        _agreements(facts, base)
        _speculation(facts, base)


if __name__ == "__main__":
    main()
