from pathlib import Path

import pandas as pd
import pytest

from data.report.synthetic import sweep
from isolation import REPOSITORY
from servegrid.report.drawing.style import engine_looks
from servegrid.report.figures.time_threads import draw
from servegrid.report.published import read_published, with_published, with_published_labels
from servegrid.report.result_table import ResultTable
from servegrid.report.settings import Settings
from servegrid.report.tables.point_tables import article_table
from servegrid.results.points import prepare_points

ARTICLE = REPOSITORY / "config" / "published" / "article.csv"
SETTINGS = Settings(published=(str(ARTICLE),), engines={"tgi": "tgi"}, devices={"a6000": "RTX A6000", "cpu": ""})


def written(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text)
    return path


def test_the_article_s_rows() -> None:
    rows = read_published(ARTICLE)
    values = rows[["gpu", "memory_fraction", "runs_at_once", "threads", "speculation", "time_s"]].values.tolist()
    assert values == [
        ["A6000", "1", "1", 24, "none", 664],
        ["A6000", "1", "1", 64, "none", 561],
        ["A6000", "1", "1", 128, "none", 554],
        ["A6000", "1", "1", 256, "none", 568],
        ["A6000", "1", "1", 128, "2", 596],
        ["A6000", "1", "1", 128, "8", 945],
        ["3090", "1", "1", 128, "2", 741],
        ["4090", "1", "1", 128, "2", 481],
        ["A6000", "0.5", "1", 128, "2", 707],
        ["A6000", "0.5", "2", 128, "2", 1205],
    ]
    assert set(rows["status"]) == {"published"} and set(rows["source"]) == {"the article"}
    assert set(rows["engine"]) == {"tgi"} and set(rows["vram_total_gib"]) == {24, 48}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu,engine,threads\nx,y,1\n", "lacks the columns time_s"),
        ("gpu,engine,threads,time_s\nx,y,1,fast\n", r"table.csv, line 2: time_s = 'fast': must be a number above zero"),
        ("gpu,engine,threads,time_s\nx,y,1,3\nx,y,0,3\n", "line 3: threads = '0'"),
        ("gpu,engine,threads,time_s,vram\nx,y,1,3,48/24\n", "vram = '48/24': must be used/total"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_published(written(tmp_path, text))


def test_a_table_needs_four_columns_and_may_bring_more(tmp_path: Path) -> None:
    text = "gpu,engine,threads,time_s,output_tokens_per_s,quantization\nH100,vLLM,8,3,120.5,eetq\n"
    (row,) = read_published(written(tmp_path, text)).to_dict("records")
    assert (row["output_tokens_per_s"], row["quantization"], row["source"]) == (120.5, "eetq", "table")


def measured() -> pd.DataFrame:
    return sweep(engine=["tgi", "vllm"], gpu=["a6000"], threads=[24, 64, 512])


def test_a_published_row_stands_below_the_measured_row_of_its_point_with_the_ratio() -> None:
    points, settings = with_published(measured(), SETTINGS)
    rows = prepare_points(points, settings.all_axes)
    assert settings.axes == ("memory_fraction", "runs_at_once")
    assert rows["status"].tolist()[:5] == ["ok", "published", "ok", "published", "ok"]
    assert rows["gpu"].tolist()[:4] == ["a6000"] * 4, "under the config's name of the device"
    assert rows["over_published"].iloc[1] == pytest.approx(rows["time_s"].iloc[0] / 664)
    assert rows["over_published"].notna().sum() == 2
    assert len(rows) == 6 + 10


@pytest.mark.parametrize("changes", [{"status": "partial"}, {"client_bound": True}])
def test_a_time_that_is_not_the_setting_s_has_no_ratio(changes: dict[str, object]) -> None:
    points = measured()
    first = points.index == points.index[0]
    for name, value in changes.items():
        points[name] = points[name].where(~first, value) if name in points else value
    assert with_published(points, SETTINGS)[0]["over_published"].notna().sum() < 2


@pytest.mark.parametrize(
    ("measured_levels", "beside"),
    [
        (["ngram:2"], ["2", "ngram:2"]),
        (["ngram:2", "draft:2"], ["ngram:2"]),
        (["none"], ["0"]),
        (["2", "ngram:2"], ["2", "ngram:2"]),
    ],
)
def test_a_bare_length_is_the_only_kind_of_that_length(
    tmp_path: Path, measured_levels: list[str], beside: list[str]
) -> None:
    lines = [f"cpu,llamacpp,1,5,{level}" for level in ("0", "2", "8", "ngram:2")]
    table = written(tmp_path, "\n".join(["gpu,engine,threads,time_s,speculation", *lines]))
    measured = sweep(engine=["llamacpp"], gpu=["cpu"], threads=[1], speculation=measured_levels)
    rows, _ = with_published(measured, Settings(published=(str(table),)))
    assert list(rows["speculation"][rows["over_published"].notna()]) == beside


def test_memory_that_is_not_stated_is_not_shown(tmp_path: Path) -> None:
    (row,) = read_published(written(tmp_path, "gpu,engine,threads,time_s\nx,y,1,3\n")).to_dict("records")
    assert pd.isna(row["vram_used_gib"]) and pd.isna(row["vram_total_gib"]) and row["memory_fraction"] == "1"


def test_the_table_says_what_is_published() -> None:
    table = article_table(ResultTable.of(measured(), SETTINGS))
    headers = [column.header for column in table.columns]
    assert {"published in", "measured / published time"} <= set(headers)
    assert "10 rows are published, not measured here" in " ".join(table.notes)
    plain = article_table(ResultTable.of(measured(), Settings()))
    assert "published in" not in [column.header for column in plain.columns]


def test_a_published_series_is_drawn_apart_in_its_engine_s_colour() -> None:
    looks = engine_looks(["tgi", "tgi (published: the article)", "vllm"])
    measured_look, published_look = looks["tgi"], looks["tgi (published: the article)"]
    assert (
        measured_look.colour == published_look.colour
        and measured_look.marker != published_look.marker
        and measured_look.dash != published_look.dash
    )
    points, settings = with_published(measured(), SETTINGS)
    figure = draw(with_published_labels(points), settings)
    texts = [
        text.get_text() for artist in figure.artists if hasattr(artist, "get_texts") for text in artist.get_texts()
    ]
    assert "tgi (published: the article)" in texts + [t.get_text() for k in figure.legends for t in k.get_texts()]


def test_no_published_tables_change_nothing() -> None:
    points = measured()
    assert with_published(points, Settings())[0] is points
    assert with_published_labels(points) is points


@pytest.mark.parametrize(("server", "beside"), [({}, 1), ({"memory_fraction": 0.5}, 0), ({"replicas": 2}, 0)])
def test_a_row_of_another_part_of_the_device_stands_apart(
    tmp_path: Path, server: dict[str, float], beside: int
) -> None:
    """Also where the config fixes that for all points, and neither table has it as an axis."""
    table = written(tmp_path, "gpu,engine,threads,time_s\ncpu,llamacpp,1,5\n")
    points = sweep(engine=["llamacpp"], threads=[1], gpu=["cpu"])
    rows, _ = with_published(points, Settings(published=(str(table),), server=server))
    assert rows["over_published"].notna().sum() == beside
