"""Labels of a container that name the process that looks after it, so that a later run finds orphaned containers."""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

SESSION_LABEL = "servegrid.session"
_HOST, _BOOT, _NAMESPACE = "servegrid.owner.host", "servegrid.owner.boot", "servegrid.owner.pid_namespace"
_PID, _START = "servegrid.owner.pid", "servegrid.owner.start"


def owner_labels() -> dict[str, str]:
    """Labels that name this process as the owner; with its start time, since a pid may be another process's later."""
    pid = os.getpid()
    host_labels = {_HOST: platform.node(), _BOOT: _boot_id(), _NAMESPACE: _pid_namespace()}
    return host_labels | {_PID: str(pid), _START: _start_ticks(pid) or ""}


def is_orphan(labels: Mapping[str, str], running: bool) -> bool:
    """Whether the container's owner is certainly dead; never for containers that are not servegrid's."""
    if not {_HOST, _BOOT, _NAMESPACE, _PID, _START} <= set(labels):
        return False
    if labels[_BOOT] != _boot_id():  # of before the last start of this host, or of another one that shares the daemon
        return labels[_HOST] == platform.node() and not running
    return labels[_NAMESPACE] == _pid_namespace() and _start_ticks(int(labels[_PID])) != labels[_START]


def remove_orphans(client: Any) -> list[str]:
    """Remove the containers whose owner is dead, and no others; return the sessions they belonged to."""
    swept = []
    for container in client.containers.list(all=True, filters={"label": _PID}, ignore_removed=True):
        if not is_orphan(container.labels, container.status == "running"):
            continue
        try:
            container.remove(force=True, v=True)
        except NotFound:
            continue
        except APIError as error:
            print(f"container {container.short_id} cannot be removed: {error.explanation}", file=sys.stderr)
            continue
        swept.append(container.labels.get(SESSION_LABEL, container.short_id))
    return swept


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def _start_ticks(pid: int) -> str | None:
    """Start time of the process in clock ticks since boot (proc(5), field 22 of stat); None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
