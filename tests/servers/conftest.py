"""Real servers of real engines, each in its own environment, on a model made here."""

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_llama
from server_process import SERVERS, Serve, Server, serving

sys.path.insert(0, str(SERVERS))


def engine_python(request: pytest.FixtureRequest, variable: str) -> str:
    if variable not in os.environ:
        request.getfixturevalue("engine_environments")  # builds them and sets the variables
    python = os.environ.get(variable)
    if not python or not Path(python).exists():
        pytest.fail(f"set {variable} to the Python of the engine's environment (it is {python!r})")
    return python


@pytest.fixture(scope="session")
def llamacpp_python(request: pytest.FixtureRequest) -> str:
    return engine_python(request, "SERVEGRID_LLAMACPP_PYTHON")


@pytest.fixture(scope="session")
def ctranslate2_python(request: pytest.FixtureRequest) -> str:
    return engine_python(request, "SERVEGRID_CTRANSLATE2_PYTHON")


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    tiny_llama.write_gguf(path)
    return path


@pytest.fixture(scope="session")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "draft.gguf"
    tiny_llama.write_gguf(path, layers=1)
    return path


@pytest.fixture(scope="session")
def ctranslate2_model(tmp_path_factory: pytest.TempPathFactory, ctranslate2_python: str) -> Path:
    folder = tmp_path_factory.mktemp("ctranslate2") / "tiny"
    subprocess.run([ctranslate2_python, tiny_llama.__file__, folder], check=True)
    return folder


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """`with serve(command, flag, ..., ready=200, VARIABLE=value) as server`."""
    return functools.partial(serving, tmp_path)


@pytest.fixture(scope="session")
def llama(llamacpp_python: str) -> list[str]:
    return [llamacpp_python, str(SERVERS / "llama_server.py")]


@pytest.fixture(scope="session")
def library(ctranslate2_python: str) -> list[str]:
    # Development mode: whatever is left unclosed would be a warning in the log.
    script = str(SERVERS / "library_server")
    return [ctranslate2_python, "-X", "dev", script, "--backend", "ctranslate2"]


@pytest.fixture(scope="session")
def one(library: list[str], ctranslate2_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that many tests may ask."""
    folder = tmp_path_factory.mktemp("one")
    flags = ("--model", ctranslate2_model, "--intra-threads", "1", "--max-model-len", "256")
    with serving(folder, library, *flags) as server:
        yield server
