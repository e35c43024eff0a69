"""The article's config from end to end: its grid, measured on another host at the article's own times, beside its table."""

from typing import Any

import pandas as pd
import pytest
import yaml

from data.results import Plan, write_session
from helpers.evidence import evidence_of
from isolation import REPOSITORY
from servegrid.collect.tables import collect
from servegrid.config import parse_config
from servegrid.plan.grid import Grid, Load, Session
from servegrid.plan.resolve import resolve
from servegrid.report.evidence import MEASURED
from servegrid.report.judge.claims import judge_claim
from servegrid.report.published import with_published
from servegrid.report.settings import Settings
from servegrid.results.points import PUBLISHED
from servegrid.util.files import write_json

CONFIG = REPOSITORY / "config"
BY_THREADS = {24: 664.0, 64: 561.0, 128: 554.0, 256: 568.0}


def article_time_s(session: Session, load: Load) -> float:
    spec, gpu = session.server.spec, session.server.gpu
    if gpu != "a6000":
        return {"rtx3090": 741.0, "rtx4090": 481.0}[gpu]
    if spec.sharing == 2:
        return 1205.0
    if spec.memory_fraction == 0.5:
        return 707.0
    assert load.threads
    return {2: 596.0, 8: 945.0}.get(spec.speculation.length or 0, BY_THREADS[load.threads])


def plan(session: Session, load: Load) -> Plan:
    """Two rounds of as many requests as there are threads."""
    assert load.threads
    return Plan(requests=2 * load.threads, chunks=2, request_s=article_time_s(session, load) / 2, noise=0.002)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame, Settings, Any]:
    folder = tmp_path_factory.mktemp("article")
    raw = yaml.safe_load((CONFIG / "article.yaml").read_text())
    raw["model"]["revision"] = "0" * 40
    raw["report"] |= {"also_from": [str(folder)], "published": [str(CONFIG / "published" / "article.csv")]}
    (folder / "sessions").mkdir()
    config = parse_config(raw)
    grid = Grid(config, resolve(config))
    servers = {point.server.id: point.server for point in grid.points}
    for server in servers.values():
        loads = {point.load.id: point.load for point in grid.points if point.server.id == server.id}
        for rep in (1, 2):
            write_session(Session(server, rep, tuple(loads.values())), folder, plan)
    write_json(folder / "config.json", raw)
    collected = collect(grid, folder / "here")
    return collected.points, collected.sessions, Settings.read(folder / "config.json"), config


def test_every_row_of_the_article_stands_beside_the_measured_one(measured: Any) -> None:
    points, _, settings, _ = measured
    rows, _ = with_published(points, settings)
    published = rows[rows["status"] == PUBLISHED]
    ratios = published.set_index(published["source"].index)["over_published"]
    assert len(published) == 10
    alone = published[ratios.isna()]
    assert list(alone["runs_at_once"].astype(str)) == [
        "2"
    ]  # both its servers answer all prompts, which no measured row does
    assert ratios.dropna().astype(float).to_list() == pytest.approx([1.0] * 9, abs=0.02)


@pytest.mark.parametrize(
    ("says", "verdict"),
    [
        ("128 and 256 threads beat 24 and 64", "contradicted"),
        ("beyond 256", "not measured"),
        ("speculation raises", "contradicted"),
        ("speculation 8 is worse", "supported"),
        ("the 4090 has 12 %", "contradicted"),
        ("more memory helps", "supported"),
        ("two servers that share", "contradicted"),
        ("eetq", "not measured"),
    ],
)
def test_over_the_same_times_measured_the_claims_have_the_same_verdicts(measured: Any, says: str, verdict: str) -> None:
    points, sessions, settings, config = measured
    claim = next(stated for stated in config.claims if stated.says.startswith(says))
    ruling = judge_claim(claim, evidence_of(points, sessions, settings), MEASURED)
    assert ruling.verdict == verdict, ruling.because
