"""The place that a load's salts are made of: the same for all servers of a sweep, and never the same twice for one that goes on running."""

import os
from itertools import count
from pathlib import Path

from servegrid.plan.grid import Load, Session
from servegrid.protocols.server_url import join
from servegrid.util.files import write_atomic
from servegrid.util.identity import digest

Place = tuple[object, ...]


def salt_place(results: Path, session: Session, load: Load) -> Place:
    """Place of a load that is about to be sent: results, round, load, and how often these went to the same URL before.

    A server at a URL may remember an earlier sweep, a load that was broken off, or that another entry of `engines` has the same URL.
    """
    place = (_seed(results / "salts"), session.rep, load.id)
    url = session.server.spec.url
    return (*place, _times_sent(results / "salts", url, place) if url else 0)


def _seed(folder: Path) -> str:
    """Random text that belongs to these results, made with the first salt."""
    path = folder / "seed"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, os.urandom(8).hex())
    return path.read_text()


def _times_sent(folder: Path, url: str, place: Place) -> int:
    """How often the load of this place was sent to the URL before; a file for each time outlives the sessions' folders."""
    name = digest([join(url, "/").rstrip("/"), *place])
    for number in count():
        try:
            (folder / f"{name}-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number
    raise AssertionError("numbers do not end")
