"""Whether the answers of a point are still good, by the texts of both runs: a run whose own baseline is garbage cannot tell."""

from servegrid.compare.change import Change
from servegrid.compare.runs import Side
from servegrid.metrics.texts import ANSWER_COLUMNS, GARBLED_FROM, Answers, compare_texts
from servegrid.records.paths import load_folder_by_ids
from servegrid.records.read import read_table
from servegrid.results.warnings import RowWarning, split_warnings

JUDGED_WARNINGS = (
    RowWarning.GARBLED_TEXTS,
    RowWarning.SPECULATION_CHANGES_TEXTS,
    RowWarning.QUANTIZATION_CHANGES_TEXTS,
)
"""Warnings that say that an answer is not what it should be; the others say how far a number can be trusted."""
FOREIGN = "texts in another language than before, or garbage"
_GARBAGE = (RowWarning.GARBLED_TEXTS.phrase, FOREIGN)


def of_texts(axes: dict[str, str], before: Side, after: Side) -> list[Change]:
    """Warnings about the texts that came or went, and garbage in either run; where both are silent, what both runs' texts say.

    Other texts alone are no verdict: another version may round differently. Without the raw sessions beside the tables only
    the warnings are told.
    """
    was, now = _phrases(before), _phrases(after)
    if RowWarning.GARBLED_TEXTS.phrase not in (*was, *now) and _foreign(before, after):
        now.append(FOREIGN)
    came = [Change(axes, "warnings", None, phrase, None, "worse") for phrase in now if phrase not in was]
    went = [Change(axes, "warnings", phrase, None, None, "better") for phrase in was if phrase not in now]
    return [*came, *went, *_garbage(axes, was, now)]


def _garbage(axes: dict[str, str], *runs: list[str]) -> list[Change]:
    was, now = (next((phrase for phrase in found if phrase in _GARBAGE), None) for found in runs)
    return [Change(axes, "texts", was, now, None, "garbled")] if was or now else []


def _phrases(side: Side) -> list[str]:
    """The judged warnings of a point in words, as a change between runs is told."""
    warnings = split_warnings(side.point.get("warnings"))
    return [warning.phrase for warning in JUDGED_WARNINGS if warning in warnings]


def _foreign(before: Side, after: Side) -> bool:
    """Whether the first session's texts are not in the language of those before, of which either may be the garbage (metrics.texts)."""
    theirs, mine = _answers(before), _answers(after)
    return theirs is not None and mine is not None and (compare_texts([mine], theirs).garble or 0) >= GARBLED_FROM


def _answers(side: Side) -> Answers | None:
    """The answers of the point's first whole session; None where its records are elsewhere."""
    if side.folder is None or not len(side.sessions) or not {"server_id", "load_id"} <= set(side.sessions):
        return None
    first = side.sessions.sort_values("rep").iloc[0]
    folder = load_folder_by_ids(side.folder, str(first["server_id"]), int(first["rep"]), str(first["load_id"]))
    path = folder / "requests.parquet"
    return Answers(read_table(path, ANSWER_COLUMNS), folder) if path.is_file() else None
