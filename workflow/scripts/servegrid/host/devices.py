"""Devices of the config, found on this host."""

from dataclasses import asdict
from typing import Any

from servegrid.config import Device
from servegrid.telemetry.npu import is_npu


def why_absent(device: Device) -> str | None:
    """Why this host lacks the device, in words; None if it has it."""
    try:
        found = gpu_uuids(device)
    except LookupError as error:
        return str(error)
    return None if found or device.kind != "cuda" else "no GPU of this host fits the device"


def gpu_uuids(device: Device) -> list[str]:
    """UUIDs of the GPUs that the device means, or device names of its NPUs; empty for a CPU, and for what is elsewhere.

    GPUs are looked up by UUID, else by number, else by name; NPUs by number.

    Raises:
        LookupError: in words, when there is no driver or no such GPU.
    """
    if device.kind == "npu":
        return _npus(device.ids or [0])
    if device.kind != "cuda":
        return []
    from servegrid.telemetry import nvml

    try:
        return _found(device)
    except nvml.DriverAbsent as absent:
        raise LookupError(str(absent)) from absent


def _npus(numbers: list[int]) -> list[str]:
    from servegrid.telemetry import rbln_smi

    there = {npu.number: npu.name for npu in rbln_smi.query().npus}
    if missing := [number for number in numbers if number not in there]:
        listed = ", ".join(map(str, there)) or "none"
        raise LookupError(f"no NPU {', '.join(map(str, missing))} here (there is: {listed})")
    return [there[number] for number in numbers]


def _split(devices: list[str]) -> tuple[list[str], list[str]]:
    """GPUs, and NPUs."""
    npus = [name for name in devices if is_npu(name)]
    return [name for name in devices if name not in npus], npus


def _found(device: Device) -> list[str]:
    from servegrid.telemetry import nvml

    if selectors := device.uuids or device.ids:
        return [nvml.find_gpu(selector).uuid for selector in selectors]
    gpus = nvml.list_gpus()
    fitting = [gpu for gpu in gpus if device.name is None or device.name.lower() in gpu.name.lower()]
    if not fitting:
        there = ", ".join(gpu.name for gpu in gpus) or "none"
        raise LookupError(f"no GPU named {device.name!r} here (there is: {there}{_silent()})")
    if len(fitting) < device.count:
        raise LookupError(f"{len(fitting)} GPUs named {device.name!r} here{_silent()}, count = {device.count} wanted")
    return [gpu.uuid for gpu in fitting[: device.count]]


def _silent() -> str:
    """In words, the GPUs that the driver counts but that do not answer."""
    from servegrid.telemetry import nvml

    return "".join(f"; GPU {index} does not answer: {words}" for index, words in nvml.silent_gpus().items())


def describe(uuids: list[str]) -> list[dict[str, Any]]:
    """What the driver says about these GPUs: name, memory, power limit, clocks, driver version; of NPUs what it says now."""
    gpus, npus = _split(uuids)
    if npus:
        from servegrid.telemetry import rbln_smi

        found = [npu for npu in rbln_smi.query().npus if npu.name in npus]
        return [asdict(npu) | {"name": npu.model, "device": npu.name} for npu in found]
    if not gpus:
        return []
    from servegrid.telemetry import nvml

    with nvml.nvml_session():
        return [asdict(nvml.find_gpu(uuid)) for uuid in gpus]


def why_busy(uuids: list[str]) -> str | None:
    """Who is on these GPUs, in words; None if nobody is."""
    gpus, npus = _split(uuids)
    if npus:
        from servegrid.telemetry import rbln_smi

        answer = rbln_smi.query()
        numbers = {npu.number for npu in answer.npus if npu.name in npus}
        return (
            "; ".join(f"NPU {on} is in use by {cmd} (pid {pid})" for on, pid, cmd in answer.users if on in numbers)
            or None
        )
    if not gpus:
        return None
    from servegrid.telemetry.occupancy import gpu_occupancy

    return "; ".join(refusal for uuid in uuids if (refusal := gpu_occupancy(uuid).refusal)) or None


def memory_used(uuids: list[str]) -> dict[str, int | None]:
    """Memory in use on each GPU, in bytes; None where the driver does not say. NPUs are not waited for, and left out."""
    gpus, _ = _split(uuids)
    if not gpus:
        return {}
    from servegrid.telemetry import nvml

    with nvml.nvml_session():
        return {uuid: nvml.memory_used(uuid) for uuid in gpus}


def wait_memory_back(before: dict[str, int | None]) -> list[str]:
    """Wait until each GPU's memory is back to what it was before the launch; what is not, in words."""
    if not before:
        return []
    from servegrid.telemetry import occupancy

    waits = {uuid: occupancy.wait_memory_back(uuid, used) for uuid, used in before.items() if used is not None}
    late = {uuid: wait for uuid, wait in waits.items() if wait.back is False}
    return [
        f"{uuid} still holds {wait.used_bytes} bytes {wait.waited_s:.0f} s after the stop"
        for uuid, wait in late.items()
    ]
