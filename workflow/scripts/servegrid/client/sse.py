"""Parse server-sent events as the HTML standard does (section 9.2.6), with the arrival of each."""

import re
from bisect import bisect_right
from itertools import accumulate

from servegrid.client.response import Response
from servegrid.protocols.events import Events

_BOM = b"\xef\xbb\xbf"
_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r)")


def read_events(response: Response) -> Events:
    """Events of a response; what follows the last empty line is no event."""
    lines = response.body.split(b"\n")
    if has_one_line_per_event(response.body, lines):
        return _read_one_line_events(response, lines[:-2:2])
    return _read_any_events(response)


def has_one_line_per_event(body: bytes, lines: list[bytes]) -> bool:
    """Whether every event is one `data: ` line followed by an empty one, as nearly all servers write them."""
    if b"\r" in body or len(lines) % 2 == 0 or any(lines[1::2]):
        return False
    return {line[:6] for line in lines[:-2:2]} <= {b"data: "} and b"data: " not in lines


def _read_one_line_events(response: Response, lines: list[bytes]) -> Events:
    """Events of these lines, one each."""
    events, times_s, body_ends = Events(), response.times_s, response.body_ends
    events.data = [line[6:] for line in lines]
    ends = list(accumulate([len(line) + 2 for line in lines]))
    first = bisect_right(body_ends, 0)  # reads before it brought the header only
    if ends == body_ends[first : first + len(ends)]:  # one event per read
        events.times_s = times_s[first : first + len(ends)]
        return events
    read = 0
    for end in ends:
        while body_ends[read] < end:
            read += 1
        events.times_s.append(times_s[read])
    return events


def _read_any_events(response: Response) -> Events:
    """Events of any body, line by line."""
    events, data, event_type = Events(), list[bytes](), ""
    start = len(_BOM) if response.body.startswith(_BOM) else 0
    # a last line that never ends is not looked at: the pattern would go through it once from each of its bytes
    last = max(response.body.rfind(b"\n"), response.body.rfind(b"\r"))
    for match in _LINE.finditer(response.body, start, last + 1):
        line = match[1]
        if not line:
            if data:
                # CR alone ends a line, so that a line feed still to come would not be waited for
                end = match.end() - (match[2] == b"\r\n")
                events.add(response.arrival_s(end), b"\n".join(data), event_type)
            data, event_type = [], ""
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event_type = value.decode(errors="replace")
    return events
