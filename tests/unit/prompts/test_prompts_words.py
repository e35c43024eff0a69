"""Lengths and words of generated prompts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from isolation import REPOSITORY
from servegrid.model.vocabulary import tokenizer_json
from servegrid.prompts import files
from servegrid.prompts.files import Prompt
from servegrid.prompts.generate import generate_prompts, warmup_prompts
from servegrid.prompts.length_distribution import LengthDistribution, draw_lengths
from servegrid.prompts.word_source import COMMON_WORDS, word_source_for


@pytest.fixture(scope="module")
def builtin_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("builtin") / "tokenizer.json"
    path.write_text(tokenizer_json())
    return path


@pytest.fixture(scope="module")
def other_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in one under another name: its file differs, so it is some user's."""
    content = json.loads(tokenizer_json()) | {"truncation": None, "version": "1.0", "padding": None}
    path = tmp_path_factory.mktemp("other") / "tokenizer.json"
    path.write_text(json.dumps(content, indent=1))
    return path


def counted(tokenizer: Path, prompts: list[Prompt]) -> list[int]:
    loaded = Tokenizer.from_file(str(tokenizer))
    return [len(loaded.encode(prompt.text).ids) for prompt in prompts]


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 200), st.integers(0, 900), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_lengths_keep_their_bounds_and_their_mean(count: int, least: int, more: int, most: int, seed: int) -> None:
    spread = LengthDistribution(least + more, least, least + more + most)
    drawn = draw_lengths(str(seed), count, spread)
    assert len(drawn) == count and min(drawn) >= spread.minimum and max(drawn) <= spread.maximum
    if most >= more:  # else nearly all would have to be the longest
        assert sum(drawn) <= spread.mean * count
        assert count < 20 or sum(drawn) > spread.mean * count - count


def test_lengths_are_skewed() -> None:
    drawn = sorted(draw_lengths("skew", 1000, LengthDistribution(100, 10, 1000)))
    assert drawn[500] < 0.9 * 100, "the median lies below the mean"
    assert drawn[990] > 3 * drawn[500], "some are very long"


@pytest.mark.parametrize("tokenizer_fixture", ["builtin_tokenizer", "other_tokenizer"])
def test_lengths_are_exact_with_a_tokenizer(tokenizer_fixture: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Path = request.getfixturevalue(tokenizer_fixture)
    prompts = generate_prompts(60, LengthDistribution(40, 5, 120), None, 3, word_source_for(tokenizer))
    assert counted(tokenizer, prompts) == draw_lengths("prompts/3/input", 60, LengthDistribution(40, 5, 120))
    assert all(prompt.max_tokens is None for prompt in prompts)


def test_a_users_tokenizer_gets_words_of_its_own(other_tokenizer: Path) -> None:
    vocabulary = Tokenizer.from_file(str(other_tokenizer)).get_vocab()
    words = word_source_for(other_tokenizer).words("x", 200)
    assert all(f"\u0120{word}" in vocabulary for word in words)
    assert len(set(words)) < 120, "a text repeats itself"


def test_without_a_tokenizer_the_words_are_english() -> None:
    assert set(word_source_for(None).words("x", 100)) <= set(COMMON_WORDS)
    text = generate_prompts(1, LengthDistribution.fixed(40), None, 0, word_source_for(None))[0].text
    assert len(text.split()) == 30, "three words for four tokens"


def test_output_lengths_spread_if_asked(builtin_tokenizer: Path) -> None:
    prompts = generate_prompts(
        200, LengthDistribution.fixed(8), LengthDistribution.parse("64:16:200"), 0, word_source_for(builtin_tokenizer)
    )
    output_lengths = [prompt.max_tokens or 0 for prompt in prompts]
    assert (
        sum(output_lengths) == 64 * 200
        and min(output_lengths) >= 16
        and max(output_lengths) <= 200
        and len(set(output_lengths)) > 40
    )


def test_more_words_begin_with_the_fewer(builtin_tokenizer: Path) -> None:
    for source in (word_source_for(builtin_tokenizer), word_source_for(None)):
        assert source.words("x", 50)[:20] == source.words("x", 20)


def test_warm_up_begins_as_no_measured_prompt_does() -> None:
    measured = [Prompt(str(i), f"{character} is a fine beginning") for i, character in enumerate("1234567890#")]
    warm = warmup_prompts(3, 0, word_source_for(None), measured)
    assert {prompt.text[0] for prompt in warm} == {"@"}
    assert len({prompt.text for prompt in warm}) == 3
    with pytest.raises(ValueError, match="no warm-up prompt can differ"):
        warmup_prompts(1, 0, word_source_for(None), [Prompt(c, c) for c in "1234567890#@%&*+=~"])


@pytest.mark.slow
def test_command_line(builtin_tokenizer: Path, tmp_path: Path) -> None:
    script = REPOSITORY / "workflow" / "scripts" / "build_prompts.py"
    command = [sys.executable, script, "--tokenizer", builtin_tokenizer, "--count", "5", "--input-mean", "20"]
    command += ["--output-tokens", "7", "--seed", "3", "--out", tmp_path / "prompts.jsonl"]
    subprocess.run(command, check=True)
    source = word_source_for(builtin_tokenizer)
    assert files.read_prompts(tmp_path / "prompts.jsonl") == generate_prompts(
        5, LengthDistribution(20, 5, 80), LengthDistribution.fixed(7), 3, source
    )
    wrong = subprocess.run([*command, "--input-min", "0"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "minimum 0" in wrong.stderr and "Traceback" not in wrong.stderr
