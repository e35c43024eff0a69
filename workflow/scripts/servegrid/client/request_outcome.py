"""Turn a finished exchange into its record: content of the answer, status and error. Runs after the load."""

import json
from itertools import pairwise
from typing import Any

from servegrid.client.exchange import Exchange
from servegrid.client.response import Response, parse_response
from servegrid.client.sse import read_events
from servegrid.protocols import base
from servegrid.protocols._output import without_lone_surrogates
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

_MAX_ERROR_CHARACTERS = 500
_MAX_REASON_CHARACTERS = 100


def make_record(exchange: Exchange, log: list[Any], protocol: base.Protocol) -> RequestRecord:
    """Make the record of an exchange; tokens and texts are as the server says, see `token_counts.finish_records` for what is left open."""
    if protocol.transport == "grpc":
        return _record_of_messages(exchange, log, protocol)
    response = parse_response(log)
    response.until_close &= exchange.fault is None  # an answer that was cut off did not end by the server closing
    record = _new_record(exchange, response)
    _fill(record, exchange, response, protocol)
    record.late_chunks = _late_chunks(record, exchange)
    return _with_valid_text(record)


def _record_of_messages(exchange: Exchange, log: list[Any], protocol: base.Protocol) -> RequestRecord:
    """Make the record of a gRPC call, whose log holds whole messages."""
    messages = log[1::2]
    response = Response(times_s=log[::2], received=sum(map(len, messages)), end_s=exchange.end_s)
    record = _new_record(exchange, response)
    events = Events(response.times_s, messages, request=exchange.request.body)
    result = protocol.parse(events, record)
    record.status, record.error = _status_and_error(result, exchange.fault, response, events)
    _check_end(record)
    record.late_chunks = _late_chunks(record, exchange)
    return _with_valid_text(record)


def _late_chunks(record: RequestRecord, exchange: Exchange) -> int:
    """Events that were read together with the one before by a client that was late, or may have been: when they came is not known."""
    if exchange.late_reads is None:
        return record.chunks_together()
    late_offsets_s = {t_s - exchange.sent_s for t_s in exchange.late_reads} if exchange.sent_s is not None else set()
    if not late_offsets_s:
        return 0
    return sum(earlier == later and later in late_offsets_s for earlier, later in pairwise(record.chunk_offsets_s))


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
    result, events = _read_body(response, protocol, record, exchange.request.body)
    record.status, record.error = _status_and_error(result, fault, response, events)
    _check_end(record)


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


def _read_body(
    response: Response, protocol: base.Protocol, record: RequestRecord, request: bytes
) -> tuple[base.ParseResult, Events]:
    coding = response.headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        return base.ParseResult(
            fault=("malformed", f"the answer is compressed ({coding}), which was not asked for")
        ), Events()
    # by what it is, not by its Content-Type: no line of an event stream begins so
    events = _unstreamed_event(response) if response.body[:64].lstrip().startswith(b"{") else read_events(response)
    events.request = request
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


def _check_end(record: RequestRecord) -> None:
    """Mark an answer that ended by itself, but not well: by a reason that says failure, or without any output."""
    if record.status != "ok":
        return
    reason = record.finish_reason
    if reason is not None and reason.lower() not in base.GOOD_ENDS:
        record.status, record.error = "error", f"the answer ended with finish reason {reason!r}"[:_MAX_ERROR_CHARACTERS]
    elif not record.chunk_offsets_s:
        record.status, record.error = "error", f"the answer ended without any output ({reason or 'no finish reason'})"
