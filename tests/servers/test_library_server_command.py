"""library_server's command line: what it says and what it refuses to start with."""

import shutil
import subprocess
from pathlib import Path

import pytest
from server_process import Server, last_words


def run(command: list[str], *flags: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *map(str, flags)], capture_output=True, text=True, timeout=60)


def test_version_names_the_engine(library: list[str]) -> None:
    ended = run(library, "--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("ctranslate2 4.") and "uvicorn" in ended.stdout


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        ([], 2, "--model is required"),
        (["--model", "absent"], 2, "no such folder: absent"),
        (["--model", ".", "--tokenizer", "absent.json"], 2, "no such file: absent.json"),
        (["--model", ".", "--max-batch-size", "0"], 2, "not a number from 1 on"),
        (["--model", ".", "--compute-type", "int3"], 2, "int8_float32"),
        (["--frobnicate"], 2, "--frobnicate"),
    ],
)
def test_wrong_flags_are_refused(library: list[str], flags: list[str], status: int, said: str) -> None:
    ended = run(library, *flags)
    assert ended.returncode == status
    assert said in last_words(ended.stderr)


def test_taken_port_is_refused(one: Server, library: list[str], ctranslate2_model: Path) -> None:
    port = one.url.rsplit(":", 1)[1]
    ended = run(library, "--model", ctranslate2_model, "--port", port)
    assert ended.returncode == 1
    assert last_words(ended.stderr).endswith(f"cannot listen on 127.0.0.1:{port}: Address already in use")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.bin", b"nonsense", "the model cannot be loaded"),
        ("vocabulary.json", b'["a", "b"]', "tokenizer and model disagree"),
        ("tokenizer.json", b"{}", "tokenizer.json is no tokenizer"),
    ],
)
def test_broken_model_is_refused(
    library: list[str], ctranslate2_model: Path, tmp_path: Path, file: str, content: bytes, said: str
) -> None:
    model = tmp_path / "broken"
    shutil.copytree(ctranslate2_model, model)
    (model / file).write_bytes(content)
    ended = run(library, "--model", model, "--port", "0")
    assert ended.returncode == 1
    assert said in last_words(ended.stderr)


def test_unsupported_compute_type_is_refused(library: list[str], ctranslate2_model: Path) -> None:
    ended = run(library, "--model", ctranslate2_model, "--port", "0", "--compute-type", "int8_float16")
    assert ended.returncode == 1
    assert "int8_float16 compute type" in ended.stderr
