"""What changed about a point beside its metrics: load, outcome, who set the pace, and whether the texts are still the same."""

from servegrid.phrases import GARBLED
from servegrid.versus.change import Change, Verdict
from servegrid.versus.runs import Pair, Side

JUDGED_WARNINGS = (GARBLED, "speculation changes texts", "quantization changes texts")
"""Warnings that say that an answer is not what it should be; the others say how far a number can be trusted."""
_RANK = {"ok": 2, "partial": 1}


def of_facts(pair: Pair) -> list[Change]:
    """The facts of one point that differ, or that stand against a comparison."""
    axes, before, after = pair.axes, pair.before, pair.after
    if before is None:
        return [Change(axes, "status", None, _status(after), None, "new")]
    if after is None:
        return [Change(axes, "status", _status(before), None, None, "gone")]
    if _other_load(before, after):
        return [Change(axes, "load_id", before.point["load_id"], after.point["load_id"], None, "another load")]
    return [*_outcome(axes, before, after), *_texts(axes, before, after), *_pace(axes, before, after)]


def comparable(pair: Pair) -> bool:
    """Whether the point's metrics can be held against each other: the same load in both runs, and the server set the pace."""
    if pair.before is None or pair.after is None or _other_load(pair.before, pair.after):
        return False
    return not (_bound(pair.before) or _bound(pair.after))


def _status(side: Side | None) -> str | None:
    return str(side.point["status"]) if side else None


def _other_load(before: Side, after: Side) -> bool:
    """Whether both runs name the point's load, and differently. A point that was skipped, or an older table, names none."""
    ids = [side.point.get("load_id") for side in (before, after)]
    return all(isinstance(id, str) for id in ids) and ids[0] != ids[1]


def _bound(side: Side) -> bool:
    return bool(side.point.get("client_bound", False))


def _outcome(axes: dict[str, str], before: Side, after: Side) -> list[Change]:
    was, now = _status(before), _status(after)
    if was == now:
        return []
    ranks = _RANK.get(was or "", 0), _RANK.get(now or "", 0)
    verdict: Verdict = "no difference shown" if ranks[0] == ranks[1] else "worse" if ranks[1] < ranks[0] else "better"
    return [Change(axes, "status", was, now, None, verdict)]


def _texts(axes: dict[str, str], before: Side, after: Side) -> list[Change]:
    """Warnings about the texts that came or went, where both runs have answers."""
    if not all(_status(side) in _RANK for side in (before, after)):
        return []
    was, now = _judged_warnings(before), _judged_warnings(after)
    came = [Change(axes, "warnings", None, phrase, None, "worse") for phrase in now if phrase not in was]
    return came + [Change(axes, "warnings", phrase, None, None, "better") for phrase in was if phrase not in now]


def _judged_warnings(side: Side) -> list[str]:
    found = str(side.point.get("warnings") or "").split("; ")
    return [phrase for phrase in JUDGED_WARNINGS if phrase in found]


def _pace(axes: dict[str, str], before: Side, after: Side) -> list[Change]:
    was, now = _bound(before), _bound(after)
    return [Change(axes, "client_bound", was, now, None, "client-bound")] if was or now else []
