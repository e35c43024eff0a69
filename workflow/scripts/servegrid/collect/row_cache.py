"""Cache of computed rows, so that one new session does not make collect read all others again.

A row is found by a hash of all that it depends on: what is computed, the code of collect, and every file it is made from, each by
its size, inode and times of last change. A file that was written anew, even with the same size and date, has another inode or
change time (ctime, which no program can set), so nothing stale is ever found; at worst a row is computed once more.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from servegrid.util.code_digest import ROOT, code_digest
from servegrid.util.files import fingerprint, write_atomic
from servegrid.util.identity import digest


class RowCache:
    """A JSON file of computed values; `save` keeps those that were asked for since it was opened, and no others.

    Attributes:
        used: key -> value that was asked for or computed.
        computed: number of values that were not in the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values = _read(path)
        self.used: dict[str, Any] = {}
        self.computed = 0

    def get(self, what: Any, files: Iterable[Path], compute: Callable[[], Any]) -> Any:
        """Value of `compute()`, which is called only if `what`, the code or any of the files changed since it was last.

        Args:
            what: name of the value and all it depends on beside the files; as JSON.
            files: what it is computed from; a file that is missing counts as such.
            compute: returns the value, made of what JSON holds (NaN excluded).
        """
        key = _key(what, files)
        if key not in self.used:
            if key not in self._values:
                self._values[key] = compute()
                self.computed += 1
            self.used[key] = self._values[key]
        return self.used[key]

    def has(self, what: Any, files: Iterable[Path]) -> bool:
        """Whether `get` would find the value."""
        return _key(what, files) in self._values

    def add(self, values: dict[str, Any]) -> None:
        """Take over values that another cache of the same folder has used."""
        self.computed += len(values.keys() - self._values.keys())
        self._values |= values

    def save(self) -> None:
        """Write the file anew, if anything was computed or is no longer used."""
        if self.computed or self.used.keys() != self._values.keys():
            write_atomic(self._path, json.dumps(self.used, allow_nan=False))


def _key(what: Any, files: Iterable[Path]) -> str:
    return digest([code_digest(ROOT / "collect.py"), what, [fingerprint(path) for path in files]], 32)


def _read(path: Path) -> dict[str, Any]:
    """Values in the file; none if there is no such file or it is damaged, since all can be computed again."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
