"""What the engines that are Python libraries share: the command line and the answers of servers/library_server."""

import json
from collections.abc import Mapping
from typing import Any

from servegrid.engines.base import Launch, Metrics, Reported, ServerSpec

METRICS = Metrics(
    running="servegrid_requests_running",
    waiting="servegrid_requests_waiting",
)


def arguments(backend: str, spec: ServerSpec, launch: Launch) -> list[str]:
    """The part of the command line that is the same for every backend; at most `concurrency` requests are in a batch."""
    line = ["--backend", backend, "--model", str(launch.files["model"])]
    line += ["--host", launch.host, "--port", str(launch.port), "--device", spec.kind]
    line += ["--max-batch-size", str(spec.concurrency), "--max-model-len", str(spec.context_tokens)]
    return [*line, "--served-model-name", spec.model.name]


def engine_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Further arguments of the library itself, in its spelling; an option without a value is a switch that is on."""
    named = {name.replace("-", "_"): value is None or value for name, value in settings.items()}
    return ["--engine-arguments", json.dumps(named)] if named else []


def reported(answers: Mapping[str, Any]) -> Reported:
    """What it says at /version."""
    facts = answers.get("/version") or {}
    return Reported(facts.get("engine_version"), facts.get("max_model_len"), facts.get("max_batch_size"))
