import math

import pandas as pd
import pytest

from servegrid.report.drawing.curves import thin_levels
from servegrid.report.drawing.panels import Panel, columns_for
from servegrid.report.drawing.sheet import Sheet
from servegrid.report.drawing.speedup import reference_level, speedups, time_model
from servegrid.report.drawing.style import COLOURS, engine_looks
from servegrid.report.settings import Settings
from servegrid.report.sweep_model import sweep_model


def test_known_engines_have_their_own_colour_whatever_stands_beside() -> None:
    alone = engine_looks(["tgi"])["tgi"]
    assert engine_looks(["mine", "tgi", "vllm", "other"])["tgi"] == alone


def test_up_to_eight_engines_differ_in_colour_and_marker() -> None:
    looks = engine_looks([f"engine{n}" for n in range(6)] + ["vllm", "tgi"])
    assert len({look.colour for look in looks.values()}) == len(COLOURS) == 8
    assert len({look.marker for look in looks.values()}) == 8


def test_no_two_of_forty_engines_look_alike() -> None:
    assert len(set(map(repr, engine_looks([f"engine{n}" for n in range(40)]).values()))) == 40


@pytest.mark.parametrize(
    ("levels", "limit", "kept"),
    [
        ([1.0, 4.0, 16.0, 64.0], 9, [1, 4, 16, 64]),
        ([float(2**n) for n in range(10)], 5, [1, 4, 16, 64, 512]),
        ([7.0], 9, [7]),
    ],
)
def test_ticks_are_thinned_evenly_with_both_ends(levels: list[float], limit: int, kept: list[float]) -> None:
    assert thin_levels(levels, limit) == kept


@pytest.mark.parametrize(
    ("shape", "columns"), [((1, 1), 1), ((1, 2), 2), ((2, 2), 2), ((3, 4), 4), ((4, 3), 3), ((1, 5), 3)]
)
def test_the_grid_of_panels_follows_the_axes(shape: tuple[int, int], columns: int) -> None:
    places = [{"gpu": str(row), "quantization": str(column)} for row in range(shape[0]) for column in range(shape[1])]
    panels = [Panel(place if len(places) > 1 else {}, pd.DataFrame()) for place in places]
    assert columns_for(panels) == columns


def test_a_grid_with_holes_is_not_forced_into_rows() -> None:
    panels = [Panel({"gpu": str(n // 4), "quantization": str(n % 4)}, pd.DataFrame()) for n in range(7)]
    assert columns_for(panels) == 3


@pytest.mark.parametrize("content", ["a timeline of speculation with numbers " * 4, "W" * 120, "MW " * 60, "i" * 300])
def test_words_of_any_width_stay_on_the_page(content: str) -> None:
    figure = Sheet(1).finish(content, content, {}, [content])
    assert len(figure.texts) == 3
    for text in figure.texts:
        assert text.get_window_extent().x0 >= 0
        assert text.get_window_extent().x1 <= figure.bbox.x1
        assert "".join(text.get_text().split()) == "".join(content.split())


def _points(**columns: list[object]) -> pd.DataFrame:
    rows = len(columns["speculation"])
    start: dict[str, list[object]] = {"status": ["ok"] * rows, "engine": ["a"] * rows}
    table = pd.DataFrame(start | columns)
    return table.assign(time_s_low=table["time_s"] * 0.9, time_s_high=table["time_s"] * 1.1)


def test_speedup_is_reference_time_over_time() -> None:
    points = _points(speculation=["none", "2"], time_s=[10.0, 5.0])
    result = speedups(points, "speculation", "none", ("engine",), time_model(points))
    assert result["speedup"].tolist() == [1, 2]
    assert result[["speedup_low", "speedup_high"]].isna().all(axis=None), "no sessions, no doubt known"


def test_the_doubt_in_a_speedup_is_the_interval_over_sessions() -> None:
    rounds = [{1: 10.0, 2: 10.5}, {1: 5.0, 2: 5.1}, {1: 4.0}]
    ids = {"server_id": ["s0", "s1", "s2"], "load_id": ["l"] * 3}
    points = _points(speculation=["none", "2", "8"], time_s=[10.2, 5.05, 4.0], time_s_by_round=rounds, **ids)
    result = speedups(points, "speculation", "none", ("engine",), time_model(points))
    expected = sweep_model({(f"s{n}", "l"): times for n, times in enumerate(rounds)}).ratio(("s0", "l"), ("s1", "l"))
    row = result.iloc[1]
    assert (row["speedup"], row["speedup_low"], row["speedup_high"]) == (expected.value, expected.low, expected.high)
    alone = result.iloc[2]
    assert alone["speedup"] == pytest.approx(10.2 / 4) and math.isnan(alone["speedup_low"])


def test_speedup_needs_a_wholly_measured_reference_that_matches() -> None:
    points = _points(
        engine=["a", "a", "b", "c", "c"],
        speculation=["none", "2", "2", "none", "2"],
        status=["ok", "ok", "ok", "partial", "ok"],
        time_s=[10.0, 5.0, 5.0, 10.0, 5.0],
    )
    result = speedups(points, "speculation", "none", ("engine",), time_model(points))["speedup"]
    assert result.iloc[1] == 2
    assert all(math.isnan(result.iloc[row]) for row in (2, 3, 4))


@pytest.mark.parametrize(
    ("levels", "baseline", "reference"),
    [
        (["2", "none"], {}, "none"),
        (["0", "2"], {}, "0"),
        (["2", "8"], {}, "2"),
        (["none", "2"], {"speculation": 2}, "2"),
        ([], {}, ""),
    ],
)
def test_the_reference_is_the_baseline_or_the_feature_off(
    levels: list[object], baseline: dict[str, object], reference: str
) -> None:
    points = _points(speculation=levels, time_s=[1.0] * len(levels))
    assert reference_level(points, "speculation", Settings(baseline=baseline)) == reference
