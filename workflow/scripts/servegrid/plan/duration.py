"""Estimate how long the missing loads will take from durations measured before, and say what the estimate rests on."""

import itertools
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from servegrid.plan.grid import Load, Session
from servegrid.records.read import Damaged, read_record

GUESS_START_S, GUESS_LOAD_S = 5.0, 8.0  # used, and called a guess, where nothing comparable was measured
MAX_SESSIONS_READ = 300  # enough to know the durations; a big sweep has thousands


@dataclass
class History:
    """Measured durations in seconds: of start-ups by engine, of loads (with their warm-up) by engine and load."""

    starts: dict[str, list[float]] = field(default_factory=dict)
    loads: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    @classmethod
    def read(cls, results: Path) -> "History":
        """Read the durations of at most MAX_SESSIONS_READ sessions on disk."""
        history = cls()
        for path in itertools.islice(results.glob("sessions/*/rep*/session.json"), MAX_SESSIONS_READ):
            with suppress(Damaged):
                history._add(path.parent, read_record(path))
        return history

    def _add(self, folder: Path, session: dict[str, Any]) -> None:
        engine = session["server"]["engine"]
        for launch in session["launches"]:
            start_up = launch.get("start_up") or {}
            if start_up.get("ready_s"):
                self.starts.setdefault(engine, []).append(start_up["ready_s"] - start_up["launched_s"])
        for path in folder.glob("loads/*/load.json"):
            load = read_record(path)
            self.loads.setdefault((engine, path.parent.name), []).append(load["end_s"] - load["begun_s"])

    def start_s(self, engine: str) -> float:
        """Expected seconds from launch to ready."""
        return fmean(self.starts[engine]) if engine in self.starts else GUESS_START_S

    def load_s(self, engine: str, load: Load) -> float:
        """Expected seconds of a load: mean of those measured on this engine, else on any, else a guess."""
        on_any_engine = (seconds for (_, id), seconds in self.loads.items() if id == load.id)
        durations = self.loads.get((engine, load.id)) or [*itertools.chain.from_iterable(on_any_engine)]
        return fmean(durations) if durations else max(GUESS_LOAD_S, load.options.duration_s or 0.0)

    def session_s(self, session: Session, loads: Iterable[Load]) -> float:
        """Expected seconds of a session that measures `loads`."""
        engine = session.server.spec.engine
        return self.start_s(engine) + sum(self.load_s(engine, load) for load in loads)

    @property
    def basis(self) -> str:
        """Text that says what an estimate rests on."""
        count = sum(map(len, self.loads.values()))
        return f"from {count} loads measured before" if count else "a guess: nothing was measured yet"
