"""The server's own counters of prompt tokens that it had cached, read at both ends of a load."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from servegrid.engines.base import Metrics
from servegrid.telemetry.scraper import ReplicaScraper, ScrapeFailed

Counts = dict[str, float]
"""Values by name of the series, summed over labels and copies."""


class CachedTokens:
    """Reads the counters `Metrics.cached_tokens` of a server with all its copies."""

    def __init__(
        self, metrics: Metrics, urls: Sequence[str], headers: Mapping[str, str], ca_file: Path | None = None
    ) -> None:
        self._pairs = metrics.cached_tokens
        self._scraper = ReplicaScraper(urls, headers, ca_file)

    def read(self) -> Counts:
        """Counters now; none where the server has or gives none."""
        if not self._pairs:
            return {}
        names = {name for pair in self._pairs for name in pair}
        counts: Counts = {}
        try:
            for row in self._scraper.scrape():
                if row["name"] in names:
                    counts[str(row["name"])] = counts.get(str(row["name"]), 0.0) + float(row["value"] or 0.0)
        except ScrapeFailed:
            return {}
        return counts

    def growth_since(self, before: Counts) -> Counts | None:
        """Growth of `cached_tokens` and `prompt_tokens`, by the first pair of counters that counted; None if none did.

        Counters that fall, or count more cached tokens than there are, were those of two servers at one URL.
        """
        now = self.read()
        for cached, prompt in self._pairs:
            if not {cached, prompt} <= before.keys() & now.keys():
                continue
            hits, tokens = now[cached] - before[cached], now[prompt] - before[prompt]
            if 0 <= hits <= tokens > 0:
                return {"cached_tokens": hits, "prompt_tokens": tokens}
        return None
