"""Write the article's table and the full comparison from results/points, as CSV, Markdown and HTML."""

import argparse
from collections.abc import Sequence
from pathlib import Path

NAMES = ("article", "comparison")


def main(argv: Sequence[str] | None = None) -> None:
    """Write `<out>/<name>.{csv,md,html}` for each name of `NAMES`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, required=True, help="results/points.parquet or .csv")
    parser.add_argument(
        "--settings", default="{}", help="report settings: JSON text, or a JSON file (also a whole config)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    args = parser.parse_args(argv)
    write_tables(args.points, args.settings, args.out)


def write_tables(points_path: Path, settings_text: str, out: Path) -> None:
    """Write all tables, each file whole or not at all."""
    from servegrid.files import write_atomic
    from servegrid.report.markup import to_csv, to_html, to_markdown
    from servegrid.report.points import read_points
    from servegrid.report.settings import parse_settings
    from servegrid.report.tables import article_table, comparison_table, condense

    settings = parse_settings(settings_text)
    points = read_points(points_path)
    for name, table in zip(NAMES, (article_table(points, settings), comparison_table(points, settings)), strict=True):
        condensed = condense(table) if name == "comparison" else table
        write_atomic(out / f"{name}.csv", to_csv(table))
        write_atomic(out / f"{name}.md", to_markdown(condensed))
        write_atomic(out / f"{name}.html", to_html(condensed))


if __name__ == "__main__":
    main()
