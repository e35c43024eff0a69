"""Changes of a point's texts, judged by the texts of both runs: a run whose own baseline is garbage cannot tell."""

from servegrid.compare.change import Change
from servegrid.compare.runs import PointInRun
from servegrid.metrics.texts import ANSWER_COLUMNS, Answers, compare_texts
from servegrid.records.paths import load_folder_by_ids
from servegrid.records.read import read_table
from servegrid.results.warnings import RowWarning, split_warnings

JUDGED_WARNINGS = (
    RowWarning.GARBLED_TEXTS,
    RowWarning.SPECULATION_CHANGES_TEXTS,
    RowWarning.QUANTIZATION_CHANGES_TEXTS,
)
"""Warnings that an answer is not what it should be; all others say how far a number can be trusted."""
FOREIGN_TEXTS = "texts in another language than before, or garbage"
_GARBAGE = (RowWarning.GARBLED_TEXTS.phrase, FOREIGN_TEXTS)


def text_changes(axes: dict[str, str], before: PointInRun, after: PointInRun) -> list[Change]:
    """Text warnings that came or went, and garbage in either run; without warnings, what the texts of both runs say.

    Different texts alone are no verdict: another version may round differently. Without the raw sessions beside the
    tables only the warnings are compared.
    """
    warnings_before, warnings_after = _text_warnings(before), _text_warnings(after)
    if RowWarning.GARBLED_TEXTS.phrase not in (*warnings_before, *warnings_after) and _languages_differ(before, after):
        warnings_after.append(FOREIGN_TEXTS)
    added = [
        Change(axes, "warnings", None, phrase, None, "worse")
        for phrase in warnings_after
        if phrase not in warnings_before
    ]
    removed = [
        Change(axes, "warnings", phrase, None, None, "better")
        for phrase in warnings_before
        if phrase not in warnings_after
    ]
    return [*added, *removed, *_garbage_change(axes, warnings_before, warnings_after)]


def _garbage_change(axes: dict[str, str], *runs: list[str]) -> list[Change]:
    """One change where either run has garbage; the metrics of such a point are not compared."""
    garbage_before, garbage_after = (
        next((phrase for phrase in run_warnings if phrase in _GARBAGE), None) for run_warnings in runs
    )
    return (
        [Change(axes, "texts", garbage_before, garbage_after, None, "garbled")]
        if garbage_before or garbage_after
        else []
    )


def _text_warnings(side: PointInRun) -> list[str]:
    """Phrases of the judged warnings of a point."""
    point_warnings = split_warnings(side.point.get("warnings"))
    return [warning.phrase for warning in JUDGED_WARNINGS if warning in point_warnings]


def _languages_differ(before: PointInRun, after: PointInRun) -> bool:
    """Whether the first session's texts are garbled if held against those before, or those before against them."""
    answers_before, answers_after = _first_session_answers(before), _first_session_answers(after)
    if answers_before is None or answers_after is None:
        return False
    sides = (answers_after, answers_before), (answers_before, answers_after)
    return any(compare_texts([answers], others).garble for answers, others in sides)


def _first_session_answers(side: PointInRun) -> Answers | None:
    """Answers of the point's first whole session; None where its records are elsewhere."""
    if side.folder is None or not len(side.sessions) or not {"server_id", "load_id"} <= set(side.sessions):
        return None
    first = side.sessions.sort_values("rep").iloc[0]
    folder = load_folder_by_ids(side.folder, str(first["server_id"]), int(first["rep"]), str(first["load_id"]))
    path = folder / "requests.parquet"
    return Answers(read_table(path, ANSWER_COLUMNS), (folder,)) if path.is_file() else None
