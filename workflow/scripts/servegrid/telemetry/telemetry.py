"""Start, command and stop the sampling process (see `sidecar`) from the measuring process."""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_SCRIPT = Path(__file__).parents[2] / "telemetry.py"
_START_LIMIT_S = 20.0
_END_LIMIT_S = 30.0
_NOTES_BYTES = 2**20


class Telemetry:
    """Samples into `folder` from a process of its own for as long as the context lasts.

        with Telemetry(folder, gpus=["GPU-…"]) as telemetry:   # the first samples are taken when this returns
            server = launch()
            telemetry.watch(server.pid)
            telemetry.scrape("http://127.0.0.1:8000/metrics")
            …
            telemetry.scrape()

    After it, `folder` holds telemetry.parquet and server_metrics.parquet (records.schema.TELEMETRY, records.schema.SERVER_METRICS). A
    sidecar that cannot start or dies raises nothing: `error` says so, and the files may be missing. `notes` are what it
    had to say (no driver, a scrape that failed), `summary` its cost: seconds, cpu_s, samples, series, scrapes_failed.
    """

    def __init__(self, folder: Path, gpus: Sequence[str] = (), interval_s: float = 0.5) -> None:
        self._command = [sys.executable, str(_SCRIPT), "--folder", str(folder), "--interval", str(interval_s)]
        self._command += [part for uuid in gpus for part in ("--gpu", uuid)]
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._error: str | None = None
        self._notes: list[str] = []
        self.summary: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        try:
            self._start()
        except OSError as error:
            self._error = f"telemetry could not start: {error}"
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int | None:
        """Process id of the sidecar; None before its start and after its end."""
        return self._process.pid if self._process is not None else None

    @property
    def error(self) -> str | None:
        """Reason why telemetry is missing or incomplete; None if all is well so far."""
        if self._error is None and self._process is not None and self._process.poll() is not None:
            self._error = self._exit_message("telemetry ended before its time")
        return self._error

    @property
    def notes(self) -> list[str]:
        """Lines that the sidecar wrote to stderr."""
        if self._log is not None:
            # pread, because the position is shared with the sidecar, which goes on writing.
            self._notes = os.pread(self._log.fileno(), _NOTES_BYTES, 0).decode(errors="replace").splitlines()
        return self._notes

    def watch(self, *pids: int) -> None:
        """Sample these processes and their descendants as the server, instead of earlier ones; without any: stop."""
        self._send({"watch": pids})

    def scrape(self, *urls: str, headers: Mapping[str, str] | None = None, ca_file: Path | None = None) -> None:
        """Scrape the server's metrics from these URLs, one per replica, instead of earlier ones; without any: stop."""
        target = {"urls": urls, "headers": dict(headers or {}), "ca_file": ca_file and str(ca_file)}
        self._send({"scrape": target if urls else None})

    def _start(self) -> None:
        # A session of its own keeps Ctrl-C from it; its stdin ends with this process, however that ends.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._await_first_samples(self._process)

    def _await_first_samples(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], _START_LIMIT_S)[0]:
            process.kill()
            self._error = f"telemetry took no sample within {_START_LIMIT_S:g} s of its start"
        elif not process.stdout.readline():
            process.wait(_END_LIMIT_S)
            self._error = self._exit_message("telemetry could not start")

    def _send(self, command: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # it died: `error` tells
                self._process.stdin.write(json.dumps(command).encode() + b"\n")
                self._process.stdin.flush()

    def _stop(self) -> None:
        """End stdin and wait until the files are on disk."""
        process, early_error = self._process, self.error
        if process is not None:
            output = self._final_output(process)
            if early_error is None and self._error is None and process.returncode != 0:
                self._error = self._exit_message("telemetry failed")
            self._read_summary(output)
        if self._log is not None:
            self._notes = self.notes
            self._log.close()
            self._log = None
        self._process = None

    def _final_output(self, process: subprocess.Popen[bytes]) -> bytes:
        try:
            return process.communicate(timeout=_END_LIMIT_S)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            self._error = self._error or f"telemetry did not end within {_END_LIMIT_S:g} s and was killed"
            return process.communicate()[0]

    def _read_summary(self, output: bytes) -> None:
        with suppress(ValueError, IndexError):
            self.summary = json.loads(output.splitlines()[-1])

    def _exit_message(self, event: str) -> str:
        status = self._process.returncode if self._process is not None else None
        return f"{event}: exit status {status}" + (f", last said: {self.notes[-1]}" if self.notes else "")
