"""Digest of the code that a result depends on: a script, all modules it imports, and the templates and styles beside these."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder of the scripts, from which imports are looked up."""
DATA_SUFFIXES = {".j2", ".css", ".js"}
"""Suffixes of files that a module reads from its own folder."""
_IMPORTERS_BY_NAME = ("iter_modules", "import_module")


def code_digest(script: Path, root: Path = ROOT) -> str:
    """Return 16 hex digits that change with the content of any file of `import_closure`, and with nothing else.

    Raises:
        SyntaxError: when one of them is no Python.
    """
    hashed = hashlib.sha256()
    for path in import_closure(script, root):
        hashed.update(f"{path.relative_to(root).as_posix()}\0{content_digest(path)}\n".encode())
    return hashed.hexdigest()[:16]


def import_closure(script: Path, root: Path = ROOT) -> list[Path]:
    """Return the script, every module below `root` that it imports, directly or not, and the data beside these, sorted.

    Imports are read from the syntax, wherever they stand: an import inside a function counts, one for the type checker does not.
    A package that imports modules by name (`import_module`, `iter_modules`) may import all that it holds. Data are the files beside
    a module, or beside its template, whose names stand in its text.
    """
    modules: set[Path] = set()
    to_visit = [script.resolve()]
    while to_visit:
        path = to_visit.pop()
        if path not in modules:
            modules.add(path)
            to_visit += [module for module in _imports(path, root) if module not in modules]
    return sorted(modules.union(*map(_data_files, modules)))


@cache
def _imports(path: Path, root: Path) -> tuple[Path, ...]:
    tree = ast.parse(path.read_bytes(), path)
    return tuple(dict.fromkeys(file for name in _imported_names(tree, path) for file in _module_files(name, root)))


def _imported_names(tree: ast.AST, path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports; the last part may name something in a module and not a module itself."""
    for node in _runtime_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{_origin(node, path)}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called_name(node) in _IMPORTERS_BY_NAME:
            yield from (f"{_package_name(path)}.{module.stem}" for module in sorted(path.parent.glob("*.py")))


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from _runtime_nodes(ast.Module(node.orelse, []))
        else:
            yield node
            yield from _runtime_nodes(node)


def _origin(node: ast.ImportFrom, path: Path) -> str:
    """Dotted name of what is imported from, also of a relative import."""
    if not node.level:
        return str(node.module)
    parts = _package_name(path).split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def _called_name(call: ast.Call) -> str:
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def _package_name(path: Path) -> str:
    folders = [path.parent, *path.parent.parents]
    packages = [folder.name for folder in folders if (folder / "__init__.py").exists()]
    return ".".join(reversed(packages))


def _module_files(name: str, root: Path) -> Iterator[Path]:
    """Yield the files below `root` that importing `name` executes: the __init__.py of each package on the way, and the module."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        location = root.joinpath(*parts[:length])
        yield from (path for path in (location / "__init__.py", location.with_suffix(".py")) if path.exists())


@cache
def _data_files(module: Path) -> frozenset[Path]:
    """Templates, styles and scripts in the module's folder that it names, or that a template that it names names."""
    beside = {path for path in module.parent.iterdir() if path.suffix in DATA_SUFFIXES and path != module}
    text = module.read_text(encoding="utf-8") if beside else ""
    named = {path for path in beside if path.name in text}
    return frozenset(named.union(*(_data_files(path) for path in named if path.suffix == ".j2")))


@cache
def content_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file's content in hex; None where there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
