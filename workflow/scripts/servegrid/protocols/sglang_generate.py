"""SGLang's own generate: each event has the whole text so far, and counts in `meta_info` (sglang 0.5.23, srt/entrypoints/http_server.py)."""

from typing import Any

from servegrid.protocols._output import Output, count
from servegrid.protocols.base import Documents, GenerationSettings, Protocol, Reading, documents, error_words
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

END_MARK = b"[DONE]"
REPEATED_BYTES = 32
"""Of each token in every later event: its number, and its text with room for other scripts than Latin."""
MOST_REPEATED = 512 * 2**20
"""Bytes, at most, for what events repeat. Beyond some 9,000 tokens of English an answer may have more, and is then cut off: the
server's `--incremental-streaming-output` has no repetition."""


class SGLangGenerate(Protocol):
    """`POST /generate`. Both forms are read: text that is cumulative, and with `--incremental-streaming-output` what each event adds."""

    name = "sglang-generate"
    path = "/generate"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """The body's fields; it names no model."""
        sampling = {
            "max_new_tokens": settings.max_tokens,
            "min_new_tokens": settings.max_tokens if settings.exact else None,
            "ignore_eos": True if settings.exact else None,
            "temperature": settings.temperature,
            "sampling_seed": settings.seed,
        }
        known = {name: value for name, value in sampling.items() if value is not None}
        return {"text": prompt, "sampling_params": known, "stream": True}

    def answer_bytes(self, max_tokens: int) -> int:
        """More by what is repeated, which grows with the square of the tokens."""
        repeated = REPEATED_BYTES * max_tokens * (max_tokens + 1) // 2
        return super().answer_bytes(max_tokens) + min(repeated, MOST_REPEATED)

    def parse(self, events: Events, record: RequestRecord) -> Reading:
        """Fill the record."""
        reading, output = Reading(), Output()
        if END_MARK in events.data:
            at = events.data.index(END_MARK)
            del events.data[at:], events.times_s[at:]
            reading.finished = reading.end_mark = True
        read = documents(events)
        reading.fault = _read(read, output, record) or read.fault
        output.write(record)
        reading.finished |= record.finish_reason is not None
        return reading


def _read(read: Documents, output: Output, record: RequestRecord) -> tuple[RequestStatus, str] | None:
    """Read event by event; ends with the first fault, if there is one."""
    so_far = ""
    for t_s, event, _ in read.found:
        meta, text = event.get("meta_info"), event.get("text")
        if type(meta) is not dict or type(text) is not str:
            return error_words(event) or ("malformed", f"an event has no text or meta_info: {str(event)[:200]}")
        finish = meta.get("finish_reason")
        if type(finish) is dict and finish.get("type") == "abort":
            return _aborted(finish)
        tokens = count(meta.get("completion_tokens"))
        added = text[len(so_far) :] if _is_whole(event, tokens) else text
        so_far += added
        if added or (tokens and output.grew(tokens, last=bool(finish))):
            output.add(t_s, added, tokens)
        if tokens is not None:
            output.counted = tokens
        if type(finish) is dict:
            record.finish_reason = str(finish.get("type"))
        _read_counts(meta, record)
    return None


def _is_whole(event: dict[str, Any], tokens: int | None) -> bool:
    """Whether an event has all of the output so far: as many token ids as it counts tokens."""
    ids = event.get("output_ids")
    return type(ids) is not list or tokens is None or len(ids) >= tokens


def _aborted(finish: dict[str, Any]) -> tuple[RequestStatus, str]:
    rejected = finish.get("status_code") in (429, 503)
    return ("rejected" if rejected else "error"), str(finish.get("message") or "aborted")


def _read_counts(meta: dict[str, Any], record: RequestRecord) -> None:
    record.prompt_tokens = count(meta.get("prompt_tokens"))
    if "spec_num_proposed_drafts" in meta:
        record.drafted_tokens = count(meta["spec_num_proposed_drafts"])
        record.accepted_tokens = count(meta.get("spec_num_correct_drafts"))


PROTOCOL = SGLangGenerate()
