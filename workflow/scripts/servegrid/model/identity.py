"""Identity of a user's local model."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

EDGE = 2**20
"""Bytes read from either end of a large file."""
SMALL = 4 * EDGE
"""Up to this size a file is read whole."""


def revision_of(path: Path) -> str:
    """Identity of a model on disk, a file or a folder: 64 hexadecimal digits.

    A SHA-256 over every file's name inside the folder and its size, the whole content of files up to SMALL bytes, and
    the first and last EDGE bytes of larger ones. Reading models of hundreds of gigabytes whole would take minutes at
    each start; a change in the middle of a large file that leaves its size, head and tail alone is therefore not seen.
    Hidden files and folders (names that start with a dot) do not count, nor do times; links count as what they point at.

    Raises:
        FileNotFoundError: There is nothing at `path`, or nothing that counts.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no model at {path}: neither a file nor a folder")
    digest = hashlib.sha256()
    names = [""] if path.is_file() else sorted(_visible_file_names(path))
    if not names:
        raise FileNotFoundError(f"the model folder {path} holds no files")
    for name in names:
        _hash_file(digest, name or path.name, path / name if name else path)
    return digest.hexdigest()


def _visible_file_names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix()


def _hash_file(digest: "hashlib._Hash", name: str, path: Path) -> None:
    size = path.stat().st_size
    digest.update(f"{len(name.encode())} {name} {size}\n".encode())
    with path.open("rb") as file:
        if size <= SMALL:
            digest.update(file.read())
        else:
            digest.update(file.read(EDGE))
            file.seek(size - EDGE)
            digest.update(file.read(EDGE))
