"""Common parts of engines that are Python libraries: the command line, metrics and answers of servers/library_server."""

import json
from collections.abc import Mapping
from typing import Any

from servegrid.engines.base import LAUNCH, Launch, Metrics, Reported, ServerSpec
from servegrid.engines.served_types import ServedTypes, float_part, from_info, one_spelling

METRICS = Metrics(
    running="servegrid_requests_running",
    waiting="servegrid_requests_waiting",
)

RESERVED_FLAGS = {
    LAUNCH: ("backend", "host", "port", "engine-arguments"),
    "model.source": ("model", "served-model-name", "tokenizer"),
    "grid.gpu": ("device",),
    "grid.quantization": ("compute-type",),
    "server.concurrency": ("max-batch-size",),
    "server.context_tokens": ("max-model-len",),
    "server.cpu_threads": ("intra-threads",),
    "engines.<name>.api_key_env": ("api-key",),
}


def common_arguments(backend: str, spec: ServerSpec, launch: Launch) -> list[str]:
    """Command line options common to all backends; at most `concurrency` requests are in a batch."""
    arguments = ["--backend", backend, "--model", str(launch.files["model"])]
    arguments += ["--host", launch.host, "--port", str(launch.port), "--device", spec.kind]
    arguments += ["--max-batch-size", str(spec.concurrency), "--max-model-len", str(spec.context_tokens)]
    return [*arguments, "--served-model-name", spec.model.name]


def engine_arguments(settings: Mapping[str, Any]) -> list[str]:
    """The option `--engine-arguments` with arguments of the library itself; an option without a value is a switch that is on."""
    keyword_arguments = {name.replace("-", "_"): value is None or value for name, value in settings.items()}
    return ["--engine-arguments", json.dumps(keyword_arguments)] if keyword_arguments else []


def parse_types(answers: Mapping[str, Any]) -> ServedTypes:
    """Compute type from the server's answer at /version; the cache has the type of the activations."""
    compute = from_info(answers.get("/version"), "compute_type").compute
    return ServedTypes(compute, float_part(one_spelling(compute)))


def parse_reported(answers: Mapping[str, Any]) -> Reported:
    """Version, context and concurrency from the server's answer at /version."""
    version = answers.get("/version") or {}
    return Reported(version.get("engine_version"), version.get("max_model_len"), version.get("max_batch_size"))
