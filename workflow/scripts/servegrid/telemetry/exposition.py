"""The text that a server's /metrics answers: Prometheus text format 0.0.4 and OpenMetrics."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

LONGEST = 64 * 1024
"""Characters of a line, at most: prometheus_client takes time with the square of a label's escaped quotes."""
CACHED = 2048
"""Characters of a name and its labels that are kept from scrape to scrape, at most: many long ones would fill the memory."""


class Series(NamedTuple):
    """One series of one scrape. `labels` is a JSON object with sorted keys, so equal labels are equal text."""

    name: str
    labels: str
    value: float


def parse(text: str) -> Iterator[Series]:
    """The series of a scrape, names as the server writes them.

    Left out: histogram buckets (their `_sum` and `_count` stay) and `_created` times. Comments are not parsed: in both
    formats a series means the same without them, and types would make prometheus_client rename counters.

    Raises:
        ValueError: the text is in neither format, or a line is longer than LONGEST.
    """
    for raw in text.split("\n"):
        line = raw.strip()
        if line and not line.startswith("#"):
            series = _series(line)
            if series is not None:
                yield series


def _series(line: str) -> Series | None:
    """One line's series, its timestamp and exemplar dropped; None for a series that is left out."""
    if len(line) > LONGEST:
        raise ValueError(f"a line of {len(line)} characters, where {LONGEST} are allowed: {line[:80]}")
    if " # " in line:  # an exemplar, which has braces of its own, or a label with such a text
        sample = _sample(line)
        identity, value = _identity(sample), sample.value
    else:
        end = line.rfind("}") + 1 or len(line.split()[0])
        identity, value = (_known if end <= CACHED else _read)(line[:end]), _value(line[end:])
    return None if identity is None else Series(*identity, value)


def _value(rest: str) -> float:
    fields = rest.split()
    if not fields:
        raise ValueError("a series without a value")
    return float(fields[0])


def _read(head: str) -> tuple[str, str] | None:
    return _identity(_sample(f"{head} 0"))


_known = lru_cache(maxsize=20_000)(_read)
"""A server repeats name and labels in every scrape, and to parse them is all the cost."""


def _identity(sample: Sample) -> tuple[str, str] | None:
    """Name and labels; None for a series that is left out."""
    if sample.name.endswith("_created") or (sample.name.endswith("_bucket") and "le" in sample.labels):
        return None
    return sample.name, json.dumps(sample.labels, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _sample(line: str) -> Sample:
    for family in text_string_to_metric_families(line):
        return family.samples[0]
    raise ValueError(f"not a series: {line[:200]}")
