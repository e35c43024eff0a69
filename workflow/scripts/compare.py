"""Compare two result folders, before and after a change: what differs beyond the noise.

Exit status, for use as a gate: 0 nothing is worse, 1 something is worse, 2 the folders cannot be compared.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from servegrid.versus import METRICS, Change, NotComparable, changes, read_run


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="folder of results of the run before")
    parser.add_argument("after", type=Path, help="folder of results of the run after")
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=list(METRICS), metavar="METRIC")
    parser.add_argument("--worse-by", type=_share, default=0.0, help="share that is no regression yet: 0.02 for 2 %%")
    parser.add_argument("--out", type=Path, help="also write all comparisons here, as JSON")
    arguments = parser.parse_args(argv)
    try:
        found = changes(*map(read_run, (arguments.before, arguments.after)), arguments.metrics, arguments.worse_by)
    except NotComparable as problem:
        print(f"not comparable: {problem}", file=sys.stderr)
        return 2
    _show(found)
    if arguments.out:
        arguments.out.write_text(json.dumps([change.row() for change in found], indent=1) + "\n", encoding="utf-8")
    if all(change.verdict == "no doubt known" for change in found):
        print("not comparable: nothing was measured whole, and often enough, in both", file=sys.stderr)
        return 2
    return int(any(change.verdict in ("worse", "gone") for change in found))


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a share from 0 to below 1")
    return value


def _show(found: Sequence[Change]) -> None:
    """What changed, worst first; what did not, as a count."""
    order = ("worse", "gone", "better", "new")
    for change in sorted((c for c in found if c.verdict in order), key=lambda c: order.index(c.verdict)):
        place = ", ".join(f"{axis} {value}" for axis, value in change.axes.items())
        print(f"{change.verdict:>6}  {place}: {_words(change)}")
    counted = Counter(change.verdict for change in found if change.metric != "status")
    print("; ".join(f"{count} {verdict}" for verdict, count in counted.items()) or "no metric of any point in both")
    if counted["no doubt known"]:
        print("no doubt known: one session on a side; raise repeats to tell change from noise")


def _words(change: Change) -> str:
    if change.ratio is None:
        return f"{change.metric} {change.before or 'not there'} -> {change.after or 'not there'}"
    low, high = change.ratio.low or change.ratio.value, change.ratio.high or change.ratio.value
    percent = 100 * (change.ratio.value - 1)
    interval = f"{100 * (low - 1):+.1f} to {100 * (high - 1):+.1f} %"
    return f"{change.metric} {change.before:.4g} -> {change.after:.4g} ({percent:+.1f} %, {interval})"


if __name__ == "__main__":
    sys.exit(main())
