"""Look up the devices of the config on this host: GPUs through NVML, NPUs through rbln-smi."""

from dataclasses import asdict
from typing import Any

from servegrid.config import Device
from servegrid.telemetry.npu import is_npu


def why_absent(device: Device) -> str | None:
    """Why this host lacks the device; None if it has it."""
    try:
        uuids = gpu_uuids(device)
    except LookupError as error:
        return str(error)
    return None if uuids or device.kind != "cuda" else "no GPU of this host fits the device"


def gpu_uuids(device: Device) -> list[str]:
    """UUIDs of the device's GPUs, or names of its NPUs; empty for a CPU and for a remote device.

    GPUs are looked up by UUID, else by number, else by name; NPUs by number.

    Raises:
        LookupError: when there is no driver or no such GPU; the text says which.
    """
    if device.kind == "npu":
        return _npu_names(device.ids or [0])
    if device.kind != "cuda":
        return []
    from servegrid.telemetry import nvml

    try:
        return _cuda_uuids(device)
    except nvml.DriverAbsent as absent:
        raise LookupError(str(absent)) from absent


def _npu_names(numbers: list[int]) -> list[str]:
    from servegrid.telemetry import rbln_smi

    names_by_number = {npu.number: npu.name for npu in rbln_smi.query().npus}
    if missing := [number for number in numbers if number not in names_by_number]:
        listed = ", ".join(map(str, names_by_number)) or "none"
        raise LookupError(f"no NPU {', '.join(map(str, missing))} here (there is: {listed})")
    return [names_by_number[number] for number in numbers]


def _split_kinds(devices: list[str]) -> tuple[list[str], list[str]]:
    """The GPUs, and the NPUs, of a list of both."""
    npus = [name for name in devices if is_npu(name)]
    return [name for name in devices if name not in npus], npus


def _cuda_uuids(device: Device) -> list[str]:
    from servegrid.telemetry import nvml

    if selectors := device.uuids or device.ids:
        return [nvml.find_gpu(selector).uuid for selector in selectors]
    gpus = nvml.list_gpus()
    matching = [gpu for gpu in gpus if device.name is None or device.name.lower() in gpu.name.lower()]
    if not matching:
        present = ", ".join(gpu.name for gpu in gpus) or "none"
        raise LookupError(f"no GPU named {device.name!r} here (there is: {present}{_unreachable_text()})")
    if len(matching) < device.count:
        raise LookupError(
            f"{len(matching)} GPUs named {device.name!r} here{_unreachable_text()}, count = {device.count} wanted"
        )
    return [gpu.uuid for gpu in matching[: device.count]]


def _unreachable_text() -> str:
    """Text that names the GPUs that the driver counts but that do not answer; empty if there are none."""
    from servegrid.telemetry import nvml

    return "".join(f"; GPU {index} does not answer: {reason}" for index, reason in nvml.silent_gpus().items())


def describe_gpus(uuids: list[str]) -> list[dict[str, Any]]:
    """What the driver says about these GPUs: name, memory, power limit, clocks, driver version; of NPUs their present state."""
    gpus, npus = _split_kinds(uuids)
    if npus:
        from servegrid.telemetry import rbln_smi

        matching = [npu for npu in rbln_smi.query().npus if npu.name in npus]
        return [asdict(npu) | {"name": npu.model, "device": npu.name} for npu in matching]
    if not gpus:
        return []
    from servegrid.telemetry import nvml

    with nvml.nvml_session():
        return [asdict(nvml.find_gpu(uuid)) for uuid in gpus]


def why_busy(uuids: list[str]) -> str | None:
    """Which processes use these GPUs or NPUs; None if none does."""
    gpus, npus = _split_kinds(uuids)
    if npus:
        from servegrid.telemetry import rbln_smi

        state = rbln_smi.query()
        numbers = {npu.number for npu in state.npus if npu.name in npus}
        users = [(number, pid, command) for number, pid, command in state.users if number in numbers]
        return "; ".join(f"NPU {number} is in use by {command} (pid {pid})" for number, pid, command in users) or None
    if not gpus:
        return None
    from servegrid.telemetry.occupancy import gpu_occupancy

    return "; ".join(refusal for uuid in uuids if (refusal := gpu_occupancy(uuid).refusal)) or None


def memory_used(uuids: list[str]) -> dict[str, int | None]:
    """Memory in use on each GPU, in bytes; None where the driver does not say. NPUs are left out: they are not waited for."""
    gpus, _ = _split_kinds(uuids)
    if not gpus:
        return {}
    from servegrid.telemetry import nvml

    with nvml.nvml_session():
        return {uuid: nvml.memory_used(uuid) for uuid in gpus}


def wait_memory_back(before: dict[str, int | None]) -> list[str]:
    """Wait until each GPU's memory is back to what it was before the launch; return a line for each where it is not."""
    if not before:
        return []
    from servegrid.telemetry import occupancy

    waits = {uuid: occupancy.wait_memory_back(uuid, used) for uuid, used in before.items() if used is not None}
    late = {uuid: wait for uuid, wait in waits.items() if wait.back is False}
    return [
        f"{uuid} still holds {wait.used_bytes} bytes {wait.waited_s:.0f} s after the stop"
        for uuid, wait in late.items()
    ]
