"""Whether the answers of a point are still good, by the texts of both runs: a run whose own baseline is garbage cannot tell."""

from servegrid.compare.change import Change
from servegrid.compare.runs import PointInRun
from servegrid.metrics.texts import ANSWERS, Answers, compare
from servegrid.metrics.texts import GARBLED as FROM
from servegrid.records.paths import load_folder_by_ids
from servegrid.records.schema import read_table
from servegrid.results.warnings import GARBLED

JUDGED_WARNINGS = (GARBLED, "speculation changes texts", "quantization changes texts")
"""Warnings that say that an answer is not what it should be; the others say how far a number can be trusted."""
FOREIGN_TEXTS = "texts in another language than before, or garbage"


def text_changes(axes: dict[str, str], before: PointInRun, after: PointInRun) -> list[Change]:
    """Warnings about the texts that came or went, and garbage in either run; where both are silent, what both runs' texts say.

    Other texts alone are no verdict: another version may round differently. Without the raw sessions beside the tables only
    the warnings are told.
    """
    was, now = _warnings(before), _warnings(after)
    if GARBLED not in (*was, *now) and _foreign(before, after):
        now.append(FOREIGN_TEXTS)
    came = [Change(axes, "warnings", None, phrase, None, "worse") for phrase in now if phrase not in was]
    went = [Change(axes, "warnings", phrase, None, None, "better") for phrase in was if phrase not in now]
    return [*came, *went, *_garbage(axes, was, now)]


def _garbage(axes: dict[str, str], *runs: list[str]) -> list[Change]:
    was, now = (next((phrase for phrase in found if phrase in (GARBLED, FOREIGN_TEXTS)), None) for found in runs)
    return [Change(axes, "texts", was, now, None, "garbled")] if was or now else []


def _warnings(side: PointInRun) -> list[str]:
    found = str(side.point.get("warnings") or "").split("; ")
    return [phrase for phrase in JUDGED_WARNINGS if phrase in found]


def _foreign(before: PointInRun, after: PointInRun) -> bool:
    """Whether the first session's texts are not in the language of those before, of which either may be the garbage (garble.py)."""
    theirs, mine = _answers(before), _answers(after)
    return theirs is not None and mine is not None and (compare([mine], theirs).garble or 0) >= FROM


def _answers(side: PointInRun) -> Answers | None:
    """The answers of the point's first whole session; None where its records are elsewhere."""
    if side.folder is None or not len(side.sessions) or not {"server_id", "load_id"} <= set(side.sessions):
        return None
    first = side.sessions.sort_values("rep").iloc[0]
    folder = load_folder_by_ids(side.folder, str(first["server_id"]), int(first["rep"]), str(first["load_id"]))
    path = folder / "requests.parquet"
    return Answers(read_table(path, ANSWERS), folder) if path.is_file() else None
