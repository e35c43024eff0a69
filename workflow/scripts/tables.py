"""Write the article's table and the full comparison, made from results/points, as CSV, Markdown and HTML."""

import argparse
from collections.abc import Sequence
from pathlib import Path

NAMES = ("article", "comparison")


def main(argv: Sequence[str] | None = None) -> None:
    """Write `<out>/<name>.{csv,md,html}` for each name of `NAMES`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, required=True, help="results/points.parquet or .csv")
    parser.add_argument("--config", type=Path, required=True, help="the resolved config")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    args = parser.parse_args(argv)
    write_tables(args.points, args.config, args.out)


def write_tables(points_path: Path, config: Path, out: Path) -> None:
    """Write both tables, each file whole or not at all."""
    from servegrid.report.result_table import ResultTable
    from servegrid.report.tables.point_tables import article_table, comparison_table
    from servegrid.report.tables.table import condense
    from servegrid.report.tables.write import to_csv, to_html, to_markdown
    from servegrid.util.files import write_atomic

    rows = ResultTable.read(points_path, config)
    for name, table in zip(NAMES, (article_table(rows), comparison_table(rows)), strict=True):
        condensed = condense(table) if name == "comparison" else table
        write_atomic(out / f"{name}.csv", to_csv(table))
        write_atomic(out / f"{name}.md", to_markdown(condensed))
        write_atomic(out / f"{name}.html", to_html(condensed))


if __name__ == "__main__":
    main()
