"""How long it takes from raw records to the report: a made-up result folder of many sessions, cold, unchanged, and with one more.

    .venv/bin/python bench/collect.py [--sessions 1000] [--requests 2000000] [--chunks 64] [--folder KEEP]

Each step runs in a process of its own, as in a sweep; memory is the highest sum of resident sets over its
processes, sampled ten times a second. CPU time tells what the wall time of a busy machine hides.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = REPOSITORY / "workflow" / "scripts"
sys.path[:0] = [str(REPOSITORY / "tests"), str(SCRIPTS)]

from data.results import Plan, made_config, made_grid, sentence, write_session  # noqa: E402
from servegrid.plan.grid import Grid, Load, Session  # noqa: E402
from servegrid.util.identity import digest  # noqa: E402

REPEATS, THREADS = 5, [16, 64]
HOST = {"host": {"cpu_percent": 90.0}, "server": {"cpu_percent": 85.0, "memory_bytes": 2**30}}


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
    folder.mkdir(parents=True, exist_ok=True)
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
    """Collect, and all that compares, one after another; not the timelines, of which there are as many as the config says."""
    (folder / "reports").mkdir(exist_ok=True)
    spent = {script: measured(script, arguments) for script, arguments in steps(folder).items()}
    by_script = ", ".join(
        f"{script} {wall:.1f} s, CPU {cpu:.1f} s, {peak:,.0f} MiB" for script, (wall, cpu, peak) in spent.items()
    )
    print(f"{name}: {sum(wall for wall, _, _ in spent.values()):.1f} s ({by_script})", flush=True)


def steps(folder: Path) -> dict[str, list[str]]:
    """The scripts in their order, with their arguments as the rules give them."""
    config, reports, results = str(folder / "config.json"), str(folder / "reports"), folder / "results"
    points, sessions = ["--points", str(results / "points.parquet")], str(results / "sessions.parquet")
    distributions = str(results / "distributions.parquet")
    collect = ["--config", config, "--csv", str(results / "points.csv"), "--parquet", points[1], "--sessions", sessions]
    held = [*points, "--sessions", sessions, "--config", config, "--out", reports]
    page = [*points, "--config", config, "--sessions", str(results / "sessions")]
    return {
        "collect.py": [
            *collect,
            "--distributions",
            distributions,
            "--token",
            "0",
            "--token-file",
            str(folder / "token"),
        ],
        "tables.py": [*points, "--config", config, "--out", f"{reports}/tables"],
        "figures.py": [
            *points,
            "--sessions",
            sessions,
            "--distributions",
            distributions,
            "--config",
            config,
            "--out",
            f"{reports}/figures",
        ],
        "claims.py": held,
        "recommend.py": held,
        "questions.py": [*held, "--devices", str(REPOSITORY / "config" / "published" / "devices.csv")],
        "page.py": [*page, "--ranges", sessions, "--reports", reports, "--out", f"{reports}/report.html"],
    }


def measured(script: str, arguments: list[str]) -> tuple[float, float, float]:
    """Wall time in s, CPU time in s and peak memory in MiB of one script with all its processes."""
    began, before, peak = time.monotonic(), os.times(), 0
    process = psutil.Popen([sys.executable, str(SCRIPTS / script), *arguments], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            peak = max(peak, sum(member.memory_info().rss for member in [process, *process.children(recursive=True)]))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{script} ended with {process.returncode}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - began, cpu, peak / 2**20


if __name__ == "__main__":
    main()
