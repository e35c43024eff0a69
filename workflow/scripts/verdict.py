"""End the run with an exit status: 0 if every point that can be measured was, 1 if any failed; print the reasons."""

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path

from servegrid.util.files import read_json, write_atomic


def main() -> int:
    """Print what is recommended and what failed; return 1 if anything failed, else write the verdict and return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--recommendation", type=Path, required=True, help="recommendation.json")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with arguments.points.open(newline="") as file:
        rows = list(csv.DictReader(file))
    statuses = Counter(row["status"] for row in rows)
    text = f"{len(rows)} points: " + ", ".join(f"{count} {status}" for status, count in statuses.items())
    print(f"{text}\nreport: {arguments.report}", file=sys.stderr)
    print(_recommendation_text(arguments.recommendation), file=sys.stderr)
    failed = Counter((row["status"], row["reason"]) for row in rows if row["status"] in ("failed", "partial"))
    for (status, reason), count in failed.items():
        print(f"{count} points {status}: {reason}", file=sys.stderr)
    if failed:
        print(
            "what failed is kept as it is; to measure it again: snakemake --config retry=[failed,partial]",
            file=sys.stderr,
        )
        return 1
    write_atomic(arguments.out, text + "\n")
    return 0


def _recommendation_text(path: Path) -> str:
    """Summary lines of recommendation.json, and where its command is."""
    recommendation = read_json(path)
    command = [f"command: {path.with_suffix('.sh')}"] if recommendation["command"] else []
    return "\n".join([*recommendation["summary"], *command])


if __name__ == "__main__":
    sys.exit(main())
