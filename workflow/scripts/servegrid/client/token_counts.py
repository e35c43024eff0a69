"""Hold token counts against what was asked for and against what arrived."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from servegrid.records.request import RequestRecord

SPLIT_FACTOR, SPLIT_TOKENS = 1.5, 2
"""By which factor, and by how many tokens more, a model may have split a text more finely than the tokenizer does."""
_REPLACED = "\ufffd"
"""Stands for bytes that are no text; how many tokens they were cannot be told."""


class Tokenizer(Protocol):
    """Tokenizer as in the tokenizers library."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        """Encode a text; the `ids` of the result are its tokens."""


class LazyTokenizer:
    """Tokenizer of a file, loaded with the first text to count, as most servers count for themselves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokenizer: Any = None

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        """Encode a text, as in the tokenizers library."""
        if self._tokenizer is None:
            from tokenizers import Tokenizer as Library

            self._tokenizer = Library.from_file(str(self._path))
        return self._tokenizer.encode(sequence, add_special_tokens=add_special_tokens)


def finish_records(records: Iterable[tuple[RequestRecord, bool]], tokenizer: Tokenizer | None) -> None:
    """Count tokens where the server did not, and mark answers whose count cannot be, or is less than was asked for.

    Args:
        records: changed in place; each with whether the model was told not to stop early. If it was not, only an answer that
            was cut at the limit can be short.
        tokenizer: of the model, None if there is none: counts stay unknown then.
    """
    for record, exact in records:
        if record.output_tokens is None and record.text and tokenizer is not None:
            _count_text(record, _text_tokens(record.text, tokenizer))
        if record.status != "ok":
            continue
        if (problem := count_problem(record, tokenizer)) is not None:
            record.status, record.error = "malformed", problem
        elif (exact or record.finish_reason == "length") and _is_short(record):
            reason = record.finish_reason or "no finish reason"
            record.status, record.error = "short", f"{record.output_tokens} of {record.max_tokens} tokens ({reason})"


def _count_text(record: RequestRecord, tokens: int) -> None:
    """Take a tokenizer's count; unknown where it is more than was asked for and the events are not: another model's, or a false answer."""
    if _is_beyond(tokens, record.max_tokens) and not _is_beyond(len(record.chunk_offsets_s), record.max_tokens):
        return
    record.output_tokens, record.tokens_from = tokens, "tokenizer"


def _is_short(record: RequestRecord) -> bool:
    """Whether tokens are missing; a tokenizer's count alone does not show it, as the model may have split the text otherwise."""
    is_certain = record.tokens_from == "usage" or record.finish_reason == "stop"
    return is_certain and record.output_tokens is not None and record.output_tokens < record.max_tokens


def count_problem(record: RequestRecord, tokenizer: Tokenizer | None) -> str | None:
    """Why the count of output tokens cannot be; None if it can, or is unknown."""
    if record.output_tokens is None:
        return None
    if record.tokens_from == "tokenizer":
        return _tokenizer_problem(record)
    if record.output_tokens > record.max_tokens:
        return f"the server counts {record.output_tokens} output tokens, of {record.max_tokens} that were asked for"
    return _running_problem(record) or _text_problem(record, tokenizer)


def _tokenizer_problem(record: RequestRecord) -> str | None:
    """As `count_problem`, of a text that the server gave no count of."""
    if not _is_beyond(record.output_tokens or 0, record.max_tokens):
        return None
    return f"the text has {record.output_tokens} tokens by the tokenizer, of {record.max_tokens} that were asked for"


def _running_problem(record: RequestRecord) -> str | None:
    """As `count_problem`, by the counts of the events: what follows the last of them is no more than an event carries."""
    counts = record.chunk_tokens or []
    steps = [later - earlier for earlier, later in pairwise([0, *counts])]
    if not counts or counts[-1] <= (record.output_tokens or 0) <= counts[-1] + max(steps):
        return None
    return f"the server counts {record.output_tokens} output tokens, and {counts[-1]} at the last event with output"


def _text_problem(record: RequestRecord, tokenizer: Tokenizer | None) -> str | None:
    """As `count_problem`, by the text, where events must have carried several tokens each: every one of them is in the text."""
    arrived = (record.output_tokens or 0) - (record.hidden_tokens or 0)
    in_text, text = arrived - record.textless_tokens, record.text or ""
    if arrived <= len(record.chunk_offsets_s):
        return None
    said = f"the server counts {arrived} output tokens in {len(record.chunk_offsets_s)} events"
    if in_text > len(text.encode()):
        return f"{said}, whose text has {len(text.encode())} bytes"
    if tokenizer is None or _REPLACED in text:
        return None
    tokens = _text_tokens(text, tokenizer)
    return f"{said}, whose text has {tokens} tokens by the tokenizer" if _is_beyond(in_text, tokens) else None


def _is_beyond(tokens: int, limit: int) -> bool:
    """Whether tokens are more than a text of `limit` tokens can have been split into."""
    return tokens > SPLIT_FACTOR * limit + SPLIT_TOKENS


def _text_tokens(text: str, tokenizer: Tokenizer) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)
