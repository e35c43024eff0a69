"""What changed about a point beside its metrics: load, outcome, who set the pace, and whether the texts are still the same."""

from collections.abc import Sequence

from servegrid.compare.change import INCOMPARABLE, Change, Verdict
from servegrid.compare.runs import PointInRun, PointPair
from servegrid.compare.texts import text_changes

_RANK = {"ok": 2, "partial": 1}


def status_changes(pair: PointPair) -> list[Change]:
    """The facts of one point that differ, or that stand against a comparison."""
    axes, before, after = pair.axes, pair.before, pair.after
    if before is None:
        return [Change(axes, "status", None, _status(after), None, "new")]
    if after is None:
        return [Change(axes, "status", _status(before), None, None, "gone")]
    if _other_load(before, after):
        return [Change(axes, "load_id", before.point["load_id"], after.point["load_id"], None, "another load")]
    answered = all(_status(side) in _RANK for side in (before, after))
    texts = text_changes(axes, before, after) if answered else []
    return [*_outcome(axes, before, after), *texts, *_pace(axes, before, after)]


def comparable(facts: Sequence[Change]) -> bool:
    """Whether the metrics of a point with these facts can be held against each other: the same load in both runs, texts that
    are no garbage, which may come at any speed, and the server set the pace.
    """
    return not any(change.verdict in INCOMPARABLE for change in facts)


def _status(side: PointInRun | None) -> str | None:
    return str(side.point["status"]) if side else None


def _other_load(before: PointInRun, after: PointInRun) -> bool:
    """Whether both runs name the point's load, and differently. A point that was skipped, or an older table, names none."""
    ids = [side.point.get("load_id") for side in (before, after)]
    return all(isinstance(id, str) for id in ids) and ids[0] != ids[1]


def _bound(side: PointInRun) -> bool:
    return bool(side.point.get("client_bound", False))


def _outcome(axes: dict[str, str], before: PointInRun, after: PointInRun) -> list[Change]:
    was, now = _status(before), _status(after)
    if was == now:
        return []
    ranks = _RANK.get(was or "", 0), _RANK.get(now or "", 0)
    verdict: Verdict = "no difference shown" if ranks[0] == ranks[1] else "worse" if ranks[1] < ranks[0] else "better"
    return [Change(axes, "status", was, now, None, verdict)]


def _pace(axes: dict[str, str], before: PointInRun, after: PointInRun) -> list[Change]:
    was, now = _bound(before), _bound(after)
    return [Change(axes, "client_bound", was, now, None, "client-bound")] if was or now else []
