"""Compare two result folders, before and after a change: what differs beyond the noise.

Exit status, for use as a gate: 0 nothing is worse, 1 something is worse or known no more, 2 no metric can be compared.
"""

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from servegrid.compare import METRICS, Change, NotComparable, changes, looked_at, read_run
from servegrid.compare.wording import place, words
from servegrid.results.columns import BETTER
from servegrid.stats.intervals import Estimate

UNSHOWN = "no difference shown"
TAIL = "_p99"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="folder of results of the run before")
    parser.add_argument("after", type=Path, help="folder of results of the run after")
    default = f"default: {', '.join(METRICS)}, and what report.slo limits"
    parser.add_argument("--metrics", nargs="+", choices=BETTER, metavar="METRIC", help=f"what to look at; {default}")
    parser.add_argument("--worse-by", type=_share, default=0.0, help="share that is no regression yet: 0.02 for 2 %%")
    parser.add_argument("--out", type=Path, help="also write all comparisons here, as JSON")
    arguments = parser.parse_args(argv)
    try:
        runs = read_run(arguments.before), read_run(arguments.after)
        metrics = arguments.metrics or looked_at(*runs)
        found = changes(*runs, metrics, arguments.worse_by)
    except NotComparable as problem:
        print(f"not comparable: {problem}", file=sys.stderr)
        return 2
    _show(found)
    _show_metrics(found, metrics)
    if arguments.out:
        arguments.out.write_text(json.dumps([change.row() for change in found], indent=1) + "\n", encoding="utf-8")
    return _exit_status(found)


def _exit_status(found: Sequence[Change]) -> int:
    if any(change.verdict == "worse" for change in found):
        return 1
    if not any(change.judged for change in found):
        print(f"not comparable: {_why_nothing(found)}", file=sys.stderr)
        return 2
    return int(any(change.verdict == "gone" for change in found))


def _why_nothing(found: Sequence[Change]) -> str:
    """Why no metric was compared, in words."""
    counted = Counter(change.verdict for change in found)
    whys = {
        "another load": "had another load (prompts, lengths or arrivals) in the other run; generated prompts are another set with another model, those of a file are not",
        "client-bound": "were client-bound: the client may have set their pace, not the server",
        "garbled": "had garbled texts: garbage may come at any speed",
    }
    reasons = [f"{counted[verdict]} points {why}" for verdict, why in whys.items() if counted[verdict]]
    if counted["untrusted"]:
        reasons.append(f"{counted['untrusted']} metrics had a warning with which they are not to be relied on")
    if one_sided := sum(change.verdict in ("gone", "new") and change.metric in BETTER for change in found):
        reasons.append(f"{one_sided} metrics are known in one run alone")
    if counted["no doubt known"]:
        reasons.append(f"{counted['no doubt known']} metrics were measured in one session only")
    return "; ".join(reasons) or "nothing was measured whole in both"


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a share from 0 to below 1")
    return value


def _show(found: Sequence[Change]) -> None:
    """What changed or was not compared, worst first; what did not change, as a count, but for what has no interval."""
    order = ("worse", "gone", "garbled", "untrusted", "client-bound", "another load", "better", "new", UNSHOWN)
    shown = (
        c for c in found if c.verdict in order and (c.verdict != UNSHOWN or (c.ratio is None and c.before != c.after))
    )
    for change in sorted(shown, key=lambda c: (order.index(c.verdict), -c.points)):
        print(f"{change.verdict:>12}  {place(change)}: {words(change)}")
    counted = Counter(change.verdict for change in found if change.metric not in ("status", "warnings"))
    print("; ".join(f"{count} {verdict}" for verdict, count in counted.items()) or "no metric of any point in both")
    if counted["no doubt known"]:
        print("no doubt known: one session on a side; raise repeats to tell change from noise")
    _show_blindness(found)


def _show_metrics(found: Sequence[Change], metrics: Sequence[str]) -> None:
    """What was looked at, and which of it no point to compare knows in either run."""
    unknown = [metric for metric in metrics if metric not in {change.metric for change in found}]
    print(
        f"looked at: {', '.join(metrics)}"
        + (f"; at no point that can be compared: {', '.join(unknown)}" if unknown else "")
    )


def _up_to(share: float) -> str:
    return "of any size" if share > 10 else f"up to {100 * share:.1f} %"


def _show_blindness(found: Sequence[Change]) -> None:
    """How large a change would have been shown, where none was: tails are noisier than the rest."""
    unshown = [change for change in found if change.judged and change.verdict == UNSHOWN]
    tails = [change for change in unshown if change.metric.endswith(TAIL)]
    rest = [change for change in unshown if not change.metric.endswith(TAIL)]
    for what, some in ("changes", rest), ("changes of tails", tails):
        if hidden := _hidden(some):
            print(f"{UNSHOWN}: the noise hides {what} {hidden} (medians); more repeats show smaller ones")


def _hidden(unshown: Sequence[Change]) -> str:
    alone = [_half_width(change.ratio) for change in unshown if change.ratio and change.points == 1]
    together = [_half_width(change.ratio) for change in unshown if change.ratio and change.points > 1]
    hidden = [f"{_up_to(median(alone))} at a single point"] if alone else []
    hidden += [f"{_up_to(median(together))} in the mean over points"] if together else []
    return ", ".join(hidden)


def _half_width(estimate: Estimate) -> float:
    """As a share: how far from 1 the ratio must be to show, with this interval's width."""
    low, high = estimate.interval
    return math.sqrt(high / low) - 1


if __name__ == "__main__":
    sys.exit(main())
