"""Collect the output of one answer from its events, and read token counts of servers."""

from itertools import pairwise
from typing import Any

from servegrid.protocols._cumulative import new_texts
from servegrid.records.request import RequestRecord


class UnknownShapeError(ValueError):
    """Output is there, in a shape that cannot be read: it may not be passed over."""


class Output:
    """Collects text, arrivals and token counts of the events that carry output."""

    __slots__ = ("_empty_s", "_text", "_times_s", "_tokens", "output_tokens")

    def __init__(self) -> None:
        self.output_tokens: int | None = None  # the server's highest count of output tokens
        self._text: list[str] = []
        self._times_s: list[float] = []
        self._tokens: list[int | None] = []
        self._empty_s: list[float] = []

    def add(self, t_s: float, text: str, tokens: int | None) -> None:
        """Add an event with output; `tokens`: output tokens so far, None if it does not say."""
        self._text.append(text)
        self._times_s.append(t_s)
        self._tokens.append(tokens)

    def add_empty(self, t_s: float) -> None:
        """Add an event with neither text nor a count; after the first text it may hold a token that has none, as special ones have."""
        if self._times_s:
            self._empty_s.append(t_s)

    def is_new_output(self, tokens: int, last: bool) -> bool:
        """Whether a token count means new output; a first count in the last event sums up earlier events, if there were any."""
        if self.output_tokens is not None:
            return tokens > self.output_tokens
        return tokens > 0 and not (last and self._times_s)

    def count(self, tokens: int | None) -> None:
        """Take a count of output tokens so far; None says nothing, and a lower one than before takes nothing back."""
        if tokens is not None and (self.output_tokens is None or tokens > self.output_tokens):
            self.output_tokens = tokens

    def write(self, record: RequestRecord, prompt: str = "") -> None:
        """Write arrivals, counts and text into the record. `prompt`: as in `new_texts`, for servers that repeat it."""
        self._drop_repeated_text(prompt)
        self._take_empty_events()
        times_s, sent_s = self._times_s, record.sent_s or 0.0
        record.chunk_offsets_s = [t_s - sent_s for t_s in times_s]
        if times_s:
            record.first_token_s, record.last_token_s = times_s[0], times_s[-1]
            record.text = without_lone_surrogates("".join(self._text))
            record.chunk_tokens = self._running_counts()
            record.textless_tokens = self._textless_tokens(record.chunk_tokens)
        if self.output_tokens or (self.output_tokens == 0 and not times_s):  # 0 tokens beside output say nothing
            record.output_tokens, record.tokens_from = self.output_tokens, "usage"

    def _drop_repeated_text(self, prompt: str) -> None:
        """Reduce each event to the text that is new in it, and leave out those with neither text nor a token."""
        texts = new_texts(self._text, prompt)
        if texts == self._text:
            return
        kept, before = [], 0
        for number, (text, tokens) in enumerate(zip(texts, self._tokens, strict=True)):
            if text or (tokens or 0) > before:
                kept.append(number)
            before = max(before, tokens or 0)
        self._text, self._times_s = [texts[number] for number in kept], [self._times_s[number] for number in kept]
        self._tokens = [self._tokens[number] for number in kept]

    def _take_empty_events(self) -> None:
        """Take events without text as output where they are as many as tokens are missing, or one more, which only ends the answer."""
        is_counted = any(tokens is not None for tokens in self._tokens)
        missing = (self.output_tokens or 0) - len(self._times_s)
        if is_counted or not 0 < missing <= len(self._empty_s) <= missing + 1:
            return
        texts = [*zip(self._times_s, self._text, strict=True), *((t_s, "") for t_s in self._empty_s[:missing])]
        texts.sort(key=lambda event: event[0])
        self._times_s, self._text = [t_s for t_s, _ in texts], [text for _, text in texts]
        self._tokens = [None] * len(texts)

    def _running_counts(self) -> list[int] | None:
        """Output tokens so far at each event; None where the counts are none: absent, falling, zero or standing still."""
        counts = [tokens for tokens in self._tokens if tokens is not None]
        falls = any(later < earlier for earlier, later in pairwise(counts))
        if len(counts) < len(self._tokens) or falls or counts[0] < 1:
            return None
        stands_still = counts[0] == counts[-1] != self.output_tokens and self.output_tokens is not None
        return None if stands_still else counts

    def _textless_tokens(self, counts: list[int] | None) -> int:
        """Tokens of the events without text, as special ones are."""
        steps = zip([0, *(counts or [])], counts or [], self._text, strict=False)
        return sum(later - earlier for earlier, later, text in steps if not text)


def output_text(value: Any) -> str:
    """Text of a piece of output: a text, a list of parts that hold texts, or none at all.

    Raises:
        UnknownShapeError: when it is anything else.
    """
    if value is None or type(value) is str:
        return value or ""
    if type(value) is list:
        return "".join([output_text(_part_content(part)) for part in value])
    raise UnknownShapeError


def _part_content(part: Any) -> Any:
    """Content of a part of output: `{"type": "text", "text": …}`, or `{"type": "thinking", "thinking": […]}`."""
    if type(part) is str:
        return part
    if type(part) is dict:
        content = part.get("text", part.get("thinking"))
        if content is not None:
            return content
    raise UnknownShapeError


def read_timings(timings: Any, record: RequestRecord) -> None:
    """Read llama.cpp's counts of drafted, accepted and cached tokens into the record."""
    if not isinstance(timings, dict):
        return
    if "draft_n" in timings:
        record.drafted_tokens = token_count(timings["draft_n"])
        record.accepted_tokens = token_count(timings.get("draft_n_accepted"))
    if "cache_n" in timings:
        record.cached_tokens = token_count(timings["cache_n"])


def without_lone_surrogates(text: str) -> str:
    """Text without lone surrogates, which UTF-8 cannot hold; a pair that was split over events is joined."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def token_count(value: Any) -> int | None:
    """Value if it is a valid token count (0 to 2**31 - 1), else None."""
    return value if type(value) is int and 0 <= value < 2**31 else None
