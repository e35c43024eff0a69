"""No load is warm by accident: what servers that keep prompts are sent, and what the tables say of it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helpers.grids import MODEL, grid
from servegrid.collect.tables import collect
from servegrid.measure.folders import RunFolders
from servegrid.measure.session import SessionRun
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import Resolved
from servegrid.prompts.files import Prompt, write_prompts
from servegrid.prompts.salt import LETTERS
from servegrid.util.terminal import Progress
from standins.caching_server import CachingServer
from standins.openai_like import serving

pytestmark = pytest.mark.slow

DEVICE = f"far-{os.getpid()}"
TOKENS = 3
SYSTEM = "always answer in short words "
PROMPTS = [Prompt(f"p{n}", SYSTEM * (n % 2) + " ".join(f"word{n}x{k}" for k in range(12 + 5 * n))) for n in range(6)]
REPEATED = [*PROMPTS[:3], Prompt("again", PROMPTS[0].text)]


def said(rows: pd.DataFrame) -> list[bool]:
    """Whether each row says that prompts were cached; the server answers at once, of which other warnings tell."""
    return rows["warnings"].fillna("").str.contains("prompts were cached").tolist()


def far(
    urls: Mapping[str, str], repeats: int = 1, load: dict[str, Any] | None = None, levels: int = 2, **entry: Any
) -> Grid:
    """One server at each URL, with loads of one thread, two, ...."""
    resolved = Resolved(MODEL, None, "prompts-1", engine_versions=dict.fromkeys(urls, "1"))
    axes = {"engine": list(urls), "gpu": [DEVICE], "threads": [*range(1, levels + 1)]}
    engines = {name: {"engine": "vllm", "runtime": "url", "url": url, **entry} for name, url in urls.items()}
    changes: dict[str, Any] = {"grid": axes, "devices": {DEVICE: {"kind": "remote"}}, "engines": engines}
    changes |= {"repeats": repeats, "load": {"warmup_requests": 1, **(load or {})}, "telemetry_interval_s": 60.0}
    return grid(resolved, **changes, report={}, prompts__output_tokens=TOKENS)


def measure(expanded: Grid, folder: Path, prompts: list[Prompt] = PROMPTS) -> pd.DataFrame:
    """Measure what is not measured yet; returns the rows."""
    folders = RunFolders(folder / "results", folder / "resources", folder / "prompts.jsonl")
    write_prompts(folders.prompts, prompts)
    for session in expanded.sessions:
        SessionRun(session, expanded.config, folders, Progress("s", "1/1", None, folder / "log.txt")).run()
    return collect(expanded, folders.results).points


def timed(server: CachingServer, prompts: list[Prompt] = PROMPTS) -> list[tuple[str, int, int]]:
    """What it was sent of these prompts, without warm-ups: text, tokens, cached tokens."""
    return [sent for sent in server.sent if sent[0].endswith(tuple(prompt.text for prompt in prompts))]


def shared(text: str) -> int:
    """Words that a cold prompt may have in common with others of its load: the salt's, and the system prompt's."""
    return LETTERS + (len(SYSTEM.split()) if SYSTEM in text else 0)


def test_no_prompt_at_a_url_meets_itself_in_any_load_session_or_sweep(tmp_path: Path) -> None:
    server = CachingServer()
    with serving(server) as url:
        for name in ("first", "second"):
            rows = measure(far({"far": url}, repeats=2), tmp_path / name)
            assert set(rows["status"]) == {"ok"} and not any(said(rows))
            assert set(rows["cache_policy"]) == {"cold (salt)"}
    sent = timed(server)
    assert len(sent) == 2 * 2 * 2 * len(PROMPTS) and len({text for text, _, _ in sent}) == len(sent)
    assert all(cached <= shared(text) for text, _, cached in sent)
    loads = [sum(cached for _, _, cached in sent[n : n + len(PROMPTS)]) for n in range(0, len(sent), len(PROMPTS))]
    assert max(loads) - min(loads) <= shared(SYSTEM), (
        "the first and the last load of a session, but for which prompt comes first"
    )


@pytest.mark.parametrize(
    "ending",
    [
        {"requests": 11},
        {"duration_s": 0.5},
        {"duration_s": 0.5, "workers": 2},
        {"arrival": "constant", "rate": 200.0, "requests": 11},
    ],
)
def test_no_prompt_meets_itself_within_a_load(tmp_path: Path, ending: dict[str, Any]) -> None:
    server = CachingServer()
    with serving(server) as url:
        rows = measure(far({"far": url}, load=ending), tmp_path, REPEATED)
    sent = timed(server, REPEATED)
    assert (
        set(rows["status"]) == {"ok"}
        and len(sent) > 2 * len(REPEATED)
        and len({text for text, _, _ in sent}) == len(sent)
    )
    assert all(cached <= shared(text) for text, _, cached in sent) and not any(said(rows))


def test_what_is_measured_again_meets_nothing(tmp_path: Path) -> None:
    server = CachingServer()
    with serving(server) as url:
        expanded = far({"far": url})
        measure(expanded, tmp_path)
        shutil.rmtree(tmp_path / "results" / "sessions")
        measure(expanded, tmp_path)
    assert all(cached <= shared(text) for text, _, cached in timed(server)) and len(timed(server)) == 4 * len(PROMPTS)


def test_servers_are_sent_the_same_at_the_same_place_and_two_entries_of_one_server_are_not(tmp_path: Path) -> None:
    one, other = CachingServer(), CachingServer()
    with serving(one) as url, serving(other) as other_url:
        rows = measure(far({"one": url, "other": other_url}, repeats=2), tmp_path).set_index(["engine", "threads"])
        measure(far({"again": f"{url}/v1"}), tmp_path)
    texts = [text for text, _, _ in timed(other)]
    assert len(texts) == 2 * 2 * len(PROMPTS) and set(texts) < {text for text, _, _ in timed(one)}
    assert all(cached <= shared(text) for server in (one, other) for text, _, cached in timed(server))
    assert rows["agreement_floor"].isna().all(), "no session has the prompts of another"
    assert rows["agreement"].dropna().to_dict() == {("other", 1): 1.0, ("other", 2): 1.0}


@pytest.mark.parametrize("says", ["usage", "counters"])
def test_a_warm_load_is_primed_and_its_hit_rate_is_what_the_prompts_say(tmp_path: Path, says: str) -> None:
    server = CachingServer(says)
    with serving(server) as url:
        rows = measure(far({"far": url}, load={"cache": "warm"}), tmp_path)
    assert set(rows["cache_policy"]) == {"warm"} and not any(said(rows))
    tokens = [len(prompt.text.split()) for prompt in PROMPTS]
    expected = sum(count - 1 for count in tokens) / sum(tokens)  # all but the last, which is computed
    assert rows["prefix_cache_hit_rate"].tolist() == pytest.approx([expected, expected], abs=1e-9)
    assert len(timed(server)) == 2 * 2 * len(PROMPTS), "a pass that is not measured before each load"


@pytest.mark.parametrize("says", ["usage", "counters"])
def test_a_planted_warm_cache_is_flagged_each_time(tmp_path: Path, says: str) -> None:
    """It looks past the salt; the load that is sent to it first is cold, and all others are warm."""
    for number in range(5):
        with serving(CachingServer(says, planted=LETTERS)) as url:
            rows = measure(far({"far": url}, levels=5), tmp_path / str(number)).sort_values("threads")
        assert said(rows) == [False, True, True, True, True]


@pytest.mark.parametrize("protocol", ["openai-completions", "openai-chat"])
@pytest.mark.parametrize("says", ["usage", "counters", "nothing"])
def test_what_prompts_and_a_template_share_is_no_warm_cache(tmp_path: Path, says: str, protocol: str) -> None:
    template = 30 if protocol == "openai-chat" else 1
    with serving(CachingServer(says, template=template)) as url:
        rows = measure(far({"far": url}, protocol=protocol), tmp_path)
    assert not any(said(rows)) and set(rows["status"]) == {"ok"}
    assert (
        (rows["prefix_cache_hit_rate"] > 0.2).all() if says != "nothing" else rows["prefix_cache_hit_rate"].isna().all()
    )
