"""The figure of speed-up against sameness."""

from itertools import pairwise

import pytest
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from data.report.synthetic import Row, sweep
from servegrid.report.figures import sameness
from servegrid.report.figures.sameness import spread
from servegrid.report.settings import Settings


def test_a_dot_per_setting_at_its_median_with_the_warnings_in_its_name() -> None:
    def plant(row: Row) -> Row:
        broken = row["quantization"] == "q4_0"
        return row | {"warnings": "quantization changes texts; garbled texts" if broken else None}

    points = sweep(engine=["llamacpp"], quantization=["none", "int8", "q4_0"], change=plant)
    (axes,) = sameness.draw(points, Settings()).axes
    dots = {
        (float(line.get_xdata()[0]), round(float(line.get_ydata()[0]), 3))
        for line in axes.get_lines()
        if line.get_marker() == "s" and len(line.get_xdata()) == 1
    }
    assert dots == {(1.0, 1.0), (0.8, 1.3), (0.5, 1.6)}
    assert [text.get_text() for text in axes.texts] == [
        "llamacpp, none, q4_0: garbled",
        "llamacpp, none, int8",
        "llamacpp, none, none",
    ]


def test_a_dot_of_doubtful_points_is_hollow_and_explained() -> None:
    def doubt(row: Row) -> Row:
        part = row["quantization"] == "int8" and row["threads"] == 4
        bound = row["quantization"] == "q4_0" and row["threads"] == 16
        return row | {"client_bound": bound} | ({"status": "partial", "reason": "3 timeouts"} if part else {})

    figure = sameness.draw(sweep(engine=["a"], quantization=["none", "int8", "q4_0"], change=doubt), Settings())
    dots = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 1 and line.get_marker() != "None"]
    faces = {line.get_xdata()[0]: line.get_markerfacecolor() == "white" for line in dots if line.get_markersize() == 7}
    assert faces == {1.0: False, 0.8: True, 0.5: True}
    notes = " ".join(" ".join(text.get_text().split()) for text in figure.texts)
    assert "Hollow: 1 point measured in part only: 3 timeouts." in notes
    assert "Hollow: 1 point client-bound (threads 16; quantization q4_0)" in notes
    assert "A dot is hollow where one of its points is." in notes


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


@pytest.mark.parametrize("heights", [[0.5] * 5, [1.0, 0.99, 0.98], [0.02, 0.01, 0.0], [0.9, 0.5, 0.1], [0.3] * 40, []])
def test_labels_keep_apart_and_in_the_panel(heights: list[float]) -> None:
    places = spread(heights, 0.06)
    gap = min(0.06, 1 / max(1, len(heights) - 1)) - 1e-9
    assert all(upper - lower >= gap for upper, lower in pairwise(places))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    if heights == [0.9, 0.5, 0.1]:
        assert places == heights
