"""Read the body of an HTTP response from a server that may never end it."""

from collections.abc import Callable

from servegrid.util.clock import now_s

_READ_BYTES = 2**16


class BodyTooLong(Exception):
    """The body is longer than is allowed; says how long it may be."""


def read_body(read1: Callable[[int], bytes], limit_bytes: int, limit_s: float) -> bytes:
    """Read the whole body within limits; a socket timeout alone would let a server that trickles go on for ever.

    Args:
        read1: gives what is there, of so many bytes at most; none at the end.
        limit_bytes: bytes of the body, at most.
        limit_s: s from now on, at most, and as long again as one read may take.

    Raises:
        TooLong: it has more bytes.
        TimeoutError: it has no end by then.
    """
    deadline = now_s() + limit_s
    body = bytearray()
    while chunk := read1(_READ_BYTES):
        body += chunk
        if len(body) > limit_bytes:
            raise BodyTooLong(f"the answer is longer than {limit_bytes} bytes")
        if now_s() > deadline:
            raise TimeoutError
    return bytes(body)
