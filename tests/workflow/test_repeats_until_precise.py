"""`repeats: auto` on a real engine: sessions are added until the numbers are as precise as asked, and no further."""

from pathlib import Path

from workflow.project import Project

WIDE, NARROW = {"precision": 0.95, "at_least": 3, "at_most": 5}, {"precision": 1e-6, "at_least": 3, "at_most": 5}


# At planned arrivals the rate is that of the plan, however busy this machine is in one session and not in another.
PLANNED = {"arrival": "constant", "rate": 1.0}


def sessions(clone: Project) -> set[str]:
    return {name.split("/")[2] for name in clone.loads()}


def test_sessions_are_added_until_the_numbers_are_precise(tmp_path: Path) -> None:
    clone = Project(tmp_path, {"repeats": WIDE, "grid": {"threads": [1]}, "load": PLANNED})
    output = clone.measure()
    assert "as precise as asked" in output, "a session that was planned is not needed"
    enough = sessions(clone)
    assert {"rep1", "rep2", "rep3"} <= enough < {f"rep{number}" for number in range(1, 6)}
    assert clone.points()["sessions"].tolist() == [len(enough)] and clone.points()["status"].tolist() == ["ok"]
    assert clone.points()["warnings"].isna().all() or "not as precise" not in clone.points()["warnings"][0]
    assert "Nothing to be done" in clone.measure()

    before = clone.loads()
    clone.configure({"repeats": NARROW})
    clone.measure()
    assert sessions(clone) == {f"rep{number}" for number in range(1, 6)}
    assert before.items() < clone.loads().items(), "what was measured stays"
    assert "not as precise as asked" in clone.points()["warnings"][0]
    assert "Nothing to be done" in clone.measure()
