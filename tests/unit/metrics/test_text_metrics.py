"""Texts held against texts whose likeness can be worked out by hand, or was planted."""

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from data.results import WORDS
from servegrid.metrics import texts as texts_module
from servegrid.metrics.texts import Answers, compare_texts, exceeds_floor, first_difference
from servegrid.metrics.trigrams import qgram_distance, trigrams
from servegrid.records.schema import RequestRecord, requests_table, write_requests


def sentence(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def noise(seed: int, length: int = 300) -> str:
    return "".join(random.Random(seed).choices([chr(code) for code in range(0x4E00, 0x4F00)], k=length))


def answers(folder: Path, texts: dict[str, str], **status: str) -> Answers:
    records = [
        RequestRecord(f"r{n}", prompt, 8, status.get(prompt, "ok"), text=text)  # type: ignore[arg-type]
        for n, (prompt, text) in enumerate(texts.items())
    ]
    write_requests(folder, records)
    return Answers(requests_table(records), (folder,))


BASE = {f"p{n}": sentence(n) for n in range(20)}


@pytest.fixture
def baseline(tmp_path: Path) -> Answers:
    return answers(tmp_path / "baseline", BASE)


def test_equal_texts(tmp_path: Path, baseline: Answers) -> None:
    sameness = compare_texts([answers(tmp_path / "a", BASE)], baseline)
    assert sameness.agreement == 1.0 and set(sameness.changed.values()) == {0.0}
    assert sameness.divergence_characters_p50 is None and sameness.text_distance is None and sameness.garble is None


def test_a_late_split_an_early_split_and_garbage_are_told_apart(tmp_path: Path, baseline: Answers) -> None:
    late = {prompt: text[:-20] + "x" * 20 for prompt, text in BASE.items()}
    early = {prompt: text[:10] + sentence(1000 + n) for n, (prompt, text) in enumerate(BASE.items())}
    rubbish = {prompt: text[:10] + noise(n) for n, (prompt, text) in enumerate(BASE.items())}
    stuck = {prompt: text[:10] + "!" * 300 for prompt, text in BASE.items()}
    sameness = {
        name: compare_texts([answers(tmp_path / name, texts)], baseline)
        for name, texts in {"late": late, "early": early, "rubbish": rubbish, "stuck": stuck}.items()
    }
    assert all(compared.agreement == 0 for compared in sameness.values())
    assert sameness["late"].divergence_characters_p50 == pytest.approx(len(BASE["p0"]) - 20, rel=0.1)
    assert sameness["early"].divergence_characters_p50 == pytest.approx(10, abs=2)
    distances = [sameness[name].text_distance or 0 for name in ("late", "early", "rubbish")]
    assert distances == sorted(distances) and distances[0] < 0.15 and distances[2] > 0.9
    assert {name: compared.garble for name, compared in sameness.items()} == {
        "late": 0,
        "early": 0,
        "rubbish": 1,
        "stuck": 1,
    }


def test_only_ok_answers_to_common_prompts_are_compared(tmp_path: Path, baseline: Answers) -> None:
    texts = {"p0": BASE["p0"], "p1": "other", "p2": "broken", "elsewhere": "?"}
    sameness = compare_texts([answers(tmp_path / "a", texts, p2="error")], baseline)
    assert sameness.changed == {"p0": 0.0, "p1": 1.0} and sameness.agreement == 0.5
    assert compare_texts([answers(tmp_path / "b", {"elsewhere": "?"})], baseline) == texts_module.Sameness()
    assert compare_texts([], baseline) == texts_module.Sameness()


def test_sessions_are_pooled(tmp_path: Path, baseline: Answers) -> None:
    same, other = answers(tmp_path / "a", BASE), answers(tmp_path / "b", BASE | {"p0": "other"})
    sameness = compare_texts([same, other], baseline)
    assert sameness.agreement == pytest.approx(39 / 40) and sameness.changed["p0"] == 0.5


def test_without_texts_the_hashes_still_tell(tmp_path: Path, baseline: Answers) -> None:
    other = answers(tmp_path / "a", BASE | {"p0": "other"})
    (tmp_path / "a" / "texts.parquet").unlink()
    sameness = compare_texts([other], baseline)
    assert sameness.agreement == pytest.approx(19 / 20) and sameness.text_distance is None


def test_at_most_a_sample_of_the_texts_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_module, "SAMPLED_TEXTS", 4)
    baseline = answers(tmp_path / "baseline", BASE)
    read: list[str] = []
    monkeypatch.setattr(texts_module, "first_difference", lambda text, original: read.append(text) or 0)
    compare_texts([answers(tmp_path / "a", {prompt: f"{text}." for prompt, text in BASE.items()})], baseline)
    assert len(read) == 4


@pytest.mark.parametrize(
    ("first", "second", "position"),
    [("abc", "abd", 2), ("abc", "abc", 3), ("ab", "abc", 2), ("", "a", 0), ("xbc", "abc", 0)],
)
def test_first_difference(first: str, second: str, position: int) -> None:
    assert first_difference(first, second) == position


def test_distance_by_hand() -> None:
    # abcd: abc bcd; abce: abc bce: two of four are in one text only
    assert qgram_distance(trigrams("abcd"), trigrams("abce")) == pytest.approx(0.5)
    assert qgram_distance(trigrams("aaaa"), trigrams("aaa")) == pytest.approx(1 / 3), "how often counts"
    assert qgram_distance(trigrams("ab"), trigrams("abc")) == 1.0
    assert qgram_distance(trigrams("\U0001f600\U0001f601\U0001f602"), trigrams("\U0001f600\U0001f601\U0001f602")) == 0


@pytest.mark.parametrize(
    ("more", "less", "verdict"),
    [(0, 0, False), (4, 0, None), (5, 0, True), (5, 4, False), (2, 5, False), (12, 2, True)],
)
def test_a_change_must_go_beyond_the_floor(more: int, less: int, verdict: bool | None) -> None:
    changed = {f"m{n}": 1.0 for n in range(more)} | {f"l{n}": 0.0 for n in range(less)} | {"same": 0.0}
    floor = {f"m{n}": 0.0 for n in range(more)} | {f"l{n}": 1.0 for n in range(less)} | {"same": 0.0}
    assert exceeds_floor(changed, floor) is verdict
    assert exceeds_floor(changed, {}) is False


def test_a_change_over_a_hundred_thousand_prompts() -> None:
    """One-sided at 5 %: the normal quantile 1.645 times half the root of their number, 260, above the middle."""
    for above, verdict in ((250, False), (270, True), (-270, False)):
        more = 50_000 + above
        changed = {str(n): float(n < more) for n in range(100_000)}
        floor = {str(n): float(n >= more) for n in range(100_000)}
        assert exceeds_floor(changed, floor) is verdict


def test_several_loads_with_other_prompts_each_are_one_baseline(tmp_path: Path) -> None:
    """As the sessions of a server whose prompts are salted."""
    originals = [{f"p{n}@{salt}": sentence(n) for n in range(6)} for salt in "ab"]
    baseline = Answers.joined([answers(tmp_path / f"b{n}", texts) for n, texts in enumerate(originals)])
    later = answers(tmp_path / "later", originals[1] | {"p0@b": sentence(0)[:50] + "another end", "p1@c": "new"})
    sameness = compare_texts([later], baseline)
    assert sameness.agreement == pytest.approx(5 / 6) and sameness.divergence_characters_p50 == 50
    assert sameness.changed == {f"p{n}@b": float(n == 0) for n in range(6)}


def test_behind_other_salts_nothing_but_garbage_is_told(tmp_path: Path) -> None:
    def salted(texts: Iterable[str], letter: str) -> dict[str, str]:
        return {f"p{n}@{letter * 8}": text for n, text in enumerate(texts)}

    baseline = answers(tmp_path / "baseline", salted(map(sentence, range(20)), "a"))
    good = answers(tmp_path / "good", salted(map(sentence, range(100, 120)), "b"))
    garbage = answers(tmp_path / "garbage", salted(map(noise, range(20)), "c"))
    for load, is_garbled in ((good, False), (garbage, True)):
        sameness = compare_texts([load], baseline)
        assert sameness.garble is not None and (sameness.garble > 0) == is_garbled
        assert replace(sameness, garble=None) == texts_module.Sameness()
    assert compare_texts([garbage], baseline, read_texts=False) == texts_module.Sameness()
