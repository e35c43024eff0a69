import json
import math
from pathlib import Path

import pandas as pd
import pytest

from data.report.synthetic import default_sweep, sweep
from isolation import TESTS
from servegrid.report.settings import Settings
from servegrid.results.axes import level_label
from servegrid.results.points import axis_levels, drawable_rows, prepare_points, read_result_table

DATA = TESTS / "data" / "report"


def test_only_an_empty_field_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("engine,gpu,threads,speculation,quantization,reason\nNA,null,1,none,None,\n")
    row = prepare_points(read_result_table(path), Settings().all_axes).iloc[0]
    assert [row[name] for name in ("engine", "gpu", "speculation", "quantization", "reason")] == [
        "NA",
        "null",
        "none",
        "None",
        "",
    ]
    assert math.isnan(row["time_s"])


def test_csv_and_parquet_are_read_alike(tmp_path: Path) -> None:
    points = default_sweep()
    points.to_csv(tmp_path / "points.csv", index=False)
    points.to_parquet(tmp_path / "points.parquet")
    settings = Settings()
    tables = [
        prepare_points(read_result_table(tmp_path / name), settings.all_axes)
        for name in ("points.csv", "points.parquet")
    ]
    pd.testing.assert_frame_equal(*(table.drop(columns=["client_bound"]) for table in tables), check_dtype=False)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "unset"), (math.nan, "unset"), (True, "true"), (8.0, "8"), (0.9, "0.9"), ("a\nb", "a b")]
)
def test_label(value: object, text: str) -> None:
    assert level_label(value) == text


def test_levels_are_ordered_by_size_or_as_they_appear_with_none_first() -> None:
    table = pd.DataFrame({"size": ["16", "2", "4"], "kind": ["ngram:8", "none", "ngram:2"]})
    assert axis_levels(table, "size") == ["2", "4", "16"]
    assert axis_levels(table, "kind") == ["none", "ngram:8", "ngram:2"]


def test_only_measured_positive_finite_values_are_drawable() -> None:
    table = pd.DataFrame(
        {"status": ["ok", "partial", "failed", "ok", "ok", "ok"], "time_s": [1, 2, 3, math.inf, 0, math.nan]}
    )
    assert drawable_rows(table, "time_s").tolist() == [True, True, False, False, False, False]


def test_preparing_leaves_the_points_alone() -> None:
    points = sweep(speculation=[0, 2])
    before = points.copy(deep=True)
    assert set(prepare_points(points, Settings().all_axes)["speculation"]) == {"0", "2"}
    pd.testing.assert_frame_equal(points, before)


def test_settings_of_a_config() -> None:
    report = {"title": "T", "baseline": {"threads": [24, 64]}, "formats": ["png"]}
    settings = Settings.of({"grid": {"engine": ["a"], "rate": [1]}, "report": report})
    assert (settings.title, settings.formats, settings.axes) == ("T", ("png",), ("rate",))
    assert settings.baseline_level("threads") == "24"
    assert settings.baseline_level("gpu") is None


def test_settings_from_the_file_of_a_config(tmp_path: Path) -> None:
    config = {"grid": {"engine": ["a"], "memory_fraction": [0.5], "exclude": []}, "report": {"title": "T"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    settings = Settings.read(tmp_path / "config.json")
    assert (settings.title, settings.axes) == ("T", ("memory_fraction",))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="pdf"):
        Settings.of({"report": {"formats": ["pdf"]}})
