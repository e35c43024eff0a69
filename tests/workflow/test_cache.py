"""A real llama-server with its prompt cache on, in one session: cold loads stay cold, warm ones are warm, and it says so itself."""

from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from workflow.project import Project

SALT = 16
"""Tokens of a salt for the built-in model's tokenizer: eight letters, seven spaces and a line's end."""


def test_cold_and_warm_loads_of_one_server(project: Callable[..., Project]) -> None:
    clone = project({"server": {"prefix_cache": True}, "grid": {"cache": ["cold", "warm"]}})
    clone.measure()
    rows = clone.points().set_index(["cache", "threads"])
    assert set(rows["status"]) == {"ok"} and rows["warnings"].fillna("").str.contains("prompts were cached").sum() == 0
    requests = [
        pq.read_table(path).to_pandas()
        for path in clone.folder.glob("results/sessions/*/rep1/loads/*/requests.parquet")
    ]
    salted = [table for table in requests if "@" in table["prompt_id"].iloc[0]]
    assert len(requests) == 4 and len(salted) == 2 and all((table["cached_tokens"] <= SALT).all() for table in salted)
    tokens = salted[0]["prompt_tokens"] - SALT
    for threads in (1, 2):
        assert rows.loc[("cold", threads), "cache_policy"] == "cold (salt)"
        assert rows.loc[("cold", threads), "prompt_tokens"] == sum(tokens) + SALT * len(tokens)
        assert rows.loc[("warm", threads), "cache_policy"] == "warm"
        expected = sum(tokens - 1) / sum(tokens)  # all but the last, which is computed
        assert rows.loc[("warm", threads), "prefix_cache_hit_rate"] == pytest.approx(expected, rel=0.02)
