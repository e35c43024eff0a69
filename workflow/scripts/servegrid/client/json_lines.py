"""Write records as JSON lines: one object per request, times in s."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec

from servegrid.records.request import RequestRecord


def json_lines(records: Iterable[RequestRecord]) -> bytes:
    """JSON lines of the records, one per request, in order; unknown values are null."""
    return b"".join(msgspec.json.encode(request_object(record)) + b"\n" for record in records)


def request_object(record: RequestRecord) -> dict[str, Any]:
    """JSON object of a request.

    `start`: when it was sent, on the monotonic clock; `ttft`: from there to the first event with output; `itl`: gaps between
    the events with output, none if all came at once; `late`: how many of these events were read late; `e2e`: from `start` to the end of the answer; `tokens`: output tokens, by `tokens_from`;
    `planned`: when it should have been sent (with planned arrivals); the rest as in the records.
    """
    sent_s = record.sent_s
    return {
        "id": record.request_id,
        "start": sent_s,
        "ttft": _since(sent_s, record.first_token_s),
        "itl": [] if record.came_at_once else [b - a for a, b in pairwise(record.chunk_offsets_s)],
        "late": record.late_chunks,
        "e2e": _since(sent_s, record.end_s),
        "tokens": record.output_tokens,
        "status": record.status,
        "error": record.error,
        "prompt_id": record.prompt_id,
        "planned": record.planned_s,
        "prompt_tokens": record.prompt_tokens,
        "cached_tokens": record.cached_tokens,
        "tokens_from": record.tokens_from,
        "finish_reason": record.finish_reason,
        "http_status": record.http_status,
    }


def _since(start_s: float | None, instant_s: float | None) -> float | None:
    return None if start_s is None or instant_s is None else round(instant_s - start_s, 9)
