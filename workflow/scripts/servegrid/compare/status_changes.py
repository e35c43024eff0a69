"""Changes of a point beside its metrics: load, status, texts, and whether the client set the pace."""

from collections.abc import Sequence

from servegrid.compare.change import INCOMPARABLE, Change, Verdict
from servegrid.compare.runs import PointInRun, PointPair
from servegrid.compare.texts import text_changes

_RANK = {"ok": 2, "partial": 1}


def status_changes(pair: PointPair) -> list[Change]:
    """Changes of load, status, texts and pace at one point, and what stands against comparing its metrics."""
    axes, before, after = pair.axes, pair.before, pair.after
    if before is None:
        return [Change(axes, "status", None, _status(after), None, "new")]
    if after is None:
        return [Change(axes, "status", _status(before), None, None, "gone")]
    if _loads_differ(before, after):
        return [Change(axes, "load_id", before.point["load_id"], after.point["load_id"], None, "another load")]
    answered = all(_status(side) in _RANK for side in (before, after))
    texts = text_changes(axes, before, after) if answered else []
    return [*_status_change(axes, before, after), *texts, *_pace_change(axes, before, after)]


def comparable(point_changes: Sequence[Change]) -> bool:
    """Whether the metrics of a point with these changes can be compared.

    That takes the same load in both runs, texts that are no garbage, which may come at any speed, and a pace set by the
    server.
    """
    return not any(change.verdict in INCOMPARABLE for change in point_changes)


def _status(side: PointInRun | None) -> str | None:
    return str(side.point["status"]) if side else None


def _loads_differ(before: PointInRun, after: PointInRun) -> bool:
    """Whether both runs name the point's load, and differently; a skipped point, or an older table, names none."""
    ids = [side.point.get("load_id") for side in (before, after)]
    return all(isinstance(id, str) for id in ids) and ids[0] != ids[1]


def _client_bound(side: PointInRun) -> bool | None:
    """Whether the client set the pace; None if that is not known."""
    bound: bool | None = side.point.get("client_bound")
    return bound


def _status_change(axes: dict[str, str], before: PointInRun, after: PointInRun) -> list[Change]:
    before_status, after_status = _status(before), _status(after)
    if before_status == after_status:
        return []
    ranks = _RANK.get(before_status or "", 0), _RANK.get(after_status or "", 0)
    verdict: Verdict = "no difference shown" if ranks[0] == ranks[1] else "worse" if ranks[1] < ranks[0] else "better"
    return [Change(axes, "status", before_status, after_status, None, verdict)]


def _pace_change(axes: dict[str, str], before: PointInRun, after: PointInRun) -> list[Change]:
    bound_before, bound_after = _client_bound(before), _client_bound(after)
    return (
        [Change(axes, "client_bound", bound_before, bound_after, None, "client-bound")]
        if bound_before or bound_after
        else []
    )
