"""The record of a launch in session.json, written before it happens: commands, ports, image, GPUs."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from servegrid.engines.base import Launch, ServerSpec
from servegrid.host import devices
from servegrid.launch import layout
from servegrid.launch.balancer import Balancer
from servegrid.launch.command_line import command_line, server_environment
from servegrid.launch.docker.image_record import read_image_record
from servegrid.util.secret_env import redacted


def launch_record(
    spec: ServerSpec, launches: Sequence[Launch], balancer: Balancer | None, gpus: list[str], resources: Path
) -> dict[str, Any]:
    """Commands as run, image, ports, environment (secrets hidden) and GPUs; of several copies also each copy's."""
    image = read_image_record(spec.image, resources) if spec.runtime == "docker" and spec.image else None
    copies = [_copy_record(spec, launch, gpus, number, resources) for number, launch in enumerate(launches)]
    return {
        "command": copies[0]["command"] if copies else None,
        "image": asdict(image) if image else None,
        "image_digest": image.provenance if image else None,
        "url": spec.url,
        "environment": redacted(server_environment(spec)) if launches else {},
        "ports": launches[0].ports if launches else None,
        **({"copies": copies, "balancer": _balancer_record(balancer)} if balancer else {}),
        "gpus": gpus,
        "gpu_facts": devices.describe_gpus(gpus),
    }


def _copy_record(spec: ServerSpec, launch: Launch, gpus: list[str], number: int, resources: Path) -> dict[str, Any]:
    gpus_of_copy = layout.gpus_of(spec, gpus, number)
    image = read_image_record(spec.image, resources) if spec.runtime == "docker" and spec.image else None
    command = command_line(spec, resources, launch, gpus_of_copy, image.name if image else None)
    return {"command": command, "ports": launch.ports, "gpus": gpus_of_copy}


def _balancer_record(balancer: Balancer) -> dict[str, Any]:
    return {"kind": balancer.kind, "port": balancer.port, "command": balancer.command, "config": balancer.config}
