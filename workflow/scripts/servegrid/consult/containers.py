"""Check whether the servers of this config can run in containers on this host, for `snakemake doctor`."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

from servegrid.consult.finding import Finding
from servegrid.launch.docker.daemon import DaemonUnreachable, daemon_address, docker_client
from servegrid.launch.docker.image_record import read_image_record, record_path
from servegrid.plan.grid import Grid

_NVIDIA_HOOK = "nvidia-container-runtime-hook"  # what Docker's own --gpus looks for


def check_containers(grid: Grid) -> Iterator[Finding]:
    """Check the daemon, its GPU runtime if a GPU is used, and every image."""
    specs = [session.server.spec for session in grid.sessions if session.server.spec.runtime == "docker"]
    images = list(dict.fromkeys(str(spec.image) for spec in specs))
    try:
        with docker_client(timeout_s=10) as client:
            info = client.info()
            yield Finding("good", "docker", f"version {info.get('ServerVersion', 'unknown')} at {daemon_address()}")
            if any(spec.kind == "cuda" for spec in specs):
                yield _check_gpu_runtime(info)
            yield from (_check_image(client, image, Path(grid.config.pathvars.resources)) for image in images)
    except DaemonUnreachable as error:
        yield Finding("miss", "docker", str(error), error.remedy)
    except (DockerException, RequestException) as error:
        yield Finding("miss", "docker", f"the daemon at {daemon_address()} fails: {error}", "look into its log")


def _check_gpu_runtime(info: Mapping[str, Any]) -> Finding:
    devices = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or []]
    if "nvidia" in (info.get("Runtimes") or {}):
        return Finding("good", "docker and GPUs", "the NVIDIA container runtime is there")
    if any(device.startswith("nvidia.com/gpu") for device in devices):
        return Finding("good", "docker and GPUs", "the daemon knows the GPUs by CDI")
    if shutil.which(_NVIDIA_HOOK):
        return Finding("good", "docker and GPUs", f"{_NVIDIA_HOOK} is there")
    remedy = "install the NVIDIA Container Toolkit, then: nvidia-ctk runtime configure --runtime=docker; systemctl restart docker"
    return Finding("miss", "docker and GPUs", "the daemon has no NVIDIA container runtime", remedy)


def _check_image(client: Any, reference: str, resources: Path) -> Finding:
    record = read_image_record(reference, resources)
    name = record.name if record and not record.error else reference
    subject = f"image {reference}"
    try:
        size_bytes = client.images.get(name).attrs.get("Size") or 0
    except ImageNotFound:
        return _missing_image(subject, resources / record_path(reference), is_local_build=name.startswith("sha256:"))
    return Finding("good", subject, f"here, {size_bytes / 1024**3:.1f} GiB" + (f", used as {name}" if record else ""))


def _missing_image(subject: str, record: Path, is_local_build: bool) -> Finding:
    if is_local_build:
        return Finding("miss", subject, "what it meant is not here any more", f"build it, and remove {record}")
    return Finding("note", subject, "will be pulled", "or pull it beforehand (docker pull)")
