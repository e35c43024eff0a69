import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from data.report.session import START_S, write_session
from servegrid.report.drawing.style import render
from servegrid.report.timeline.phases import phases, start_up_phases
from servegrid.report.timeline.recording import read_recording
from servegrid.report.timeline.timeline import draw_timeline
from servegrid.report.timeline.traces import drawable_series


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "llamacpp-cpu-0123abcd" / "rep1"


def rows(figure: Figure) -> list[str]:
    return [" ".join(axes.get_ylabel().split()) for axes in figure.axes]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for key in figure.findobj(Legend) for text in key.get_texts()]


def notes(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in figure.texts)


def test_a_cpu_session_has_rows_with_units_and_no_empty_ones(folder: Path) -> None:
    figure = draw_timeline(read_recording(write_session(folder)))
    assert rows(figure) == ["client threads", "CPU (cores busy)", "memory (GiB)", "requests"]
    assert figure.axes[-1].get_xlabel() == "seconds since launch"
    assert {"host", "server", "running (server)", "waiting (server)", "in flight (client)"} <= set(legend(figure))


def test_gpus_add_their_rows_and_holes_are_told(folder: Path) -> None:
    figure = draw_timeline(read_recording(write_session(folder, gpus=("GPU-aaaa-111111", "GPU-bbbb-222222"))))
    assert rows(figure)[3:6] == ["GPU use (%)", "GPU memory (GiB)", "GPU power (W)"]
    assert {"GPU 111111", "GPU 222222"} <= set(legend(figure))
    assert "samples of GPU-bbbb-222222 have holes: NVML: not supported: power" in notes(figure)


def test_loads_are_bands_labelled_by_their_threads(folder: Path) -> None:
    recording = read_recording(write_session(folder))
    marked = phases(recording.launches[0], 100)
    assert [(phase.label, phase.start_s, phase.end_s) for phase in marked if phase.label] == [
        ("1", 4, 40),
        ("4", 41, 58),
        ("16", 59, 68),
        ("64", 69, 76),
    ]
    assert [text.get_text() for text in draw_timeline(recording).axes[0].texts] == ["1", "4", "16", "64"]


def test_warm_up_stands_before_its_load(folder: Path) -> None:
    marked = phases(read_recording(write_session(folder)).launches[0], 100)
    assert [phase.kind for phase in marked[2:4]] == ["warm-up", "load, by its client threads"]
    assert (marked[2].start_s, marked[2].end_s) == (pytest.approx(3.2), 4)


def test_start_and_stop_are_marked(folder: Path) -> None:
    marked = phases(read_recording(write_session(folder)).launches[0], 100)
    assert (marked[0].kind, marked[0].start_s, marked[0].end_s) == ("launch to open port", 0, 1)
    assert (marked[1].kind, marked[1].start_s, marked[1].end_s) == ("open port to ready", 1, 2.5)
    assert (marked[-1].kind, marked[-1].start_s, marked[-1].end_s) == ("stop", 77, 78.5)


def test_where_no_open_port_was_seen_the_start_up_is_one_phase(folder: Path) -> None:
    (launch,) = read_recording(write_session(folder)).launches
    phases_to_ready = start_up_phases(replace(launch, listening_s=None))
    assert [(phase.kind, phase.start_s, phase.end_s) for phase in phases_to_ready] == [
        ("launch to ready", 0, 2.5),
        ("warm-up", pytest.approx(3.2), 4),
    ]


def test_a_start_up_ends_with_the_first_load(folder: Path) -> None:
    (launch,) = read_recording(write_session(folder)).launches
    assert [phase.kind for phase in start_up_phases(launch)] == ["launch to open port", "open port to ready", "warm-up"]
    assert start_up_phases(replace(launch, ready_s=None)) == []


def test_without_samples_the_instants_are_the_same(folder: Path) -> None:
    write_session(folder, second_launch_from=16)
    whole, instants = (read_recording(folder, samples=samples).launches for samples in (True, False))
    assert [phases(launch, 100) for launch in whole] == [phases(launch, 100) for launch in instants]
    assert all(launch.telemetry.empty and launch.server.empty for launch in instants)


def test_a_load_without_room_for_its_label_is_counted(folder: Path) -> None:
    figure = draw_timeline(read_recording(write_session(folder, loads={1: (4, 300), 64: (301, 301.2)})))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1"]
    assert "Too short for a label: 1 loads." in notes(figure)


def test_a_failed_load_is_marked_with_its_reason(folder: Path) -> None:
    figure = draw_timeline(read_recording(write_session(folder, failed=64)))
    assert "load that failed" in legend(figure)
    assert "Load 64 failed: the server died under this load" in notes(figure)


def test_a_server_that_never_became_ready(folder: Path) -> None:
    write_session(folder)
    path = folder / "session.json"
    session = json.loads(path.read_text())
    session |= {"status": "failed", "reason": "not ready within 300 s"}
    session["launches"][0]["start_up"]["ready_s"] = None
    path.write_text(json.dumps(session))
    figure = draw_timeline(read_recording(folder))
    assert "start-up that failed" in legend(figure)
    assert "failed: not ready within 300 s" in notes(figure)


def test_a_session_taken_up_again_has_a_column_per_launch(folder: Path) -> None:
    recording = read_recording(write_session(folder, second_launch_from=16))
    assert [[load.label for load in launch.loads] for launch in recording.launches] == [["1", "4"], ["16", "64"]]
    assert [launch.telemetry["t_s"].min() - launch.launched_s for launch in recording.launches] == [-0.5, -0.5]
    figure = draw_timeline(recording)
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")] == [
        "launch 1",
        "launch 2",
    ]


def test_server_metrics_of_an_unknown_engine_are_left_out(folder: Path) -> None:
    assert "running (server)" not in legend(draw_timeline(read_recording(write_session(folder, engine="mine"))))


def test_missing_and_damaged_files_are_told(folder: Path) -> None:
    write_session(folder)
    (folder / "server_metrics.parquet").unlink()
    (folder / "telemetry.parquet").write_bytes(b"PAR1 cut off")
    figure = draw_timeline(read_recording(folder))
    assert "there is no server_metrics.parquet" in notes(figure)
    assert "telemetry.parquet cannot be read" in notes(figure)
    assert rows(figure) == ["client threads", "requests"]


def test_a_session_without_records_says_so(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "session.json").write_text(json.dumps({"status": "failed", "reason": "could not be launched"}))
    figure = draw_timeline(read_recording(folder))
    assert "Nothing was recorded" in figure.axes[0].texts[0].get_text()
    assert "could not be launched" in notes(figure)


def test_a_pause_in_sampling_breaks_the_curve() -> None:
    seconds = [0.0, 1, 2, 3, 20, 21, 22]
    fitted = drawable_series(pd.Series(1.0, index=seconds))
    assert fitted.index[fitted.isna()].tolist() == [11.5]


def test_many_samples_are_thinned_without_losing_their_peaks() -> None:
    values = pd.Series(np.zeros(100_000), index=np.arange(100_000) / 10)
    values.iloc[54_321] = 7.0
    fitted = drawable_series(values)
    assert len(fitted) < 4000
    assert fitted.max() == 7
    assert fitted.index[fitted.argmax()] == 5432.1


def test_requests_in_flight_never_exceed_what_was_sent(folder: Path) -> None:
    recording = read_recording(write_session(folder))
    in_flight = recording.launches[0].loads[0].in_flight
    assert in_flight.iloc[-1] == 0
    assert in_flight.min() >= 0
    assert in_flight.index.min() >= START_S + 4


def test_the_same_records_give_the_same_bytes(folder: Path) -> None:
    write_session(folder)
    assert len({render(draw_timeline(read_recording(folder)), "svg", "t") for _ in range(2)}) == 1
