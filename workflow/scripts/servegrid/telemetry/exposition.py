"""Parse the text of a server's /metrics: Prometheus text format 0.0.4 and OpenMetrics."""

import json
import re
from functools import lru_cache
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

MAX_LINE_CHARACTERS = 64 * 1024
"""Longest line parsed: the time of prometheus_client grows with the square of a label's escaped quotes."""
MAX_CACHED_CHARACTERS = 2048
"""Longest name with labels that is cached from scrape to scrape: many long ones would fill the memory."""

_NAME = re.compile(r"[^\s{]+")


class Series(NamedTuple):
    """One series of one scrape. `labels` is a JSON object with sorted keys, so equal labels are equal text."""

    name: str
    labels: str
    value: float


def parse(text: str) -> list[Series]:
    """Return the series of a scrape, names as the server writes them.

    Left out: histogram buckets (their `_sum` and `_count` stay) and `_created` times. Comments are not parsed: in both
    formats a series means the same without them, and types would make prometheus_client rename counters. A line in neither format costs
    all series of its name, since a sum without one of them would be false, and no others.

    Raises:
        ValueError: more lines are in neither format, or longer than MAX_LINE_CHARACTERS, than are series.
    """
    lines = [line for raw in text.split("\n") if (line := raw.strip()) and not line.startswith("#")]
    found, odd = [], []
    for line in lines:
        try:
            found.append(_parse_line(line))
        except (ValueError, IndexError) as error:  # the latter of prometheus_client
            odd.append((_NAME.match(line), error))
    if len(odd) > len(found):
        raise ValueError(str(odd[0][1]))
    incomplete = {name[0] for name, _ in odd if name}
    return [series for series in found if series is not None and series.name not in incomplete]


def _parse_line(line: str) -> Series | None:
    """Series of one line, its timestamp and exemplar dropped; None for a series that is left out."""
    if len(line) > MAX_LINE_CHARACTERS:
        raise ValueError(f"a line of {len(line)} characters, where {MAX_LINE_CHARACTERS} are allowed: {line[:80]}")
    if " # " in line:  # an exemplar, which has braces of its own, or a label with such a text
        sample = _parse_sample(line)
        identity, value = _identity_of(sample), sample.value
    else:
        end = line.rfind("}") + 1 or len(line.split()[0])
        identity, value = (
            (_cached_identity if end <= MAX_CACHED_CHARACTERS else _parse_identity)(line[:end]),
            _parse_value(line[end:]),
        )
    return None if identity is None else Series(*identity, value)


def _parse_value(text: str) -> float:
    fields = text.split()
    if not fields:
        raise ValueError("a series without a value")
    return float(fields[0])


def _parse_identity(head: str) -> tuple[str, str] | None:
    return _identity_of(_parse_sample(f"{head} 0"))


_cached_identity = lru_cache(maxsize=20_000)(_parse_identity)
"""As `_parse_identity`, cached: a server repeats name and labels in every scrape, and parsing them is all the cost."""


def _identity_of(sample: Sample) -> tuple[str, str] | None:
    """Name and labels (JSON) of a sample; None for a series that is left out."""
    if sample.name.endswith("_created") or (sample.name.endswith("_bucket") and "le" in sample.labels):
        return None
    return sample.name, json.dumps(sample.labels, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _parse_sample(line: str) -> Sample:
    for family in text_string_to_metric_families(line):
        return family.samples[0]
    raise ValueError(f"not a series: {line[:200]}")
