"""The sampling process: takes commands from stdin until stdin ends."""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pynvml

from servegrid.telemetry.buffer import Buffer, Row
from servegrid.telemetry.gpu import GpuSampler
from servegrid.telemetry.host import HostSampler
from servegrid.telemetry.npu import NpuSampler, is_npu
from servegrid.telemetry.nvml import DriverAbsent, init_nvml
from servegrid.telemetry.pcie import PcieMeter, pcie_meter
from servegrid.telemetry.periodic_thread import PeriodicThread
from servegrid.telemetry.process_tree import ProcessTree
from servegrid.telemetry.scraper import ReplicaScraper
from servegrid.util.clock import now_s

READY = "ready"
_LOOP_S = 0.5
_FIRST_SAMPLES_S = 5.0
_LAST_SAMPLES_S = 3.0
_ROWS_AT_ONCE = 8192


class Sampler(Protocol):
    """Source of rows of TELEMETRY."""

    def sample(self) -> Row:
        """Row of TELEMETRY, now."""


class Sidecar:
    """Samples the host and the GPUs from the start, a server's processes and its /metrics on command.

    stdin takes one JSON object per line: `{"watch": [pid, …]}` and `{"scrape": {"urls": [url, …], "headers": {…}, "ca_file":
    path | null} | null}`. Its end, SIGTERM, or the parent's death ends the sampling and puts the files in place. stdout says `ready` after the
    first samples, and in the end gives a summary as one line of JSON. stderr takes notes in words.
    """

    def __init__(self, folder: Path, gpus: Sequence[str] = (), interval_s: float = 0.5) -> None:
        self._folder, self._gpus, self._interval_s = folder, gpus, interval_s
        self._samples, self._series = Buffer(), Buffer()
        self._samplers: list[PeriodicThread] = []
        self._server: PeriodicThread | None = None
        self._scrape: PeriodicThread | None = None
        self._scrapes_failed = 0
        self._terminated = False
        self._parent = os.getppid()

    def run(self) -> None:
        """Sample until the end of stdin, SIGTERM or the parent's death; on return both files are on disk.

        Raises:
            OSError: they cannot be written; then there are none.
        """
        began_s = now_s()
        self._take_signals()
        self._start_samplers()
        self._print(READY)
        self._record()
        self._print(json.dumps(self._summary(now_s() - began_s)))

    def _take_signals(self) -> None:
        """Ignore Ctrl-C, upon which the parent ends stdin, and end on SIGTERM."""

        def terminate(*_: object) -> None:
            self._terminated = True

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, terminate)

    def _start_samplers(self) -> None:
        self._sample_from("host", HostSampler())
        gpus, npus = [[gpu for gpu in self._gpus if is_npu(gpu) is want_npus] for want_npus in (False, True)]
        if gpus:
            self._start_gpus(gpus)
        if npus:
            self._start_npus(npus)
        deadline_s = now_s() + _FIRST_SAMPLES_S
        for sampler in self._samplers:
            sampler.first_call_done.wait(max(0.0, deadline_s - now_s()))

    def _start_gpus(self, gpus: Sequence[str]) -> None:
        try:
            init_nvml()
        except DriverAbsent as error:
            self._log(f"GPUs are not sampled: {error}")
            return
        for uuid in gpus:
            self._sample_from(f"GPU {uuid}", GpuSampler(uuid, self._start_pcie(uuid)))

    def _start_npus(self, npus: Sequence[str]) -> None:
        sampler = NpuSampler(npus)

        def add_rows() -> None:
            for row in sampler.sample():
                self._samples.add(row)

        self._start("NPUs", add_rows, self._interval_s)

    def _start_pcie(self, uuid: str) -> PcieMeter | None:
        try:
            meter = pcie_meter(uuid)
        except pynvml.NVMLError:
            return None  # the GPU's own rows say what is wrong
        if meter is not None:
            self._start(f"PCIe of GPU {uuid}", meter.read, meter.period_s)
        return meter

    def _sample_from(self, name: str, sampler: Sampler) -> PeriodicThread:
        return self._start(name, lambda: self._samples.add(sampler.sample()), self._interval_s)

    def _start(self, name: str, action: Callable[[], object], period_s: float) -> PeriodicThread:
        sampler = PeriodicThread(name, action, period_s, self._log).start()
        self._samplers.append(sampler)
        return sampler

    def _record(self) -> None:
        # Late, since they take a third of a second to import, and the first samples need neither.
        from servegrid.records.schema import SERVER_METRICS, TELEMETRY
        from servegrid.telemetry.parquet import streaming_writer

        with (
            streaming_writer(self._folder / "telemetry.parquet", TELEMETRY) as write_samples,
            streaming_writer(self._folder / "server_metrics.parquet", SERVER_METRICS) as write_series,
        ):
            for command in _commands(lambda: not self._terminated and os.getppid() == self._parent):
                if command:
                    self._execute(command)
                write_samples(self._samples.take(at_least=_ROWS_AT_ONCE))
                write_series(self._series.take(at_least=_ROWS_AT_ONCE))
            self._stop_samplers()
            write_samples(self._samples.take())
            write_series(self._series.take())

    def _execute(self, command: str) -> None:
        try:
            request = json.loads(command)
            if "watch" in request:
                self._watch(request["watch"])
            if "scrape" in request:
                self._scrape_from(request["scrape"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._log(f"command not understood ({type(error).__name__}: {error})")

    def _watch(self, pids: list[int]) -> None:
        if self._server is not None:  # commands that come together: each server is sampled, one after the other
            self._server.first_call_done.wait(_LAST_SAMPLES_S)
        self._stop_sampler(self._server)
        self._server = self._sample_from("server", ProcessTree(pids)) if pids else None

    def _scrape_from(self, target: dict[str, Any] | None) -> None:
        self._stop_sampler(self._scrape)
        self._scrape = None
        if target is None:
            return
        ca_file = target.get("ca_file")
        scraper = ReplicaScraper(target["urls"], target.get("headers"), Path(ca_file) if ca_file else None)

        def add_rows() -> None:
            for row in scraper.scrape():
                self._series.add(row)

        self._scrape = self._start(f"scrape of {' '.join(target['urls'])}", add_rows, self._interval_s)

    def _stop_sampler(self, sampler: PeriodicThread | None) -> None:
        if sampler is not None:
            sampler.stop()
            self._samplers.remove(sampler)
            self._scrapes_failed += sampler.failures if sampler is self._scrape else 0

    def _stop_samplers(self) -> None:
        """Take a last sample of each, for energy counters and CPU up to the end; a sampler that hangs is left behind."""
        self._scrape_from(None)
        for sampler in self._samplers:
            sampler.stop(once_more=True)
        deadline_s = now_s() + _LAST_SAMPLES_S
        for sampler in self._samplers:
            if not sampler.join(max(0.0, deadline_s - now_s())):
                self._log(f"{sampler.name}: did not answer at the end")

    def _summary(self, seconds: float) -> dict[str, float]:
        return {
            "seconds": seconds,
            "cpu_s": time.process_time(),
            "samples": self._samples.taken,
            "series": self._series.taken,
            "scrapes_failed": self._scrapes_failed,
        }

    def _print(self, line: str) -> None:
        with suppress(OSError):  # the parent may be dead
            print(line, flush=True)

    def _log(self, note: str) -> None:
        with suppress(OSError):
            print(note, file=sys.stderr, flush=True)


def _commands(running: Callable[[], bool]) -> Iterator[str]:
    """Yield the lines of stdin until its end, and an empty one at least every half second, while `running()`."""
    incomplete = b""
    while running():
        yield ""
        if not select.select([0], [], [], _LOOP_S)[0]:
            continue
        chunk = os.read(0, 2**16)
        if not chunk:
            return
        *lines, incomplete = (incomplete + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
