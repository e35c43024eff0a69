"""What the report part of the config says about tables and figures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servegrid.report.points import AXES, label

FORMATS = ("svg", "png")
PLACE = ("memory_fraction", "sharing", "replicas", "tensor_parallel")
"""What a server has of its device, and with how many it shares that."""


@dataclass(frozen=True)
class Settings:
    """Settings of the report.

    Attributes:
        title: stands over every table and figure.
        baseline: axis -> value of the point that others are held against; a list of values means the first.
        axes: names of the grid's axes beyond the five of `points.AXES`.
        formats: file formats of the figures.
        objective: what the recommended setting is the best at; see report/recommendation.py.
        slo: greatest latencies in ms, column -> limit.
        published: files of published tables; see report/published.py.
        engines: the config's engines, name -> the engine behind it.
        devices: the config's devices, name -> what the driver calls it (empty: not said).
        server: what every server is given: those keys of the config's `server` that a published table says too.
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

    @property
    def all_axes(self) -> tuple[str, ...]:
        """The five axes, then the further ones."""
        return AXES + self.axes

    @property
    def engine_words(self) -> dict[str, str]:
        """The words an engine of the config goes by: its name and what is behind it."""
        return {name: f"{name} {kind}" for name, kind in self.engines.items()}

    @property
    def device_words(self) -> dict[str, str]:
        """The words a device of the config goes by: its name and the driver's."""
        return {name: f"{name} {driver}" for name, driver in self.devices.items()}

    def baseline_level(self, axis: str) -> str | None:
        """The baseline's value on `axis` as tables and figures show it, or None if the baseline leaves it open."""
        value = self.baseline.get(axis)
        if isinstance(value, list):
            value = value[0] if value else None
        return None if value is None else label(value)


def parse_settings(text: str) -> Settings:
    """Settings from JSON text, or from a JSON file if `text` is a path.

    The JSON is the report part of the config with the further axes under `axes`, or a whole resolved config.

    Raises:
        ValueError: the JSON is not an object or a format is unknown.
        OSError: the file cannot be read.
    """
    raw = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
    if not isinstance(raw, dict):
        raise ValueError("report settings must be a JSON object")
    return _settings(_report_part(raw) if "grid" in raw else raw)


def _report_part(config: dict[str, Any]) -> dict[str, Any]:
    further = [axis for axis in config["grid"] if axis not in (*AXES, "include", "exclude")]
    engines = {name: entry.get("engine") or name for name, entry in config.get("engines", {}).items()}
    devices = {name: entry.get("name") or "" for name, entry in config.get("devices", {}).items()}
    server = config.get("server", {})
    return {**config.get("report", {}), "axes": further, "engines": engines, "devices": devices, "server": server}


def _settings(raw: dict[str, Any]) -> Settings:
    formats = tuple(raw.get("formats", FORMATS))
    if unknown := sorted(set(formats) - set(FORMATS)):
        raise ValueError(f"formats: {', '.join(unknown)}: is not one of {', '.join(FORMATS)}")
    return Settings(
        title=str(raw.get("title", Settings.title)),
        baseline=dict(raw.get("baseline", {})),
        axes=tuple(axis for axis in raw.get("axes", ()) if axis not in AXES),
        formats=formats,
        objective=str(raw.get("objective", Settings.objective)),
        slo=dict(raw.get("slo", {})),
        published=tuple(raw.get("published", ())),
        engines=dict(raw.get("engines", {})),
        devices=dict(raw.get("devices", {})),
        server={name: value for name, value in raw.get("server", {}).items() if name in PLACE and value is not None},
    )
