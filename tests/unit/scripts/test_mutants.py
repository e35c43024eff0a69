"""Mutants are programs that differ from the code in one place, and each is tried on the tests that import it."""

import ast
import sys
from pathlib import Path

import pytest

from isolation import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "bench"))
import mutants


def test_every_change_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "PACKAGE", tmp_path)
    module = tmp_path / "module.py"
    module.write_text(
        'def f(é: int = 1, *, on: bool = True) -> "int | None":\n    """A docstring."""\n    if é > 2 and on:\n        print(f"{é + 1}")\n'
        "    assert é > 0\n    zip(strict=True)\n    é += 3 * é\n    return é if on else not é\n"
    )
    source = module.read_bytes()
    found = [str(mutant).partition("  ")[2] for mutant in mutants.mutants_of(module)]
    assert found == [
        "True  ->  False",
        "1  ->  2",
        "é > 2 and on  ->  (not (é > 2 and on))",
        "é > 2 and on  ->  (é > 2 or on)",
        "é > 2  ->  (é >= 2)",
        "2  ->  3",
        'print(f"{é + 1}")  ->  pass',
        "zip(strict=True)  ->  pass",
        "é += 3 * é  ->  pass",
        "3  ->  4",
        "return é if on else not é  ->  return None",
        "on  ->  (not on)",
        "not é  ->  (é)",
    ]
    for mutant in mutants.mutants_of(module):
        changed = source[: mutant.start] + mutant.code.encode() + source[mutant.end :]
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))


def test_related_tests_are_those_that_import_the_module_nearest_first() -> None:
    related = mutants.related_tests(mutants.PACKAGE / "metrics" / "drift.py")
    assert related[0] == Path("tests/unit/metrics/test_drift.py")
    assert Path("tests/unit/collect/test_collect.py") in related, "by way of what it imports"
    assert Path("tests/unit/host/test_ports.py") not in related
