"""The figure of engines at their best."""

from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.figure import Figure

from data.report.synthetic import Row, default_sweep, sweep, without
from helpers.figures import PLAIN, footnotes, panel_texts
from servegrid.report.figures import engines
from servegrid.report.settings import Settings


def test_engines_stand_from_the_fastest_down() -> None:
    times = {"slow": 30.0, "fast": 10.0, "middling": 20.0}
    points = sweep(engine=list(times), change=lambda row: row | {"time_s": times[row["engine"]] + row["threads"]})
    labels = [label.get_text().split("\n") for label in engines.draw(points, PLAIN).axes[0].get_yticklabels()]
    assert labels == [[name, "1 thread, speculation none"] for name in ("fast", "middling", "slow")]


def test_engines_stand_at_their_best() -> None:
    figure = engines.draw(default_sweep(), PLAIN)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[1:3] == ["llamacpp\n64 threads, speculation ngram:2", "ctranslate2\n64 threads, speculation none"]
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "time to complete (s)",
        "output tokens/s",
        "TTFT, p50 to p99 (ms)",
        "ITL, p50 to p99 (ms)",
    ]
    assert "without 18 points" in footnotes(figure)


def headings(figure: Figure) -> list[str]:
    """The titles of the groups of engines."""
    of_groups = (text for text in figure.texts if text.get_weight() == "bold" and text.get_text() != engines.TITLE)
    return [" ".join(text.get_text().split()) for text in of_groups]


def test_every_gpu_has_a_group_of_engines_and_what_was_measured_goes_before_what_was_published() -> None:
    grid = {"engine": [f"e{n}" for n in range(4)], "gpu": ["A", "B"], "threads": [4], "memory_fraction": [1]}
    measured = sweep(grid, quantization=["none", "fp8", "awq", "int8"])
    article = {"engine": ["e0 (published: x)"], "gpu": ["A"], "threads": [7], "memory_fraction": [0.5, 0.6]}
    points = pd.concat([sweep(article).assign(status="published"), measured], ignore_index=True)
    figure = engines.draw(points, Settings(axes=("memory_fraction",), baseline={"gpu": "A", "memory_fraction": 1}))
    assert headings(figure) == [
        *(f"A, quantization {level}, memory_fraction 1" for level in ("none", "fp8", "awq", "int8")),
        "B, quantization none, memory_fraction 1",
        "B, quantization fp8, memory_fraction 1",
    ]
    assert "the 6 of 10 combinations nearest to the baseline, of each GPU at least one" in footnotes(figure)


def test_headings_of_groups_leave_the_axes_of_the_panels_whole() -> None:
    points = sweep(gpu=["A", "B"], quantization=["none", "int8"], memory_fraction=[0.5, 0.9])
    figure = engines.draw(points, Settings(axes=("memory_fraction",)))
    bold = [text for text in figure.texts if text.get_weight() == "bold" and text.get_text() != engines.TITLE]
    assert len(bold) == 8
    assert all(text.get_bbox_patch() is None and text.get_text().count("\n") <= 1 for text in bold)
    assert all(text.get_window_extent().x1 < figure.axes[1].bbox.x0 for text in bold)
    for axes in figure.axes:
        assert all(patch.get_zorder() < axes.spines["left"].get_zorder() for patch in axes.patches)


def test_engines_show_the_range_of_their_throughput_where_it_is_known() -> None:
    points = sweep(threads=[4])
    rate = points["output_tokens_per_s"]
    ranged = points.assign(output_tokens_per_s_low=rate * 0.9, output_tokens_per_s_high=rate * 1.1)
    panels = [engines.draw(rows, PLAIN).axes[1] for rows in (points, ranged)]
    assert [len(panel.collections) for panel in panels] == [0, 2]
    assert "Bars of time and output tokens/s: 95 % interval over 2 sessions." in footnotes(
        panels[1].get_figure(root=True)
    )


@pytest.mark.parametrize("high", [400.0, 40_000.0])
@pytest.mark.parametrize("ratio", [12.0, 24.0, 60.0, 99.0, 300.0, 5e4])
def test_a_logarithmic_axis_has_two_labels_at_least_and_none_touches_another(high: float, ratio: float) -> None:
    points = sweep(threads=[4], change=lambda row: row | {"ttft_ms_p50": high / ratio, "ttft_ms_p99": high})
    axes = engines.draw(points, PLAIN).axes[2]
    assert axes.get_xscale() == "log"
    tick_labels = [
        tick for tick in axes.xaxis.get_major_ticks() if axes.get_xlim()[0] <= tick.get_loc() <= axes.get_xlim()[1]
    ]
    boxes = [tick.label1.get_window_extent() for tick in tick_labels if tick.label1.get_text()]
    assert len(boxes) >= 2
    assert all(right.x0 - left.x1 > 2 for left, right in pairwise(boxes))


def test_an_engine_without_a_measurement_keeps_its_line() -> None:
    def fail(row: Row) -> Row:
        return without(row, "failed", "start-up timeout") if row["engine"] == "ctranslate2" else row

    figure = engines.draw(sweep(change=fail), PLAIN)
    assert "failed" in panel_texts(figure)
    assert "4 points failed (engine ctranslate2): start-up timeout" in footnotes(figure)
