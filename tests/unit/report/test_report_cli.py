import json
import subprocess
import sys
from pathlib import Path

import pytest

import figures
import tables
import timeline
from data.report.session import write_session
from data.report.synthetic import sweep
from isolation import TESTS

pytestmark = pytest.mark.slow

DATA = TESTS / "data" / "report"
SCRIPTS = Path(tables.__file__).parent


def config(folder: Path, **report: object) -> str:
    """A resolved config with this report part."""
    (folder / "config.json").write_text(json.dumps({"grid": {}, "report": report}))
    return str(folder / "config.json")


def test_tables_are_written_in_every_form(tmp_path: Path) -> None:
    tables.main(
        [
            "--points",
            str(DATA / "points.csv"),
            "--config",
            config(tmp_path, title="T"),
            "--out",
            str(tmp_path / "tables"),
        ]
    )
    names = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert names == [f"{name}.{form}" for name in ("article", "comparison") for form in ("csv", "html", "md")]
    assert "T: time to complete" in (tmp_path / "tables" / "article.md").read_text()


def test_figures_drawn_side_by_side_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep().to_parquet(tmp_path / "points.parquet")
    arguments = ["--points", str(tmp_path / "points.parquet"), "--config", config(tmp_path, formats=["png"]), "--out"]
    figures.main([*arguments, str(tmp_path / "alone")])
    monkeypatch.setattr("figures.PARALLEL_FROM_POINTS", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    figures.main([*arguments, str(tmp_path / "together")])
    made = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("alone", "together")]
    assert len(made[0]) == 6 and made[0] == made[1]


def test_figures_are_written_in_the_formats_of_the_settings(tmp_path: Path) -> None:
    sweep().to_parquet(tmp_path / "points.parquet")
    arguments = [
        "--points",
        str(tmp_path / "points.parquet"),
        "--config",
        config(tmp_path, formats=["svg"]),
        "--out",
        str(tmp_path / "out"),
    ]
    figures.main(arguments)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "engines.svg",
        "latencies.svg",
        "quantization.svg",
        "sameness.svg",
        "speculation.svg",
        "time_threads.svg",
    ]


def test_one_figure_can_be_asked_for_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    arguments = [
        "--points",
        str(DATA / "points.csv"),
        "--config",
        config(tmp_path),
        "--out",
        str(tmp_path / "out"),
        "--only",
    ]
    figures.main([*arguments, "time_threads"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["time_threads.png", "time_threads.svg"]
    with pytest.raises(SystemExit, match="nonsense"):
        figures.main([*arguments, "nonsense"])


def test_timelines_are_named_by_server_and_repeat(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "llamacpp-cpu-0123abcd" / "rep2")
    timeline.main(
        [str(folder / "session.json"), "--config", config(tmp_path, formats=["png"]), "--out", str(tmp_path / "out")]
    )
    assert (tmp_path / "out" / "llamacpp-cpu-0123abcd" / "rep2.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["tables", "figures", "timeline", "claims", "recommend", "questions"])
def test_help_needs_none_of_the_heavy_libraries(name: str) -> None:
    check = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import {name}\n"
        "assert not {'pandas', 'matplotlib', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_session_without_a_record_does_not_keep_the_others_from_theirs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, empty = write_session(tmp_path / "a" / "rep1"), tmp_path / "b" / "rep1"
    empty.mkdir(parents=True)
    timeline.main(
        [str(empty), str(good), "--config", config(tmp_path, formats=["png"]), "--out", str(tmp_path / "out")]
    )
    assert [path.parent.name for path in (tmp_path / "out").rglob("*.png")] == ["a"]
    assert "b/rep1" in capsys.readouterr().err
