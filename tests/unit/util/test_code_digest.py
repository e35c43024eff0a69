"""What a result depends on is read from imports, and its digest changes with that alone."""

from pathlib import Path

import pytest

from isolation import REPOSITORY
from servegrid.util import code_digest as module
from servegrid.util.code_digest import code_digest, import_closure

SCRIPTS = REPOSITORY / "workflow" / "scripts"
FILES = {
    "job.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lib.typed import T\nfrom lib import plain\n",
    "lib/__init__.py": "",
    "lib/plain.py": "def f():\n    import lib.lazy.deep\n",
    "lib/typed.py": "",
    "lib/other.py": "",
    "lib/lazy/__init__.py": "from lib.lazy.sibling import name\n",
    "lib/lazy/deep.py": "from importlib import import_module\nimport_module(f'lib.lazy.{1}')\nPAGE = 'page.j2'\n",
    "lib/lazy/sibling.py": "from ..near import near\nfrom . import beside\nname = 1\n",
    "lib/lazy/beside.py": "",
    "lib/near.py": "near = 1\n",
    "lib/lazy/found.py": "",
    "lib/lazy/page.j2": "<p>{% include 'part.j2' %}",
    "lib/lazy/part.j2": "<b>",
    "lib/lazy/unused.css": "b {}",
    "lib/lazy/notes.txt": "",
}
DEPENDED = {"job.py", "lib/__init__.py", "lib/plain.py", "lib/near.py"} | {
    f"lib/lazy/{name}"
    for name in ("__init__.py", "deep.py", "sibling.py", "beside.py", "found.py", "page.j2", "part.j2")
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digest(root: Path) -> str:
    """As another process would find it."""
    module._imports.cache_clear()
    module.content_digest.cache_clear()
    module._data_files.cache_clear()
    return code_digest(root / "job.py", root)


def test_lazy_imports_packages_and_templates_count_and_those_of_the_type_checker_do_not(root: Path) -> None:
    assert {str(path.relative_to(root)) for path in import_closure(root / "job.py", root)} == DEPENDED


@pytest.mark.parametrize("name", FILES)
def test_an_edit_shows_where_it_is_depended_on(root: Path, name: str) -> None:
    before = digest(root)
    (root / name).write_text(FILES[name] + " \n")
    assert (digest(root) != before) == (name in DEPENDED)


@pytest.mark.parametrize("script", ["collect", "tables", "figures", "claims", "recommend", "questions", "page"])
def test_results_depend_on_neither_the_client_nor_the_launch_of_containers(script: str) -> None:
    names = {path.relative_to(SCRIPTS).as_posix() for path in import_closure(SCRIPTS / f"{script}.py")}
    assert "servegrid/results/columns.py" in names
    assert not names & {
        "servegrid/client/connection.py",
        "servegrid/launch/docker/server.py",
        "servegrid/measure/load.py",
    }
