"""The sidecar as a whole: what is on disk after a session, however that ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from isolation import REPOSITORY
from servegrid.records.schema import SERVER_METRICS, TELEMETRY
from servegrid.telemetry import Telemetry
from servegrid.util.clock import now_s

pytestmark = pytest.mark.slow

SCRIPTS = REPOSITORY / "workflow" / "scripts"
BURN = "import time\nwhile time.process_time() < 600: pass"
SESSION = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born deaf to it
sys.path.insert(0, {str(SCRIPTS)!r})
from pathlib import Path
from servegrid.telemetry import Telemetry
with Telemetry(Path(sys.argv[1]), interval_s=0.1) as telemetry:
    print(telemetry.pid, flush=True)
    time.sleep(120)
"""


def rows(folder: Path, device: str | None = None) -> list[dict[str, Any]]:
    all_rows = pq.read_table(folder / "telemetry.parquet").to_pylist()
    return [row for row in all_rows if device in (None, row["device"])]


def records(folder: Path) -> bool:
    """Whether the sidecar has opened its files, after which it hears what it is told."""
    return any("server_metrics" in path.name for path in folder.iterdir())


def until(true: Callable[[], bool], limit_s: float = 60.0) -> bool:
    end_s = now_s() + limit_s
    while not true() and now_s() < end_s:
        time.sleep(0.02)
    return true()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_both_files_are_there_with_the_schemas_of_the_records(tmp_path: Path) -> None:
    with Telemetry(tmp_path / "session", interval_s=0.05) as telemetry:
        assert telemetry.error is None
    assert telemetry.error is None
    assert sorted(path.name for path in (tmp_path / "session").iterdir()) == [
        "server_metrics.parquet",
        "telemetry.parquet",
    ]
    assert pq.read_schema(tmp_path / "session" / "telemetry.parquet").equals(TELEMETRY)
    assert pq.read_schema(tmp_path / "session" / "server_metrics.parquet").equals(SERVER_METRICS)


def test_the_host_is_sampled_from_before_the_context_to_after_it_on_the_common_clock(tmp_path: Path) -> None:
    before = now_s()
    with Telemetry(tmp_path, interval_s=30.0):
        inside = now_s()
        leaving = now_s()
    host = rows(tmp_path, "host")
    assert len(host) == 2, "one sample on entering and one on leaving, however long the interval"
    assert before < host[0]["t_s"] <= inside
    assert leaving <= host[1]["t_s"] <= now_s()
    assert host[0]["cpu_percent"] is None, "there is no interval before the first sample"
    assert host[0]["memory_total_bytes"] == psutil.virtual_memory().total
    assert 0 < host[0]["memory_bytes"] < host[0]["memory_total_bytes"]
    assert {host[0][column] for column in ("gpu_percent", "power_w", "processes", "error")} == {None}


def test_a_watched_server_shows_its_work_and_its_end(tmp_path: Path) -> None:
    with Telemetry(tmp_path, interval_s=0.1) as telemetry:
        assert until(lambda: records(tmp_path)), "it obeys from now on"
        server = subprocess.Popen([sys.executable, "-c", BURN])
        telemetry.watch(server.pid)
        time.sleep(1.5)
        server.kill()
        server.wait()
    samples = rows(tmp_path, "server")
    assert samples[0]["cpu_percent"] is None
    assert max(row["cpu_percent"] or 0 for row in samples) > 5
    assert samples[0]["processes"] == 1
    assert samples[0]["memory_bytes"] > 2**20
    assert (samples[-1]["processes"], samples[-1]["memory_bytes"]) == (0, 0)


def test_watching_another_server_replaces_the_first(tmp_path: Path) -> None:
    servers = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    with Telemetry(tmp_path, interval_s=0.1) as telemetry:
        telemetry.watch(servers[0].pid, servers[1].pid)
        telemetry.watch(servers[2].pid)
        telemetry.watch()
    for server in servers:
        server.kill()
        server.wait()
    counts = [row["processes"] for row in rows(tmp_path, "server")]
    assert set(counts) == {1, 2}
    assert (counts[0], counts[-1]) == (2, 1)


def start_session(folder: Path) -> tuple[subprocess.Popen[str], int]:
    session = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert session.stdout is not None
    sidecar = int(session.stdout.readline())
    time.sleep(0.5)
    return session, sidecar


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_session_leaves_no_sidecar_and_whole_files(tmp_path: Path, kill: signal.Signals) -> None:
    session, sidecar = start_session(tmp_path)
    with session:
        session.send_signal(kill)
        session.wait()
        assert until(lambda: gone(sidecar), 20)
    assert len(rows(tmp_path, "host")) >= 2
    assert pq.read_table(tmp_path / "server_metrics.parquet").num_rows == 0


def test_the_sidecar_ends_with_its_parent_though_another_process_holds_its_stdin(tmp_path: Path) -> None:
    """As worker processes do that the session forked."""
    code = SESSION.replace("time.sleep(120)", "import os\n    if os.fork() == 0: time.sleep(30)\n    time.sleep(120)")
    session = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with session:
        assert session.stdout is not None
        sidecar = int(session.stdout.readline())
        assert until(lambda: bool([child for child in psutil.Process(session.pid).children() if child.pid != sidecar]))
        session.kill()
        assert until(lambda: gone(sidecar), 20)
        os.killpg(session.pid, signal.SIGKILL)
    assert len(rows(tmp_path, "host")) >= 2


def test_ctrl_c_loses_nothing(tmp_path: Path) -> None:
    session, sidecar = start_session(tmp_path)
    with session:
        os.killpg(session.pid, signal.SIGINT)
        session.wait()
    assert gone(sidecar)
    assert len(rows(tmp_path, "host")) >= 2


def test_sigint_to_the_sidecar_itself_is_ignored_and_sigterm_keeps_what_there_is(tmp_path: Path) -> None:
    with Telemetry(tmp_path, interval_s=0.05) as telemetry:
        assert telemetry.pid is not None
        os.kill(telemetry.pid, signal.SIGINT)
        time.sleep(0.5)
        assert telemetry.error is None
        os.kill(telemetry.pid, signal.SIGTERM)
        assert until(lambda: telemetry.error is not None)
    assert "before its time" in (telemetry.error or "")
    assert len(rows(tmp_path, "host")) >= 2


def test_a_sidecar_that_is_killed_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    with Telemetry(tmp_path, interval_s=0.05) as telemetry:
        assert telemetry.pid is not None
        os.kill(telemetry.pid, signal.SIGKILL)
        assert until(lambda: telemetry.error is not None)
        telemetry.watch(os.getpid())
        telemetry.scrape("http://127.0.0.1:9/metrics")
    assert "exit status -9" in (telemetry.error or "")
    assert telemetry.summary == {}
    assert not (tmp_path / "telemetry.parquet").exists()
    assert not (tmp_path / "server_metrics.parquet").exists()


def test_a_folder_that_cannot_be_written_is_an_error_in_words_and_no_exception(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with Telemetry(tmp_path / "file" / "session") as telemetry:
        assert until(lambda: telemetry.error is not None)
    assert "telemetry could not be written" in (telemetry.error or "")


def test_a_python_that_cannot_be_started_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with Telemetry(tmp_path) as telemetry:
        telemetry.watch(1)
    assert "could not start" in (telemetry.error or "")
    assert "no-python" in (telemetry.error or "")


def test_a_command_that_is_not_understood_is_noted_and_passed_over(tmp_path: Path) -> None:
    with Telemetry(tmp_path, interval_s=0.05) as telemetry:
        telemetry.scrape(5)  # type: ignore[arg-type]
        telemetry.watch("one")  # type: ignore[arg-type]
        telemetry.watch(os.getpid())
    assert telemetry.error is None
    assert sum("not understood" in note for note in telemetry.notes) == 2
    assert rows(tmp_path, "server")[-1]["processes"] >= 1


def test_the_summary_counts_rows_and_cost(tmp_path: Path) -> None:
    with Telemetry(tmp_path, interval_s=0.05) as telemetry:
        time.sleep(0.3)
    assert telemetry.summary["samples"] == len(rows(tmp_path))
    assert telemetry.summary["series"] == telemetry.summary["scrapes_failed"] == 0
    assert telemetry.summary["cpu_s"] > 0
    assert telemetry.summary["seconds"] >= 0.3
    assert json.dumps(telemetry.summary)


def test_an_exception_in_the_context_comes_out_and_the_files_are_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="server crashed"), Telemetry(tmp_path, interval_s=0.05):
        raise RuntimeError("server crashed")
    assert rows(tmp_path, "host")


def test_ctrl_c_while_the_sidecar_starts_is_heard_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int | None] = []

    def interrupt(telemetry: Telemetry, _: object) -> None:
        started.append(telemetry.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(Telemetry, "_await_first_samples", interrupt)
    telemetry = Telemetry(tmp_path)
    with pytest.raises(KeyboardInterrupt), telemetry:
        pass
    [pid] = started
    assert pid is not None and gone(pid) and telemetry.pid is None
