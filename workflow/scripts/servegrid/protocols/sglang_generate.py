"""SGLang's own generate: each event has the whole text so far, and counts in `meta_info` (sglang 0.5.23, srt/entrypoints/http_server.py)."""

from typing import Any

from servegrid.protocols._cumulative import is_continued
from servegrid.protocols._output import Output, token_count
from servegrid.protocols.base import (
    GenerationSettings,
    JsonEvents,
    ParseResult,
    Protocol,
    find_error,
    parse_json_events,
)
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

END_MARK = b"[DONE]"
REPEATED_BYTES = 32
"""Bytes of each token in every later event: its id, and its text with room for other scripts than Latin."""
MAX_REPEATED_BYTES = 512 * 2**20
"""Largest allowance for what events repeat. Beyond some 9,000 tokens of English an answer may have more, and is then cut off: the
server's `--incremental-streaming-output` has no repetition."""


class SGLangGenerate(Protocol):
    """`POST /generate`. Both forms are read: text that is cumulative, and with `--incremental-streaming-output` what each event adds."""

    name = "sglang-generate"
    path = "/generate"
    sampling_object = "sampling_params"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Fields of the request body, without `extra`; there is none for the model."""
        sampling = {
            "max_new_tokens": settings.max_tokens,
            "min_new_tokens": settings.max_tokens if settings.exact else None,
            "ignore_eos": True if settings.exact else None,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": settings.top_k,
            "sampling_seed": settings.seed,
        }
        given_sampling = {name: value for name, value in sampling.items() if value is not None}
        return {"text": prompt, "sampling_params": given_sampling, "stream": True}

    def max_answer_bytes(self, max_tokens: int) -> int:
        """Default limit of an answer's size, with allowance for repeated text, which grows with the square of the tokens."""
        repeated = REPEATED_BYTES * max_tokens * (max_tokens + 1) // 2
        return super().max_answer_bytes(max_tokens) + min(repeated, MAX_REPEATED_BYTES)

    def parse(self, events: Events, record: RequestRecord) -> ParseResult:
        """Fill the record; see `Protocol.parse`."""
        result, output = ParseResult(), Output()
        if END_MARK in events.data:
            end = events.data.index(END_MARK)
            del events.data[end:], events.times_s[end:]
            result.finished = result.end_mark = True
        json_events = parse_json_events(events)
        result.fault = _read_events(json_events, output, record) or json_events.fault
        output.write(record)
        result.finished |= record.finish_reason is not None
        return result


def _read_events(json_events: JsonEvents, output: Output, record: RequestRecord) -> tuple[RequestStatus, str] | None:
    """Read event by event up to the first fault, which is returned."""
    so_far = ""
    for t_s, event, _ in json_events.objects:
        meta, text = event.get("meta_info"), event.get("text")
        if type(meta) is not dict or type(text) is not str:
            return find_error(event) or ("malformed", f"an event has no text or meta_info: {str(event)[:200]}")
        finish = meta.get("finish_reason")
        if type(finish) is dict and finish.get("type") == "abort":
            return _abort_fault(finish)
        tokens = token_count(meta.get("completion_tokens"))
        added = text[len(so_far) :] if _is_cumulative(event, tokens, so_far) else text
        so_far += added
        if added or (tokens and output.is_new_output(tokens, last=bool(finish))):
            output.add(t_s, added, tokens)
        output.count(tokens)
        if finish:
            record.finish_reason = str(finish.get("type") if type(finish) is dict else finish)
        _read_counts(meta, record)
    return None


def _is_cumulative(event: dict[str, Any], tokens: int | None, so_far: str) -> bool:
    """Whether an event holds all output so far: as many token ids as it counts tokens; without ids, if it begins with it."""
    ids = event.get("output_ids")
    return is_continued(so_far, event["text"]) if type(ids) is not list or tokens is None else len(ids) >= tokens


def _abort_fault(finish: dict[str, Any]) -> tuple[RequestStatus, str]:
    rejected = finish.get("status_code") in (429, 503)
    return ("rejected" if rejected else "error"), str(finish.get("message") or "aborted")


def _read_counts(meta: dict[str, Any], record: RequestRecord) -> None:
    record.prompt_tokens = token_count(meta.get("prompt_tokens"))
    record.cached_tokens = token_count(meta.get("cached_tokens"))
    if "spec_num_proposed_drafts" in meta:
        record.drafted_tokens = token_count(meta["spec_num_proposed_drafts"])
        record.accepted_tokens = token_count(meta.get("spec_num_correct_drafts"))


PROTOCOL = SGLangGenerate()
