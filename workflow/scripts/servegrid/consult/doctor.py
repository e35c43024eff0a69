"""Check whether this config can be measured on this host; each finding says how to mend what is missing."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from servegrid import engines
from servegrid.client.calibration import calibration_file
from servegrid.config import EngineConfig
from servegrid.config.url_checks import OPENAI_PROTOCOLS
from servegrid.consult.finding import Finding
from servegrid.engines.base import NO_HEALTH_PATH
from servegrid.host import describe
from servegrid.host.devices import gpu_uuids, why_busy
from servegrid.host.ports import free_port
from servegrid.launch import balancer
from servegrid.launch.command_line import environment_folder, needed_files
from servegrid.launch.remote import RemoteServer, api_key_headers
from servegrid.launch.server import ServerError
from servegrid.plan.grid import Grid
from servegrid.prompts import files as prompt_files
from servegrid.protocols.server_url import join, shown
from servegrid.util.hub import is_hub_name

GIB = 1024**3
RESULTS_GIB = 2.0


def check_host(grid: Grid) -> list[Finding]:
    """Findings of all checks for this config on this host."""
    checks: list[Callable[[Grid], Iterator[Finding]]] = [
        _check_disk,
        _check_ports,
        _check_engines,
        _check_containers,
        _check_model,
        _check_prompts,
        _check_threads,
        _check_clients,
        _check_balancers,
        _check_devices,
        _check_background_load,
    ]
    return [finding for check in checks for finding in check(grid)]


def _check_disk(grid: Grid) -> Iterator[Finding]:
    for subject, name in (("results", grid.config.pathvars.results), ("resources", grid.config.pathvars.resources)):
        free_gib = shutil.disk_usage(_nearest_existing(Path(name))).free / GIB
        if free_gib < RESULTS_GIB:
            remedy = f"free some space, or point pathvars.{subject} at another disk"
            yield Finding("miss", f"disk for {subject}", f"{free_gib:.1f} GiB free, {RESULTS_GIB:g} GiB wanted", remedy)
        elif not os.access(_nearest_existing(Path(name)), os.W_OK):
            yield Finding("miss", f"disk for {subject}", f"{name} cannot be written", "change its owner or pathvars")
        else:
            yield Finding("good", f"disk for {subject}", f"{free_gib:.0f} GiB free")


def _nearest_existing(path: Path) -> Path:
    return next(parent for parent in [path.absolute(), *path.absolute().parents] if parent.exists())


def _check_ports(_grid: Grid) -> Iterator[Finding]:
    try:
        free_port()
    except OSError as error:
        yield Finding(
            "miss", "ports", f"no port of 127.0.0.1 can be opened: {error}", "check the loopback interface (ip link)"
        )
    else:
        yield Finding("good", "ports", "servers get a free port of 127.0.0.1 at launch")


def _check_engines(grid: Grid) -> Iterator[Finding]:
    for name in grid.config.grid.engine:
        entry = grid.config.engines[name]
        if entry.runtime == "url":
            yield _check_remote(name, entry)
        elif entry.runtime == "command":
            yield _check_command(name, (entry.command or [""])[0])
        elif entry.runtime == "venv":
            specs = [point.server.spec for point in grid.points if point.server.name == name and not point.skip]
            for folder in dict.fromkeys(map(environment_folder, specs)):
                yield _check_environment(name, Path(grid.config.pathvars.resources) / folder)


def _check_containers(grid: Grid) -> Iterator[Finding]:
    if any(session.server.spec.runtime == "docker" for session in grid.sessions):
        from servegrid.consult.containers import check_containers

        yield from check_containers(grid)


def _check_remote(name: str, entry: EngineConfig) -> Finding:
    path, url = entry.health_path or engines.get(entry.engine or name).health_path, entry.url or ""
    if path == NO_HEALTH_PATH:
        return Finding("note", f"engine {name}", f"not asked at {shown(url)}", f"engines.{name}.health_path is {path}")
    try:
        ca_file = Path(entry.ca_file) if entry.ca_file else None
        server = RemoteServer(url, api_key_headers(entry.api_key_env, os.environ), ca_file)
        server.wait_ready(join(url, path), limit_s=3.0)
    except ServerError as error:
        remedy = f"start it, or correct engines.{name}.url, api_key_env, ca_file or health_path"
        return Finding("miss", f"engine {name}", str(error), remedy)
    if _is_asked_by_name(name, entry) and server.first_model() is None:
        remedy = f"name its model in engines.{name}.served_model"
        return Finding("note", f"engine {name}", f"answers at {shown(url)}, and lists no models", remedy)
    return Finding("good", f"engine {name}", f"answers at {shown(url)}")


def _is_asked_by_name(name: str, entry: EngineConfig) -> bool:
    """Whether requests hold a name of the model that the config does not give."""
    protocol = entry.protocol or engines.get(entry.engine or name).protocols[0]
    return protocol in OPENAI_PROTOCOLS and entry.served_model is None


def _check_command(name: str, program: str) -> Finding:
    path = shutil.which(program)
    if path is None:
        remedy = f"install it, or give its whole path in engines.{name}.command"
        return Finding("miss", f"engine {name}", f"{program} is not a program here", remedy)
    return Finding("good", f"engine {name}", f"runs {path}")


def _check_environment(name: str, folder: Path) -> Finding:
    if not (folder / "ready").exists():
        return Finding("good", f"engine {name}", f"its environment will be built in {folder} (needs the package index)")
    version = subprocess.run([folder / "bin" / "python", "--version"], capture_output=True, text=True, check=False)
    if version.returncode:
        remedy = f"remove {folder}; the next run builds it again"
        return Finding("miss", f"engine {name}", f"the environment in {folder} does not run", remedy)
    return Finding("good", f"engine {name}", f"environment ready in {folder} ({version.stdout.strip()})")


def _check_model(grid: Grid) -> Iterator[Finding]:
    resources, source = Path(grid.config.pathvars.resources), grid.config.model.source
    if source == "builtin":
        yield Finding("good", "model", "built on this machine when first needed")
    elif not Path(source).exists():
        is_fetched = (resources / grid.resolved.model.checkpoint).exists()
        yield (
            Finding("good", "model", "fetched before")
            if is_fetched
            else Finding(
                "note",
                "model",
                f"{source} will be fetched from the model hub",
                "or name a local folder in model.source",
            )
        )
    files = {path for session in grid.sessions for path in needed_files(session.server.spec, resources).values()}
    yield from (
        _check_model_file(path) for path in sorted(files) if not (path.is_relative_to(resources) or is_hub_name(path))
    )


def _check_model_file(path: Path) -> Finding:
    if path.exists():
        return Finding("good", "model file", f"{path}")
    return Finding("miss", "model file", f"{path} is not there", "correct the path under model.gguf")


def _check_prompts(grid: Grid) -> Iterator[Finding]:
    prompts = grid.config.prompts
    if prompts.source == "generated":
        yield Finding("good", "prompts", f"{prompts.count} generated on this machine")
        return
    try:
        count = len(prompt_files.read_prompts(Path(prompts.source)))
    except (prompt_files.PromptFileError, OSError) as error:
        yield Finding("miss", "prompts", str(error), "correct the file")
        return
    if count < prompts.count:
        yield Finding("miss", "prompts", f"{count} in the file, {prompts.count} wanted", "lower prompts.count")
    else:
        yield Finding("good", "prompts", f"{prompts.count} of the {count} in {prompts.source}")


def _check_threads(grid: Grid) -> Iterator[Finding]:
    yield from (Finding("note", "threads", found.fact, found.remedy) for found in grid.shortages)


def _check_clients(grid: Grid) -> Iterator[Finding]:
    for kind in sorted({point.load.options.client for point in grid.points}):
        if reason := grid.resolved.absent_clients.get(kind):
            yield Finding("note", f"client {kind}", reason, "its points become rows with status absent until then")
            continue
        is_calibrated = (Path(grid.config.pathvars.resources) / calibration_file(kind)).exists()
        yield Finding(
            "good", f"client {kind}", "calibrated on this host" if is_calibrated else "will be calibrated first"
        )


def _check_balancers(grid: Grid) -> Iterator[Finding]:
    for kind in sorted({point.server.spec.balancer for point in grid.points if point.server.spec.balancer}):
        if reason := grid.resolved.absent_balancers.get(kind):
            yield Finding("note", f"balancer {kind}", reason, "its points become rows with status absent until then")
        else:
            yield Finding("good", f"balancer {kind}", f"runs {balancer.find_program(kind)}")


def _check_devices(grid: Grid) -> Iterator[Finding]:
    for name in grid.config.grid.gpu:
        device = grid.config.devices[name]
        if device.kind == "remote":
            yield Finding("note", f"device {name}", "elsewhere: nothing of it is sampled")
            continue
        if device.kind == "cpu":
            host = describe.describe_host()
            yield Finding("good", f"device {name}", f"{host['cpu']}, {host['logical_cpus']} CPUs")
            continue
        try:
            uuids = gpu_uuids(device)
        except LookupError as error:
            remedy = "its points become rows with status absent; correct devices if that is not meant"
            yield Finding("note", f"device {name}", str(error), remedy)
            continue
        yield _check_gpu(name, uuids)


def _check_gpu(name: str, uuids: list[str]) -> Finding:
    if reason := why_busy(uuids):
        return Finding("miss", f"device {name}", reason, "wait, or end what uses it")
    return Finding("good", f"device {name}", f"{', '.join(uuids)}, idle")


def _check_background_load(_grid: Grid) -> Iterator[Finding]:
    host = describe.describe_host()
    load, cpus = host["load_average_1min"], host["logical_cpus"]
    if load > 0.3 * cpus:
        remedy = "wait until the machine is quiet; other work falsifies a measurement"
        yield Finding("note", "load", f"{load:.1f} over the last minute on {cpus} CPUs", remedy)
    else:
        yield Finding("good", "load", f"{load:.1f} over the last minute on {cpus} CPUs")
    if host["governor"] not in (None, "performance"):
        remedy = "sudo cpupower frequency-set -g performance"
        yield Finding("note", "CPU governor", f"{host['governor']}; clock changes blur the results", remedy)
