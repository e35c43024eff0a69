"""Devices of the config, found on this host."""

from dataclasses import asdict
from typing import Any

from servegrid.config import Device


def why_absent(device: Device) -> str | None:
    """Why this host lacks the device, in words; None if it has it."""
    try:
        found = gpu_uuids(device)
    except LookupError as error:
        return str(error)
    return None if found or device.kind != "cuda" else "no GPU of this host fits the device"


def gpu_uuids(device: Device) -> list[str]:
    """UUIDs of the GPUs that the device means; empty for a CPU, and for what is elsewhere. Looked up by UUID, else by number, else by name.

    Raises:
        LookupError: in words, when there is no driver or no such GPU.
    """
    if device.kind != "cuda":
        return []
    from servegrid.telemetry import nvml

    try:
        return _found(device)
    except nvml.DriverAbsent as absent:
        raise LookupError(str(absent)) from absent


def _found(device: Device) -> list[str]:
    from servegrid.telemetry import nvml

    if selectors := device.uuids or device.ids:
        return [nvml.find(selector).uuid for selector in selectors]
    gpus = nvml.list_devices()
    fitting = [gpu for gpu in gpus if device.name is None or device.name.lower() in gpu.name.lower()]
    if not fitting:
        there = ", ".join(gpu.name for gpu in gpus) or "none"
        raise LookupError(f"no GPU named {device.name!r} here (there is: {there})")
    if len(fitting) < device.count:
        raise LookupError(f"{len(fitting)} GPUs named {device.name!r} here, count = {device.count} wanted")
    return [gpu.uuid for gpu in fitting[: device.count]]


def describe(uuids: list[str]) -> list[dict[str, Any]]:
    """What the driver says about these GPUs: name, memory, power limit, clocks, driver version."""
    if not uuids:
        return []
    from servegrid.telemetry import nvml

    with nvml.driver():
        return [asdict(nvml.find(uuid)) for uuid in uuids]


def why_busy(uuids: list[str]) -> str | None:
    """Who is on these GPUs, in words; None if nobody is."""
    if not uuids:
        return None
    from servegrid.telemetry.idle import occupancy

    return "; ".join(refusal for uuid in uuids if (refusal := occupancy(uuid).refusal)) or None


def memory_used(uuids: list[str]) -> dict[str, int | None]:
    """Memory in use on each GPU, in bytes; None where the driver does not say."""
    if not uuids:
        return {}
    from servegrid.telemetry import nvml

    with nvml.driver():
        return {uuid: nvml.memory_used(uuid) for uuid in uuids}


def wait_memory_back(before: dict[str, int | None]) -> list[str]:
    """Wait until each GPU's memory is back to what it was before the launch; what is not, in words."""
    if not before:
        return []
    from servegrid.telemetry import idle

    waits = {uuid: idle.wait_memory_back(uuid, used) for uuid, used in before.items() if used is not None}
    late = {uuid: wait for uuid, wait in waits.items() if wait.back is False}
    return [
        f"{uuid} still holds {wait.used_bytes} bytes {wait.waited_s:.0f} s after the stop"
        for uuid, wait in late.items()
    ]
