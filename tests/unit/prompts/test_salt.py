"""Salts: others everywhere else, the same at the same place, and of one length in tokens."""

from tokenizers import Tokenizer

from servegrid.model.vocabulary import tokenizer_json
from servegrid.prompts.files import Prompt
from servegrid.prompts.salt import LETTERS, MOST_TOKENS, SaltedPrompts, salted

PROMPT = Prompt("p1", "Once upon a time", 8)


def test_a_salted_prompt_is_another_prompt_that_says_its_salt() -> None:
    first = salted(PROMPT, "seed", 1, "threads-1", 0)
    assert first == salted(PROMPT, "seed", 1, "threads-1", 0) and first.max_tokens == 8
    letters = first.id.removeprefix("p1@")
    assert first.text == f"{' '.join(letters)}\n{PROMPT.text}" and len(letters) == LETTERS and letters.isalpha()


def test_no_place_has_another_s_salt() -> None:
    places = [(seed, rep, load, time) for seed in "ab" for rep in range(9) for load in range(9) for time in range(9)]
    assert len({salted(PROMPT, *place).text for place in places}) == len(places)


def test_every_salt_is_as_many_tokens() -> None:
    tokenizer = Tokenizer.from_str(tokenizer_json())
    texts = [PROMPT.text, "dogu kami", "\n\nA list:\n1. one"]
    for text in texts:
        plain = len(tokenizer.encode(text).ids)
        more = {len(tokenizer.encode(salted(Prompt("p", text), n).text).ids) - plain for n in range(200)}
        assert len(more) == 1 and max(more) <= MOST_TOKENS


def test_a_text_never_stands_behind_the_same_salt_twice_and_one_round_shares_one() -> None:
    prompts = [Prompt("a", "same"), Prompt("b", "other"), Prompt("c", "same")]
    source = SaltedPrompts(prompts, "place")
    sent = [source.prompt(number) for number in range(9)]
    assert len({prompt.text for prompt in sent}) == len({prompt.id for prompt in sent}) == 9
    salts = [prompt.text.partition("\n")[0] for prompt in sent]
    assert salts[0] == salts[1] != salts[2] and salts[3] not in salts[:3]
    assert [prompt.text.partition("\n")[2] for prompt in sent] == ["same", "other", "same"] * 3
