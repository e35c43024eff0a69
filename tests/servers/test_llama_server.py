"""llama_server.py: llama.cpp's real server behind llama-server's flags."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from server_process import SERVERS, Serve, events, last_words

GREEDY: dict[str, Any] = {"temperature": 0, "ignore_eos": True}
UNCACHED = ("--no-cache-prompt", "--cache-ram", "0")
PROMPT = "the server answers the client"


def test_answers_with_exactly_the_tokens_asked_for(serve: Serve, llama: list[str], gguf: Path) -> None:
    with serve(llama, "-m", gguf, "-c", "1024", "-np", "2", "-t", "1", "--metrics", *UNCACHED) as server:
        whole = server.post(prompt=PROMPT, max_tokens=40, **GREEDY).json()
        told = {"stream": True, "stream_options": {"include_usage": True}}
        *parts, done = events(server.post(prompt=PROMPT, max_tokens=40, **GREEDY, **told))
        assert server.metric("llamacpp:tokens_predicted_total") == 80
    assert done == "[DONE]"
    last = json.loads(parts[-1])
    assert whole["usage"]["completion_tokens"] == last["usage"]["completion_tokens"] == 40
    # in a stream, llama.cpp never sends an unfinished character at the very end
    streamed = "".join(json.loads(part)["choices"][0]["text"] for part in parts)
    assert streamed.rstrip("\ufffd") == whole["choices"][0]["text"].rstrip("\ufffd")
    assert last["choices"][0]["finish_reason"] == "length"


def test_prompt_is_read_anew_each_time_when_the_cache_is_off(serve: Serve, llama: list[str], gguf: Path) -> None:
    def cached(*flags: str) -> int:
        with serve(llama, "-m", gguf, "-c", "512", "-np", "1", "-t", "1", *flags) as server:
            answers = [server.post(prompt=PROMPT, max_tokens=2, **GREEDY).json() for _ in range(3)]
        return int(answers[-1]["usage"]["prompt_tokens_details"]["cached_tokens"])

    assert cached() > 0
    assert cached(*UNCACHED) == 0


@pytest.mark.parametrize(("flag", "context"), [("--no-kv-unified", 256), ("--kv-unified", 512)])
def test_context_is_per_slot_or_shared(serve: Serve, llama: list[str], gguf: Path, flag: str, context: int) -> None:
    with serve(llama, "-m", gguf, "-c", "512", "-np", "2", "-t", "1", flag) as server:
        facts = server.get("/props").json()
    assert facts["total_slots"] == 2
    assert facts["default_generation_settings"]["n_ctx"] == context


def test_speculation_counts_what_it_drafts(serve: Serve, llama: list[str], gguf: Path) -> None:
    flags = ("--spec-type", "draft-simple", "-md", gguf, "--spec-draft-n-max", "2")
    with serve(llama, "-m", gguf, "-c", "512", "-np", "1", "-t", "1", "--metrics", *flags) as server:
        server.post(prompt=PROMPT, max_tokens=30, **GREEDY)
        drafted = server.metric("llamacpp:spec_decode_num_draft_tokens_total")
        # the model drafts for itself: every drafted token is right
        assert server.metric("llamacpp:spec_decode_num_accepted_tokens_total") == drafted >= 18
        assert drafted <= 2 * server.metric("llamacpp:spec_decode_num_drafts_total")


def test_speculation_does_not_change_the_greedy_text(serve: Serve, llama: list[str], gguf: Path, draft: Path) -> None:
    ngram = ["--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "2", "--spec-ngram-simple-size-m", "4"]
    texts = []
    for flags in ([], ngram, ["--spec-type", "draft-simple", "-md", str(draft)]):
        with serve(
            llama, "-m", gguf, "-c", "512", "-np", "1", "-t", "1", "-ctk", "f32", "-ctv", "f32", *flags
        ) as server:
            texts.append(server.post(prompt=PROMPT, max_tokens=60, **GREEDY).json()["choices"][0]["text"])
    assert texts[0] == texts[1] == texts[2]


def test_client_that_leaves_frees_its_slot(serve: Serve, llama: list[str], gguf: Path) -> None:
    with serve(llama, "-m", gguf, "-c", "512", "-np", "1", "-t", "1", "--metrics") as server:
        with server.post({"stream": True}, prompt="a", max_tokens=500, stream=True, **GREEDY) as gone:
            next(gone.iter_content(16))
        assert server.post(prompt=PROMPT, max_tokens=3, **GREEDY).json()["usage"]["completion_tokens"] == 3
        server.until(lambda: server.metric("llamacpp:requests_processing") == 0, "slot is free")


def test_key_is_asked_for(serve: Serve, llama: list[str], gguf: Path) -> None:
    with serve(llama, "-m", gguf, "-c", "512", "-t", "1", LLAMA_API_KEY="sesame") as server:
        assert server.post(prompt="a", max_tokens=1).status_code == 401
        key = {"headers": {"Authorization": "Bearer sesame"}}
        assert server.post(key, prompt="a", max_tokens=1).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_under_load(serve: Serve, llama: list[str], gguf: Path, number: signal.Signals) -> None:
    with serve(llama, "-m", gguf, "-c", "512", "-np", "1", "-t", "1") as server:
        with server.post({"stream": True}, prompt="a", max_tokens=400, stream=True, **GREEDY) as going:
            arriving = going.iter_content(16)  # kept: it closes the connection when it is dropped
            next(arriving)
            assert server.end(number) == -number
        log = server.log.read_text()
    assert "Traceback" not in log and "backtrace" not in log
    with pytest.raises(requests.ConnectionError):
        server.get("/health")


def run(command: list[str], *flags: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *map(str, flags)], capture_output=True, text=True, timeout=60)


def test_version_names_the_build(llama: list[str]) -> None:
    ended = run(llama, "--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("llama.cpp b")
    assert ended.stdout.split("llama.cpp b")[1].split()[0].isdigit()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["-m", "absent.gguf"], "no such model file: absent.gguf"),
        ([], "no model"),
        (["-m", "x", "-ctk", "q9"], "'q9' is not one of f32"),
        (["-m", "x", "--spec-type", "magic"], "'magic' is not one of none, draft-simple"),
        (["-m", "x", "--spec-ngram-simple-size-n", "0"], "not a number from 1 to 1024"),
        (["-m", "x", "--fit", "maybe"], "'maybe' is not one of on, off"),
        (["-m", "x", "-np", "0"], "not a number from 1"),
    ],
)
def test_wrong_flags_are_refused(llama: list[str], flags: list[str], said: str) -> None:
    ended = run(llama, *flags)
    assert ended.returncode not in (0, None)
    assert said in last_words(ended.stderr)


def test_missing_draft_model_is_refused(llama: list[str], gguf: Path) -> None:
    ended = run(llama, "-m", gguf, "-md", "absent.gguf")
    assert ended.returncode == 1
    assert "no such model file: absent.gguf" in ended.stderr


def test_broken_model_is_refused(llama: list[str], tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF nonsense")
    ended = run(llama, "-m", tmp_path / "broken.gguf", "--port", "0")
    assert ended.returncode == 1
    assert "llama_server: error: llama.cpp did not start" in ended.stderr


def test_taken_port_is_refused(serve: Serve, llama: list[str], gguf: Path) -> None:
    with serve(llama, "-m", gguf, "-c", "512", "-t", "1") as server:
        port = server.url.rsplit(":", 1)[1]
        ended = run(llama, "-m", gguf, "--port", port)
    assert ended.returncode == 1
    assert last_words(ended.stderr).endswith(f"cannot listen on 127.0.0.1:{port}: Address already in use")


COMMAND_LINES = [
    "-m a -t 2",
    "-m a -np 3 -t 1 --host 0.0.0.0 --port 99 -to 5",
    "-m a -t 1 -tb 2 -b 64 -ub 32 -ngl 5 --no-warmup --no-cache-prompt --cache-ram 0 --no-slots --no-webui -fa on",
    "-m a -t 2 -ctk q8_0 -ctv f32 --kv-unified --fit off --seed 5 --api-key a,b -a x,y --threads-http 3 -lv 4 --metrics",
    "-m a -t 2 --spec-type draft-simple,ngram-simple --spec-draft-n-max 4 --spec-draft-n-min 1 --spec-draft-p-min 0.5",
    "-m a -t 2 -md b -ngld 3 -td 5 -tbd 6 -ctkd f16 -ctvd bf16 --spec-type none,ngram-mod",
    "-m a -t 2 --spec-ngram-simple-size-n 2 --spec-ngram-simple-size-m 4 --spec-ngram-simple-min-hits 2",
    "-m a -t 2 --spec-ngram-mod-n-match 5 --spec-ngram-mod-n-min 2 --spec-ngram-mod-n-max 9 --spec-draft-p-split 0.2",
    "-m a -t 2 -c 0 -s -1 -ngl all -ngld auto -v -sm row -mg 0 --no-kv-unified -fa off -nocb -sps 0.2 --cache-reuse 3",
    "-m a -t 2 -c 4096 --cache-prompt --slots --ui --warmup --cache-idle-slots -cb -fa auto",
]


def test_flags_mean_what_they_mean_to_llama_cpp(llamacpp_python: str, llama: list[str]) -> None:
    probe = Path(__file__).with_name("genuine_parser.py")
    lines = json.dumps([line.split() for line in COMMAND_LINES])
    ended = subprocess.run([llamacpp_python, probe, SERVERS], input=lines, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    # the parser notes the draft model's file a second time; objects that are no parameters are written by address
    ignored = {"speculative.draft.mparams.hf_file", "diffusion"}
    for line, differences in zip(COMMAND_LINES, json.loads(ended.stdout), strict=True):
        assert differences.keys() <= ignored, (line, differences)
