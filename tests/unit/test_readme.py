"""The README holds: its configs are configs, and its table names every engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.configs import merged
from servegrid import engines
from servegrid.config import parse_config
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import resolve

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
CONFIGS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: text.splitlines()[0])
def test_a_config_of_the_readme_is_one(text: str, tmp_path: Path) -> None:
    default: dict[str, Any] = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    config = merged(default, yaml.safe_load(text))
    # what the reader has and this machine has not
    config["model"], config["prompts"] = default["model"], default["prompts"] | {"input_tokens_max": 60}
    server = tmp_path / "llama-server"
    server.write_text("")
    for entry in config["engines"].values():
        entry |= {"command": [str(server)]} if entry.get("runtime") == "command" else {}
    parsed = parse_config(config)
    assert Grid(parsed, resolve(parsed)).points


def test_there_are_configs() -> None:
    assert len(CONFIGS) >= 4


@pytest.mark.parametrize("name", engines.names())
def test_an_engine_has_its_row(name: str) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith("|") and f"`{name}`" in line]
    told = row.split("|")[3]
    assert {runtime for runtime in engines.get(name).runtimes if runtime not in told} == set()
