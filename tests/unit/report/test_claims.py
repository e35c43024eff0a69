"""Verdicts over the article's rows, over planted effects, and over nothing but noise."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from data.report.planted import planted
from helpers.evidence import evidence_of
from isolation import REPOSITORY
from servegrid.config.judging import Claim
from servegrid.report.evidence import MEASURED
from servegrid.report.judge.claims import judge_claim
from servegrid.report.judge.ruling import Comparison, Ruling
from servegrid.report.settings import Settings
from servegrid.stats.intervals import Estimate

CONFIG = REPOSITORY / "config"
ARTICLE = yaml.safe_load((CONFIG / "article.yaml").read_text())
TABLE = str(CONFIG / "published" / "article.csv")
EMPTY = planted({}, sessions=2)


def article(says: str, devices: dict[str, str] | None = None) -> Ruling:
    claim = next(Claim.model_validate(entry) for entry in ARTICLE["claims"] if entry["says"].startswith(says))
    return judge_claim(claim, evidence_of(*EMPTY, Settings(published=(TABLE,), devices=devices or {})), "the article")


@pytest.mark.parametrize(
    ("says", "verdict", "effect"),
    [
        ("128 and 256 threads beat 24 and 64", "contradicted", 561 / 568),
        ("beyond 256", "not measured", None),
        ("speculation raises", "contradicted", 554 / 945),
        ("speculation 8 is worse", "supported", 945 / 596),
        ("the 4090 has 12 %", "contradicted", 596 / 481),
        ("more memory helps", "supported", 707 / 596),
        ("two servers sharing one card are like two in sequence, each with the whole", "supported", 2 * 596 / 1205),
        ("two servers sharing one card are like two in sequence, each on half", "contradicted", 2 * 707 / 1205),
        ("two servers that share", "not measured", None),
        ("eetq", "not measured", None),
        ("one server per GPU", "not measured", None),
        ("GNU parallel", "not measured", None),
        ("TGI is the best", "not measured", None),
    ],
)
def test_over_the_article_s_rows_the_verdict_is_what_the_rows_say(
    says: str, verdict: str, effect: float | None
) -> None:
    ruling = article(says)
    assert ruling.verdict == verdict, ruling.because
    if effect is None:
        assert ruling.deciding is None and "no row" in ruling.because
    else:
        assert ruling.deciding and ruling.deciding.effect.value == pytest.approx(effect)
        assert not ruling.deciding.effect.has_interval and "no repeats" in ruling.deciding.effect.how


def test_every_claim_of_the_article_has_a_verdict_above() -> None:
    assert len(ARTICLE["claims"]) == 13


def test_three_of_the_four_comparisons_of_threads_bear_the_article_out() -> None:
    ruling = article("128 and 256")
    assert (ruling.count("supported"), ruling.count("contradicted")) == (3, 1)
    assert "of 4 comparisons 3 bear it out, 1 speak against it" in ruling.because


def test_a_size_that_is_not_the_stated_one_is_told_from_a_wrong_direction() -> None:
    assert "greater than stated" in article("the 4090 has 12 %").because
    claim = Claim(says="x", better={"speculation": 2}, than={"speculation": 8}, at_least=0.9)
    ruling = judge_claim(claim, evidence_of(*EMPTY, Settings(published=(TABLE,))), "the article")
    assert ruling.verdict == "contradicted" and "the direction holds, the size does not" in ruling.because


def test_devices_may_have_names_of_their_own_in_the_config() -> None:
    ruling = article("the 4090", {"big": "RTX A6000", "fast": "GeForce RTX 4090"})
    assert ruling.deciding and ruling.deciding.effect.value == pytest.approx(596 / 481)


def measured(claim: dict[str, Any], tables: tuple[pd.DataFrame, pd.DataFrame], axes: tuple[str, ...] = ()) -> Ruling:
    evidence = evidence_of(*tables, Settings(axes=axes))
    return judge_claim(Claim.model_validate({"says": "x", **claim}), evidence, MEASURED)


@pytest.mark.parametrize(("time_s", "verdict"), [(10.0, "supported"), (7.0, "contradicted"), (14.0, "contradicted")])
def test_measured_servers_that_share_a_card_are_held_against_one_with_all_of_it(time_s: float, verdict: str) -> None:
    axes = {"sharing": [1, 2], "memory_fraction": [0.5, 1]}
    claim = next(entry for entry in ARTICLE["claims"] if entry["says"].startswith("two servers that share"))
    tables = planted(axes, lambda place: time_s if place["sharing"] == 2 else 10.0, 0.005, 4)
    ruling = measured(claim, tables, ("sharing", "memory_fraction"))
    assert (ruling.verdict, len(ruling.comparisons)) == (verdict, 1)


def faster(share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    return planted(
        {"engine": ["a", "b"]}, lambda place: 10.0 / (1 + share * (place["engine"] == "b")), 0.005, 4, seed=3
    )


BETTER = {"better": {"engine": "b"}, "than": {"engine": "a"}}


@pytest.mark.parametrize(
    ("share", "more", "verdict"),
    [
        (0.2, {}, "supported"),
        (0.2, {"metric": "output_tokens_per_s"}, "supported"),
        (0.2, {"at_least": 0.12}, "supported"),
        (0.2, {"at_least": 0.3}, "contradicted"),
        (0.2, {"at_most": 0.1}, "contradicted"),
        (0.2, {"at_least": 0.2}, "no difference shown"),
        (-0.2, {}, "contradicted"),
        (0.0, {}, "no difference shown"),
        (0.0, {"at_least": -0.05, "at_most": 0.05}, "supported"),
        (0.2, {"at_least": -0.05, "at_most": 0.05}, "contradicted"),
    ],
)
def test_planted_effects_are_found(share: float, more: dict[str, Any], verdict: str) -> None:
    ruling = measured(BETTER | more, faster(share))
    assert ruling.verdict == verdict, ruling.deciding


@pytest.mark.parametrize(
    ("claim", "verdicts", "deciding"),
    [
        ({}, [(1.3, "supported"), (1.1, "supported")], 1.1),
        ({}, [(1.3, "no difference shown"), (1.1, "supported")], 1.3),
        ({}, [(1.3, "no difference shown"), (0.9, "contradicted")], 0.9),
        (
            {"at_most": 0.5},
            [(1.05, "supported"), (1.2, "supported"), (1.45, "supported")],
            1.45,
        ),  # 3 % below its upper limit
        (
            {"at_most": 0.5},
            [(1.02, "supported"), (1.2, "supported"), (1.45, "supported")],
            1.02,
        ),  # 2 % above its lower one
        ({"at_least": 0.2, "at_most": 0.5}, [(1.1, "contradicted"), (1.9, "contradicted")], 1.9),  # outside by the more
    ],
)
def test_the_deciding_comparison_is_the_one_nearest_a_limit(
    claim: dict[str, float], verdicts: list[tuple[float, Any]], deciding: float
) -> None:
    least, most = 1 + claim.get("at_least", 0), 1 + claim["at_most"] if "at_most" in claim else None
    comparisons = [Comparison(0, 1, Estimate(value), least, most, verdict) for value, verdict in verdicts]
    ruling = Ruling(Claim.model_validate({"says": "x", **claim, **BETTER}), "measured", "supported", "", comparisons)
    assert ruling.deciding and ruling.deciding.effect.value == deciding
    assert Ruling(ruling.claim, "measured", "not measured", "").deciding is None


def test_one_session_shows_nothing_however_large_the_effect() -> None:
    tables = planted({"engine": ["a", "b"]}, lambda place: 10.0 if place["engine"] == "b" else 30.0, sessions=1)
    ruling = measured(BETTER, tables)
    assert ruling.verdict == "no difference shown"
    assert ruling.deciding and ruling.deciding.effect.how == "one session: no doubt known"


def test_a_percentile_that_no_session_has_by_itself_is_not_taken_for_that_of_one_session() -> None:
    points, sessions = faster(0.2)
    tables = points.assign(ttft_ms_p99=[30.0, 20.0]), sessions.assign(ttft_ms_p99=None)
    ruling = measured(BETTER | {"metric": "ttft_ms_p99"}, tables)
    assert ruling.verdict == "no difference shown" and ruling.deciding
    assert ruling.deciding.effect.value == pytest.approx(1.5)
    assert ruling.deciding.effect.how == "no session has enough requests for it by itself: no doubt known"
    row = evidence_of(*tables, Settings()).estimate(0, "ttft_ms_p99")
    assert (row.value, row.how) == (30.0, ruling.deciding.effect.how)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": ["partial", "ok"]}, "no usable row for than (engine a): 1 partial"),
        ({"status": ["ok", "failed"]}, "no usable row for better (engine b): 1 failed"),
        ({"client_bound": [False, True]}, "no usable row for better (engine b): 1 client-bound"),
        ({"time_s": [10.0, None]}, "no usable row for better (engine b): 1 without time_s"),
        ({"warnings": [None, "cold start; garbled texts"]}, "no usable row for better (engine b): 1 garbled texts"),
        (
            {"status": ["failed", "unsupported"]},
            "no usable row for better (engine b): 1 unsupported; no usable row for than (engine a): 1 failed",
        ),
        ({"engine": ["a", "c"]}, "no row for better (engine b)"),
    ],
)
def test_rows_that_are_no_evidence_are_left_out_with_the_true_reason(change: dict[str, Any], reason: str) -> None:
    points, sessions = faster(0.2)
    ruling = measured(BETTER, (points.assign(**change), sessions))
    assert (ruling.verdict, ruling.because) == ("not measured", reason)


def test_sides_whose_usable_rows_do_not_meet_are_not_compared() -> None:
    points, sessions = planted({"engine": ["a", "b"], "threads": [4, 8]})
    ruling = measured(BETTER, (points.assign(status=["failed", "ok", "ok", "failed"]), sessions))
    reason = "no two usable rows agree on the axes that are matched; left out: 2 failed"
    assert (ruling.verdict, ruling.because) == ("not measured", reason)


def levels_of(times: dict[int, float], **change: list[Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    points, sessions = planted({"threads": list(times)}, lambda place: times[place["threads"]], 0.005, 3)
    return points.assign(**change), sessions


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        ({"status": ["ok", "ok", "ok", "failed"]}, "no difference shown", "1 failed"),
        ({"status": ["ok", "ok", "ok", "partial"]}, "no difference shown", "1 partial"),
        ({"status": ["failed", "ok", "ok", "ok"]}, "no difference shown", "1 failed"),
        ({"status": ["ok", "ok", "ok", "unsupported"]}, "supported", "1 unsupported"),
        ({"client_bound": [False, False, False, True]}, "supported", "1 client-bound"),
        (
            {"status": ["failed", "ok", "ok", "ok"], "client_bound": [False, False, False, True]},
            "no difference shown",
            "1 failed, 1 client-bound",
        ),
    ],
)
def test_a_row_that_failed_supports_nothing_and_what_is_left_out_is_said(
    change: dict[str, list[Any]], verdict: str, reason: str
) -> None:
    claim = {"better": {"threads": [128, 256]}, "than": {"threads": [24, 64]}}
    ruling = measured(claim, levels_of({24: 25.0, 64: 20.0, 128: 16.0, 256: 12.0}, **change))
    assert ruling.verdict == verdict
    held_back = "" if verdict == "supported" else "; what failed bears nothing out"
    assert ruling.because.endswith(f"; left out: {reason}{held_back}")


def test_a_failed_row_does_not_mend_what_another_contradicts_nor_touches_what_it_is_no_part_of() -> None:
    claim = {"better": {"threads": [128, 256]}, "than": {"threads": 64}}
    status = {"status": ["ok", "ok", "ok", "failed"]}
    assert measured(claim, levels_of({24: 25.0, 64: 20.0, 128: 26.0, 256: 12.0}, **status)).verdict == "contradicted"
    elsewhere = levels_of({64: 20.0, 128: 16.0, 256: 12.0, 512: 9.0}, **status)
    ruling = measured(claim, elsewhere)
    assert (ruling.verdict, ruling.because) == ("supported", "of 2 comparisons 2 bear it out")


def test_client_bound_rows_are_evidence_of_what_the_client_does_and_of_nothing_else() -> None:
    axes = {"client": ["stream", "parallel"], "engine": ["a", "b"]}
    points, sessions = planted(axes, lambda p: 10.0 - (p["client"] == "parallel") - 2 * (p["engine"] == "b"), 0.005, 4)
    tables = points.assign(client_bound=points["client"] == "parallel"), sessions
    clients = {"better": {"client": "parallel"}, "than": {"client": "stream"}}
    assert measured(clients, tables, ("client",)).verdict == "supported"
    assert measured({"better": {"client": "parallel"}}, tables, ("client",)).verdict == "supported"
    engines = measured(BETTER, tables, ("client",))
    assert (engines.verdict, len(engines.comparisons)) == ("supported", 1)
    assert engines.because == "one comparison; left out: 2 client-bound"
    within = {"better": {"engine": "b", "client": "parallel"}, "than": {"engine": "a", "client": "parallel"}}
    assert measured(within, tables, ("client",)).verdict == "not measured"


@pytest.mark.parametrize(
    ("warning", "metric", "verdict"),
    [
        ("garbled texts", "time_s", "not measured"),
        ("energy window short; garbled texts", "j_per_output_token", "not measured"),
        ("energy counter and power differ", "j_per_output_token", "not measured"),
        ("energy samples missing", "j_per_output_token", "not measured"),
        ("energy counter and power differ", "time_s", "supported"),
        ("energy window short", "j_per_output_token", "not measured"),
        ("energy window short", "time_s", "supported"),
        ("energy from power samples", "j_per_output_token", "supported"),
    ],
)
def test_garbage_and_numbers_not_to_be_trusted_are_no_evidence(warning: str, metric: str, verdict: str) -> None:
    points, sessions = faster(0.2)
    ruling = measured(BETTER | {"metric": metric}, (points.assign(warnings=[None, warning]), sessions))
    assert ruling.verdict == verdict, ruling.because


@pytest.mark.parametrize(
    ("better", "than", "comparisons"),
    [
        (2, 8, 1),
        ("< 4", "> 4", 2),
        ("ngram:2", 8, 1),
        ([2, 16], "8", 2),
        ("none", "<= 8", 2),
        (2, "draft:2", 0),
        (0, 2, 0),
    ],
)
def test_speculation_is_chosen_by_its_length_too(better: Any, than: Any, comparisons: int) -> None:
    times = {"none": 9.0, "ngram:2": 10.0, "ngram:8": 13.0, "draft:16": 12.0, "medusa": 12.0}
    tables = planted({"speculation": list(times)}, lambda place: times[place["speculation"]], 0.005, 4)
    ruling = measured({"better": {"speculation": better}, "than": {"speculation": than}}, tables)
    assert len(ruling.comparisons) == comparisons
    assert ruling.verdict == ("supported" if comparisons else "not measured")


def test_rows_are_compared_only_where_they_agree_on_the_other_axes() -> None:
    axes = {"engine": ["a", "b"], "threads": [1, 8]}
    tables = planted(axes, lambda place: 10.0 / place["threads"] / (1 + 0.3 * (place["engine"] == "b")), 0.005, 4)
    ruling = measured(BETTER, tables)
    assert (ruling.verdict, len(ruling.comparisons)) == ("supported", 2)
    loose = measured(BETTER | {"matched_on": ["gpu"]}, tables)
    assert (loose.verdict, len(loose.comparisons)) == ("contradicted", 4)


def test_less_than_linear() -> None:
    claim = {"better": {"memory_fraction": 0.9}, "than": {"memory_fraction": 0.3}}
    claim |= {"less_than_linear_in": "memory_fraction"}
    for power, verdict in ((0.5, "supported"), (1.5, "contradicted"), (-0.5, "contradicted")):
        tables = planted(
            {"memory_fraction": [0.3, 0.9]}, lambda place, p=power: place["memory_fraction"] ** -p, 0.005, 4
        )
        assert measured(claim, tables, ("memory_fraction",)).verdict == verdict


@pytest.mark.parametrize("whole", [100, 107, 114, 500, 601.3])
def test_exactly_linear_is_not_less_than_linear_whatever_rounding_says(tmp_path: Path, whole: float) -> None:
    header = "source,gpu,vram,engine,threads,time_s\n"
    claim = Claim(says="x", better={"memory_fraction": 1}, than={"memory_fraction": 0.5})
    claim = claim.model_copy(update={"less_than_linear_in": "memory_fraction"})
    for half, verdict in ((2, "no difference shown"), (1.99, "supported"), (2.01, "contradicted")):
        table = tmp_path / f"{half}.csv"
        table.write_text(f"{header}paper,cpu,48/48,x,1,{whole}\npaper,cpu,24/48,x,1,{half * whole}\n")
        assert judge_claim(claim, evidence_of(*EMPTY, Settings(published=(str(table),))), "paper").verdict == verdict


@pytest.mark.parametrize("levels", [[0.5, 0.5], ["x", "y"], [0.9, 0.5]])
def test_without_more_of_the_axis_nothing_is_less_than_linear_in_it(levels: list[Any]) -> None:
    points, sessions = planted({"engine": ["a", "b"]}, lambda p: 9.0 if p["engine"] == "b" else 10.0, 0.01)
    points = points.assign(memory_fraction=levels)
    claim = BETTER | {"less_than_linear_in": "memory_fraction", "matched_on": ["gpu"]}
    ruling = measured(claim, (points, sessions), ("memory_fraction",))
    reason = "no two usable rows agree on the axes that are matched, the first with more memory_fraction"
    assert (ruling.verdict, ruling.because) == ("not measured", reason)


@pytest.mark.parametrize(
    ("time_s", "verdict"), [(106.0, "supported"), (107.0, "contradicted"), (105.0, "contradicted")]
)
def test_an_effect_that_is_just_what_is_stated_is_stated_right(tmp_path: Path, time_s: float, verdict: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"source,gpu,engine,threads,time_s\npaper,cpu,b,1,100\npaper,cpu,a,1,{time_s}\n")
    claim = Claim.model_validate({"says": "x", "at_least": 0.06, "at_most": 0.06, **BETTER})
    assert judge_claim(claim, evidence_of(*EMPTY, Settings(published=(str(table),))), "paper").verdict == verdict


def test_published_rows_and_measured_ones_are_never_mixed() -> None:
    points, sessions = planted({"engine": ["tgi"], "gpu": ["4090"], "threads": [128], "speculation": ["2"]})
    evidence = evidence_of(points, sessions, Settings(published=(TABLE,)))
    claim = Claim(says="x", better={"gpu": "4090"}, than={"gpu": "A6000"})
    assert evidence.sources == ["measured", "the article"]
    assert judge_claim(claim, evidence, MEASURED).verdict == "not measured"
    assert len(judge_claim(claim, evidence, "the article").comparisons) == 1


def goodputs(of: dict[tuple[str, int], list[float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and sessions of engines a and b at every level of threads, with these goodputs of their sessions."""
    threads = sorted({level for _, level in of})
    points, sessions = planted({"engine": ["a", "b"], "threads": threads}, sessions=len(next(iter(of.values()))))
    places = zip(points["engine"], points["threads"], strict=True)
    values = [of[place] for place in places]
    points = points.assign(
        goodput_requests_per_s=[sum(session_values) / len(session_values) for session_values in values]
    )
    return points, sessions.assign(
        goodput_requests_per_s=[value for session_values in values for value in session_values]
    )


AHEAD = {"metric": "goodput_requests_per_s", "better": {"engine": "a"}, "than": {"engine": "b"}}


def test_a_row_that_is_zero_is_the_worst_and_is_named() -> None:
    tables = goodputs({("a", 4): [8.0, 8.1], ("b", 4): [4.0, 4.1], ("a", 64): [0.0, 0.0], ("b", 64): [35.0, 36.0]})
    ruling = measured(AHEAD, tables)
    assert (ruling.verdict, ruling.count("supported"), ruling.count("contradicted")) == ("contradicted", 1, 1)
    assert "engine a, threads 64: 0 in 2 of 2 sessions" in ruling.because
    other_way = measured(AHEAD | {"better": {"engine": "b", "threads": 64}, "than": {"engine": "a"}}, tables)
    assert other_way.verdict == "supported"


@pytest.mark.parametrize("a", [[15.9, 15.9, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.1], [15.9, 15.9, 15.9, 15.9, 0.0]])
def test_sessions_of_zero_are_not_left_out(a: list[float]) -> None:
    ruling = measured(AHEAD, goodputs({("a", 4): a, ("b", 4): [10.6, 10.6, 10.7, 10.5, 10.6]}))
    assert ruling.verdict == "no difference shown" and ruling.deciding
    assert ruling.deciding.effect.value == pytest.approx(sum(a) / 53) and "engine a: 0 in" in ruling.because


def test_no_time_is_no_reading() -> None:
    points, sessions = faster(0.2)
    ruling = measured(BETTER, (points.assign(time_s=[10.0, 0.0]), sessions))
    assert ruling.verdict == "not measured"


@pytest.mark.slow
@pytest.mark.parametrize(("sessions", "levels"), [(2, [1]), (3, [1, 2, 4]), (5, [1]), (4, [1, 2, 4, 8])])
def test_noise_alone_is_rarely_taken_for_an_effect(sessions: int, levels: list[int]) -> None:
    """200 claims about two engines that differ in nothing: at most the 5 % of wrong verdicts that the intervals state,
    and three standard errors of chance."""
    tries = 200
    tables = planted({"engine": ["a", "b"], "threads": levels, "rate": range(tries)}, noise=0.05, sessions=sessions)
    evidence = evidence_of(*tables, Settings(axes=("rate",)))
    rulings = [
        judge_claim(
            Claim(says="x", better={"engine": "b", "rate": n}, than={"engine": "a", "rate": n}), evidence, MEASURED
        )
        for n in range(tries)
    ]
    assert {len(ruling.comparisons) for ruling in rulings} == {len(levels)}
    wrong = sum(ruling.verdict != "no difference shown" for ruling in rulings)
    assert wrong / tries <= 0.05 + 3 * (0.05 * 0.95 / tries) ** 0.5
