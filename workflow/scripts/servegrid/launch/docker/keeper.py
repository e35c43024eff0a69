"""Create a container, start it, follow its log, stop it and remove it. Run by scripts/run_container.py."""

import ctypes
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound
from docker.types import DeviceRequest, Mount, Ulimit
from pydantic import TypeAdapter
from requests.exceptions import RequestException

from servegrid.launch.container import ContainerRun
from servegrid.launch.docker.daemon import DaemonUnreachable, docker_client
from servegrid.launch.docker.ownership import owner_labels
from servegrid.util.files import write_json

RUN_FILE, STARTED_FILE, ENDED_FILE = "container.json", "started.json", "ended.json"
DAEMON_REFUSED = 125  # exit status of `docker run` when the daemon could not do it
_PR_SET_PDEATHSIG = 1
_LOG_TIMEOUT_S = 5.0
_KILLED = 128 + 9
_OOM_POLLS, _OOM_POLL_S = 20, 0.1
RUN_ADAPTER = TypeAdapter(ContainerRun)


class ContainerKeeper:
    """Run the container that `folder`/container.json describes, from its creation until it is removed.

    Writes started.json (id, pid: of its first process as this host counts, or null) and in the end ended.json (exit, oom_killed,
    error). Its log goes to standard output from the first byte. SIGTERM, or the death of the parent, stops it.
    """

    def __init__(self, folder: Path, stop_timeout_s: float) -> None:
        self.folder, self.stop_timeout_s = folder, stop_timeout_s
        self.container_run = RUN_ADAPTER.validate_json((folder / RUN_FILE).read_bytes())
        self._finished = threading.Event()  # the container ended, or is to end

    def run(self) -> int:
        """Run the container to its end; return its exit status, or 125 if the daemon refused it."""
        signal.signal(signal.SIGTERM, lambda *_: self._finished.set())
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        try:
            with docker_client() as client:
                return self._run_container(client)
        except ImageNotFound as error:
            return self._write_ended(kind="image", error=f"the image is not there: {error.explanation}")
        except APIError as error:
            return self._write_ended(
                kind="launch", error=f"the daemon refused the container: {error.explanation or error}"
            )
        except (DaemonUnreachable, DockerException, RequestException) as error:
            return self._write_ended(kind="launch", error=f"no container: {error}")

    def _write_ended(self, status: int = DAEMON_REFUSED, **details: Any) -> int:
        write_json(self.folder / ENDED_FILE, {"exit": status, **details})
        return status

    def _final_state(self, container: Any) -> dict[str, Any]:
        """State of the ended container. The daemon hears of a kill by the kernel and of the exit apart, in either order."""
        for _ in range(_OOM_POLLS):
            container.reload()
            state: dict[str, Any] = container.attrs["State"]
            if state["OOMKilled"] or state["ExitCode"] != _KILLED or not self.container_run.memory_limit:
                break
            time.sleep(_OOM_POLL_S)
        return state

    def _run_container(self, client: Any) -> int:
        container = client.containers.create(**create_arguments(self.container_run, os.environ, owner_labels()))
        try:
            log = self._start_and_follow(container)
            self._finished.wait()
            container.stop(timeout=math.ceil(self.stop_timeout_s))  # does nothing when it has ended
            log.join(_LOG_TIMEOUT_S)
            state = self._final_state(container)
            # told before the removal, which can take seconds: whoever loads the server wants to know at once
            return self._write_ended(state["ExitCode"], oom_killed=state["OOMKilled"], error=state.get("Error") or None)
        finally:
            with suppress(DockerException, RequestException):  # what stays is swept before the next launch
                container.remove(force=True, v=True)

    def _start_and_follow(self, container: Any) -> threading.Thread:
        """Start the container and return the thread that copies its log; attached before the start, so that no byte is missed."""
        output = container.attach(stdout=True, stderr=True, stream=True)
        container.start()
        container.reload()
        pid = _local_pid(container.id, container.attrs["State"].get("Pid") or 0)
        write_json(self.folder / STARTED_FILE, {"id": container.id, "pid": pid})
        threading.Thread(target=self._wait_for_end, args=(container,), daemon=True, name="wait").start()
        log = threading.Thread(target=_copy_log, args=(output,), daemon=True, name="log")
        log.start()
        return log

    def _wait_for_end(self, container: Any) -> None:
        try:
            container.wait()
        except (DockerException, RequestException) as error:  # the daemon went away, and with it what it looked after
            print(f"servegrid: waiting for the container failed: {error}", file=sys.stderr, flush=True)
        self._finished.set()


def _copy_log(output: Iterable[bytes]) -> None:
    with suppress(OSError, DockerException, RequestException):
        for chunk in output:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


def _local_pid(container: str, pid: int) -> int | None:
    """The pid, if it is the container's on this host too, else None; a daemon in a virtual machine numbers processes anew."""
    try:
        return pid if container in Path(f"/proc/{pid}/cgroup").read_text() else None
    except OSError:
        return None


def create_arguments(run: ContainerRun, environment: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments of `DockerClient.containers.create`; a variable without a value takes that of `environment`."""
    needs, cache = run.needs, run.needs.cache
    mounts = [Mount(str(path), str(path), type="bind", read_only=True) for path in run.mounts]
    mounts += [Mount(cache, run.cache_volume, type="volume")] if cache and run.cache_volume else []
    gpus = [DeviceRequest(device_ids=list(run.gpus), capabilities=[["gpu"]])] if run.gpus else []
    values = {name: environment.get(name) if value is None else value for name, value in run.environment.items()}
    return {
        "image": run.image,
        "command": list(run.words),
        "entrypoint": list(needs.entrypoint) if needs.entrypoint else None,
        "environment": {name: value for name, value in values.items() if value is not None},
        "ports": {f"{inside}/tcp": ("127.0.0.1", port) for inside, port in run.ports.items()},
        "mounts": mounts,
        "device_requests": gpus,
        "shm_size": needs.shm_size,
        "ipc_mode": needs.ipc,
        "ulimits": [Ulimit(name=name, soft=limit, hard=limit) for name, limit in needs.ulimits.items()],
        "devices": list(needs.devices),
        "init": needs.init,
        "privileged": needs.privileged,
        "mem_limit": run.memory_limit,
        "memswap_limit": run.memory_limit,  # the sum of both: no swap
        "labels": {**run.labels, **labels},
    }
