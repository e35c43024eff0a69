"""What a fuzzer's bytes mean, and what must hold of every answer, however hostile.

A case is `<head><end><cuts><size>…<rest>`, one byte each but the last, read so that the character 0 is the number 0:
`head` frames the rest (none: it is the whole answer), `end` says how the connection ended, `cuts` how many sizes of reads
follow; what no size covers comes in one last read. Cases can so be written and read as text.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise
from typing import Any, get_args

from servegrid import protocols
from servegrid.client.exchange import Exchange, Request
from servegrid.client.json_lines import json_lines
from servegrid.client.request_outcome import make_record
from servegrid.client.response import Response, parse_response
from servegrid.client.token_counts import finish_records
from servegrid.protocols.base import Protocol
from servegrid.records.request import RequestRecord, RequestStatus
from standins.answers import CLOSE_HEAD, HEAD, chunked, sized

STATUSES = get_args(RequestStatus)
Fault = tuple[RequestStatus, str]
SENT_S = 0.5  # reads come at 1, 2, 3 … s
_MAX_CUTS = 16

_FRAMES: list[Callable[[bytes], bytes]] = [
    lambda rest: rest,
    lambda rest: CLOSE_HEAD + rest,
    lambda rest: HEAD + rest,
    lambda rest: chunked([rest] if rest else []),
    sized,
    lambda rest: b"HTTP/1.1 " + rest,
    lambda rest: sized(rest, "503 Busy", fields="Retry-After: 7\r\n"),
]
_ENDS: list[Fault] = [
    ("disconnected", "the server closed the connection within the answer"),
    ("timeout", "no end of the answer within 9 s"),
    ("cancelled", "the load was broken off"),
    ("malformed", "the answer is larger than the limit of 9 bytes"),
]


@dataclass(frozen=True)
class Case:
    """An answer's bytes, the sizes of its first reads, and what ended it if it does not end by itself."""

    raw: bytes
    sizes: list[int]
    end: Fault

    @property
    def ends(self) -> list[int]:
        """Bytes that were there after each read."""
        ends = {min(end, len(self.raw)) for end in accumulate(self.sizes)} | {len(self.raw)}
        return sorted(ends - {0})


def decode(data: bytes) -> Case:
    """The case that any bytes stand for."""
    numbers = [(byte - ord("0")) % 256 for byte in data[: 3 + _MAX_CUTS]] + [0] * 3
    head, end, cuts = numbers[0] % len(_FRAMES), numbers[1] % len(_ENDS), numbers[2] % (_MAX_CUTS + 1)
    raw = _FRAMES[head](data[3 + cuts :])
    return Case(raw, [max(1, size) for size in numbers[3 : 3 + cuts]], _ENDS[end])


def check(data: bytes) -> None:
    """Raises what is wrong with the client's reading of this case, by any protocol."""
    case = decode(data)
    fault = _fault(case)
    fine_log, coarse_log = _log(case.raw, range(1, len(case.raw) + 1)), _log(case.raw, case.ends)
    for name in (name for name in protocols.names() if protocols.get(name).transport == "http"):
        fine, coarse = (_record(log, fault, protocols.get(name)) for log in (fine_log, coarse_log))
        for record, last_s in ((fine, len(case.raw)), (coarse, len(case.ends))):
            _check_kind(record)
            _check_times(record, last_s)
            json_lines([record])
        _check_split(fine, coarse, case)
        _check_fault(fine, fault, parse_response(fine_log))
        _check_prefixes(fine, fine_log, protocols.get(name))


def _log(raw: bytes, ends: Iterable[int]) -> list[Any]:
    """What the client keeps of an answer that comes in reads that end there, at 1, 2, 3 … s."""
    log: list[Any] = []
    for number, (start, end) in enumerate(pairwise([0, *ends]), 1):
        log += [float(number), raw[start:end]]
    return log


def _fault(case: Case) -> Fault | None:
    """What the client noted when the connection ended; nothing if the answer had ended."""
    answer = parse_response(_log(case.raw, [len(case.raw)]))
    ended = answer.complete or answer.fault or (answer.until_close and case.end[0] == "disconnected")
    return None if ended else case.end


def _record(log: list[Any], fault: Fault | None, protocol: Protocol) -> RequestRecord:
    size = sum(map(len, log[1::2]))
    exchange = Exchange(0, "r", Request("r", "p", b"", 3), sent_s=SENT_S, end_s=size + 1.0, fault=fault)
    record = make_record(exchange, log, protocol)
    finish_records([(record, True)], None)
    return record


def _check_kind(record: RequestRecord) -> None:
    """One of the kinds there are, and none that hides a failure."""
    assert record.status in STATUSES
    assert (record.error is None) == (record.status == "ok"), record
    if record.http_status in (429, 503):
        assert record.status == "rejected", record
    if record.status in ("ok", "short"):
        assert record.http_status is not None and record.http_status // 100 == 2, record
    assert (record.text is None) == (record.first_token_s is None) == (not record.chunk_offsets_s), record
    assert record.chunk_tokens is None or len(record.chunk_tokens) == len(record.chunk_offsets_s), record
    for words in (record.text, record.error, record.finish_reason):
        assert words is None or words.encode() is not None


def _check_fault(record: RequestRecord, fault: Fault | None, answer: Response) -> None:
    """An answer that was broken off is recorded as that, unless an event that came whole says more."""
    if fault is None or answer.status is None or answer.status // 100 != 2 or "content-encoding" in answer.headers:
        return
    if _is_document(answer):
        assert record.status in (fault[0], "error", "rejected"), (record, fault)
    if fault[0] != "disconnected":
        assert record.status != "ok", (record, fault)


def _is_document(answer: Response) -> bool:
    """Whether it is one JSON object, which is read at its end only, and no stream."""
    return answer.body[:64].lstrip().startswith(b"{")


def _check_times(record: RequestRecord, last_s: int) -> None:
    """In order, and no other than those of the reads (the end aside, which may be the client's)."""
    tokens_s = [SENT_S + offset for offset in record.chunk_offsets_s]
    times_s = [record.first_byte_s, *tokens_s]
    known = [t_s for t_s in times_s if t_s is not None]
    assert all(1 <= t_s <= last_s and t_s == int(t_s) for t_s in known), record
    assert record.end_s is not None
    everything = [SENT_S, *known, record.end_s]
    assert everything == sorted(everything), record
    if tokens_s:
        assert (record.first_token_s, record.last_token_s) == (tokens_s[0], tokens_s[-1]), record


def _check_split(fine: RequestRecord, coarse: RequestRecord, case: Case) -> None:
    """What came byte by byte, with the time of each byte taken as that of its read, is what came in these reads."""
    ends, size = case.ends, len(case.raw)
    expected, found = ({each.name: getattr(record, each.name) for each in fields(record)} for record in (fine, coarse))
    for name in ("first_byte_s", "first_token_s", "last_token_s", "end_s"):
        expected[name] = None if expected[name] is None else _read_of(expected[name], ends, size)
    expected["chunk_offsets_s"] = [_read_of(SENT_S + offset, ends, size) - SENT_S for offset in fine.chunk_offsets_s]
    for each in (expected, found):
        del each["late_chunks"]  # which is about the reads
        each["error"] = _without_bytes(each["error"])
    assert expected == found, {name: (expected[name], found[name]) for name in found if expected[name] != found[name]}


def _check_prefixes(fine: RequestRecord, log: list[Any], protocol: Protocol) -> None:
    """An event has the time of the byte that ends it: with that byte it is there, without it is not."""
    if not fine.chunk_offsets_s or _is_document(parse_response(log)):
        return
    first, last = (int(SENT_S + offset) for offset in (fine.chunk_offsets_s[0], fine.chunk_offsets_s[-1]))
    for size in {first - 1, first, last - 1}:
        found = _record(log[: 2 * size], None, protocol).chunk_offsets_s
        assert found == [offset for offset in fine.chunk_offsets_s if SENT_S + offset <= size], (size, found, fine)


def _read_of(byte: float, ends: list[int], size: int) -> float:
    """The number of the read that brought this byte, both from 1; instants after the last byte stay as they are."""
    return byte if byte > size else bisect_left(ends, byte) + 1.0


def _without_bytes(error: str | None) -> str | None:
    """The error without the bytes of the read that it quotes."""
    return error and re.sub(r"^(not HTTP/1\.1, in the \w+: [^:]*):.*", r"\1", error, flags=re.DOTALL)
