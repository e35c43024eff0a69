"""Settings of tables and figures, from the report part of the config."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servegrid.results.axes import AXES, level_label
from servegrid.util.files import read_json

FORMATS = ("svg", "png")
DEVICE_SHARE_KEYS = ("memory_fraction", "sharing", "replicas", "tensor_parallel")
"""Keys that say how much of its device a server has, and with how many servers it shares the device."""


@dataclass(frozen=True)
class Settings:
    """Settings of the report.

    Attributes:
        title: shown over every table and figure.
        baseline: axis -> value of the point that others are compared with; a list of values means the first.
        axes: names of the grid's axes beyond the five of `axes.AXES`.
        formats: file formats of the figures.
        objective: what the recommended setting is best at; see report/judge/recommendation.py.
        slo: greatest latencies in ms, column -> limit.
        published: files of published tables; see report/published.py.
        engines: the config's engines, name -> the engine behind it.
        devices: the config's devices, name -> what the driver calls it (empty: not said).
        server: DEVICE_SHARE_KEYS of the config's `server`, which hold for every server; published tables know them too.
    """

    title: str = "servegrid"
    baseline: Mapping[str, Any] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    formats: tuple[str, ...] = FORMATS
    objective: str = "max_throughput"
    slo: Mapping[str, float] = field(default_factory=dict)
    published: tuple[str, ...] = ()
    engines: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Settings":
        """Settings from a resolved config: its report part, the further axes, and the names of engines and devices.

        Raises:
            ValueError: a format is unknown.
        """
        report = config.get("report", {})
        grid, engines, devices, server = (config.get(part, {}) for part in ("grid", "engines", "devices", "server"))
        report_settings = {name: report[name] for name in ("title", "baseline", "objective", "slo") if name in report}
        return cls(
            axes=tuple(axis for axis in grid if axis not in (*AXES, "include", "exclude")),
            formats=_checked_formats(report.get("formats", FORMATS)),
            published=tuple(report.get("published", ())),
            engines={name: entry.get("engine") or name for name, entry in engines.items()},
            devices={name: entry.get("name") or "" for name, entry in devices.items()},
            server={name: value for name, value in server.items() if name in DEVICE_SHARE_KEYS and value is not None},
            **report_settings,
        )

    @classmethod
    def read(cls, config: Path) -> "Settings":
        """Settings from the file of a resolved config."""
        return cls.of(read_json(config))

    @property
    def all_axes(self) -> tuple[str, ...]:
        """The five axes, then the further ones."""
        return AXES + self.axes

    @property
    def engine_aliases(self) -> dict[str, str]:
        """Words that an engine of the config is known by: its name and the engine behind it."""
        return {name: f"{name} {kind}" for name, kind in self.engines.items()}

    @property
    def device_aliases(self) -> dict[str, str]:
        """Words that a device of the config is known by: its name and the driver's."""
        return {name: f"{name} {driver}" for name, driver in self.devices.items()}

    def baseline_level(self, axis: str) -> str | None:
        """The baseline's value on `axis` as tables and figures show it, or None if the baseline leaves it open."""
        value = self.baseline.get(axis)
        if isinstance(value, list):
            value = value[0] if value else None
        return None if value is None else level_label(value)


def _checked_formats(names: Iterable[str]) -> tuple[str, ...]:
    """The formats as a tuple.

    Raises:
        ValueError: one is unknown.
    """
    if unknown := sorted(set(names) - set(FORMATS)):
        raise ValueError(f"formats: {', '.join(unknown)}: is not one of {', '.join(FORMATS)}")
    return tuple(names)
