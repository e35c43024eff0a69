"""The four questions over the article's rows and over planted ones."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import questions as script
from data.report.planted import TOKENS, planted
from data.results import made_config
from helpers.evidence import evidence_of
from isolation import REPOSITORY
from servegrid.config.judging import Claim
from servegrid.report.evidence import MEASURED, SAME_LOAD, Evidence
from servegrid.report.judge.claims import judge_claim
from servegrid.report.judge.client_effect import client_effects
from servegrid.report.judge.knee import knees
from servegrid.report.judge.memory_scaling import elasticities
from servegrid.report.judge.model_size import ModelSize
from servegrid.report.judge.questions import answer_questions, as_data, as_markdown
from servegrid.report.judge.recommendation import recommend
from servegrid.report.judge.roofline import device_contrasts, read_devices, roofline_shares
from servegrid.report.settings import Settings
from servegrid.util.files import write_json

PUBLISHED = REPOSITORY / "config" / "published"
DEVICES = read_devices(PUBLISHED / "devices.csv")
ARTICLE = Settings(published=(str(PUBLISHED / "article.csv"),))
EMPTY = planted({}, sessions=2)


def levels_of(thread_speeds: dict[int, float], noise: float = 0.005) -> Evidence:
    tables = planted({"threads": list(thread_speeds)}, lambda place: TOKENS / thread_speeds[place["threads"]], noise, 4)
    return evidence_of(*tables, Settings())


def test_the_article_s_knee() -> None:
    (knee,) = list(knees(evidence_of(*EMPTY, ARTICLE)))
    assert (knee.best, knee.knee, knee.low, knee.best_is_highest_level) == (128, 64, None, False)
    assert knee.shares[64].value == pytest.approx(554 / 561)


def test_a_planted_knee_is_found_with_its_interval() -> None:
    (knee,) = list(knees(levels_of({1: 100, 4: 300, 16: 990, 64: 1000, 256: 900})))
    assert (knee.best, knee.knee, knee.low, knee.high) == (64, 16, 16, 16)


def test_doubt_widens_the_knee() -> None:
    (knee,) = list(knees(levels_of({1: 600, 4: 900, 16: 1000}, noise=0.1)))
    assert knee.low is not None and knee.high is not None and knee.low < knee.high
    assert knee.low <= knee.knee <= knee.high


def test_a_best_level_at_the_end_says_that_more_may_come() -> None:
    (knee,) = list(knees(levels_of({1: 100, 2: 200, 4: 400})))
    assert knee.best_is_highest_level
    assert "more may come beyond" in as_markdown(answer_questions(levels_of({1: 100, 2: 200}), DEVICES, {}))


@pytest.mark.parametrize(
    ("change", "at_end", "text"),
    [
        ({"status": ["ok", "ok", "failed"]}, False, "the most is at 2; no evidence: 4 failed"),
        ({"client_bound": [False, False, True]}, False, "the most is at 2; no evidence: 4 client-bound"),
        ({"warnings": ["", "", "garbled texts"]}, False, "the most is at 2; no evidence: 4 garbled texts"),
        ({"status": ["ok", "ok", "unsupported"]}, True, "more may come beyond; no evidence: 4 unsupported"),
        ({"status": ["partial", "ok", "ok"]}, True, "more may come beyond; no evidence: 1 partial"),
    ],
)
def test_a_level_that_is_no_evidence_is_named_beside_the_knee(
    change: dict[str, list[Any]], at_end: bool, text: str
) -> None:
    points, sessions = planted({"threads": [1, 2, 4]}, lambda place: 10.0 / place["threads"], 0.005, 4)
    evidence = evidence_of(points.assign(**change), sessions, Settings())
    (knee,) = list(knees(evidence))
    assert knee.best_is_highest_level == at_end and text in as_markdown(answer_questions(evidence, DEVICES, {}))
    [answer] = as_data(answer_questions(evidence, DEVICES, {}))[0]["answers"]
    assert list(answer["left_out"].values()) == list(knee.left_out.values()) != []


def test_a_knee_names_only_the_levels_of_its_own_group() -> None:
    points, sessions = planted({"engine": ["a", "b"], "threads": [1, 2, 4]}, noise=0.005)
    points = points.assign(status=["ok", "ok", "failed", "ok", "ok", "ok"])
    knee_by_engine = {knee.place["engine"]: knee for knee in knees(evidence_of(points, sessions, Settings()))}
    assert knee_by_engine["a"].left_out == {4.0: "failed"} and knee_by_engine["b"].left_out == {}


def test_the_knees_of_all_groups_share_the_doubt() -> None:
    tables = planted({"engine": list("abcde"), "threads": [1, 2, 4]}, noise=0.01)
    share = next(knees(evidence_of(*tables, Settings()))).shares
    assert [estimate.how for estimate in share.values() if estimate.value != 1] == [
        "99 % interval over 3 and 3 sessions, for all pairs of 3 points"
    ] * 2


def test_the_article_s_memory_share() -> None:
    (elasticity,) = list(elasticities(evidence_of(*EMPTY, ARTICLE)))
    assert (
        elasticity.slope.value == pytest.approx(math.log(707 / 596) / math.log(2)) and not elasticity.slope.has_interval
    )
    assert elasticity.levels == (0.5, 1.0)


@pytest.mark.parametrize(
    ("power", "text"),
    [(0.4, "less than linearly"), (1.3, "in proportion or beyond"), (0.0, "helps less than linearly, if at all")],
)
def test_a_planted_elasticity_is_found(power: float, text: str) -> None:
    tables = planted({"memory_fraction": [0.3, 0.6, 0.9]}, lambda p: 10 * p["memory_fraction"] ** -power, 0.01, 5)
    evidence = evidence_of(*tables, Settings(axes=("memory_fraction",)))
    (elasticity,) = list(elasticities(evidence))
    assert elasticity.slope.low is not None and elasticity.slope.high is not None
    assert elasticity.slope.low < power < elasticity.slope.high
    assert text in as_markdown(answer_questions(evidence, DEVICES, {}))


@pytest.mark.parametrize(
    ("half", "text"),
    [
        (2.0, ": more helps, in proportion or beyond;"),
        (1.999, ": more helps, less than linearly;"),
        (1.0, ": more does not help;"),
        (0.9, ": more hurts;"),
    ],
)
def test_what_the_times_at_the_half_and_the_whole_mean(tmp_path: Path, half: float, text: str) -> None:
    for whole in (100, 107, 114, 500):
        table = tmp_path / "t.csv"
        rows = f"paper,cpu,48/48,x,1,{whole}\npaper,cpu,24/48,x,1,{half * whole}\n"
        table.write_text(f"source,gpu,vram,engine,threads,time_s\n{rows}")
        evidence = evidence_of(*EMPTY, Settings(published=(str(table),)))
        assert text in as_markdown(answer_questions(evidence, DEVICES, {})), whole


def test_answers_that_are_longer_by_themselves_are_no_loss_of_memory() -> None:
    """Twice the tokens in twice the time at three times the memory: as fast per token."""
    points, sessions = planted(
        {"memory_fraction": [0.3, 0.9]}, lambda p: 10.0 * (2 if p["memory_fraction"] == 0.9 else 1), 0.01, 5
    )
    points = points.assign(answers_end="natural", output_tokens=[100.0, 200.0], requests_ok=10.0)
    (elasticity,) = list(elasticities(evidence_of(points, sessions, Settings(axes=("memory_fraction",)))))
    low, high = elasticity.slope.interval
    assert low < 0 < high < 0.1


@pytest.mark.slow
def test_noise_alone_is_rarely_an_effect_of_memory_in_any_of_many_groups() -> None:
    """Sweeps of 20 groups in which memory does nothing: in 5 % an effect is stated anywhere, but for chance."""
    axes: dict[str, Any] = {"memory_fraction": ["0.5", "1"], "threads": [1, 4, 16, 64], "quantization": list("abcde")}
    tries, wrong = 60, 0
    for seed in range(tries):
        tables = planted(axes, noise=0.02, sessions=3, seed=seed)
        groups = list(elasticities(evidence_of(*tables, Settings(axes=("memory_fraction",)))))
        assert {elasticity.slope.how for elasticity in groups} == {"99.75 % interval over 3 sessions of each"}
        wrong += any(elasticity.slope.interval[0] > 0 or elasticity.slope.interval[1] < 0 for elasticity in groups)
    assert wrong / tries <= 0.05 + 3 * (0.05 * 0.95 / tries) ** 0.5


def test_a_planted_loss_hurts() -> None:
    tables = planted({"memory_fraction": [0.3, 0.6, 0.9]}, lambda p: 10 * p["memory_fraction"] ** 0.5, 0.01, 5)
    evidence = evidence_of(*tables, Settings(axes=("memory_fraction",)))
    assert ": more hurts;" in as_markdown(answer_questions(evidence, DEVICES, {}))


def on(gpu_name: str, **more: Any) -> Evidence:
    points, sessions = planted({}, lambda place: 10.0, 0.0, 2)
    return evidence_of(points.assign(gpu_name=gpu_name, **more), sessions, Settings())


def test_shares_of_the_roofline_by_hand() -> None:
    """100 tokens/s over 4 running: 25 steps/s of 8 GB are 200 GB/s of 1,008; 2 x 4e9 x 300 tokens/s are 2.4 of 165.2 TFLOPS."""
    evidence = on("NVIDIA GeForce RTX 4090", running_mean=4.0, total_tokens_per_s=300.0)
    (share,) = list(roofline_shares(evidence, DEVICES, {"s0": ModelSize(8_000_000_000, 4_000_000_000)}))
    assert share.device == "RTX 4090"
    assert share.of_bandwidth == pytest.approx(200 / 1008) and share.of_compute == pytest.approx(2.4 / 165.2)


@pytest.mark.parametrize(
    ("served", "share"), [("float32", 0.4), ("bfloat16", 0.2), ("float16", 0.2), ("int8_float32", None), (None, None)]
)
def test_bytes_are_those_of_the_type_that_was_served(served: str | None, share: float | None) -> None:
    evidence = on("NVIDIA GeForce RTX 4090", running_mean=4.0, served_dtype=served)
    (row,) = list(roofline_shares(evidence, DEVICES, {"s0": ModelSize(read_parameters=4_032_000_000)}))
    assert row.of_bandwidth == (None if share is None else pytest.approx(share))


def test_prompts_that_may_come_from_a_cache_are_not_counted_as_computed() -> None:
    evidence = on("NVIDIA GeForce RTX 4090", running_mean=4.0, total_tokens_per_s=300.0)
    (share,) = list(roofline_shares(evidence, DEVICES, {"s0": ModelSize(None, 4_000_000_000, prompts_cached=True)}))
    assert share.of_compute == pytest.approx(0.8 / 165.2)


@pytest.mark.parametrize(("tokens", "doubted"), [(300.0, False), (30_000.0, True)])
def test_a_share_beyond_the_device_s_all_is_said_to_be_wrong(tokens: float, doubted: bool) -> None:
    evidence = on("NVIDIA GeForce RTX 4090", running_mean=4.0, total_tokens_per_s=tokens)
    text = as_markdown(answer_questions(evidence, DEVICES, {"s0": ModelSize(None, 4_000_000_000)}))
    assert ("something is counted wrong" in text) == doubted


def test_what_is_not_known_has_no_share() -> None:
    (share,) = list(roofline_shares(on("NVIDIA RTX A6000"), DEVICES, {}))
    assert share.of_bandwidth is None and share.of_compute is None


@pytest.mark.parametrize(
    "name", ["NVIDIA GeForce RTX 3090 Ti", "RTX 4090 Laptop GPU", "Tesla T4", "RTX A6000, RTX A6000"]
)
def test_another_device_is_not_taken_for_one_of_the_table(name: str) -> None:
    assert list(roofline_shares(on(name), DEVICES, {})) == []


def test_the_article_s_devices() -> None:
    evidence = evidence_of(*EMPTY, ARTICLE)
    contrasts = {
        contrast.device: contrast
        for contrast in device_contrasts(evidence, list(roofline_shares(evidence, DEVICES, {})))
    }
    assert contrasts["RTX 4090"].throughput.value == pytest.approx(596 / 481)
    assert contrasts["RTX 3090"].throughput.value == pytest.approx(596 / 741)
    assert contrasts["RTX 3090"].bandwidth == pytest.approx(936 / 768)


def test_a_table_of_devices_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("name\nx\n")
    with pytest.raises(ValueError, match="lacks the columns tensor_tflops"):
        read_devices(tmp_path / "d.csv")


def test_the_kind_of_client() -> None:
    tables = planted({"client": ["stream", "parallel"]}, lambda p: 10.0 * (1 + (p["client"] == "parallel")), 0.01, 4)
    points, sessions = tables
    points = points.assign(client_bound=[False, True])
    (effect,) = list(client_effects(evidence_of(points, sessions, Settings(axes=("client",)))))
    assert (effect.client, effect.reference) == ("parallel", "stream")
    assert effect.effect.value == pytest.approx(0.5, rel=0.05) and effect.effect.has_interval


def test_garbage_answers_no_question_and_is_told_as_left_out() -> None:
    axes = {"threads": [1, 2, 4], "memory_fraction": [0.3, 0.9], "client": ["stream", "parallel"]}
    points, sessions = planted(axes, noise=0.01)
    points = points.assign(warnings="latency drifts; garbled texts", gpu_name="RTX A6000")
    evidence = evidence_of(points, sessions, Settings(axes=("memory_fraction", "client")))
    answers = as_data(answer_questions(evidence, DEVICES, {}))
    assert [answer["answers"] for answer in answers] == [[]] * 4
    assert [answer["left_out"] for answer in answers] == [{"garbled texts": 12}] * 4
    assert as_markdown(answer_questions(evidence, DEVICES, {})).count("Left out: 12 garbled texts.") == 4
    other = evidence_of(points.assign(warnings=["garbled texts", *[None] * 11]), sessions, evidence.settings)
    assert {len(knee.shares) for knee in knees(other)} == {2, 3}


def test_answers_as_data_say_where_they_hold() -> None:
    """Two kinds of client, two shares of memory, levels of threads with twice the throughput each, on one known device."""
    axes = {"threads": [1, 2], "memory_fraction": [0.25, 0.5], "client": ["stream", "parallel"]}
    points, sessions = planted(
        axes, lambda place: 16.0 / place["threads"] / (4 * place["memory_fraction"]) ** 0.5, 0.0001, 4
    )
    evidence = evidence_of(points.assign(gpu_name="RTX A6000"), sessions, Settings(axes=("memory_fraction", "client")))
    threads, memory, device, client = (answer["answers"] for answer in as_data(answer_questions(evidence, DEVICES, {})))
    rest = {"engine": "e", "gpu": "cpu", "speculation": "none", "quantization": "none"}
    assert [entry["place"] for entry in threads] == [
        {**rest, "memory_fraction": share, "client": kind}
        for share in ("0.25", "0.5")
        for kind in ("stream", "parallel")
    ]
    assert {
        (entry["source"], entry["best"], entry["knee"], entry["best_is_the_highest_level"]) for entry in threads
    } == {("measured", 2, 2, True)}
    assert [entry["share_of_best"]["1"]["value"] for entry in threads] == pytest.approx([0.5] * 4, rel=0.01)
    assert [entry["place"] for entry in memory] == [
        {**rest, "threads": level, "client": kind} for level in ("1", "2") for kind in ("stream", "parallel")
    ]
    assert {(entry["source"], entry["levels"]) for entry in memory} == {("measured", (0.25, 0.5))}
    assert [entry["slope"]["value"] for entry in memory] == pytest.approx([0.5] * 4, rel=0.01)
    assert [(entry["client"], entry["reference"]) for entry in client] == [("parallel", "stream")] * 4
    assert client[0]["place"] == {**rest, "threads": "1", "memory_fraction": "0.25"}
    assert [entry["effect"]["value"] for entry in client] == pytest.approx([1] * 4, rel=0.01)
    assert [(entry["source"], entry["device"]) for entry in device] == [("measured", "RTX A6000")] * 8
    assert device[0]["place"] == {**rest, "threads": "1", "memory_fraction": "0.25", "client": "stream"}
    assert device[0]["time_s"] == pytest.approx(16, rel=0.01)


def test_what_was_not_measured_is_said_as_such() -> None:
    answers = as_data(answer_questions(evidence_of(*EMPTY, Settings()), DEVICES, {}))
    assert len(answers) == 4 and all(answer["answers"] == [] and answer["not_measured"] for answer in answers)


def test_published_answers_say_so() -> None:
    page = as_markdown(answer_questions(evidence_of(*EMPTY, ARTICLE), DEVICES, {}))
    assert "knee at 64 threads (published: no repeats), with 98.8% of the most; the most is at 128" in page
    assert "slope 0.246" in page and "less than linearly" in page


def test_nothing_measured_at_all() -> None:
    points, sessions = EMPTY
    evidence = evidence_of(points.assign(status="failed"), sessions.iloc[:0], Settings())
    assert all(not answer.lines for answer in answer_questions(evidence, pd.DataFrame(DEVICES), {}))


def test_a_quantization_that_one_engine_lacks_does_not_keep_the_others_from_an_answer(tmp_path: Path) -> None:
    engine = {"runtime": "command", "command": ["/server"], "version": "1"}
    axes = {"engine": ["llamacpp", "ctranslate2"], "threads": [4], "quantization": ["none", "int16"]}
    raw = made_config(engines={"llamacpp": engine, "ctranslate2": {"runtime": "venv"}}, grid=axes)
    raw["pathvars"] = {"resources": str(tmp_path / "resources")}
    points, sessions = planted(axes, sessions=2)
    write_json(tmp_path / "config.json", raw)
    points.to_parquet(tmp_path / "points.parquet")
    sessions.to_parquet(tmp_path / "sessions.parquet")
    paths = [tmp_path / name for name in ("points.parquet", "sessions.parquet", "config.json")]
    script.write_answers(*paths, PUBLISHED / "devices.csv", tmp_path)
    assert "How many client threads" in (tmp_path / "questions.md").read_text()


TEN_REQUESTS = {"requests_ok": 10, "requests_short": 0, "requests_failed": 0}


def test_levels_that_send_the_same_requests_at_once_are_one() -> None:
    points, sessions = planted({"threads": [4, 24, 64, 128, 256]}, lambda place: 100 / place["threads"], 0.01, 4)
    evidence = evidence_of(points.assign(**TEN_REQUESTS), sessions, Settings())
    (knee,) = list(knees(evidence))
    assert list(knee.shares) == [4, 24] and knee.left_out == dict.fromkeys((64.0, 128.0, 256.0), SAME_LOAD)
    recommended = recommend(evidence)
    assert recommended.row == 1 and len(recommended.rivals) == 1 and recommended.left_out == {SAME_LOAD: 3}
    claim = Claim(says="more is better", better={"threads": 256}, than={"threads": 24})
    assert judge_claim(claim, evidence, MEASURED).verdict == "not measured"


def test_levels_of_one_load_stand_for_each_other() -> None:
    points, sessions = planted({"threads": [24, 64], "quantization": ["none", "int8"]}, noise=0.01)
    points = points.assign(**TEN_REQUESTS)
    points.loc[points["threads"] == 24, "status"] = "failed"
    unfit = evidence_of(points, sessions, Settings()).unfit("time_s")
    assert list(unfit) == ["failed", "failed", "", ""]
    more = points.assign(requests_ok=[240, 240, 640, 640], status="ok")
    assert set(evidence_of(more, sessions, Settings()).unfit("time_s")) == {""}
    assert set(evidence_of(more.assign(requests_ok=None), sessions, Settings()).unfit("time_s")) == {""}, "not known"


def with_steady(tables: tuple[pd.DataFrame, pd.DataFrame], drain: dict[int, float]) -> Evidence:
    """Evidence in which the steady rate is what it was, and the drain takes its share of the whole."""
    tables = tuple(table.assign(steady_output_tokens_per_s=table["output_tokens_per_s"]) for table in tables)
    for table in tables:
        table["output_tokens_per_s"] *= table["threads"].map(drain)
    return evidence_of(*tables, Settings())


def test_the_drain_of_a_fixed_set_does_not_move_the_knee() -> None:
    tables = planted({"threads": [64, 256]}, lambda _: 10.0, 0.002, 4)
    steady = with_steady(tables, {64: 1.0, 256: 0.93})
    (knee,) = list(knees(steady))
    assert knee.metric == "steady_output_tokens_per_s" and knee.shares[256].value == pytest.approx(1, abs=0.01)
    assert "by the rate of the steady state" in as_markdown(answer_questions(steady, DEVICES, {}))


def test_without_a_steady_state_on_every_level_the_knee_says_what_the_drain_does() -> None:
    points, sessions = planted({"threads": [64, 256]}, lambda _: 10.0, 0.002, 4)
    partly = evidence_of(points.assign(steady_output_tokens_per_s=[100.0, None]), sessions, Settings())
    (knee,) = list(knees(partly))
    assert knee.metric == "output_tokens_per_s"
    assert "whose drain makes high levels look worse" in as_markdown(answer_questions(partly, DEVICES, {}))
