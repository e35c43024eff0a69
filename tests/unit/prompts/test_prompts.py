"""Prompt sets: the same bytes everywhere when generated; clear errors when they are the user's."""

from hashlib import sha256
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from servegrid.model.vocabulary import tokenizer_json
from servegrid.prompts import files
from servegrid.prompts.files import Prompt, PromptFileError
from servegrid.prompts.generate import generate_prompts, warmup_prompts
from servegrid.prompts.length_distribution import LengthDistribution
from servegrid.prompts.word_source import word_source_for


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(tokenizer_json())
    return path


def made(tokenizer: Path | None, count: int, mean: int, longest: int, seed: int) -> list[Prompt]:
    return generate_prompts(
        count, LengthDistribution(mean, 4, longest), LengthDistribution.fixed(16), seed, word_source_for(tokenizer)
    )


def lengths(tokenizer: Path, prompts: list[Prompt]) -> list[int]:
    counter = Tokenizer.from_file(str(tokenizer))
    return [len(counter.encode(prompt.text).ids) for prompt in prompts]


def test_generated_prompts_are_fixed(tokenizer: Path, tmp_path: Path) -> None:
    """These very bytes are part of results; a change needs another resolve.PROMPTS_VERSION, and a new hash here."""
    files.write_prompts(tmp_path / "prompts.jsonl", made(tokenizer, 24, 48, 160, 1))
    assert sha256((tmp_path / "prompts.jsonl").read_bytes()).hexdigest()[:16] == "6cf2257e5e029eef"


def test_lengths_spread_around_the_mean(tokenizer: Path) -> None:
    token_counts = lengths(tokenizer, made(tokenizer, 200, 48, 120, 1))
    assert 47 < sum(token_counts) / len(token_counts) < 49
    assert min(token_counts) >= 4 and max(token_counts) <= 120
    assert sorted(token_counts)[100] < 48 and max(token_counts) > 100, "many short ones and a long tail"


def test_prompts_differ_and_depend_on_the_seed(tokenizer: Path) -> None:
    first = {prompt.text for prompt in made(tokenizer, 50, 30, 100, 1)}
    second = {prompt.text for prompt in made(tokenizer, 50, 30, 100, 2)}
    assert len(first | second) == 100


def test_another_tokenizer_gets_ordinary_words(tmp_path: Path) -> None:
    word_level = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    word_level.pre_tokenizer = WhitespaceSplit()
    word_level.save(str(tmp_path / "tokenizer.json"))
    token_counts = lengths(tmp_path / "tokenizer.json", made(tmp_path / "tokenizer.json", 20, 40, 60, 1))
    assert min(token_counts) >= 4 and max(token_counts) <= 60


def test_without_a_tokenizer_it_says_so() -> None:
    assert len(made(None, 5, 20, 40, 1)) == 5
    assert word_source_for(None).note


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="mean 50, minimum 4, maximum 40 tokens do not exist"):
        LengthDistribution(50, 4, 40)
    with pytest.raises(ValueError, match="'a:b' is no length"):
        LengthDistribution.parse("a:b")


def test_warm_up_shares_no_beginning(tokenizer: Path) -> None:
    measured = made(tokenizer, 50, 30, 100, 1)
    warm = warmup_prompts(8, 0, word_source_for(tokenizer), measured)
    assert not {prompt.text[0] for prompt in warm} & {prompt.text[0] for prompt in measured}


def test_round_trip(tmp_path: Path) -> None:
    prompts = [Prompt("a", "Grüße\nzwei", 5), Prompt("b", "x")]
    files.write_prompts(tmp_path / "p.jsonl", prompts)
    assert files.read_prompts(tmp_path / "p.jsonl") == prompts


@pytest.mark.parametrize(
    ("line", "message_parts"),
    [
        ('{"promt": "x"}', ["line 2", "promt", "prompt, max_tokens"]),
        ('{"prompt": ""}', ["line 2", "prompt"]),
        ('{"prompt": 5}', ["line 2", "prompt", "5"]),
        ('{"prompt": "x", "max_tokens": 0}', ["line 2", "max_tokens", "0"]),
        ('{"prompt": "x", "max_tokens": true}', ["max_tokens", "true"]),
        ('{"prompt": "x", "id": "1"}', ["1"]),
        ("not json", ["line 2", "JSON"]),
        ("[1]", ["line 2", "object"]),
        ("[" * 100_000, ["line 2", "nested too deep", "one JSON object a line"]),
        ('{"prompt": ' + '{"a":' * 100_000, ["line 2", "nested too deep"]),
        ('{"prompt": "x", "max_tokens": ' + "9" * 5000 + "}", ["line 2", "digits", "one JSON object a line"]),
        ('{"prompt": "x", "max_tokens": ' + "9" * 4000 + "}", ["line 2", "max_tokens", "9999...", "2147483647"]),
        ('{"prompt": "x", "max_tokens": NaN}', ["line 2", "max_tokens", "NaN"]),
        ('{"prompt": "x", "max_tokens": 4, "prompt": "y"}', ["line 2", '"prompt"', "more than once"]),
    ],
)
def test_a_mistake_names_file_line_key_and_value(tmp_path: Path, line: str, message_parts: list[str]) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "fine"}\n' + line + "\n")
    with pytest.raises(PromptFileError) as caught:
        files.read_prompts(path)
    assert all(word in str(caught.value) for word in ["mine.jsonl", *message_parts]), caught.value


def test_no_file_and_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match="nowhere"):
        files.read_prompts(tmp_path / "nowhere")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(PromptFileError, match="no prompt"):
        files.read_prompts(tmp_path / "empty")
