"""Sweeps for NPUs, of which there are none here: what is planned with a stand-in for rbln-smi, and what without."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isolation import REPOSITORY
from standins.rbln_smi import ANSWER
from workflow.project import Project

COMPILE = REPOSITORY / "workflow" / "scripts" / "compile_rbln.py"
STAND_IN = REPOSITORY / "tests" / "standins" / "rbln"
CHANGES: dict[str, Any] = {
    "engines": {
        "rbln-openai": {"runtime": "command", "command": ["/opt/rbln/bin/vllm", "serve"], "version": "0.12.0"},
        "rbln-async": {"runtime": "command", "command": ["/opt/rbln/bin/python"], "version": "0.12.0"},
        "rbln-triton": {"runtime": "command", "command": ["tritonserver"], "version": "0.12.0"},
    },
    "devices": {"atom": {"kind": "npu", "ids": [0]}},
    "grid": {"engine": ["rbln-openai", "rbln-async", "rbln-triton"], "gpu": ["atom"], "concurrency": [2, 4]},
    "report": {"baseline": {"engine": "rbln-openai"}},
}


def cloned(folder: Path) -> Path:
    (folder / "clone").mkdir()
    return folder / "clone"


def test_without_npus_the_points_are_absent(tmp_path: Path) -> None:
    clone = Project(cloned(tmp_path), CHANGES)
    assert "no RBLN driver on this host: rbln-smi was not found" in clone.run("plan")


def test_a_model_is_compiled_once_for_each_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "rbln-smi"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(ANSWER)}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin")
    clone = Project(cloned(tmp_path), CHANGES)
    clone.configure({"pathvars": {"resources": "resources"}})
    outputs = [line.split("\t")[0] for line in clone.run("--summary").splitlines() if "\trbln\t" in line]
    assert sorted(Path(output).name for output in outputs) == ["rbln-b2-l512-d1", "rbln-b4-l512-d1"]


def test_the_script_asks_for_what_it_is_named_by(tmp_path: Path) -> None:
    checkpoint, out = tmp_path / "checkpoint", tmp_path / "rbln-b4-l4096-d2"
    checkpoint.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (checkpoint / name).write_text("{1}")
    arguments = ["--checkpoint", checkpoint, "--batch", "4", "--length", "4096", "--devices", "2", "--out", out]
    subprocess.run([sys.executable, COMPILE, *arguments], env={"PYTHONPATH": str(STAND_IN)}, check=True)
    asked = json.loads((out / "rbln_config.json").read_text())
    assert asked == {"batch_size": 4, "max_seq_len": 4096, "num_devices": 2, "create_runtimes": False}
    assert (out / "tokenizer.json").exists() and not (out / "model.safetensors").exists()
    assert (out / "config.json").read_text() == "{}"


def test_without_the_library_the_script_says_what_to_do(tmp_path: Path) -> None:
    arguments = [
        "--checkpoint",
        tmp_path,
        "--batch",
        "1",
        "--length",
        "64",
        "--devices",
        "1",
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run([sys.executable, COMPILE, *arguments], capture_output=True, text=True)
    assert done.returncode == 1 and "RBLN_PYTHON" in done.stderr and not (tmp_path / "out").exists()
