"""Collect the output of one answer from its events, and read token counts of servers."""

from typing import Any

from servegrid.records.request import RequestRecord


class Output:
    """Collects text, arrivals and token counts of the events that carry output."""

    __slots__ = ("_text", "_times_s", "_tokens", "output_tokens")

    def __init__(self) -> None:
        self.output_tokens: int | None = None  # the server's last count of output tokens
        self._text: list[str] = []
        self._times_s: list[float] = []
        self._tokens: list[int | None] = []

    def add(self, t_s: float, text: str, tokens: int | None) -> None:
        """Add an event with output; `tokens`: output tokens so far, None if it does not say."""
        self._text.append(text)
        self._times_s.append(t_s)
        self._tokens.append(tokens)

    def is_new_output(self, tokens: int, last: bool) -> bool:
        """Whether a token count means new output; a first count in the last event sums up earlier events, if there were any."""
        if self.output_tokens is not None:
            return tokens > self.output_tokens
        return tokens > 0 and not (last and self._times_s)

    def write(self, record: RequestRecord) -> None:
        """Write arrivals, counts and text into the record."""
        times_s, sent_s = self._times_s, record.sent_s or 0.0
        record.chunk_offsets_s = [t_s - sent_s for t_s in times_s]
        if times_s:
            record.first_token_s, record.last_token_s = times_s[0], times_s[-1]
            record.text = without_lone_surrogates("".join(self._text))
            if None not in self._tokens:
                record.chunk_tokens = [number for number in self._tokens if number is not None]
        if self.output_tokens is not None:
            record.output_tokens, record.tokens_from = self.output_tokens, "usage"


def read_timings(timings: Any, record: RequestRecord) -> None:
    """Read llama.cpp's counts of drafted and accepted tokens into the record."""
    if isinstance(timings, dict) and "draft_n" in timings:
        record.drafted_tokens = token_count(timings["draft_n"])
        record.accepted_tokens = token_count(timings.get("draft_n_accepted"))


def without_lone_surrogates(text: str) -> str:
    """Text without lone surrogates, which UTF-8 cannot hold; a pair that was split over events is joined."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def token_count(value: Any) -> int | None:
    """Value if it is a valid token count (0 to 2**31 - 1), else None."""
    return value if type(value) is int and 0 <= value < 2**31 else None
