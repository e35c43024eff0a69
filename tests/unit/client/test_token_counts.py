"""Counts of output tokens held against what was asked for and what arrived, at their limits."""

from typing import Any

import pytest

from servegrid.client.token_counts import count_problem, finish_records
from servegrid.records.schema import RequestRecord


class Words:
    """A tokenizer: words are tokens."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        return type("Encoding", (), {"ids": sequence.split()})


def record(tokens: int | None, events: int = 4, **changes: Any) -> RequestRecord:
    """An answer of so many tokens by the server's count, in so many events of a word each."""
    text = " ".join(["word"] * events)
    fields: dict[str, Any] = {"tokens_from": "usage", "chunk_offsets_s": [0.1] * events, "text": text}
    return RequestRecord("r", "p", 64, "ok", output_tokens=tokens, **fields | changes)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (record(None), None),
        (record(4), None),
        (record(64, 64), None),
        (record(65, 64), "the server counts 65 output tokens, of 64 that were asked for"),
        # counts of the events: what follows the last is no more than an event carries, the first among them
        (record(12, 3, chunk_tokens=[5, 6, 7], text="w " * 12), None),
        (
            record(13, 3, chunk_tokens=[5, 6, 7], text="w " * 13),
            "the server counts 13 output tokens, and 7 at the last event with output",
        ),
        (
            record(6, 3, chunk_tokens=[5, 6, 7]),
            "the server counts 6 output tokens, and 7 at the last event with output",
        ),
        (record(8, 3, chunk_tokens=[1, 2, 7], text="w " * 8), None),
        # more tokens than events: a token has a byte at least, but for those that are told to have none
        (record(9, 2, text="nine byte"), None),
        (record(10, 2, text="nine byte"), "the server counts 10 output tokens in 2 events, whose text has 9 bytes"),
        (record(10, 2, text="nine byte", textless_tokens=1), None),
        (record(10, 2, text="nine bytè"), None),
        (record(60, 4, text="word", hidden_tokens=56), None),
        (
            record(60, 4, text="word", hidden_tokens=51),
            "the server counts 9 output tokens in 4 events, whose text has 4 bytes",
        ),
        (record(3, 4, text=""), None),
    ],
)
def test_a_count_by_the_server(answer: RequestRecord, problem: str | None) -> None:
    assert count_problem(answer, None) == problem


@pytest.mark.parametrize(("tokens", "is_possible"), [(8, True), (9, False)])
def test_a_tokenizer_bounds_what_the_text_can_hold(tokens: int, is_possible: bool) -> None:
    """A model may split a text otherwise: of four tokens half as many more, and two."""
    long_text = "w" * 90 + " b c d"
    said = f"the server counts {tokens} output tokens in 3 events, whose text has 4 tokens by the tokenizer"
    assert count_problem(record(tokens, 3, text=long_text), Words()) == (None if is_possible else said)
    assert count_problem(record(tokens, 3, text=long_text + "\ufffd"), Words()) is None, (
        "bytes that are no text were lost"
    )


@pytest.mark.parametrize(
    ("tokens", "events", "outcome"),
    [
        (8, 8, ("ok", 8, "tokenizer")),
        (9, 9, ("malformed", 9, "tokenizer")),
        (9, 8, ("ok", None, None)),
        (33_575, 1, ("ok", None, None)),
    ],
)
def test_more_tokens_by_the_tokenizer_than_were_asked_for_are_no_count(
    tokens: int, events: int, outcome: tuple[str, int | None, str | None]
) -> None:
    """Of 4 that were asked for; the events tell whether the answer is too long or the tokenizer another model's."""
    answer = RequestRecord("r", "p", 4, "ok", text="w " * tokens, chunk_offsets_s=[0.1] * events)
    finish_records([(answer, False)], Words())
    assert (answer.status, answer.output_tokens, answer.tokens_from) == outcome
