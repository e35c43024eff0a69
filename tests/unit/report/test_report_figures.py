import math
from collections.abc import Callable, Iterator

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from data.report.synthetic import Row, default_sweep, sweep, with_ids, with_made_spreads, without
from helpers.figures import PLAIN, footnotes, panel_texts
from servegrid.report.drawing.style import render
from servegrid.report.figures import FIGURES, engines, quantization, speculation, time_threads
from servegrid.report.settings import Settings
from servegrid.report.sweep_model import sweep_model


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for key in figure.findobj(Legend) for text in key.get_texts()]


def titles(figure: Figure) -> list[str]:
    return [" ".join(axes.get_title(loc="left").split()) for axes in figure.axes if axes.get_title(loc="left")]


def curves(axes: Axes) -> list[list[tuple[float, float]]]:
    """The points of each line that has two or more."""
    lines = (line for line in axes.get_lines() if len(line.get_xdata()) > 1 and line.get_linestyle() != "None")
    return [
        list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in lines
        if line.get_transform() == axes.transData
    ]


@pytest.fixture(params=list(FIGURES))
def draw(request: pytest.FixtureRequest) -> Iterator[Callable[[pd.DataFrame, Settings], Figure]]:
    yield lambda points, settings: FIGURES[request.param](with_made_spreads(points), settings)


Draw = Callable[[pd.DataFrame, Settings], Figure]


def test_time_against_threads_has_a_curve_per_engine_at_the_measured_values() -> None:
    points = sweep()
    (axes,) = time_threads.draw(points, PLAIN).axes
    full_curves = [curve for curve in curves(axes) if len(curve) == 4]
    expected = [points[points["engine"] == engine] for engine in ("llamacpp", "ctranslate2")]
    assert full_curves == [list(zip(rows["threads"], rows["time_s"], strict=True)) for rows in expected]


def test_axes_name_their_unit_and_threads_are_log2_with_the_levels_as_ticks() -> None:
    (axes,) = time_threads.draw(sweep(), PLAIN).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("client threads", "time to complete (s)")
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "4", "16", "64"]


def test_a_failed_level_leaves_a_gap_and_a_footnote() -> None:
    def fail(row: Row) -> Row:
        return without(row, "failed", "out of memory") if row["threads"] == 16 and row["engine"] == "llamacpp" else row

    figure = time_threads.draw(sweep(change=fail), PLAIN)
    gaps = [curve[2] for curve in curves(figure.axes[0]) if math.isnan(curve[2][1])]
    assert [x for x, _ in gaps] == [16]
    assert "Not drawn: 1 point failed (engine llamacpp; threads 16): out of memory" in footnotes(figure)


def test_failures_are_told_before_what_is_not_supported() -> None:
    def hole(row: Row) -> Row:
        if row["engine"] == "e9":
            return without(row, "failed", "out of memory") if row["threads"] == 16 else row
        if row["engine"] in ("e7", "e8"):
            return without(row, "absent", f"no {row['engine']} here")
        return without(row, "unsupported", f"{row['engine']} has no quantization int8 (it has none, fp8)")

    figure = time_threads.draw(sweep(engine=[f"e{n}" for n in range(10)], change=hole), PLAIN)
    notes = [" ".join(text.get_text().split()) for text in figure.texts if text.get_text().startswith("Not drawn")]
    assert notes == [
        "Not drawn: 1 point failed (engine e9; threads 16): out of memory",
        "Not drawn: 4 points absent (engine e7): no e7 here",
        "Not drawn: 4 points absent (engine e8): no e8 here",
        "Not drawn: 4 points unsupported (engine e0): e0 has no quantization int8",
        "Not drawn either: 24 points for other reasons (24 unsupported); see the table.",
    ]


def test_what_is_missing_is_told_apart_among_own_points_only() -> None:
    measured = sweep(engine=["a", "b"], change=lambda r: without(r, "failed", "died") if r["engine"] == "a" else r)
    published = sweep(engine=["a (published: x)"], gpu=["A100"], threads=[7]).assign(status="published")
    figure = time_threads.draw(pd.concat([measured, published]), PLAIN)
    assert "Not drawn: 4 points failed (engine a): died" in footnotes(figure)


def test_a_time_left_over_from_a_failed_point_is_not_drawn() -> None:
    def fail(row: Row) -> Row:
        return row | {"status": "failed", "reason": "died"} if row["threads"] == 16 else row

    (axes,) = time_threads.draw(sweep(engine=["a"], change=fail), PLAIN).axes
    assert [x for x, y in curves(axes)[0] if math.isnan(y)] == [16]


def test_panels_by_gpu_and_quantization_share_one_scale() -> None:
    figure = time_threads.draw(sweep(gpu=["A", "B"], quantization=["none", "int8"]), PLAIN)
    assert titles(figure) == [
        f"{gpu}, quantization\xa0{q}".replace("\xa0", " ") for gpu in "AB" for q in ("none", "int8")
    ]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_a_further_axis_makes_panels() -> None:
    figure = time_threads.draw(sweep(memory_fraction=[0.5, 0.9]), Settings(axes=("memory_fraction",)))
    assert titles(figure) == ["memory_fraction 0.5", "memory_fraction 0.9"]


def test_more_panels_than_fit_are_counted_and_the_baselines_stay() -> None:
    points = sweep(engine=["a"], threads=[1, 4], gpu=[f"gpu{n}" for n in range(9)], quantization=["none", "int8"])
    figure = time_threads.draw(points, Settings(baseline={"gpu": "gpu8"}))
    assert len(figure.axes) == 12
    assert {"gpu8, quantization none", "gpu8, quantization int8"} <= set(titles(figure))
    assert "12 of 18 combinations" in footnotes(figure)


def test_more_engines_than_can_be_told_apart_are_counted() -> None:
    figure = time_threads.draw(sweep(engine=[f"engine{n}" for n in range(11)]), PLAIN)
    assert legend(figure) == [f"engine{n}" for n in range(8)]
    assert "the 8 of 11 engines" in footnotes(figure)


def test_speculation_is_held_at_the_baseline() -> None:
    points = sweep(engine=["a"], speculation=["none", "2"])
    figure = time_threads.draw(points, Settings(baseline={"speculation": "2"}))
    expected = points.loc[points["speculation"] == "2", "time_s"].tolist()
    assert [[y for _, y in curve] for curve in curves(figure.axes[0]) if len(curve) == 4] == [expected]
    assert "Only points with speculation 2; the table has all." in footnotes(figure)


def test_error_bars_are_explained_with_the_number_of_sessions() -> None:
    assert "Bars: 95 % interval over 2 sessions." in footnotes(time_threads.draw(sweep(), PLAIN))
    once = sweep(change=lambda row: row | {"sessions": 1})
    assert "No error bars: one session per point." in footnotes(time_threads.draw(once, PLAIN))


def test_a_partial_point_is_hollow_and_named() -> None:
    figure = time_threads.draw(default_sweep(), PLAIN)
    hollow = [
        line
        for axes in figure.axes
        for line in axes.get_lines()
        if line.get_markerfacecolor() == "white" and len(line.get_xdata())
    ]
    assert [line.get_xdata().tolist() for line in hollow] == [[16.0]]
    assert "Hollow: 1 point measured in part only: 3 of 48 requests: timeout." in footnotes(figure)


def hollow(axes: Axes) -> list[tuple[float, float]]:
    lines = [line for line in axes.get_lines() if line.get_markerfacecolor() == "white"]
    return [place for line in lines for place in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_a_client_bound_point_is_hollow_and_named() -> None:
    points = sweep(change=lambda row: row | {"client_bound": row["threads"] == 64})
    figure = time_threads.draw(points, PLAIN)
    assert [x for x, _ in hollow(figure.axes[0])] == [64, 64]
    assert "Hollow: 2 points client-bound (threads 64): the load client came near its ceiling there." in footnotes(
        figure
    )


def test_a_speedup_is_hollow_where_its_reference_is_client_bound() -> None:
    points = sweep(
        engine=["a"],
        speculation=["none", "2"],
        change=lambda row: row | {"client_bound": row["threads"] == 64 and row["speculation"] == "none"},
    )
    figure = speculation.draw(points, PLAIN)
    assert [[x for x, _ in hollow(axes)] for axes in figure.axes] == [[64], [64]]
    assert "Hollow: 1 point client-bound (threads 64)" in footnotes(figure)


def test_a_point_without_a_speedup_shows_no_acceptance_either() -> None:
    points = sweep(engine=["a"], speculation=["none", "2"], change=lambda row: row | {"status": "partial"})
    points.loc[points["threads"] != 16, "status"] = "ok"
    figure = speculation.draw(points, PLAIN)
    assert [math.isnan(y) for _, y in curves(figure.axes[1])[0]] == [False, False, True, False]
    assert "Hollow" not in footnotes(figure)


def test_the_speculation_test_shows_the_ratio_of_times_at_the_same_load() -> None:
    points = sweep(engine=["a"], threads=[1, 64], speculation=["none", "2"])
    ratio = (
        points[points["speculation"] == "none"]["time_s"].to_numpy()
        / points[points["speculation"] == "2"]["time_s"].to_numpy()
    )
    upper, lower = speculation.draw(points, PLAIN).axes
    assert [y for _, y in curves(upper)[0]] == pytest.approx(ratio)
    assert [y for _, y in curves(lower)[0]] == [0.71, 0.71]
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("speed-up (\N{MULTIPLICATION SIGN})", "accepted\nshare")


def test_an_acceptance_of_zero_is_drawn() -> None:
    points = sweep(engine=["a"], speculation=["none", "2"], change=lambda row: row | {"acceptance_rate": 0.0})
    assert [y for _, y in curves(speculation.draw(points, PLAIN).axes[1])[0]] == [0, 0, 0, 0]


def test_where_no_acceptance_is_reported_the_panel_says_so() -> None:
    points = sweep(threads=[1, 4], speculation=["none", "2"])
    points["acceptance_rate"] = points["acceptance_rate"].where(points["engine"] == "llamacpp")
    figure = speculation.draw(points, PLAIN)
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [[], [], [], ["not reported"]]


def test_speedup_bars_are_the_interval_over_sessions() -> None:
    points = sweep(engine=["a"], threads=[1, 4], speculation=["none", "2"])
    rounds = [
        {rep: time * (1 + 0.01 * rep * place) for rep in (1, 2, 3)} for place, time in enumerate(points["time_s"], 1)
    ]
    points = with_ids(points)
    figure = speculation.draw(points.assign(time_s_by_round=rounds), PLAIN)
    (bars,) = (collection for collection in figure.axes[0].collections if len(collection.get_segments()) == 2)
    ids = list(zip(points["server_id"], points["load_id"], strict=True))
    expected = sweep_model(dict(zip(ids, rounds, strict=True))).ratio(ids[0], ids[1])
    assert bars.get_segments()[0][:, 1] == pytest.approx([expected.low, expected.high])
    assert "Bars: 95 % interval over 2 sessions." in footnotes(figure)
    assert "No error bars" in footnotes(speculation.draw(points, PLAIN))


def test_engines_without_speculation_get_no_empty_panel_but_a_footnote() -> None:
    figure = speculation.draw(default_sweep(), PLAIN)
    assert titles(figure) == ["quantization none", "quantization int8"]
    assert "16 points unsupported (engine ctranslate2; speculation ngram:2, ngram:8): CTranslate2 has no" in footnotes(
        figure
    )
    assert "llamacpp, cpu" in footnotes(figure)
    assert legend(figure) == ["ngram:2", "ngram:8", "none (reference)"]


def test_with_one_level_of_threads_the_levels_stand_side_by_side() -> None:
    figure = speculation.draw(sweep(engine=["a"], threads=[128], speculation=["none", "2", "8"]), PLAIN)
    lower = figure.axes[-1]
    assert lower.get_xlabel() == "speculation"
    assert [label.get_text() for label in lower.get_xticklabels()] == ["2", "8"]


def test_a_point_whose_reference_failed_is_counted() -> None:
    def fail(row: Row) -> Row:
        return without(row, "failed", "x") if row["threads"] == 4 and row["quantization"] == "none" else row

    figure = quantization.draw(sweep(engine=["a"], quantization=["none", "int8"], change=fail), PLAIN)
    assert "Not drawn: 1 point with no complete point at quantization none to compare with." in footnotes(figure)


def test_threads_at_which_only_the_reference_was_measured_are_not_on_the_axis() -> None:
    points = sweep(engine=["a"], threads=[1, 4, 16, 64], speculation=["none", "2"])
    few = points[(points["speculation"] == "none") | points["threads"].isin([4, 16])]
    assert [label.get_text() for label in speculation.draw(few, PLAIN).axes[-1].get_xticklabels()] == ["4", "16"]


def test_one_level_of_a_feature_says_that_there_is_nothing_to_compare() -> None:
    assert "quantization none is the only level measured" in panel_texts(quantization.draw(sweep(), PLAIN))


def test_an_engine_keeps_its_colour_across_figures() -> None:
    points = default_sweep()
    colours = []
    for figure in (time_threads.draw(points, PLAIN), engines.draw(points, PLAIN)):
        by_length = {line.get_color() for line in figure.axes[0].get_lines() if line.get_marker() == "s"}
        colours.append(by_length)
    assert colours[0] == colours[1] and len(colours[0]) == 1


def test_all_failed_is_said_in_words_with_the_reasons(draw: Draw) -> None:
    figure = draw(sweep(change=lambda row: without(row, "failed", "no such device")), PLAIN)
    assert "No point has a measured time." in panel_texts(figure)
    assert "8 points failed: no such device" in footnotes(figure)


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(sweep().iloc[:0], id="no rows"),
        pytest.param(pd.DataFrame({"engine": ["a"]}), id="no columns"),
        pytest.param(sweep(engine=["a"], threads=[24]), id="one point"),
        pytest.param(sweep(threads=[None], speculation=["none", 2]), id="planned arrivals"),
        pytest.param(
            sweep(engine=["$\\frac{x$", "_a", "a\x00b", "x" * 300], gpu=["$g_1$"], speculation=["none", "$2$"]),
            id="hostile",
        ),
        pytest.param(sweep(change=lambda row: row | {"time_s": row["time_s"] * 10 ** (row["threads"] / 9)}), id="wide"),
    ],
)
def test_any_points_can_be_drawn(draw: Draw, points: pd.DataFrame) -> None:
    assert render(draw(points, PLAIN), "png", "t").startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def ten_thousand() -> pd.DataFrame:
    axes = {"engine": [f"e{n}" for n in range(10)], "gpu": [f"g{n}" for n in range(5)], "threads": list(range(1, 26))}
    return sweep(axes, speculation=["none", "2", "4", "8"], quantization=["none", "int8"])


@pytest.mark.slow
def test_ten_thousand_points_stay_a_page(draw: Draw, ten_thousand: pd.DataFrame) -> None:
    assert len(ten_thousand) == 10_000
    figure = draw(ten_thousand, PLAIN)
    assert len(figure.axes) <= 24
    assert "; the table has all" in footnotes(figure)


def test_legend_and_footnotes_stand_below_the_panels(draw: Draw) -> None:
    figure = draw(default_sweep(), PLAIN)
    renderer = figure.canvas.get_renderer()
    lowest = min(axes.get_tightbbox(renderer).y0 for axes in figure.axes)
    notes = [
        text.get_window_extent(renderer)
        for text in figure.texts[2:]
        if text.get_text().startswith(("Bars", "Not", "Only"))
    ]
    keys = [key.get_window_extent(renderer) for key in figure.findobj(Legend)]
    assert notes
    assert all(box.y1 <= lowest + 1 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 for box in (*notes, *keys))


def test_the_same_points_give_the_same_bytes(draw: Draw) -> None:
    points = sweep(threads=[1, 4], speculation=["none", "2"], quantization=["none", "int8"])
    first, second = (render(draw(points, PLAIN), "svg", "t") for _ in range(2))
    assert first == second
    assert b"<dc:date>" not in first
    assert b"<title>t</title>" in first
