"""Write folders that appear whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servegrid.util.files import sync


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success it is synced and replaces `folder`, on error it is removed.

    A folder of files cannot be exchanged in one step: for a moment `folder` may be missing, never half-written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    beside, old = scratch / "new", scratch / "old"
    try:
        beside.mkdir()
        yield beside
        for path in beside.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
            sync(path)
        sync(beside)
        if folder.exists():
            folder.replace(old)
        beside.replace(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
