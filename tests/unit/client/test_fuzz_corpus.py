"""The fuzzer's kept cases, replayed without the fuzzer. See tests/fuzz/fuzz_answer.py."""

import sys
from hashlib import sha1
from pathlib import Path

import pytest

from fuzz.cases import check, decode
from isolation import TESTS
from servegrid import protocols
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord

pytestmark = pytest.mark.slow

CORPUS = sorted((TESTS / "fuzz" / "corpus").iterdir())


def test_there_is_a_corpus_and_nothing_has_changed_it() -> None:
    """Line ends are what many cases are about; a version control that converts them would go unnoticed."""
    assert len(CORPUS) > 50
    assert [path.name for path in CORPUS] == [sha1(path.read_bytes()).hexdigest() for path in CORPUS]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name[:8])
def test_kept_cases(path: Path) -> None:
    check(path.read_bytes())


@pytest.mark.parametrize("data", [b"", b"0", b"\xff" * 40, b"300", b"109" + b"\x00" * 20])
def test_any_bytes_are_a_case(data: bytes) -> None:
    check(data)


def test_a_case_can_be_read() -> None:
    case = decode(b"012\x35\x31HTTP/1.1 200 OK\r\n\r\n")
    assert (case.raw, case.ends, case.end[0]) == (b"HTTP/1.1 200 OK\r\n\r\n", [5, 6, 19], "timeout")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (b'{"error": ', b"}"),
        (b'{"type": "error", "x": ', b"}"),
        (b'{"choices": [{"finish_reason": ', b"}]}"),
        (b'{"content": "", "stop": true, "stop_type": ', b"}"),
        (b'{"x": ', b"}"),
    ],
)
def test_nesting_of_any_depth_is_survived(start: bytes, end: bytes) -> None:
    """What can just be read may be too deep to be written. Which depth that is hangs on the caller's: so all near the limit."""
    limit = sys.getrecursionlimit()
    for depth in [1, 100, 400, *range(limit - 250, limit), 10 * limit]:
        data = start + b"[" * depth + b"1" + b"]" * depth + end
        for name in protocols.names():
            protocols.get(name).parse(Events([1.0], [data]), RequestRecord("r", "p", 3, "ok", sent_s=0.0))
