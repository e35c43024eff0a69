"""Find sessions that were measured on other hosts, in their result folders, for devices that this host lacks."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from servegrid.plan.grid import Grid, Load, Session
from servegrid.records.paths import session_folder


def sessions_of_other_hosts(grid: Grid, folders: Sequence[Path]) -> dict[str, tuple[Path, list[Session]]]:
    """Server id -> the first of `folders` that has a session of the server, and its sessions.

    The sessions are all of the config's, measured or not; with an open number of repeats only the recorded ones. Only servers of
    absent points are looked for: what this host can measure it measures itself. A server's id is a hash of all that defines it, so
    it is the same on every host whose config defines the device alike.
    """
    loads: dict[str, dict[str, Load]] = {}
    here = {point.server.id for point in grid.points if point.skip is None}
    absent = [point.server for point in grid.points if point.skip and point.skip.status == "absent"]
    servers = {server.id: server for server in absent if server.id not in here}
    for point in grid.points:
        if point.server.id in servers:
            loads.setdefault(point.server.id, {})[point.load.id] = point.load
    sessions_by_server: dict[str, tuple[Path, list[Session]]] = {}
    for id, server in servers.items():
        rounds = range(1, grid.config.repeats.at_most + 1)
        sessions = [Session(server, rep, tuple(loads[id].values())) for rep in rounds]
        recorded = ((folder, _recorded_sessions(folder, sessions)) for folder in folders)
        if found := next(((folder, there) for folder, there in recorded if there), None):
            sessions_by_server[id] = found if grid.config.repeats.is_open else (found[0], sessions)
    return sessions_by_server


def _recorded_sessions(folder: Path, sessions: Iterable[Session]) -> list[Session]:
    return [session for session in sessions if (session_folder(folder, session) / "session.json").exists()]
