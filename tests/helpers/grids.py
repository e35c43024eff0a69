"""Grids from the default config with changes, on a host that has all that they need."""

import copy
from typing import Any

import yaml

from isolation import REPOSITORY
from servegrid.config import parse_config
from servegrid.engines.base import ModelRef
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import Resolved

DEFAULT: dict[str, Any] = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())


MODEL = ModelRef("tiny", "r1", "models/tiny/checkpoint", "models/tiny")


RESOLVED = Resolved(
    MODEL,
    ModelRef("draft", "d1", "models/d/checkpoint", "models/d"),
    "prompts-1",
    engine_versions={"llamacpp": "1", "ctranslate2": "1"},
    lock_versions={"llamacpp": "1", "ctranslate2": "1"},
)


def grid(resolved: Resolved = RESOLVED, **changes: Any) -> Grid:
    raw = copy.deepcopy(DEFAULT)
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if key:
            raw[section] = {**raw.get(section, {}), key: value}
        else:
            raw[section] = value
    return Grid(parse_config(raw), resolved)


def servers(grid: Grid) -> set[str]:
    return {session.server.id for session in grid.sessions}
