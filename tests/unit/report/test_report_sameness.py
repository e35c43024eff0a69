"""The figure of speed-up against sameness."""

from io import BytesIO
from itertools import pairwise

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.legend import Legend
from matplotlib.transforms import Bbox

from data.report.synthetic import Row, sweep, without
from servegrid.report.drawing.sameness_panel import STRIP, spread_heights
from servegrid.report.drawing.style import render
from servegrid.report.figures import sameness
from servegrid.report.settings import Settings


def notes(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in figure.texts)


def test_a_dot_per_setting_at_its_median_with_the_warnings_in_its_name() -> None:
    def plant(row: Row) -> Row:
        broken = row["quantization"] == "q4_0"
        return row | {"warnings": "quantization changes texts; garbled texts" if broken else None}

    points = sweep(engine=["llamacpp"], quantization=["none", "int8", "q4_0"], change=plant)
    figure = sameness.draw(points, Settings())
    (axes,) = figure.axes
    dots = {
        (float(line.get_xdata()[0]), round(float(line.get_ydata()[0]), 3))
        for line in axes.get_lines()
        if line.get_marker() == "s" and len(line.get_xdata()) == 1
    }
    assert dots == {(1.0, 1.0), (0.8, 1.3), (0.5, 1.6)}
    assert [text.get_text() for text in axes.texts] == [
        "llamacpp, q4_0: garbled",
        "llamacpp, int8",
        "llamacpp",
    ]
    assert "Garbled: texts that differ are not in" in notes(figure)
    assert "Where no speculation or quantization is named, there is none." in notes(figure)


def test_levels_that_are_numbers_are_named_with_their_axis() -> None:
    figure = sameness.draw(
        sweep(engine=["a"], threads=[1], speculation=["2", "8"], quantization=["int8", "4"]), Settings()
    )
    assert sorted(text.get_text() for text in figure.axes[0].texts) == [
        "a, speculation 2, int8",
        "a, speculation 2, quantization 4",
        "a, speculation 8, int8",
        "a, speculation 8, quantization 4",
    ]
    assert "is named, there is none" not in notes(figure)


@pytest.mark.parametrize("panels", [1, 2, 4])
def test_names_stay_on_the_page_and_the_warning_in_the_name(panels: int) -> None:
    def warn(row: Row) -> Row:
        return row | {"warnings": "speculation changes texts"}

    many = {"gpu": list("ABCD")[:panels], "speculation": ["none", "ngram:2"], "quantization": ["none", "int8"]}
    points = sweep(many, engine=["transformers-serve-with-batches", "sglang, ngram, " * 3], change=warn)
    figure = sameness.draw(points, Settings())
    texts = [text for axes in figure.axes for text in axes.texts]
    assert len(texts) == panels * 8
    assert all(text.get_text().endswith(": texts change") for text in texts)
    pixels = imread(BytesIO(render(figure, "png", "t")), "png")
    assert (pixels[:, -4:] == 1).all(), "nothing is cut at the right edge"
    assert "Texts change: answers differ from those without speculation or quantization" in notes(figure)


def test_a_dot_of_doubtful_points_is_hollow_and_explained() -> None:
    def doubt(row: Row) -> Row:
        part = row["quantization"] == "int8" and row["threads"] == 4
        bound = row["quantization"] == "q4_0" and row["threads"] == 16
        return row | {"client_bound": bound} | ({"status": "partial", "reason": "3 timeouts"} if part else {})

    figure = sameness.draw(sweep(engine=["a"], quantization=["none", "int8", "q4_0"], change=doubt), Settings())
    dots = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 1 and line.get_marker() != "None"]
    faces = {line.get_xdata()[0]: line.get_markerfacecolor() == "white" for line in dots if line.get_markersize() == 7}
    assert faces == {1.0: False, 0.8: True, 0.5: True}
    assert "Hollow: 1 point measured in part only: 3 timeouts." in notes(figure)
    assert "Hollow: 1 point client-bound (threads 16; quantization q4_0)" in notes(figure)
    assert "A dot is hollow where one of its points is." in notes(figure)


def labels(axes: Axes) -> list[Bbox]:
    """Where the labels of the ticks on the x axis stand, that are within it."""
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [tick.label1.get_window_extent() for tick in ticks]


@pytest.mark.parametrize("lowest", [0.0, 0.3, 0.5, 0.86, 0.97])
@pytest.mark.parametrize("panels", [1, 2, 4])
def test_ticks_keep_apart_and_none_is_a_share_above_one(lowest: float, panels: int) -> None:
    shares = {"none": 1.0, "int8": (1 + lowest) / 2, "q4_0": lowest}
    change = {"gpu": list("ABCD")[:panels], "quantization": list(shares), "speculation": ["none", "ngram:2"]}
    points = sweep(change, change=lambda row: row | {"agreement": shares[row["quantization"]]})
    for axes in sameness.draw(points, Settings()).axes:
        assert 3 <= len(labels(axes)) <= 6
        assert all(right.x0 - left.x1 > 3 for left, right in pairwise(labels(axes)))
        low, high = axes.get_xlim()
        assert all(0 <= tick <= 1 + 1e-9 for tick in axes.get_xticks() if low <= tick <= high)


def test_dots_of_one_share_stand_beside_one_another_within_the_panel_and_the_strip() -> None:
    def plant(row: Row) -> Row:
        return row | {"agreement": 0.7 if row["quantization"] == "int8" else 0.97}

    points = sweep(engine=["a", "b", "c"], speculation=["none", "2", "8"], quantization=["none", "int8"], change=plant)
    figure = sameness.draw(points, Settings())
    (axes,) = figure.axes
    places = sorted(line.get_xdata()[0] for line in axes.get_lines() if line.get_markersize() == 7)
    below, above = places[:9], places[9:]
    assert all(right - left > 0.002 for half in (below, above) for left, right in pairwise(half))
    assert (sum(below) / 9, sum(above) / 9) == (pytest.approx(0.7), pytest.approx(0.97))
    (strip,) = (patch for patch in axes.patches if patch.get_facecolor() == to_rgba(STRIP))
    assert below[-1] < strip.get_x() < above[0] < above[-1] < strip.get_x() + strip.get_width()
    assert strip.get_x() + strip.get_width() == axes.get_xlim()[1]
    assert "Dots of one share stand side by side" in notes(figure)


def test_the_strip_begins_at_the_floor_where_no_dots_there_are_moved() -> None:
    figure = sameness.draw(sweep(engine=["a"], quantization=["none", "int8"]), Settings())
    (strip,) = figure.axes[0].patches
    low, high = figure.axes[0].get_xlim()
    assert 0.97 - strip.get_x() == pytest.approx(0.015 * (high - low))
    assert "side by side" not in notes(figure)


def test_a_range_of_shares_ends_where_it_was_measured_though_its_dot_is_moved() -> None:
    def plant(row: Row) -> Row:
        return row | {"agreement": {1: 0.6, 4: 0.8, 16: 0.8, 64: 0.9}[row["threads"]]}

    (axes,) = sameness.draw(sweep(engine=["a", "b"], change=plant), Settings()).axes
    lengths = [collection.get_segments()[0][:, 0] for collection in axes.collections]
    across = [ends.tolist() for ends in lengths if ends[0] != ends[1] and ends[1] < 1]
    assert across == [pytest.approx([0.6, 0.9])] * 2


def test_the_legend_has_the_engines_that_have_a_dot() -> None:
    def lose(row: Row) -> Row:
        return without(row, "failed", "died") if row["engine"] == "b" else row

    (legend,) = sameness.draw(sweep(engine=["a", "b"], change=lose), Settings()).findobj(Legend)
    assert [text.get_text() for text in legend.get_texts()] == ["a", "within the baseline's own repeats"]


@pytest.mark.parametrize("heights", [[0.5] * 5, [1.0, 0.99, 0.98], [0.02, 0.01, 0.0], [0.9, 0.5, 0.1], [0.3] * 40, []])
def test_labels_keep_apart_and_in_the_panel(heights: list[float]) -> None:
    places = spread_heights(heights, 0.06)
    gap = min(0.06, 1 / max(1, len(heights) - 1)) - 1e-9
    assert all(upper - lower >= gap for upper, lower in pairwise(places))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    if heights == [0.9, 0.5, 0.1]:
        assert places == heights
