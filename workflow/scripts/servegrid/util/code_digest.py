"""A digest of the code that a result depends on: a script, all that it imports, and the templates and styles beside that."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder of the scripts, from which imports are looked up."""
DATA = {".j2", ".css", ".js"}
"""Endings of files that a module reads from its own folder."""
_BY_NAME = ("iter_modules", "import_module")


def code_digest(script: Path, root: Path = ROOT) -> str:
    """Return 16 hex digits that change with the content of any file of `closure`, and with nothing else.

    Raises:
        SyntaxError: when one of them is no Python.
    """
    hashed = hashlib.sha256()
    for path in closure(script, root):
        hashed.update(f"{path.relative_to(root).as_posix()}\0{content_digest(path)}\n".encode())
    return hashed.hexdigest()[:16]


def closure(script: Path, root: Path = ROOT) -> list[Path]:
    """Return the script, every module below `root` that it imports, directly or not, and the data beside these, sorted.

    Imports are read from the syntax, wherever they stand: an import inside a function counts, one for the type checker does not.
    A package that imports modules by name (`import_module`, `iter_modules`) may import all that it holds.
    """
    found: set[Path] = set()
    waiting = [script.resolve()]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [module for module in _imports(path, root) if module not in found]
    return sorted(found | {data for module in found if module.parent != root for data in _data(module.parent)})


@cache
def _imports(path: Path, root: Path) -> tuple[Path, ...]:
    tree = ast.parse(path.read_bytes(), path)
    return tuple(dict.fromkeys(file for name in _names(tree, path) for file in _files(name, root)))


def _names(tree: ast.AST, path: Path) -> Iterator[str]:
    """Dotted names of what a module imports; names in a module may turn out to be no modules themselves."""
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in _BY_NAME:
            yield from (f"{_package(path)}.{module.stem}" for module in sorted(path.parent.glob("*.py")))


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for the type checker alone."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield node
            yield from _executed(node)


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def _package(path: Path) -> str:
    folders = [path.parent, *path.parent.parents]
    packages = [folder.name for folder in folders if (folder / "__init__.py").exists()]
    return ".".join(reversed(packages))


def _files(name: str, root: Path) -> Iterator[Path]:
    """The files that an import of `name` executes: each package on the way, and the module; none of other people's code."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:length])
        yield from (path for path in (place / "__init__.py", place.with_suffix(".py")) if path.exists())


def _data(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.suffix in DATA)


@cache
def content_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file's content in hex; None where there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
