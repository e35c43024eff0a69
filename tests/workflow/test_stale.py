"""An edit of any module makes anew what depends on it, and nothing else; none measures."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isolation import REPOSITORY
from servegrid.util.code_digest import DATA_SUFFIXES, import_closure
from workflow.project import Project

SCRIPTS = REPOSITORY / "workflow" / "scripts"
RULES = {
    "collect": "collect",
    "tables": "tables",
    "figures": "figures",
    "claims": "claims",
    "recommend": "recommend",
    "questions": "questions",
    "timelines": "timeline",
    "page": "page",
    "verdict": "verdict",
}
"""Rule -> its script."""
AFTER = {
    "collect": {*RULES} - {"collect"} | {"snakemake_report"},
    "tables": {"snakemake_report"},
    "figures": {"page", "snakemake_report"},
    "claims": {"page", "snakemake_report"},
    "recommend": {"page", "verdict"},
    "questions": {"page"},
    "timelines": {"page", "snakemake_report"},
    "page": {"verdict"},
}
"""Rule -> rules that read what it makes."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A finished sweep of one server."""
    project = Project(tmp_path_factory.mktemp("stale"), {"grid": {"threads": [1]}})
    project.run()
    yield project


def representatives() -> list[Path]:
    """One module of every package, and one template or style of each kind."""
    package = SCRIPTS / "servegrid"
    modules = sorted(path for path in package.rglob("*.py") if path.name != "__init__.py")
    by_package = {path.parent: path for path in modules}
    data = {path.suffix: path for path in sorted(package.rglob("*")) if path.suffix in DATA_SUFFIXES}
    return [*by_package.values(), *data.values()]


def rules_of(dry_run: str) -> set[str]:
    """The rules in the table of jobs of a dry run, without `all`."""
    return set(re.findall(r"^(\w+) +\d+$", dry_run, re.MULTILINE)) - {"all", "total"}


def expected(path: Path) -> set[str]:
    importers = {rule for rule, script in RULES.items() if path in import_closure(SCRIPTS / f"{script}.py")}
    todo, rules = list(importers), set(importers)
    while todo:
        after = AFTER.get(todo.pop(), set()) - rules
        rules |= after
        todo += after
    return rules


@pytest.mark.parametrize("path", representatives(), ids=lambda path: str(path.relative_to(SCRIPTS / "servegrid")))
def test_an_edit_redoes_what_depends_on_it(finished: Project, path: Path) -> None:
    copy = finished.folder / path.relative_to(REPOSITORY)
    text = copy.read_text()
    copy.write_text(text + "\n")
    try:
        assert rules_of(finished.run("-n")) == expected(path)
    finally:
        copy.write_text(text)


def test_without_an_edit_nothing_is_done(finished: Project) -> None:
    assert "Nothing to be done" in finished.run("-n")


def test_the_expectation_tells_stages_apart() -> None:
    judge, client, noise = (SCRIPTS / "servegrid" / name for name in NAMES)
    assert expected(client) == set() and "collect" in expected(noise)
    assert "collect" not in expected(judge) and {"claims", "page"} <= expected(judge)


NAMES = ("report/judge/claims.py", "client/connection.py", "stats/intervals.py")
Make = Callable[..., Project]


def test_results_from_elsewhere_are_made_anew_and_not_measured(project: Make, finished: Project) -> None:
    """Snakemake's own records stay behind where results are copied: it cannot know what made them."""
    clone = project({"grid": {"threads": [1]}})
    clone.adopt(finished, "results", "reports")
    before = clone.loads()
    assert rules_of(clone.run("-n")) == {"resolve", *RULES, "snakemake_report"}
    clone.configure({"report": {"title": "Elsewhere"}})
    clone.run()
    assert "Elsewhere" in (clone.folder / "reports" / "report.html").read_text() and clone.loads() == before
    clone.configure({"grid": {"threads": [1, 2]}})
    assert "measure" in rules_of(clone.run("-n"))
