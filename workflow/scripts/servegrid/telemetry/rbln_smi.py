"""Query Rebellions' NPUs through `rbln-smi --json`, which comes with their driver.

Its answer is one JSON object with `devices` and `contexts` (the processes); numbers are texts with units, and the NPU's number is a text
or a number, by version. Followed here: src/device/readers/rebellions.rs and src/device/common/parsers.rs of lablup/all-smi at commit
b92ea0a0, which reads the same. Not held against hardware. What is missing or no number is None, never 0.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROGRAM = "rbln-smi"
_LIMIT_S = 10.0
_UNITS = {"": 2**20, "MB": 2**20, "MIB": 2**20, "GB": 2**30, "GIB": 2**30}  # MB is taken as MiB, as all-smi does


class SmiAbsent(LookupError):
    """There is no rbln-smi, or it does not work; the text says why."""


@dataclass(frozen=True, slots=True)
class Npu:
    """State of one NPU. `name` is that of its device file, such as rbln0."""

    number: int
    name: str
    uuid: str | None
    model: str | None
    utilisation_percent: float | None
    memory_bytes: int | None
    memory_total_bytes: int | None
    temperature_c: float | None
    card_power_w: float | None  # of the whole card
    pstate: str | None  # P2 and P4 nominal, P6 half, P10 slowed by heat, P12 aborted, P14 idle
    firmware: str | None
    driver_version: str | None


@dataclass(frozen=True, slots=True)
class SmiReport:
    """NPUs of this host, and the processes on them (`users`): number of the NPU, pid, command."""

    npus: tuple[Npu, ...]
    users: tuple[tuple[int | None, int, str], ...]


def query() -> SmiReport:
    """Run rbln-smi and parse its report.

    Raises:
        SmiAbsent: it is not installed, fails, or prints something else.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise SmiAbsent(f"no RBLN driver on this host: {PROGRAM} was not found")
    try:
        completed = subprocess.run([program, "--json"], capture_output=True, timeout=_LIMIT_S, check=True)
        return parse_report(json.loads(completed.stdout))
    except (OSError, subprocess.SubprocessError) as error:
        raise SmiAbsent(f"{PROGRAM} does not answer: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SmiAbsent(f"{PROGRAM} --json said something unknown ({type(error).__name__}: {error})") from error


def parse_report(report: Mapping[str, Any]) -> SmiReport:
    """Parse the JSON of rbln-smi."""
    contexts = report.get("contexts") or ()
    users = [(_device_number(user.get("npu")), int(user["pid"]), str(user.get("cmd"))) for user in contexts]
    return SmiReport(tuple(_npu(device, report.get("KMD_version")) for device in report["devices"]), tuple(users))


def _npu(device: Mapping[str, Any], driver: str | None) -> Npu:
    number, memory = int(device["npu"]), device.get("memory") or {}
    return Npu(
        number=number,
        name=device.get("device") or f"rbln{number}",
        uuid=device.get("uuid"),
        model=device.get("name"),
        utilisation_percent=_number(device.get("util")),
        memory_bytes=_bytes(memory.get("used")),
        memory_total_bytes=_bytes(memory.get("total")),
        temperature_c=_number(device.get("temperature")),
        card_power_w=_number(device.get("card_power")),
        pstate=device.get("pstate"),
        firmware=device.get("fw_ver"),
        driver_version=driver,
    )


def _number_and_unit(text: Any) -> tuple[float, str] | None:
    """Number and unit (upper case) of a text such as `12.5 GB`; None if it is not one."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z%]*)\s*", str(text))
    return (float(match[1]), match[2].upper()) if match else None


def _number(text: Any) -> float | None:
    number_and_unit = _number_and_unit(text)
    return number_and_unit[0] if number_and_unit else None


def _bytes(text: Any) -> int | None:
    number_and_unit = _number_and_unit(text)
    return (
        round(number_and_unit[0] * _UNITS[number_and_unit[1]])
        if number_and_unit and number_and_unit[1] in _UNITS
        else None
    )


def _device_number(text: Any) -> int | None:
    """Number in a device such as `0` or `rbln0`; None if there is none."""
    match = re.search(r"\d+", str(text))
    return int(match[0]) if match else None
