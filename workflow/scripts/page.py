"""Write the report page: one self-contained HTML file that opens with the answer."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, required=True, help="results/points.parquet or .csv")
    parser.add_argument("--config", type=Path, required=True, help="the resolved config")
    parser.add_argument("--sessions", type=Path, required=True, help="folder of the sessions' records")
    parser.add_argument("--ranges", type=Path, help="results/sessions.parquet, for ranges over the sessions")
    parser.add_argument(
        "--reports", type=Path, required=True, help="folder with figures, timelines, recommendation, claims and answers"
    )
    parser.add_argument("--out", type=Path, required=True)
    write_page(parser.parse_args(argv))


def write_page(arguments: argparse.Namespace) -> None:
    """Read the parts from the reports folder and write the page, whole or not at all."""
    from servegrid.report.page.build import page
    from servegrid.report.page.sections import read_parts
    from servegrid.report.page.summary import measurement_summary
    from servegrid.report.result_table import ResultTable
    from servegrid.util.files import read_json, write_atomic

    reports: Path = arguments.reports
    folders = {"sessions": arguments.sessions, "timelines": reports / "timelines", "figures": reports / "figures"}
    config = read_json(arguments.config)
    table = ResultTable.read(arguments.points, arguments.config, arguments.ranges)
    parts = read_parts(reports) | {"facts": measurement_summary(table.measured, config, arguments.sessions)}
    text = json.dumps(config, indent=2, sort_keys=True)
    write_atomic(arguments.out, page(table, parts, folders, text))


if __name__ == "__main__":
    main()
