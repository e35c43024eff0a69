"""Turn a finished exchange into its record: content of the answer, status and error. Runs after the load."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from servegrid.client.exchange import Exchange
from servegrid.client.response import Response, parse_response
from servegrid.client.sse import read_events
from servegrid.protocols import base
from servegrid.protocols._output import without_lone_surrogates
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

_MAX_ERROR_CHARACTERS = 500
_MAX_REASON_CHARACTERS = 100


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


def make_record(exchange: Exchange, log: list[Any], protocol: base.Protocol) -> RequestRecord:
    """Make the record of an exchange; tokens and texts are as the server says, see `finish_records` for what is left open."""
    if protocol.transport == "grpc":
        return _record_of_messages(exchange, log, protocol)
    response = parse_response(log)
    response.until_close &= exchange.fault is None  # an answer that was cut off did not end by the server closing
    record = _new_record(exchange, response)
    _fill(record, exchange, response, protocol)
    return _with_valid_text(record)


def _record_of_messages(exchange: Exchange, log: list[Any], protocol: base.Protocol) -> RequestRecord:
    """Make the record of a gRPC call, whose log holds whole messages."""
    messages = log[1::2]
    response = Response(times_s=log[::2], received=sum(map(len, messages)), end_s=exchange.end_s)
    record, events = _new_record(exchange, response), Events(response.times_s, messages)
    result = protocol.parse(events, record)
    record.status, record.error = _status_and_error(result, exchange.fault, response, events)
    return _with_valid_text(record)


def _with_valid_text(record: RequestRecord) -> RequestRecord:
    record.error = record.error and without_lone_surrogates(record.error)
    record.finish_reason = (
        record.finish_reason and without_lone_surrogates(record.finish_reason)[:_MAX_REASON_CHARACTERS]
    )
    return record


def _fill(record: RequestRecord, exchange: Exchange, response: Response, protocol: base.Protocol) -> None:
    """Fill in status, error, and the content of the body."""
    fault = exchange.fault or (("malformed", response.fault) if response.fault else None)
    if response.status is None:
        record.status, record.error = fault or ("malformed", "no HTTP response")
        return
    record.http_status = response.status
    if response.status // 100 != 2:
        record.status, record.error = _http_error(response)
        return
    result, events = _read_body(response, protocol, record)
    record.status, record.error = _status_and_error(result, fault, response, events)


def _new_record(exchange: Exchange, response: Response) -> RequestRecord:
    return RequestRecord(
        request_id=exchange.id,
        prompt_id=exchange.request.prompt_id,
        max_tokens=exchange.request.max_tokens,
        status="ok",
        thread=exchange.thread,
        planned_s=exchange.planned_s,
        sent_s=exchange.sent_s,
        first_byte_s=response.times_s[0] if response.times_s else None,
        end_s=response.end_s if response.end_s is not None else exchange.end_s,
        bytes_received=response.received,
    )


def _http_error(response: Response) -> tuple[RequestStatus, str]:
    """Status and error of a response whose HTTP status is no success."""
    body = response.body.removeprefix(b"data:").strip()  # Triton refuses with an event
    try:
        error = base.find_error(json.loads(body))
    except (ValueError, RecursionError):
        error = None
    text = error[1] if error else body[: 4 * _MAX_ERROR_CHARACTERS].decode(errors="replace")
    retry = f", Retry-After: {response.headers['retry-after']}" if "retry-after" in response.headers else ""
    target = f", to {response.headers['location']}" if "location" in response.headers else ""
    message = f"HTTP {response.status}{retry}{target}" + (f": {text}" if text else "")
    return ("rejected" if response.status in (429, 503) else "error"), message[:_MAX_ERROR_CHARACTERS]


def _read_body(response: Response, protocol: base.Protocol, record: RequestRecord) -> tuple[base.ParseResult, Events]:
    coding = response.headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        return base.ParseResult(
            fault=("malformed", f"the answer is compressed ({coding}), which was not asked for")
        ), Events()
    # by what it is, not by its Content-Type: no line of an event stream begins so
    events = _unstreamed_event(response) if response.body[:64].lstrip().startswith(b"{") else read_events(response)
    return protocol.parse(events, record), events


def _unstreamed_event(response: Response) -> Events:
    """Events of a server that does not stream: the whole answer is one event, at its end."""
    events = Events()
    if (response.complete or response.until_close) and response.body.strip():
        events.add(response.arrival_s(len(response.body)), response.body)
    return events


def _status_and_error(
    result: base.ParseResult, fault: tuple[RequestStatus, str] | None, response: Response, events: Events
) -> tuple[RequestStatus, str | None]:
    if result.fault is not None:
        return result.fault[0], result.fault[1][:_MAX_ERROR_CHARACTERS]
    if fault is not None:
        # after the end mark nothing can be missing: a server that hangs up without ending its HTTP message has answered
        return ("ok", None) if fault[0] == "disconnected" and result.end_mark else fault
    if result.finished:
        return "ok", None
    where = (
        f"after {len(events.data)} events, without a finish reason or end mark" if events.data else "without any event"
    )
    if response.until_close:
        return "disconnected", f"the server closed the connection {where}"
    return "malformed", f"the answer ended {where}"


def finish_records(records: Iterable[tuple[RequestRecord, bool]], tokenizer: Tokenizer | None) -> None:
    """Count tokens where the server did not, and mark answers that are shorter than asked for.

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
    """Whether tokens are missing; a tokenizer's count alone does not show it, as the model may have split the text otherwise."""
    is_certain = record.tokens_from == "usage" or record.finish_reason == "stop"
    return is_certain and record.output_tokens is not None and record.output_tokens < record.max_tokens
