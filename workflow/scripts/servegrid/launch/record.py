"""What session.json says of a launch before it happens: what is run, where it listens, on what."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from servegrid.engines.base import Launch, ServerSpec
from servegrid.host import devices
from servegrid.launch import layout
from servegrid.launch.balancer import Balancer
from servegrid.launch.command_line import command_line, environment
from servegrid.launch.docker.image_record import recorded
from servegrid.util.secret_env import redacted


def of(
    spec: ServerSpec, launches: Sequence[Launch], balancer: Balancer | None, gpus: list[str], resources: Path
) -> dict[str, Any]:
    """Commands as run, image, address, environment (secrets hidden) and GPUs; of several copies also each one's own."""
    image = recorded(spec.image, resources) if spec.runtime == "docker" and spec.image else None
    copies = [_copy(spec, launch, gpus, number, resources) for number, launch in enumerate(launches)]
    return {
        "command": copies[0]["command"] if copies else None,
        "image": asdict(image) if image else None,
        "image_digest": image.provenance if image else None,
        "url": spec.url,
        "environment": redacted(environment(spec)) if launches else {},
        "ports": launches[0].ports if launches else None,
        **({"copies": copies, "balancer": _balancer(balancer)} if balancer else {}),
        "gpus": gpus,
        "gpu_facts": devices.describe(gpus),
    }


def _copy(spec: ServerSpec, launch: Launch, gpus: list[str], number: int, resources: Path) -> dict[str, Any]:
    own = layout.gpus_of(spec, gpus, number)
    image = recorded(spec.image, resources) if spec.runtime == "docker" and spec.image else None
    command = command_line(spec, resources, launch, own, image.name if image else None)
    return {"command": command, "ports": launch.ports, "gpus": own}


def _balancer(balancer: Balancer) -> dict[str, Any]:
    return {"kind": balancer.kind, "port": balancer.port, "command": balancer.command, "config": balancer.config}
