"""Engines' environments: built by uv from pip's configured indexes, with nothing in them that the lock does not name."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import build_environment
from build_environment import pip_settings, uv_settings

pytestmark = pytest.mark.slow

LISTED = r"""global.cert='/a.pem'
global.find-links='one two'
install.find-links='three\nfour'
list.format='json'
:env:.cert='/b.pem'
:env:.disable-pip-version-check='1'
"""
DETAILS = "Metadata-Version: 2.1\nName: tiny-engine\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def test_the_environment_stands_over_install_and_that_over_global() -> None:
    kept = {"cert": "/b.pem", "find-links": "three\nfour", "disable-pip-version-check": "1"}
    assert pip_settings(LISTED) == kept


def test_uv_is_told_what_pip_is() -> None:
    settings = uv_settings({"extra-index-url": "file:///a\nfile:///b", "find-links": "three\nfour", "cert": "/b.pem"})
    assert settings["UV_INDEX"] == "file:///a file:///b"
    assert settings["UV_FIND_LINKS"] == "three,four"
    assert settings["SSL_CERT_FILE"] == "/b.pem"
    assert "UV_DEFAULT_INDEX" not in settings


def wheel(folder: Path) -> str:
    """Write a package of one module and return the SHA-256 of its wheel."""

    folder.mkdir()
    path = folder / "tiny_engine-1.0-py3-none-any.whl"
    files = {
        "tiny_engine.py": "VALUE = 41 + 1\n",
        "tiny_engine-1.0.dist-info/METADATA": DETAILS,
        "tiny_engine-1.0.dist-info/WHEEL": WHEEL,
    }
    record = [f"{name},sha256={_digest(text)},{len(text)}" for name, text in files.items()]
    with zipfile.ZipFile(path, "w") as made:
        for name, text in files.items():
            made.writestr(name, text)
        made.writestr(
            "tiny_engine-1.0.dist-info/RECORD", "\n".join([*record, "tiny_engine-1.0.dist-info/RECORD,,", ""])
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def build(
    folder: Path, lock: str, monkeypatch: pytest.MonkeyPatch, how: str = "--out"
) -> "subprocess.CompletedProcess[str]":
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (folder / "lock.txt").write_text(lock)
    program = [sys.executable, build_environment.__file__, "--lock", folder / "lock.txt", how, folder / "env"]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_what_the_lock_names_is_there_and_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = wheel(tmp_path / "wheels")
    ended = build(tmp_path, f"tiny-engine==1.0 --hash=sha256:{digest}\n", monkeypatch)
    assert ended.returncode == 0, ended.stderr
    python = tmp_path / "env" / "bin" / "python"
    output = subprocess.run(
        [python, "-c", "import tiny_engine; print(tiny_engine.VALUE)"], capture_output=True, text=True
    )
    assert output.stdout == "42\n"
    assert list((tmp_path / "env").rglob("tiny_engine.*.pyc"))


def test_a_package_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "wheels")
    ended = build(tmp_path, f"tiny-engine==1.0 --hash=sha256:{'0' * 64}\n", monkeypatch)
    assert ended.returncode == 1
    assert "Hash mismatch" in ended.stderr
