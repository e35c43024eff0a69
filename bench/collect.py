"""How long the table of points takes: a made-up result folder of many sessions, collected cold, unchanged, and with one more.

    .venv/bin/python bench/collect.py [--sessions 1000] [--requests 2000000] [--chunks 64] [--folder KEEP]

Each step runs in a process of its own, as in a sweep; time is wall time from its start, memory the process's peak (VmHWM).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = REPOSITORY / "workflow" / "scripts"
sys.path[:0] = [str(REPOSITORY / "tests"), str(SCRIPTS)]

from data.results import Plan, made_config, made_grid, sentence, write_session  # noqa: E402
from servegrid.grid import Grid, Load, Session  # noqa: E402
from servegrid.identity import digest  # noqa: E402

REPEATS, THREADS = 5, [16, 64]
HOST = {"host": {"cpu_percent": 90.0}, "server": {"cpu_percent": 85.0, "memory_bytes": 2**30}}
RUN = """
import re, runpy, sys, time
sys.argv, began = sys.argv[1:], time.monotonic()
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(f"\\n{time.monotonic() - began:.3f} {int(peak) / 1024:.0f}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=2_000_000, help="in all sessions together")
    parser.add_argument("--chunks", type=int, default=64, help="events per request")
    parser.add_argument("--folder", type=Path, help="where the results are made and kept; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        bench(folder, arguments.sessions, arguments.requests, arguments.chunks)


def bench(folder: Path, sessions: int, requests: int, chunks: int) -> None:
    grid, raw = grid_of(sessions, folder)
    plan = planner(requests // (len(grid.sessions) * len(THREADS)), chunks)
    (folder / "config.json").write_text(json.dumps(raw))
    *first, last = grid.sessions
    if not (folder / "results" / "sessions").exists():
        began = time.monotonic()
        for session in first:
            write_session(session, folder / "results", plan)
        print(f"made {len(first)} sessions in {time.monotonic() - began:.0f} s", flush=True)
    report("cold", folder)
    report("nothing changed", folder)
    write_session(last, folder / "results", plan)
    report("one more session", folder)


def grid_of(sessions: int, folder: Path) -> tuple[Grid, dict[str, object]]:
    """As many servers as make the sessions: five repeats each, over speculation, quantization and an option."""
    axes = {
        "engine": ["llamacpp"],
        "threads": THREADS,
        "speculation": ["none", "ngram:2"],
        "quantization": ["none", "q8_0"],
    }
    axes["options.batch-size"] = list(range(1, max(1, sessions // (4 * REPEATS)) + 1))
    changes = {"grid": axes, "repeats": REPEATS, "pathvars": {"results": str(folder / "results")}}
    return made_grid(**changes), made_config(**changes)


def planner(requests: int, chunks: int):  # type: ignore[no-untyped-def]
    """A third of the texts of speculating servers part from the others'."""

    def plan(session: Session, load: Load) -> Plan:
        other = bool(session.server.spec.speculation.length)
        spread = 0.5 + int(digest(session.id, 4), 16) / 2**16
        text = (lambda n: sentence(n)[:99] + sentence(n + 10_000) if n % 3 == 0 else sentence(n)) if other else sentence
        return Plan(requests, chunks, spread, 0.1, text=text, telemetry=HOST)

    return plan


def report(name: str, folder: Path) -> None:
    """Collect, tables and figures, one after another."""
    points = folder / "results" / "points.parquet"
    collect = [
        "--config",
        str(folder / "config.json"),
        "--csv",
        str(points.with_suffix(".csv")),
        "--parquet",
        str(points),
    ]
    collect += ["--sessions", str(points.with_name("sessions.parquet"))]
    collect += ["--token", "0", "--token-file", str(folder / "token")]
    steps = {"collect.py": collect}
    for script in ("tables.py", "figures.py"):
        steps[script] = [
            "--points",
            str(points),
            "--settings",
            str(folder / "config.json"),
            "--out",
            str(folder / script),
        ]
    spent = {script: measured(script, arguments) for script, arguments in steps.items()}
    each = ", ".join(f"{script} {seconds:.1f} s {peak:,.0f} MiB" for script, (seconds, peak) in spent.items())
    print(f"{name}: {sum(seconds for seconds, _ in spent.values()):.1f} s ({each})", flush=True)


def measured(script: str, arguments: list[str]) -> tuple[float, float]:
    """Wall time in s and peak memory in MiB of one script."""
    began = time.monotonic()
    command = [sys.executable, "-c", RUN, str(SCRIPTS / script), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.monotonic() - began, float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
