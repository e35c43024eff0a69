"""Record of one measured request. Apart from `schema`, so that the load client need not import the Parquet library."""

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median_low
from typing import Literal

TOGETHER_S, TOGETHER_SHARE, MOST_TOGETHER_S = 0.0001, 0.02, 0.0005
"""Events came together if they lie no further apart than this, or than this share of the answer's median gap, and that at most: no engine
makes 10,000 tokens of one answer in a second, and events that waited in a buffer are handed on within that time. The median, since a
stall of the server makes no other gap shorter."""

RequestStatus = Literal["ok", "short", "rejected", "error", "timeout", "disconnected", "malformed", "cancelled"]
"""ok: answered as asked. short: fewer tokens than asked. rejected: 429 or 503. error: any other HTTP or in-stream error, an end
that says failure, or no output at all.
timeout: no end within the limit. disconnected: refused, reset or closed early. malformed: not HTTP, not the protocol, or a token count that
cannot be.
cancelled: still in flight when the load was broken off."""


@dataclass(slots=True)
class RequestRecord:
    """One request, as sent and as answered. Fields are the columns of REQUESTS, plus the text and `textless_tokens`."""

    request_id: str
    prompt_id: str
    max_tokens: int
    status: RequestStatus
    thread: int | None = None
    planned_s: float | None = None
    sent_s: float | None = None
    first_byte_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float | None = None
    end_s: float | None = None
    chunk_offsets_s: list[float] = field(default_factory=list)
    chunk_tokens: list[int] | None = None
    late_chunks: int | None = None
    bytes_received: int = 0
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    own_tokens: int | None = None
    output_tokens: int | None = None
    tokens_from: Literal["usage", "tokenizer"] | None = None
    hidden_tokens: int | None = None
    drafted_tokens: int | None = None
    accepted_tokens: int | None = None
    finish_reason: str | None = None
    http_status: int | None = None
    error: str | None = None
    text: str | None = None
    textless_tokens: int = 0  # output tokens of events without text, by the server's running counts

    @property
    def came_at_once(self) -> bool:
        """Whether all output came at once, though it is more than one token: what held it back hides the first token's time."""
        offsets_s, tokens = self.chunk_offsets_s, self.output_tokens or self.max_tokens
        return bool(offsets_s) and tokens > 1 and offsets_s[-1] - offsets_s[0] <= TOGETHER_S * (len(offsets_s) - 1)

    def chunks_together(self) -> int:
        """Number of events that came together with the one before."""
        gaps_s = [later - earlier for earlier, later in pairwise(self.chunk_offsets_s)]
        near_s = min(max(TOGETHER_S, TOGETHER_SHARE * median_low(gaps_s or [0.0])), MOST_TOGETHER_S)
        return sum(gap_s <= near_s for gap_s in gaps_s)

    @property
    def text_sha256(self) -> str | None:
        """SHA-256 of the answer's UTF-8 text, in hex; None if there is no text."""
        return None if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()
