"""Draw the figures of the report from results/points, as SVG and PNG."""

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from servegrid.report.settings import Settings

PARALLEL_FROM_POINTS = 100
"""Number of points from which the figures are drawn in parallel, one process each."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write `<out>/<figure>.<format>` for every figure, or those named, and every format of the settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, required=True, help="results/points.parquet or .csv")
    parser.add_argument("--sessions", type=Path, help="results/sessions.parquet, for intervals over sessions")
    parser.add_argument("--distributions", type=Path, help="results/distributions.parquet, for those of latencies")
    parser.add_argument("--config", type=Path, required=True, help="the resolved config")
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--only", nargs="+", metavar="FIGURE", help="draw only these")
    args = parser.parse_args(argv)
    write_figures(args.points, args.config, args.out, args.only, args.sessions, args.distributions)


def write_figures(
    points_path: Path,
    config: Path,
    out: Path,
    only: Sequence[str] | None = None,
    sessions: Path | None = None,
    distributions: Path | None = None,
) -> None:
    """Draw and write the figures, each file whole or not at all.

    Raises:
        SystemExit: a name in `only` is not a figure.
    """
    from servegrid.report.figures import FIGURES
    from servegrid.report.published import with_published_labels
    from servegrid.report.result_table import ResultTable
    from servegrid.report.sweep_model import with_intervals
    from servegrid.results.latency_distributions import with_spreads
    from servegrid.results.points import read_result_table
    from servegrid.results.session_values import with_rounds

    if unknown := sorted(set(only or ()) - set(FIGURES)):
        raise SystemExit(f"unknown figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    table = ResultTable.read(points_path, config, sessions)
    settings, rows = table.settings, table.rows
    rows = with_intervals(with_rounds(rows, table.sessions), table.sessions, ["time_s", "output_tokens_per_s"])
    if distributions is not None:
        rows = with_spreads(rows, read_result_table(distributions))
    points = with_published_labels(rows)
    names = only or list(FIGURES)
    workers = min(len(os.sched_getaffinity(0)), len(names))
    if len(points) < PARALLEL_FROM_POINTS or workers < 2:
        for name in names:
            draw_figure(name, points, settings, out)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for task in [
            pool.submit(draw_figure, name, points, settings, out) for name in reversed(names)
        ]:  # the slowest first
            task.result()


def draw_figure(name: str, points: "pd.DataFrame", settings: "Settings", out: Path) -> None:
    """Draw one figure and write it in every format of the settings."""
    from servegrid.report.drawing.style import render
    from servegrid.report.figures import FIGURES
    from servegrid.util.files import write_atomic

    figure = FIGURES[name](points, settings)
    for file_format in settings.formats:
        write_atomic(out / f"{name}.{file_format}", render(figure, file_format, f"{settings.title}: {name}"))


if __name__ == "__main__":
    main()
