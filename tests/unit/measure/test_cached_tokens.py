"""A server's counters of cached prompt tokens: which of them count, and what is no count of one server."""

from collections.abc import Iterator, Mapping

import pytest

from servegrid import engines
from servegrid.measure.cached_tokens import CachedTokens
from standins.answers import sized
from standins.openai_like import gauge
from standins.scripted import ScriptedServer, Seen, Step

HITS, QUERIES = "vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"
CACHED, PROMPT = "vllm:prompt_tokens_cached_total", "vllm:prompt_tokens_total"
Page = Mapping[str, float]


def growth(engine: str, before: Page | None, after: Page | None) -> dict[str, float] | None:
    """What is read from a server that has these counters before and after; None: it gives no metrics."""
    pages: Iterator[Page | None] = iter((before, after))

    def answer(_seen: Seen) -> list[Step]:
        page = next(pages)
        if page is None:
            return [sized(b"no", status="404 Not Found")]
        lines = [
            gauge(name, "", f'engine="{copy}"', value / 2, "counter") for name, value in page.items() for copy in "01"
        ]
        return [sized("".join(lines).encode(), kind="text/plain")]

    with ScriptedServer(answer) as server:
        counters = CachedTokens(engines.get(engine).metrics, [f"{server.url}/metrics"], {})
        return counters.growth_since(counters.read())


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({HITS: 10, QUERIES: 100}, {HITS: 40, QUERIES: 160}, (30, 60)),
        ({HITS: 0, QUERIES: 0, CACHED: 0, PROMPT: 50}, {HITS: 0, QUERIES: 0, CACHED: 0, PROMPT: 90}, (0, 40)),
        ({HITS: 10, QUERIES: 100}, {HITS: 10, QUERIES: 100}, None),
        ({HITS: 10, QUERIES: 100}, {HITS: 4, QUERIES: 160}, None),
        ({HITS: 10, QUERIES: 100}, {HITS: 90, QUERIES: 160}, None),
        ({HITS: 10, QUERIES: 100}, {QUERIES: 160}, None),
        (None, {HITS: 10, QUERIES: 100}, None),
        ({HITS: 10, QUERIES: 100}, None, None),
    ],
)
def test_growth(before: Page | None, after: Page | None, expected: tuple[float, float] | None) -> None:
    counted = growth("vllm", before, after)
    assert counted == (None if expected is None else {"cached_tokens": expected[0], "prompt_tokens": expected[1]})


def test_an_engine_without_such_counters_is_not_asked() -> None:
    counters = CachedTokens(engines.get("openai").metrics, ["http://127.0.0.1:1/metrics"], {})
    assert counters.growth_since(counters.read()) is None
