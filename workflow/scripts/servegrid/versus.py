"""Two result folders held against each other: what changed beyond the noise between two runs of the same points.

Points are the same when all axes that both runs have are; versions, hosts and prices may differ, for they are what is compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from servegrid.intervals import Estimate, ratio, shared_level
from servegrid.report.points import bound, label

Verdict = Literal["better", "worse", "no difference shown", "no doubt known", "gone", "new"]
LOWER_IS_BETTER = ("time_s", "ttft_ms_p50", "itl_ms_p50", "e2e_ms_p50", "j_per_output_token")
HIGHER_IS_BETTER = ("output_tokens_per_s",)
METRICS = (*LOWER_IS_BETTER[:1], *HIGHER_IS_BETTER, *LOWER_IS_BETTER[1:])


class NotComparable(Exception):
    """The two folders cannot be held against each other; the text says why."""


@dataclass(frozen=True)
class Run:
    """One result folder: its points, its sessions, and the names of its axes."""

    points: pd.DataFrame
    sessions: pd.DataFrame
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One metric of one point, after against before.

    Attributes:
        axes: where the point stands.
        metric: column of results/sessions; `status` for a change of outcome.
        before, after: mean over sessions; for `status` the outcome.
        ratio: after / before, with its interval where there is one.
    """

    axes: dict[str, str]
    metric: str
    before: Any
    after: Any
    ratio: Estimate | None
    verdict: Verdict

    def row(self) -> dict[str, Any]:
        """As a flat row for a table."""
        estimate = asdict(self.ratio) if self.ratio else dict.fromkeys(("value", "low", "high", "how"))
        named = {"ratio": estimate["value"], "ratio_low": estimate["low"], "ratio_high": estimate["high"]}
        facts = {"metric": self.metric, "verdict": self.verdict, "before": self.before, "after": self.after}
        return self.axes | facts | named | {"doubt": estimate["how"]}


def read_run(folder: Path) -> Run:
    """Read a folder of results.

    Raises:
        NotComparable: when it has no result tables.
    """
    tables = folder / "points.parquet", folder / "sessions.parquet"
    if missing := [path for path in tables if not path.is_file()]:
        raise NotComparable(f"{missing[0]} is not there: give folders in which a run has collected its results")
    points, sessions = map(pd.read_parquet, tables)
    axes = tuple(points.columns[: list(points.columns).index("status")])
    return Run(_labelled(points, axes), _labelled(sessions, axes), axes)


def _labelled(table: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    return table.assign(**{axis: [label(value) for value in table[axis]] for axis in axes})


def changes(before: Run, after: Run, metrics: Sequence[str] = METRICS, worse_by: float = 0.0) -> list[Change]:
    """Every metric of every point of either run. All intervals hold together (Bonferroni over the comparisons).

    `worse_by`: the share by which a metric must be worse, beyond the noise, to count: 0.02 for 2 %.

    Raises:
        NotComparable: when the runs have no point in common.
    """
    axes = [axis for axis in before.axes if axis in after.axes]
    _refuse_doubled(axes, before, after)
    pair = [_by_place(run, axes) for run in (before, after)]
    common = [place for place in pair[0] if place in pair[1]]
    if not common:
        raise NotComparable("the two runs have no point in common: " + _apart(before, after, axes))
    outcomes = [
        _outcome(dict(zip(axes, place, strict=True)), pair, place) for place in dict.fromkeys([*pair[0], *pair[1]])
    ]
    level = shared_level(len(common) * len(metrics))
    found = [
        _change(dict(zip(axes, place, strict=True)), metric, sides, level, worse_by)
        for place, sides in _session_values(before, after, axes, common)
        for metric in metrics
        if all(metric in side and side[metric].gt(0).any() for side in sides)
    ]
    return [*(outcome for outcome in outcomes if outcome), *found]


def _refuse_doubled(axes: list[str], *runs: Run) -> None:
    for run in runs:
        if run.points.duplicated(axes).any():
            extra = ", ".join(axis for axis in run.axes if axis not in axes)
            raise NotComparable(f"one run alone has the axes {extra}, and several of its points differ on nothing else")


def _by_place(run: Run, axes: list[str]) -> dict[tuple[str, ...], str]:
    places = map(tuple, run.points[axes].to_numpy().tolist())
    return dict(zip(places, run.points["status"], strict=True))


def _apart(before: Run, after: Run, axes: list[str]) -> str:
    """The axes on which nothing agrees, in words."""
    for axis in axes:
        first, second = set(before.points[axis]), set(after.points[axis])
        if not first & second:
            return f"{axis} is {', '.join(sorted(first))} in one and {', '.join(sorted(second))} in the other"
    return "no combination of their axes agrees"


_RANK = {"ok": 2, "partial": 1}


def _outcome(axes: dict[str, str], pair: list[dict[tuple[str, ...], str]], place: tuple[str, ...]) -> Change | None:
    """A point whose outcome changed, or that only one of the runs has; None if it is the same."""
    was, now = (side.get(place) for side in pair)
    if was == now:
        return None
    if was is None or now is None:
        return Change(axes, "status", was, now, None, "new" if was is None else "gone")
    ranks = _RANK.get(was, 0), _RANK.get(now, 0)
    verdict: Verdict = "no difference shown" if ranks[0] == ranks[1] else "worse" if ranks[1] < ranks[0] else "better"
    return Change(axes, "status", was, now, None, verdict)


def _session_values(
    before: Run, after: Run, axes: list[str], common: list[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], tuple[pd.DataFrame, pd.DataFrame]]]:
    sides = [{_place(key): group for key, group in _whole(run).groupby(axes, sort=False)} for run in (before, after)]
    paced = {_place(key) for run in (before, after) for key in run.points[_bound(run)][axes].to_numpy().tolist()}
    for place in (place for place in common if place not in paced):
        if place in sides[0] and place in sides[1]:
            yield place, (sides[0][place], sides[1][place])


def _whole(run: Run) -> pd.DataFrame:
    """Sessions in which every request was answered: what broke off is short, not fast."""
    return run.sessions[run.sessions["status"] == "ok"]


def _bound(run: Run) -> "pd.Series[bool]":
    """Points whose pace the load client may have set."""
    if "client_bound" not in run.points:
        return pd.Series(False, run.points.index)
    return bound(run.points)


def _place(key: Any) -> tuple[str, ...]:
    return tuple(map(str, key)) if isinstance(key, tuple | list) else (str(key),)


def _change(
    axes: dict[str, str], metric: str, sides: tuple[pd.DataFrame, pd.DataFrame], level: float, worse_by: float
) -> Change:
    values = [{int(rep): float(v) for rep, v in zip(side["rep"], side[metric], strict=True) if v > 0} for side in sides]
    estimate = ratio(values[1], values[0], level)
    means = [sum(side.values()) / len(side) for side in values]
    return Change(axes, metric, means[0], means[1], estimate, _verdict(metric, estimate, worse_by))


def _verdict(metric: str, after_by_before: Estimate, worse_by: float) -> Verdict:
    slower = after_by_before.inverse() if metric in HIGHER_IS_BETTER else after_by_before
    if slower.low is None or slower.high is None:
        return "no doubt known"
    if slower.low > 1 + worse_by:
        return "worse"
    return "better" if slower.high < 1 else "no difference shown"
