"""What a command line loads before it knows what to do: nothing that only some of its work needs."""

import subprocess
import sys

from isolation import REPOSITORY

SCRIPTS = REPOSITORY / "workflow" / "scripts"
ELSEWHERE = ("to_ctranslate2",)
"""Runs in an environment of its engine."""


def loaded_by(*modules: str) -> set[str]:
    """Names of all modules that a fresh interpreter has loaded once it has imported these."""
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def test_to_read_the_snakefile_takes_no_tables_figures_or_statistics() -> None:
    assert not {"scipy", "pandas", "matplotlib", "pyarrow"} & loaded_by("servegrid.sweep")


def test_no_command_line_loads_scipy_before_it_computes() -> None:
    names = sorted({path.stem for path in SCRIPTS.glob("*.py")} - {*ELSEWHERE})
    assert "scipy" not in loaded_by(*names)
