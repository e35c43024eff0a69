"""Triton Inference Server with its vLLM backend, over gRPC or HTTP."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from servegrid.engines.base import CACHE, Container, Launch, Metrics, Reported, ServerSpec
from servegrid.engines.vllm import Vllm
from servegrid.protocols._triton import MODEL

PREFIX = "triton-"
PORTS = {"api": 0, "health": 0, "metrics": 2}
CONFIG = """\
backend: "vllm"
instance_group [ { count: 1 kind: KIND_MODEL } ]
parameters: { key: "REPORT_CUSTOM_METRICS" value: { string_value: "true" } }
"""


class TritonVllm(Vllm):
    """vLLM's settings go into model.json, under the names of its AsyncEngineArgs; so do the config's options.

    An option that begins with `triton-` is a flag of tritonserver: `triton-log-verbose: 1` becomes `--log-verbose=1`. Ports are HTTP,
    gRPC and metrics, one after the other; of runtime url, `url` names the first. memory_fraction is vLLM's gpu_memory_utilization.
    Nothing tells how many requests run or wait, or how full the cache is: the backend hands on only a few of vLLM's metrics.
    """

    name = "triton-vllm"
    title = "Triton with the vLLM backend"
    runtimes = ("docker", "command", "url")
    images = {"cuda": "nvcr.io/nvidia/tritonserver:26.07-vllm-python-py3"}
    protocols = ("triton-grpc", "triton-generate")
    health_path = "/v2/health/ready"
    facts_paths = ("/v2",)
    port_count = 3
    key_variable = ""  # it knows no keys
    metrics = Metrics()  # none of those that the backend hands on

    def port_of(self, what: Literal["api", "health", "metrics"], spec: ServerSpec) -> int:
        """HTTP, gRPC, metrics."""
        return 1 if what == "api" and (spec.protocol or self.protocols[0]) == "triton-grpc" else PORTS[what]

    def container(self, spec: ServerSpec) -> Container:
        """As NVIDIA's guide starts it; compiled kernels are kept."""
        limits = {"memlock": -1, "stack": 67108864}
        return Container(8000, ("tritonserver",), shm_size="8g", ulimits=limits, cache=CACHE)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Servers on one host must not share the Python backend's regions of memory; their names begin with the port."""
        line = [f"--model-repository={launch.folder / 'repository'}"]
        for name, port in zip(("http", "grpc", "metrics"), launch.ports, strict=True):
            line += [f"--{name}-address={launch.host}", f"--{name}-port={port}"]
        line.append(f"--backend-config=python,shm-region-prefix-name=servegrid-{launch.port}-")
        line += ["--allow-gpu-metrics=false"] if spec.kind == "cpu" else []
        own = {name.removeprefix(PREFIX): value for name, value in spec.options.items() if name.startswith(PREFIX)}
        return [*line, *(f"--{name}" if value is None else f"--{name}={value}" for name, value in own.items())]

    def written(self, spec: ServerSpec, launch: Launch) -> dict[str, str]:
        """The model repository."""
        folder = f"repository/{MODEL}"
        settings = json.dumps(self.engine_arguments(spec, launch), indent=2)
        return {f"{folder}/1/model.json": f"{settings}\n", f"{folder}/config.pbtxt": CONFIG}

    def engine_arguments(self, spec: ServerSpec, launch: Launch) -> dict[str, Any]:
        """vLLM's settings; a flag is true, and `no-` before it makes it false."""
        found: dict[str, Any] = {"model": str(launch.files["model"]), "disable_log_stats": False}
        for name, value in self.settings(spec, launch).items():
            if name.startswith(PREFIX):
                continue
            off = value is None and name.startswith("no-")
            key = name.removeprefix("no-") if off else name
            found[key.replace("-", "_")] = not off if value is None else value
        return found

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Triton's own version; vLLM's is not told."""
        return Reported(version=(answers.get("/v2") or {}).get("version"))
