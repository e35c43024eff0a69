"""What servegrid itself costs around the measuring: a dry-run of 10,000 points, and a session beyond its server's life.

    .venv/bin/python bench/orchestration.py

Runs in a temporary clone; the second part launches real servers (llama.cpp) for the smallest sessions there are.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "workflow" / "scripts")]

from workflow.project import Project  # noqa: E402

POINTS = {"threads": list(range(1, 5)), "options.batch-size": list(range(1, 2501))}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Project(Path(folder))
        print(f"dry-run of 10,000 points (2,500 sessions): {dry_run_s(clone):.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        clone = Project(Path(folder), {"grid": {"threads": [1]}, "repeats": 3})
        costs = overheads_s(clone)
        print(f"session beyond launch to stop, median of {len(costs)}: {statistics.median(costs):.2f} s (all: {costs})")


def dry_run_s(clone: Project) -> float:
    clone.configure({"grid": POINTS})
    begun = time.monotonic()
    subprocess.run(clone.command("--dry-run", "--quiet"), cwd=clone.folder, check=True, capture_output=True)
    return time.monotonic() - begun


def overheads_s(clone: Project) -> list[float]:
    """Wall time of each measuring job less the time from its server's launch to its end, in s."""
    clone.run("--until", "engine_environment", "gguf", "prompts", "resolve")
    clone.measure()
    sessions = sorted((clone.folder / "results" / "sessions").glob("*/rep*"))
    return [round(overhead_s(clone, folder), 2) for folder in sessions]


def overhead_s(clone: Project, session: Path) -> float:
    """Run the session's job once more by hand, its records removed."""
    for path in sorted(session.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    prompts = next((REPOSITORY / "resources" / "prompts").glob("*.jsonl"))
    job = [sys.executable, str(clone.folder / "workflow" / "scripts" / "measure.py")]
    job += ["--config", "results/config.json", "--prompts", str(prompts)]
    job += ["--log", "measure.log", "--session", f"{session.parent.name}/{session.name}"]
    begun = time.monotonic()
    subprocess.run(job, cwd=clone.folder, check=True, capture_output=True)
    wall = time.monotonic() - begun
    launch = json.loads((session / "session.json").read_text())["launches"][0]
    return wall - (launch["stopped_s"] - launch["start_up"]["launched_s"])


if __name__ == "__main__":
    main()
