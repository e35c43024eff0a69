"""What tells one model from another, without reading all of it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

EDGE_BYTES = 2**20
WHOLE_BELOW_BYTES = 4 * EDGE_BYTES


def revision_of(path: Path) -> str:
    """Identity of a model folder or file: a hash over names, sizes and contents.

    Files below 4 MiB count whole; of larger ones the first and last MiB do, where formats keep their headers and the last
    weights. A change inside a large file that keeps its size and both ends goes unseen.

    Raises:
        FileNotFoundError: naming the path.
    """
    if not path.exists():
        raise FileNotFoundError(f"model {path} is not there")
    seen = hashlib.sha256()
    for file in _files(path):
        seen.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
        seen.update(_sample(file))
    return seen.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))


def _sample(file: Path) -> bytes:
    with file.open("rb") as opened:
        if file.stat().st_size <= WHOLE_BELOW_BYTES:
            return opened.read()
        first = opened.read(EDGE_BYTES)
        opened.seek(-EDGE_BYTES, 2)
        return first + opened.read()
