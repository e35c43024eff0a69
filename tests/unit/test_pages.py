"""The pages for people hold: their configs are configs, their links lead somewhere, and every engine is told of."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.configs import merged
from isolation import REPOSITORY
from servegrid import engines
from servegrid.config import parse_config
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import resolve

LIBRARY = REPOSITORY / "workflow" / "scripts" / "servegrid"
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").glob("*.md")), REPOSITORY / "config/README.md"]
TEXTS = {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
CONFIGS = [text for page in TEXTS.values() for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
LINKS = [(page, link) for page, text in TEXTS.items() for link in re.findall(r"\]\(([^)\s]+)\)", text)]


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: text.splitlines()[0])
def test_a_config_of_the_pages_is_one(text: str, tmp_path: Path) -> None:
    default: dict[str, Any] = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    config = merged(default, yaml.safe_load(text))
    # what the reader has and this machine has not
    sizes = {"count": config["prompts"]["count"], "input_tokens_max": 60}
    config["model"], config["prompts"] = default["model"], default["prompts"] | sizes
    server = tmp_path / "llama-server"
    server.write_text("")
    for entry in config["engines"].values():
        entry |= {"command": [str(server)]} if entry.get("runtime") == "command" else {}
    parsed = parse_config(config)
    grid = Grid(parsed, resolve(parsed))
    assert grid.points
    assert not grid.shortages or "threads" not in yaml.safe_load(text).get("grid", {}), (
        "its levels of threads want more requests"
    )


def test_there_are_configs() -> None:
    assert len(CONFIGS) >= 4


@pytest.mark.parametrize("name", engines.names())
def test_it_is_told_once_what_was_seen_of_an_engine(name: str) -> None:
    (seen,) = re.findall(
        rf"(?m)^\| `{re.escape(name)}` \| (.*) \|$", _section("docs/engines.md", "What was seen of each")
    )
    assert re.match(r"\*\*run\*\*|protocol|untested|every point is `unsupported`", seen)


@pytest.mark.parametrize("name", engines.names())
def test_an_engine_has_a_row_with_its_runtimes(name: str) -> None:
    (row,) = [line for line in _section("docs/engines.md", "What each can").splitlines() if f"| `{name}` |" in line]
    assert set(re.findall(r"`([^`]*)`", row.split("|")[3])) == set(engines.get(name).runtimes)


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_somewhere(page: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (REPOSITORY / page).parent / path if path else REPOSITORY / page
    assert link.startswith("https://") or target.exists()
    assert not anchor or anchor in map(_slug, re.findall(r"(?m)^#+ (.*)$", target.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_no_page_sends_its_reader_to_source_code(page: str, link: str) -> None:
    assert not link.endswith((".py", ".smk", ".c", ".j2"))


@pytest.mark.parametrize("page", TEXTS)
def test_lines_stay_in_sight(page: str) -> None:
    """But for rows of tables, which cannot be broken."""
    assert [line for line in TEXTS[page].splitlines() if len(line) > 150 and not line.startswith("|")] == []


def test_the_readme_is_short() -> None:
    assert len(TEXTS["README.md"].encode()) <= 6000


def test_files_named_in_the_pages_are_there() -> None:
    """Paths in `code`, from the repository, the library or its report; not those with a part to be filled in, nor what a run makes."""
    text = TEXTS["docs/architecture.md"] + TEXTS["CONTRIBUTING.md"]
    named = set(re.findall(r"`((?:[\w.+-]+/)+[\w.+-]*|[\w-]+\.py)`", text))
    made = {name for name in named if name.startswith(("results/", "reports/", "resources/", "logs/"))}
    absent = {
        name for name in named if not any((home / name).exists() for home in (REPOSITORY, LIBRARY, LIBRARY / "report"))
    }
    assert absent <= made and len(named) > 60


def test_hooks_run_what_make_check_runs() -> None:
    recipe = (REPOSITORY / "Makefile").read_text().partition("\ncheck: .venv/dev\n")[2].partition("\n\n")[0]
    checked = {" ".join(words.split()[:2]).rstrip(" .") for words in re.findall(r"\$\(BIN\)/(.*)", recipe)}
    [repo] = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = " ".join(hook["entry"] for hook in repo["hooks"])
    assert len(checked) == 6 and [tool for tool in checked if f".venv/bin/{tool}" not in hooks] == []


def test_the_citation_and_the_catalog_can_be_read() -> None:
    citation, catalog = (
        yaml.safe_load((REPOSITORY / name).read_text()) for name in ("CITATION.cff", ".snakemake-workflow-catalog.yml")
    )
    assert citation["cff-version"] == "1.2.0" and citation["authors"] == [{"name": "the servegrid authors"}]
    assert set(catalog["usage"]) == {"mandatory-flags", "software-stack-deployment", "report"}


def _section(page: str, title: str) -> str:
    return TEXTS[page].partition(f"## {title}\n")[2].partition("\n## ")[0]


def _slug(heading: str) -> str:
    """The anchor of a heading, as Git hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
