"""The figure of how latencies are distributed."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data.report.synthetic import Row, sweep, with_made_spreads, without
from servegrid.report.figures import latencies
from servegrid.report.settings import Settings
from servegrid.results.latency_distributions import with_spreads

PLAIN = Settings()
PERCENT = [1.0, 50.0, 90.0, 99.0]


def distributions(server: str, load: str, latency: str = "ttft") -> list[Row]:
    ids = {"server_id": server, "load_id": load, "latency": latency}
    return [ids | {"percent": p, "ms": 10 * p, "ms_low": 9 * p, "ms_high": np.nan} for p in PERCENT]


def curves(axes: Axes) -> list[list[tuple[float, float]]]:
    return [list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()]


def notes(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in figure.texts)


def test_a_curve_per_engine_with_marks_at_the_percentiles_of_the_table() -> None:
    points = sweep(threads=[4]).assign(server_id=["a", "b"], load_id="l")
    spreads = pd.DataFrame([*distributions("a", "l"), *distributions("b", "l"), *distributions("b", "other")])
    (axes,) = latencies.draw(with_spreads(points, spreads), PLAIN).axes
    assert curves(axes) == [[(10 * p, p) for p in PERCENT]] * 2
    assert [line.get_markevery() for line in axes.get_lines()] == [[1, 2, 3]] * 2
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time to first token (ms)", "requests within (%)")


def test_ttft_and_itl_stand_side_by_side_with_the_range_over_sessions() -> None:
    figure = latencies.draw(with_made_spreads(sweep(threads=[4])), PLAIN)
    assert [axes.get_xlabel() for axes in figure.axes] == ["time to first token (ms)", "time between tokens (ms)"]
    assert all(len(axes.collections) == 2 for axes in figure.axes)
    low, high = np.percentile(figure.axes[0].collections[0].get_paths()[0].vertices[:, 0], [0, 100])
    assert (low, high) == pytest.approx((0.9 * 12 / 50, 1.1 * 99.9 / 50 * 12))
    assert "lowest to highest of the sessions" in notes(figure)


def test_what_leaves_a_panel_and_bands_that_end_before_their_line_are_explained() -> None:
    points = sweep(engine=["a"], threads=[4]).assign(server_id="a", load_id="l")
    spreads = pd.DataFrame(distributions("a", "l", "itl")).assign(
        ms=[0.0, 5.0, 9.0, 100.0], ms_high=[0.0, 6.0, 10.0, np.nan]
    )
    figure = latencies.draw(with_spreads(points, spreads.assign(ms_low=[0.0, 4.0, 8.0, np.nan])), PLAIN)
    assert "sessions at the percentiles that each has enough requests for." in notes(figure)
    assert "What leaves a panel on the left is 0 ms there" in notes(figure)
    linear = spreads.assign(ms=[0.0, 5.0, 9.0, 10.0], ms_low=[0.0, 4.0, 8.0, 9.0], ms_high=[0.0, 6.0, 10.0, 11.0])
    plain = notes(latencies.draw(with_spreads(points, linear), PLAIN))
    assert "lowest to highest of the sessions." in plain
    assert "leaves a panel" not in plain


def test_one_load_is_shown_that_most_points_have() -> None:
    def hole(row: Row) -> Row:
        lost = row["threads"] == 64 and row["engine"] == "ctranslate2"
        return without(row, "failed", "out of memory") if lost else row

    figure = latencies.draw(with_made_spreads(sweep(change=hole)), PLAIN)
    assert "Client threads: only 16, as" in notes(figure)
    assert "out of memory" in notes(figure)
    assert len(figure.axes[0].get_lines()) == 2


def test_points_that_share_a_load_are_one_curve() -> None:
    """With planned arrivals the threads of a point mean nothing."""

    def shared(row: Row) -> Row:
        planned = row["arrival"] == "poisson"
        return row | {"server_id": "s", "load_id": "planned" if planned else f"threads-{row['threads']}"}

    points = sweep(engine=["llamacpp"], threads=[1, 4], arrival=["closed", "poisson"], change=shared)
    spreads = [row for load in points["load_id"] for row in distributions("s", load)]
    figure = latencies.draw(with_spreads(points, pd.DataFrame(spreads)), Settings(axes=("arrival",)))
    assert [curves(axes) for axes in figure.axes] == [[[(10 * p, p) for p in PERCENT]]] * 2
    titles = {axes.get_title(loc="left").replace("\xa0", " ") for axes in figure.axes}
    assert titles == {"arrival closed", "arrival poisson"}
    assert "Client threads: only 1, as" in notes(figure)


def test_a_place_without_the_common_load_has_one_of_its_own() -> None:
    def hole(row: Row) -> Row:
        return row if (row["gpu"] == "A") == (row["threads"] == 4) else without(row, "failed", "died")

    points = with_made_spreads(sweep(gpu=["A", "B"], threads=[4, 16], change=hole))
    figure = latencies.draw(points[~((points["gpu"] == "B") & (points["engine"] == "llamacpp"))], PLAIN)
    titles = [axes.get_title(loc="left").replace("\xa0", " ") for axes in figure.axes]
    assert titles == ["A, threads 4", "", "B, threads 16", ""]


def test_what_has_no_curve_is_said() -> None:
    def publish(row: Row) -> Row:
        return row | {"status": "published"} if row["engine"] == "tgi" else row

    points = with_made_spreads(sweep(engine=["llamacpp", "vllm", "tgi"], threads=[4], change=publish))
    for name in ("ttft_spread", "itl_spread"):
        points[name] = [
            None if engine == "tgi" else spread for engine, spread in zip(points["engine"], points[name], strict=True)
        ]
    points["itl_spread"] = [
        None if engine == "vllm" else spread
        for engine, spread in zip(points["engine"], points["itl_spread"], strict=True)
    ]
    figure = latencies.draw(points, PLAIN)
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 1]
    assert "ITL unknown: vllm." in notes(figure)
    assert "Not drawn: 1 published points, which come without distributions." in notes(figure)


def test_a_pair_of_panels_per_place_of_which_the_first_is_named() -> None:
    points = with_made_spreads(sweep(gpu=["A", "B"], threads=[4]))
    figure = latencies.draw(points, PLAIN)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["A", "", "B", ""]


def test_points_without_a_distribution_are_said() -> None:
    figure = latencies.draw(sweep(), PLAIN)
    assert "No point has a distribution" in figure.axes[0].texts[0].get_text()
    empty = pd.DataFrame(columns=["server_id", "load_id", "latency", "percent", "ms", "ms_low", "ms_high"])
    points = with_spreads(sweep().assign(server_id=None, load_id=None), empty)
    assert "No point has a distribution" in latencies.draw(points, PLAIN).axes[0].texts[0].get_text()
