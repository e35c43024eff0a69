"""Engines that cannot run here, with stand-ins as their programs, through the whole workflow."""

import json
import sys
from collections.abc import Callable

from isolation import REPOSITORY
from workflow.project import Project

FAKES = REPOSITORY / "tests" / "standins"


def test_tgi_serves_the_checkpoint_without_its_end_token(project: Callable[..., Project]) -> None:
    entry = {"runtime": "command", "command": [sys.executable, str(FAKES / "tgi.py"), "3.3.7"], "version": "stand-in"}
    clone = project()
    clone.config["engines"] = {"tgi": entry}
    clone.configure({"grid": {"engine": ["tgi"], "threads": [2]}, "report": {"baseline": {"engine": "tgi"}}})
    assert "checkpoint-no-eos" in clone.run("plan", "--config", "commands=true")
    clone.measure()
    [row] = clone.points().to_dict("records")
    assert (row["status"], row["requests_short"], row["tokens_from"]) == ("ok", 0, "usage")
    assert row["output_tokens"] == 4 * 8 and row["engine_version"] == "3.3.7", "what it says, not what the config does"
    [session] = (clone.folder / "results" / "sessions").glob("*/rep1/session.json")
    assert json.loads(session.read_text())["launches"][0]["reported"]["version"] == "3.3.7"
