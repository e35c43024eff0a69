"""Compare the result folders of two runs, before and after a change: which differences exceed the noise.

Exit status, for use as a gate: 0 nothing is worse, 1 something is worse or no longer known, 2 no metric can
be compared.
"""

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from servegrid.compare import METRICS, Change, NotComparable, changes, default_metrics, read_run
from servegrid.compare.wording import describe_difference, describe_place
from servegrid.results.columns import BETTER
from servegrid.stats.intervals import Estimate

NO_DIFFERENCE = "no difference shown"
TWO_RUNS = (
    "two runs: heat, a neighbour's job or the day may differ as well, and no interval here knows of it; what holds is both versions in one"
    " sweep, whose sessions alternate (config/two-versions.yaml)"
)
TAIL_SUFFIX = "_p99"


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the two runs, print the differences, write them if asked, and return the exit status."""
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
        metrics = arguments.metrics or default_metrics(*runs)
        all_changes = changes(*runs, metrics, arguments.worse_by)
    except NotComparable as problem:
        print(f"not comparable: {problem}", file=sys.stderr)
        return 2
    _print_changes(all_changes)
    _print_metrics(all_changes, metrics)
    print(TWO_RUNS)
    if arguments.out:
        arguments.out.write_text(
            json.dumps([change.row() for change in all_changes], indent=1) + "\n", encoding="utf-8"
        )
    return _exit_status(all_changes)


def _exit_status(all_changes: Sequence[Change]) -> int:
    """1 if anything is worse or gone, 2 if no metric was compared, else 0."""
    if any(change.verdict == "worse" for change in all_changes):
        return 1
    if not any(change.judged for change in all_changes):
        print(f"not comparable: {_why_none_compared(all_changes)}", file=sys.stderr)
        return 2
    return int(any(change.verdict == "gone" for change in all_changes))


def _why_none_compared(all_changes: Sequence[Change]) -> str:
    """Reasons why no metric was compared, with their counts, in one line."""
    verdict_counts = Counter(change.verdict for change in all_changes)
    explanations = {
        "another load": "had another load (prompts, lengths or arrivals) in the other run; generated prompts are another set with another model, those of a file are not",
        "client-bound": "were client-bound: the client may have set their pace, not the server",
        "garbled": "had garbled texts: garbage may come at any speed",
    }
    reasons = [
        f"{verdict_counts[verdict]} points {explanation}"
        for verdict, explanation in explanations.items()
        if verdict_counts[verdict]
    ]
    if verdict_counts["untrusted"]:
        reasons.append(f"{verdict_counts['untrusted']} metrics had a warning with which they are not to be relied on")
    if verdict_counts["other lengths"]:
        reasons.append(f"{verdict_counts['other lengths']} metrics are of answers of other lengths in the other run")
    if one_sided := sum(change.verdict in ("gone", "new") and change.metric in BETTER for change in all_changes):
        reasons.append(f"{one_sided} metrics are known in one run alone")
    if verdict_counts["no doubt known"]:
        reasons.append(
            f"{verdict_counts['no doubt known']} metrics have too few sessions for an interval, or a 0 among them"
        )
    return "; ".join(reasons) or "nothing was measured whole in both"


def _share(text: str) -> float:
    """Parse a share for argparse: a number from 0 to below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a share from 0 to below 1")
    return value


def _print_changes(all_changes: Sequence[Change]) -> None:
    """Print what changed or was not compared, worst first, and counts of all verdicts."""
    order = (
        *("worse", "gone", "garbled", "untrusted", "client-bound", "another load", "other lengths"),
        *("better", "new", NO_DIFFERENCE),
    )
    printed = (
        c
        for c in all_changes
        if c.verdict in order and (c.verdict != NO_DIFFERENCE or (c.ratio is None and c.before != c.after))
    )
    for change in sorted(printed, key=lambda c: (order.index(c.verdict), -c.points)):
        print(f"{change.verdict:>13}  {describe_place(change)}: {describe_difference(change)}")
    verdict_counts = Counter(change.verdict for change in all_changes if change.metric not in ("status", "warnings"))
    print(
        "; ".join(f"{count} {verdict}" for verdict, count in verdict_counts.items()) or "no metric of any point in both"
    )
    if verdict_counts["no doubt known"]:
        print("no doubt known: one session on a side; raise repeats to tell change from noise")
    _print_detectable_sizes(all_changes)


def _print_metrics(all_changes: Sequence[Change], metrics: Sequence[str]) -> None:
    """Print which metrics were looked at, and which of them no comparable point knows in either run."""
    unknown = [metric for metric in metrics if metric not in {change.metric for change in all_changes}]
    print(
        f"looked at: {', '.join(metrics)}"
        + (f"; at no point that can be compared: {', '.join(unknown)}" if unknown else "")
    )


def _size_limit(share: float) -> str:
    """`up to 2.0 %`, or `of any size` where that is more than tenfold."""
    return "of any size" if share > 10 else f"up to {100 * share:.1f} %"


def _print_detectable_sizes(all_changes: Sequence[Change]) -> None:
    """Print how large a change would have to be to show where none was shown, separately for the noisier tails."""
    undecided = [change for change in all_changes if change.judged and change.verdict == NO_DIFFERENCE]
    tails = [change for change in undecided if change.metric.endswith(TAIL_SUFFIX)]
    rest = [change for change in undecided if not change.metric.endswith(TAIL_SUFFIX)]
    for subject, subset in ("changes", rest), ("changes of tails", tails):
        if hidden := _detectable_sizes(subset):
            print(f"{NO_DIFFERENCE}: the noise hides {subject} {hidden} (medians); more repeats show smaller ones")


def _detectable_sizes(undecided: Sequence[Change]) -> str:
    """Median detectable size at a single point and in the mean over points; empty where neither is known."""
    single_points = [_half_width(change.ratio) for change in undecided if change.ratio and change.points == 1]
    pooled = [_half_width(change.ratio) for change in undecided if change.ratio and change.points > 1]
    hidden = [f"{_size_limit(median(single_points))} at a single point"] if single_points else []
    hidden += [f"{_size_limit(median(pooled))} in the mean over points"] if pooled else []
    return ", ".join(hidden)


def _half_width(estimate: Estimate) -> float:
    """Share by which the ratio must differ from 1 to show, given the width of this interval."""
    low, high = estimate.interval
    return math.sqrt(high / low) - 1


if __name__ == "__main__":
    sys.exit(main())
