"""The output of one answer as it is put together from events, and small things of servers' counts."""

from typing import Any

from servegrid.records.request import RequestRecord


class Output:
    """Text, arrivals and token counts of the events that carry output."""

    __slots__ = ("_text", "_times_s", "_tokens", "counted")

    def __init__(self) -> None:
        self.counted: int | None = None  # the server's last count of output tokens
        self._text: list[str] = []
        self._times_s: list[float] = []
        self._tokens: list[int | None] = []

    def add(self, t_s: float, text: str, tokens: int | None) -> None:
        """An event with output; `tokens`: output tokens so far, None if it does not say."""
        self._text.append(text)
        self._times_s.append(t_s)
        self._tokens.append(tokens)

    def grew(self, tokens: int, last: bool) -> bool:
        """Whether a count means new output. A first count in the last event sums up what came before, if anything did."""
        if self.counted is not None:
            return tokens > self.counted
        return tokens > 0 and not (last and self._times_s)

    def write(self, record: RequestRecord) -> None:
        """Put arrivals, counts and text into the record."""
        times_s, sent_s = self._times_s, record.sent_s or 0.0
        record.chunk_offsets_s = [t_s - sent_s for t_s in times_s]
        if times_s:
            record.first_token_s, record.last_token_s = times_s[0], times_s[-1]
            record.text = clean("".join(self._text))
            if None not in self._tokens:
                record.chunk_tokens = [number for number in self._tokens if number is not None]
        if self.counted is not None:
            record.output_tokens, record.tokens_from = self.counted, "usage"


def read_timings(timings: Any, record: RequestRecord) -> None:
    """llama.cpp's own counts of speculation."""
    if isinstance(timings, dict) and "draft_n" in timings:
        record.drafted_tokens = count(timings["draft_n"])
        record.accepted_tokens = count(timings.get("draft_n_accepted"))


def clean(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 can hold; a pair that was split over events is joined."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def count(value: Any) -> int | None:
    """A token count of a server, None if it is none."""
    return value if type(value) is int and 0 <= value < 2**31 else None
