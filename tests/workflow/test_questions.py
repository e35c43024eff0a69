"""Questions before a sweep: plan, doctor, dry-run; and configs that stop before anything starts."""

from collections.abc import Callable

import pytest

from workflow.project import Project

Make = Callable[..., Project]


def test_a_wrong_config_stops_before_anything_starts(project: Make) -> None:
    clone = project({"grid": {"threads": [1, "many"], "speculation": [False]}})
    text = clone.run(status=1)
    assert "grid.threads[1] = 'many': must be a valid integer" in text
    assert "grid.speculation[0] = false" in text and "bare off" in text
    assert not (clone.folder / "results").exists()


def test_a_plan_of_a_sweep_that_has_not_begun(project: Make) -> None:
    clone = project({"prompts": {"count": 8}, "grid": {"threads": [1, 8]}, "server": {"concurrency": 2}})
    text = clone.run("plan")
    assert "2 points, 0 of them skipped; 1 servers x 1 sessions" in text
    assert "at 8 threads requests will queue: servers work on 2 at once" in text
    assert "To measure: 2 loads" in text and "a guess: nothing was measured yet" in text
    assert not (clone.folder / "results" / "sessions").exists()


def test_the_doctor_names_what_is_missing_and_how_to_mend_it(project: Make) -> None:
    engine = {"engine": "llamacpp", "runtime": "command", "command": ["no-such-server"], "version": "1"}
    prompts = {"source": "mine.jsonl", "count": 3}
    clone = project({"engines": {"mine": engine}, "grid": {"engine": ["mine"]}, "prompts": prompts})
    (clone.folder / "mine.jsonl").write_text('{"prompt": "one"}\n{"promt": "two"}\n')
    text = clone.run("doctor", status=1)
    assert "MISS  engine mine: no-such-server is not a program here" in text
    assert "MISS  prompts: mine.jsonl" in text and "promt" in text


def test_a_daemon_that_is_not_there_is_told_and_a_row(project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    engine = {"engine": "llamacpp", "runtime": "docker", "image": "servegrid-test/none:1"}
    clone = project({"engines": {"boxed": engine}, "grid": {"engine": ["boxed"], "threads": [1]}})
    text = clone.run("doctor", status=1)
    assert "MISS  docker: no daemon answers at unix:///nonexistent/docker.sock" in text
    assert "systemctl start docker" in text
    clone.measure()
    assert clone.points().loc[0, "status"] == "failed"
    assert "no daemon answers at unix:///nonexistent/docker.sock" in clone.points().loc[0, "reason"]


def test_a_gpu_that_is_not_here_makes_absent_rows(project: Make) -> None:
    engine = {"engine": "llamacpp", "runtime": "command", "command": ["llama-server"], "version": "1"}
    devices = {"cpu": {"kind": "cpu"}, "a6000": {"kind": "cuda", "name": "RTX A6000"}}
    grid = {
        "engine": ["llamacpp", "mine"],
        "gpu": ["cpu", "a6000"],
        "threads": [1],
        "exclude": [{"engine": "mine", "gpu": "cpu"}],
    }
    clone = project({"engines": {"mine": engine}, "devices": devices, "grid": grid})
    clone.run()
    points = clone.points().set_index(["engine", "gpu"])
    assert points.loc[("mine", "a6000"), "status"] == "absent"
    assert "NVIDIA driver" in points.loc[("mine", "a6000"), "reason"]
    assert points.loc[("llamacpp", "a6000"), "status"] == "unsupported"
    assert points.loc[("llamacpp", "cpu"), "status"] == "ok"


def test_a_sweep_of_absent_devices_has_its_report_all_the_same(project: Make) -> None:
    """The article's config on a machine without its cards: every point absent, its published rows and claims shown."""
    revision = "model={revision: '0000000000000000000000000000000000000000'}"
    clone = project()
    clone.run("--cores", "1", "--configfile", "config/article.yaml", "--config", revision)
    page = (clone.folder / "reports" / "report.html").read_text()
    assert "10 absent, 10 published" in page and "contradicted" in page
