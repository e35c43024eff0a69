"""What is measured again, and what is not: real sweeps, counted by the loads on disk."""

import shutil
from collections.abc import Callable

from workflow.project import Project

Make = Callable[..., Project]
NOTHING = "Nothing to be done"


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """Loads that are new, or were measured again."""
    return {load for load, written in after.items() if before.get(load) != written}


def test_nothing_changed_code_edited_or_fresh_checkout(project: Make) -> None:
    clone = project()
    clone.run()
    before = clone.loads()
    assert len(before) == 2
    assert NOTHING in clone.run()

    session = clone.folder / "workflow" / "scripts" / "servegrid" / "measure" / "session.py"
    session.write_text(session.read_text() + "\n# edited\n")
    rule = clone.folder / "workflow" / "rules" / "measure.smk"
    rule.write_text(rule.read_text().replace("--session ", "  --session "))
    clone.measure()
    assert clone.loads() == before

    shutil.rmtree(clone.folder / ".snakemake")
    for path in clone.folder.rglob("*"):
        if path.name != "load.json":  # whose date tells whether it was measured again
            path.touch()
    clone.measure()
    assert clone.loads() == before
    shutil.rmtree(clone.folder / "results" / "sessions" / next(iter(before)).split("/")[1] / "rep1" / "measured")
    clone.measure()
    assert clone.loads() == before


def test_report_edited_level_added_taken_out_put_back(project: Make) -> None:
    clone = project()
    clone.measure()
    first = clone.loads()

    clone.configure({"report": {"title": "Another title"}})
    assert "Measure " not in clone.run()
    assert "Another title" in (clone.folder / "reports" / "report.html").read_text()
    assert clone.loads() == first

    clone.configure({"grid": {"threads": [1, 2, 3]}})
    clone.measure()
    second = clone.loads()
    assert [load.rpartition("/")[2][:9] for load in changed(first, second)] == ["threads-3"]
    assert list(clone.points()["threads"]) == [1, 2, 3]

    clone.configure({"grid": {"threads": [1, 3]}})
    assert "Measure " not in clone.measure()
    assert clone.loads() == second
    assert list(clone.points()["threads"]) == [1, 3]

    clone.configure({"grid": {"threads": [1, 2, 3]}})
    assert "Measure " not in clone.measure()
    assert clone.loads() == second
    assert list(clone.points()["status"]) == ["ok"] * 3


def test_an_engine_option_touches_its_sessions_alone(project: Make) -> None:
    clone = project({"grid": {"engine": ["llamacpp", "ctranslate2"], "threads": [1]}})
    clone.measure()
    before = clone.loads()
    assert len(before) == 2

    clone.configure({"engines": {"llamacpp": {"options": {"batch-size": 64}}}})
    clone.measure()
    again = changed(before, clone.loads())
    assert len(again) == 1
    assert all("/llamacpp-" in load for load in again)

    before = clone.loads()
    clone.configure({"prompts": {"seed": 2}})
    clone.measure()
    assert len(changed(before, clone.loads())) == 2
