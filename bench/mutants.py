"""How much of a random change to the code the unit tests notice: mutants, each tried on the tests that import the changed module.

    .venv/bin/python bench/mutants.py --count 200 --seed 7 [--modules metrics report/judge] [--jobs 2] [--nearest 12]

A mutant is one small change: another comparison, sum, number or slice, a condition turned round, a statement left out, a result that is None.
The seed fixes which. Tests are related by import, directly or not, also through what they share (`tests/standins`) and through programs that are started;
the nearest of them run, nearest first, until one fails. A mutant that takes longer than --limit-s is killed, and counts as noticed, as
do tests that end by their own limit. All runs in copies in a temporary folder: the working tree is not touched. Prints what survived;
some of that does the same as the code and cannot be noticed by any test, which is for a reader to judge.
"""

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS, TESTS = REPOSITORY / "workflow" / "scripts", REPOSITORY / "tests"
sys.path.insert(0, str(SCRIPTS))

from servegrid.util.code_digest import import_closure  # noqa: E402

PACKAGE = SCRIPTS / "servegrid"
MODULES = [
    "metrics",
    "collect",
    "stats",
    "results",
    "report/judge",
    "compare",
    "client",
    "protocols",
    "telemetry",
    "measure",
    "launch",
    "host",
    "plan",
]
OPERATORS: dict[type[ast.AST], Any] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}


@dataclass(frozen=True)
class Mutant:
    """One change: bytes `start` to `end` of a module become `code`."""

    path: Path
    line: int
    start: int
    end: int
    before: str
    code: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(PACKAGE)}:{self.line}  {self.before}  ->  {self.code}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--modules", nargs="+", default=MODULES, help="folders or files below workflow/scripts/servegrid"
    )
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="mutants at a time")
    parser.add_argument("--nearest", type=int, default=8, help="test files that a mutant is tried on, at most")
    parser.add_argument("--limit-s", type=float, default=900, help="for one mutant")
    options = parser.parse_args()
    places = [PACKAGE / name for name in options.modules]
    paths = [path for place in places for path in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    mutants = [mutant for path in paths for mutant in mutants_of(path)]
    chosen = random.Random(options.seed).sample(mutants, min(options.count, len(mutants)))
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        noticed = try_all(chosen, Path(folder), options.jobs, options.nearest, options.limit_s)
    print(
        f"\nkilled {sum(noticed)} of {len(chosen)} ({sum(noticed) / len(chosen):.1%}), seed {options.seed}; these survived:\n"
    )
    print("\n".join(str(mutant) for mutant, killed in zip(chosen, noticed, strict=True) if not killed) or "none")


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in _changeable(ast.parse(source)):
        for place, code in _changes(node):
            start = starts[place.lineno - 1] + place.col_offset
            end = starts[(place.end_lineno or 0) - 1] + (place.end_col_offset or 0)
            yield Mutant(path, place.lineno, start, end, " ".join(source[start:end].decode().split()), code)


def _changeable(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield the statements and expressions below a node, but for annotations, decorators and what stands in f-strings.

    Nor what only holds the code to its own promises: assertions, and `strict` of zip.
    """
    if isinstance(node, ast.JoinedStr | ast.Assert) or (isinstance(node, ast.keyword) and node.arg == "strict"):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.expr | ast.stmt):
                yield child
            if isinstance(child, ast.AST):
                yield from _changeable(child)


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield the places at a node that may be changed, and the code that may stand there."""
    match node:
        case ast.Compare(left, [operator, *operators], comparators) if type(operator) in OPERATORS:
            yield node, _code(ast.Compare(left, [OPERATORS[type(operator)](), *operators], comparators))
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS and not isinstance(left, ast.Constant):
            yield node, _code(ast.BinOp(left, OPERATORS[type(operator)](), right))
        case ast.BoolOp(operator, values):
            yield node, _code(ast.BoolOp(OPERATORS[type(operator)](), values))
        case ast.UnaryOp(ast.Not(), operand):
            yield node, _code(operand)
        case ast.If(test) | ast.While(test) | ast.IfExp(test) if not isinstance(test, ast.Compare | ast.UnaryOp):
            yield test, _code(ast.UnaryOp(ast.Not(), test))
        case ast.Constant(bool(value)):
            yield node, str(not value)
        case ast.Constant(int() | float() as value):
            yield node, f"{value + 1}"
        case ast.Return(ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield node, "return None"
        case ast.Expr(ast.Call()) | ast.AugAssign():
            yield node, "pass"


def _code(expression: ast.expr) -> str:
    return f"({ast.unparse(expression)})"


def try_all(mutants: list[Mutant], folder: Path, jobs: int, nearest: int, limit_s: float) -> list[bool]:
    """Try every mutant, some at a time, each in a copy of its own; whether tests noticed each."""
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(jobs):
        copies.put(_copy(folder / str(number)))

    tests = {path: related_tests(path)[:nearest] for path in {mutant.path for mutant in mutants}}

    def attempt(mutant: Mutant) -> bool:
        copy = copies.get()
        try:
            witness = _witness(mutant, copy, tests[mutant.path], limit_s)
        finally:
            copies.put(copy)
        print(f"{f'killed by {witness}' if witness else 'SURVIVED'}: {mutant}", flush=True)
        return witness is not None

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(attempt, mutants))


def _copy(folder: Path) -> Path:
    """Copy what git knows or would take up; the environment is linked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    if not (folder / ".venv").exists():
        (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    (folder / "tmp").mkdir()
    return folder


def _witness(mutant: Mutant, copy: Path, tests: list[Path], limit_s: float) -> str | None:
    """Try a mutant in a copy; the test that noticed it, or the limit; None: nothing did."""
    if not tests:  # pytest without any would run all there are
        return None
    target = copy / mutant.path.relative_to(REPOSITORY)
    source = target.read_bytes()
    target.write_bytes(source[: mutant.start] + mutant.code.encode() + source[mutant.end :])
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *map(str, tests)]
    environment = {**os.environ, "TMPDIR": str(copy / "tmp")}
    process = subprocess.Popen(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output = process.communicate(timeout=limit_s)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return f"the limit of {limit_s:.0f} s"
    finally:
        target.write_bytes(source)
    lines = [line.split(" - ")[0] for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return None if process.returncode == 0 else (lines or [f"exit status {process.returncode}"])[0]


def related_tests(module: Path) -> list[Path]:
    """Unit tests that import a module: those of its package first, of these those that name it, then those that import least."""
    package, name = module.relative_to(PACKAGE).parts[0], ".".join(module.relative_to(SCRIPTS).with_suffix("").parts)

    def distance(test: Path) -> tuple[bool, bool, int]:
        return test.parent.name != package, name not in test.read_text(encoding="utf-8"), len(_closures()[test])

    related = sorted((test for test, closure in _closures().items() if module in closure), key=distance)
    return [test.relative_to(REPOSITORY) for test in related]


@cache
def _closures() -> dict[Path, frozenset[Path]]:
    """Every unit test's modules of the library: those it imports, also by way of what tests share, and those of programs named there."""
    tests = sorted((TESTS / "unit").rglob("test_*.py"))
    return {test: _reached(frozenset(import_closure(test, TESTS))) for test in tests}


def _reached(files: frozenset[Path]) -> frozenset[Path]:
    """What these files import, and what the programs import that any of it names, which run in processes of their own."""
    reached = files.union(*(import_closure(file, SCRIPTS) for file in files if file.suffix == ".py"))
    started = frozenset[Path]().union(*map(_named_programs, reached)) - reached
    return _reached(reached | started) if started else reached


@cache
def _named_programs(file: Path) -> frozenset[Path]:
    """Scripts by their file's name in quotes, and modules that are run by their dotted name."""
    text = file.read_text(encoding="utf-8")
    scripts = (SCRIPTS / name for name in re.findall(r'"(\w+\.py)"', text))
    modules = (SCRIPTS.joinpath(*name.split(".")).with_suffix(".py") for name in re.findall(r'"-m", "([\w.]+)"', text))
    return frozenset(path for path in (*scripts, *modules) if path.is_file())


if __name__ == "__main__":
    main()
