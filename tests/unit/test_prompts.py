"""Prompt sets: the same bytes everywhere when generated; clear errors when they are the user's."""

import hashlib
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from servegrid.model.vocabulary import tokenizer_json
from servegrid.prompts.files import Prompt, PromptError, read_prompts, write_prompts
from servegrid.prompts.generate import SHORTEST, generated, warmup_prompts


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(tokenizer_json())
    return path


def lengths(tokenizer: Path, prompts: list[Prompt]) -> list[int]:
    counter = Tokenizer.from_file(str(tokenizer))
    return [len(counter.encode(prompt.text).ids) for prompt in prompts]


def test_generated_prompts_are_fixed(tokenizer: Path) -> None:
    """These very bytes are part of results that were measured; a change needs a new generate.VERSION, and a new hash here."""
    text = "\n".join(prompt.text for prompt in generated(tokenizer, 24, 48, 160, 1))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "HASH"


def test_lengths_spread_around_the_mean(tokenizer: Path) -> None:
    found = lengths(tokenizer, generated(tokenizer, 400, 48, 90, 1))
    assert 43 < sum(found) / len(found) < 53
    assert SHORTEST <= min(found) < 20 and 85 < max(found) <= 92
    assert sorted(found)[200] < 48


def test_prompts_differ_and_depend_on_the_seed(tokenizer: Path) -> None:
    first = [prompt.text for prompt in generated(tokenizer, 100, 30, 100, 1)]
    second = [prompt.text for prompt in generated(tokenizer, 100, 30, 100, 2)]
    assert len({*first, *second}) == 200
    assert [prompt.text for prompt in generated(tokenizer, 50, 30, 100, 1)] == first[:50], (
        "a longer set begins with a shorter one"
    )


def test_another_tokenizer_gets_english_words(tmp_path: Path) -> None:
    words = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    prompts = generated(tmp_path / "tokenizer.json", 20, 40, 60, 1)
    assert all(4 <= length <= 61 for length in lengths(tmp_path / "tokenizer.json", prompts))
    assert prompts[0].text[0].isupper()


def test_warm_up_shares_no_beginning(tokenizer: Path) -> None:
    measured = [prompt.text for prompt in generated(tokenizer, 100, 30, 100, 1)]
    warm = [prompt.text for prompt in warmup_prompts(64, 0)]
    assert len({text[:3] for text in warm}) == 64
    assert not {text[:3] for text in warm} & {text[:3] for text in measured}


def test_round_trip(tmp_path: Path) -> None:
    prompts = [Prompt("a", "Grüße\nzwei", 5), Prompt("b", "x")]
    write_prompts(tmp_path / "p.jsonl", prompts)
    assert read_prompts(tmp_path / "p.jsonl") == prompts


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"promt": "x"}', "line 2: key 'promt' is unknown (allowed: id, prompt, max_tokens)"),
        ('{"prompt": ""}', "line 2: prompt = '': must be text, not empty"),
        ('{"prompt": 5}', "line 2: prompt = 5"),
        ('{"prompt": "x", "max_tokens": 0}', "line 2: max_tokens = 0: must be a whole number, at least 1"),
        ('{"prompt": "x", "max_tokens": true}', "max_tokens = True"),
        ('{"prompt": "x", "id": "1"}', "id '1' stands twice"),
        ("not json", "line 2: not JSON"),
        ("[1]", "line 2: [1] is not an object"),
    ],
)
def test_a_mistake_names_file_line_key_and_value(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "fine"}\n' + line + "\n")
    with pytest.raises(PromptError) as caught:
        read_prompts(path)
    assert words in str(caught.value) and "mine.jsonl" in str(caught.value)


def test_no_file_and_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="nowhere"):
        read_prompts(tmp_path / "nowhere")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(PromptError, match="holds no prompt"):
        read_prompts(tmp_path / "empty")
