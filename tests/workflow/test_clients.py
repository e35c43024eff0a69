"""The load client as an axis, planned arrivals, and the calibration that grades the rows."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from servegrid.client.kinds import missing_programs
from servegrid.client.shape import KINDS
from workflow.project import Project

Make = Callable[..., Project]
KNOWN = [kind for kind in KINDS if kind != "parallel" or missing_programs() is None]


def texts(clone: Project) -> dict[str, list[str]]:
    """What each kind of client was answered, by prompt."""
    texts_by_client = {}
    for path in (clone.folder / "results").glob("sessions/*/rep1/loads/*/load.json"):
        table = pd.read_parquet(path.with_name("texts.parquet")).sort_values("prompt_id")
        texts_by_client[json.loads(path.read_text())["definition"]["client"]] = list(table["text"])
    return texts_by_client


def test_a_sweep_whose_only_axis_is_the_client(project: Make) -> None:
    if "parallel" not in KNOWN:
        pytest.skip(str(missing_programs()))
    clone = project({"grid": {"threads": [2], "client": list(KINDS)}, "repeats": 1})
    clone.config["pathvars"]["resources"] = str(own_calibration(clone))
    clone.configure({})
    first = clone.run()
    assert first.count("Calibrate the load client") == 3
    points = clone.points().set_index("client")
    assert list(points["status"]) == ["ok"] * 3
    assert (points["client_share"] > 0).all() and (points["stamp_late_ms_p99"] > 0).all()
    assert (points["client_cpu_s"] > 0).all()
    answered = texts(clone)
    assert answered["stream"] == answered["requests"] == answered["parallel"]
    assert "client" in (clone.folder / "reports" / "tables" / "comparison.html").read_text()
    again = clone.run("--forcerun", "collect")
    assert "Calibrate " not in again and "Measure " not in again


def own_calibration(clone: Project) -> Path:
    """Resources shared with the repository, but for the calibration."""
    shared, resources = Path(clone.config["pathvars"]["resources"]), clone.folder / "resources"
    resources.mkdir()
    shared.mkdir(exist_ok=True)
    for path in shared.iterdir():
        if path.name != "calibration":
            (resources / path.name).symlink_to(path)
    return resources


def test_planned_arrivals(project: Make) -> None:
    load = {"rate": 20.0, "burst_size": 2, "requests": 6}
    clone = project({"grid": {"threads": [1], "arrival": ["poisson", "burst", "gamma"]}, "load": load})
    clone.measure()
    points = clone.points().set_index("arrival")
    assert list(points["status"]) == ["ok"] * 3 and list(points["requests_ok"]) == [6] * 3
    assert (points["ttft_planned_ms_p50"] >= points["ttft_ms_p50"]).all()
    assert (points["e2e_planned_ms_p50"] >= points["e2e_ms_p50"]).all()


def test_what_a_client_cannot_do_is_a_row(project: Make) -> None:
    load = {"rate": 20.0}
    clone = project(
        {"grid": {"threads": [1], "arrival": ["closed", "constant"], "client": ["stream", "requests"]}, "load": load}
    )
    clone.measure()
    points = clone.points().set_index(["client", "arrival"])
    assert points.loc[("requests", "constant"), "status"] == "unsupported"
    assert "closed loops only" in points.loc[("requests", "constant"), "reason"]
    assert (points["status"] == "ok").sum() == 3
