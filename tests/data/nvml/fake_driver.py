"""Compiles nvml.c and gives it to processes as their NVIDIA driver."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml.c")
SCRIPTS = Path(__file__).parents[3] / "workflow" / "scripts"
UUIDS = [f"GPU-{str(n) * 8}-aaaa-bbbb-cccc-{str(n) * 12}" for n in range(3)]
MIB = 2**20


def compile_driver(folder: Path, *flags: str) -> Path:
    """Compile libnvidia-ml.so.1 into `folder`. Without a C compiler the test is skipped, and in CI it fails."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("no C compiler (gcc or cc) on this machine to build the tests' libnvidia-ml.so.1")
    library = folder / "libnvidia-ml.so.1"
    command = [compiler, "-std=gnu11", "-Wall", "-Wextra", "-O1", "-shared", "-fPIC", *flags, "-o", library, SOURCE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"nvml.c does not compile:\n{done.stderr}"
    return library


class FakeDriver:
    """The compiled library and the file that says what its GPUs do. GPU 2 can be told to fail."""

    def __init__(self, library: Path, state: Path) -> None:
        self._library, self._state = library, state
        self.set()

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a process finds this driver instead of a real one."""
        return {"LD_LIBRARY_PATH": str(self._library.parent), "NVML_STATE": str(self._state)}

    def set(self, *lines: str) -> None:
        """Replace what the GPUs do; see nvml.c for the lines. Running processes see it at once."""
        beside = self._state.with_suffix(".new")
        beside.write_text("\n".join(lines) + "\n")
        beside.replace(self._state)

    def python(self, code: str) -> str:
        """Run Python code in a process that has this driver; its output."""
        environment = os.environ | self.environment | {"PYTHONPATH": str(SCRIPTS)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
