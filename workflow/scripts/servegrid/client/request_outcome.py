"""From a finished exchange to its record: what the answer said, and what kind of end it was. Runs after the load."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from servegrid.client.answer import Answer, read_answer
from servegrid.client.exchange import Exchange
from servegrid.client.sse import read_events
from servegrid.protocols import base
from servegrid.protocols._output import without_lone_surrogates
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

_ERROR_CHARACTERS = 500
_REASON_CHARACTERS = 100


class Tokenizer(Protocol):
    """As in the tokenizers library."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        """Gives an object whose `ids` are the tokens."""


class LazyTokenizer:
    """The tokenizer of a file, read when the first text is to be counted: most servers count for themselves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: Any = None

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Any:
        """As in the tokenizers library."""
        if self._found is None:
            from tokenizers import Tokenizer as Library

            self._found = Library.from_file(str(self._path))
        return self._found.encode(sequence, add_special_tokens=add_special_tokens)


def make_record(exchange: Exchange, log: list[Any], protocol: base.Protocol) -> RequestRecord:
    """Read an exchange. Tokens and texts are as the server says; see `settle` for what is left open."""
    if protocol.transport == "grpc":
        return _of_messages(exchange, log, protocol)
    answer = read_answer(log)
    answer.until_close &= exchange.fault is None  # what was cut off did not end by its own will
    record = _begin(exchange, answer)
    _fill(record, exchange, answer, protocol)
    return _cleaned(record)


def _of_messages(exchange: Exchange, log: list[Any], protocol: base.Protocol) -> RequestRecord:
    """Read a gRPC call: its log holds whole messages."""
    messages = log[1::2]
    answer = Answer(times_s=log[::2], received=sum(map(len, messages)), end_s=exchange.end_s)
    record, events = _begin(exchange, answer), Events(answer.times_s, messages)
    reading = protocol.parse(events, record)
    record.status, record.error = _verdict(reading, exchange.fault, answer, events)
    return _cleaned(record)


def _cleaned(record: RequestRecord) -> RequestRecord:
    record.error = record.error and without_lone_surrogates(record.error)
    record.finish_reason = record.finish_reason and without_lone_surrogates(record.finish_reason)[:_REASON_CHARACTERS]
    return record


def _fill(record: RequestRecord, exchange: Exchange, answer: Answer, protocol: base.Protocol) -> None:
    """Status, error, and what the body says."""
    fault = _transport_fault(exchange, answer)
    if answer.status is None:
        record.status, record.error = fault or ("malformed", "no HTTP response")
        return
    record.http_status = answer.status
    if answer.status // 100 != 2:
        record.status, record.error = _refusal(answer)
        return
    reading, events = _read_body(answer, protocol, record)
    record.status, record.error = _verdict(reading, fault, answer, events)


def _begin(exchange: Exchange, answer: Answer) -> RequestRecord:
    return RequestRecord(
        request_id=exchange.id,
        prompt_id=exchange.request.prompt_id,
        max_tokens=exchange.request.max_tokens,
        status="ok",
        thread=exchange.thread,
        planned_s=exchange.planned_s,
        sent_s=exchange.sent_s,
        first_byte_s=answer.times_s[0] if answer.times_s else None,
        end_s=answer.end_s if answer.end_s is not None else exchange.end_s,
        bytes_received=answer.received,
    )


def _transport_fault(exchange: Exchange, answer: Answer) -> tuple[RequestStatus, str] | None:
    if exchange.fault is not None:
        return exchange.fault
    return ("malformed", answer.fault) if answer.fault else None


def _refusal(answer: Answer) -> tuple[RequestStatus, str]:
    """An HTTP status that is no success."""
    body = answer.body.removeprefix(b"data:").strip()  # Triton refuses with an event
    try:
        found = base.find_error(json.loads(body))
    except (ValueError, RecursionError):
        found = None
    words = found[1] if found else body[: 4 * _ERROR_CHARACTERS].decode(errors="replace")
    retry = f", Retry-After: {answer.headers['retry-after']}" if "retry-after" in answer.headers else ""
    target = f", to {answer.headers['location']}" if "location" in answer.headers else ""
    text = f"HTTP {answer.status}{retry}{target}" + (f": {words}" if words else "")
    return ("rejected" if answer.status in (429, 503) else "error"), text[:_ERROR_CHARACTERS]


def _read_body(answer: Answer, protocol: base.Protocol, record: RequestRecord) -> tuple[base.ParseResult, Events]:
    coding = answer.headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        return base.ParseResult(
            fault=("malformed", f"the answer is compressed ({coding}), which was not asked for")
        ), Events()
    # by what it is, not by its Content-Type: no line of an event stream begins so
    events = _one_document(answer) if answer.body[:64].lstrip().startswith(b"{") else read_events(answer)
    return protocol.parse(events, record), events


def _one_document(answer: Answer) -> Events:
    """A server that does not stream: all of its answer is one event, at its end."""
    events = Events()
    if (answer.complete or answer.until_close) and answer.body.strip():
        events.add(answer.arrival_s(len(answer.body)), answer.body)
    return events


def _verdict(
    reading: base.ParseResult, fault: tuple[RequestStatus, str] | None, answer: Answer, events: Events
) -> tuple[RequestStatus, str | None]:
    if reading.fault is not None:
        return reading.fault[0], reading.fault[1][:_ERROR_CHARACTERS]
    if fault is not None:
        # after the end mark nothing can be missing: a server that hangs up without ending its HTTP message has answered
        return ("ok", None) if fault[0] == "disconnected" and reading.end_mark else fault
    if reading.finished:
        return "ok", None
    what = (
        f"after {len(events.data)} events, without a finish reason or end mark" if events.data else "without any event"
    )
    if answer.until_close:
        return "disconnected", f"the server closed the connection {what}"
    return "malformed", f"the answer ended {what}"


def settle(records: Iterable[tuple[RequestRecord, bool]], tokenizer: Tokenizer | None) -> None:
    """Count tokens where the server did not, and find answers that are shorter than asked for.

    Args:
        records: changed in place; each with whether the model was told not to stop early. If it was not, only an answer that
            was cut at the limit can be short.
        tokenizer: of the model, None if there is none: counts stay unknown then.
    """
    for record, exact in records:
        if record.output_tokens is None and record.text is not None and tokenizer is not None:
            record.output_tokens = len(tokenizer.encode(record.text, add_special_tokens=False).ids)
            record.tokens_from = "tokenizer"
        if record.status == "ok" and (exact or record.finish_reason == "length") and _is_short(record):
            reason = record.finish_reason or "no finish reason"
            record.status, record.error = "short", f"{record.output_tokens} of {record.max_tokens} tokens ({reason})"


def _is_short(record: RequestRecord) -> bool:
    """A tokenizer may count a text otherwise than the model did: its count alone does not show that tokens are missing."""
    sure = record.tokens_from == "usage" or record.finish_reason == "stop"
    return sure and record.output_tokens is not None and record.output_tokens < record.max_tokens
