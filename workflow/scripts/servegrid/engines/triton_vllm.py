"""Triton Inference Server with its vLLM backend, over gRPC or HTTP."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from servegrid.engines.base import CACHE_FOLDER, LAUNCH, Container, Launch, Metrics, Reported, ServerSpec
from servegrid.engines.vllm import Vllm
from servegrid.protocols._triton import MODEL

FLAG_PREFIX = "triton-"
PORT_INDEX = {"api": 0, "health": 0, "metrics": 2}
MODEL_CONFIG = """\
backend: "vllm"
instance_group [ { count: 1 kind: KIND_MODEL } ]
parameters: { key: "REPORT_CUSTOM_METRICS" value: { string_value: "true" } }
"""


class TritonVllm(Vllm):
    """Triton with vLLM's settings and the config's options in model.json, under the names of vLLM's AsyncEngineArgs.

    An option that begins with `triton-` is a flag of tritonserver: `triton-log-verbose: 1` becomes `--log-verbose=1`. Ports are HTTP,
    gRPC and metrics, one after the other; of runtime url, `url` names the first. memory_fraction is vLLM's gpu_memory_utilization.
    Running and waiting requests and the cache's use are unknown: the backend passes on only a few of vLLM's metrics.
    """

    name = "triton-vllm"
    title = "Triton with the vLLM backend"
    runtimes = ("docker", "command", "url")
    images = {"cuda": "nvcr.io/nvidia/tritonserver:26.07-vllm-python-py3"}
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        **Vllm.reserved_flags,
        LAUNCH: (
            "triton-model-repository",
            "triton-http-address",
            "triton-http-port",
            "triton-grpc-address",
            "triton-grpc-port",
            "triton-metrics-address",
            "triton-metrics-port",
        ),
    }
    protocols = ("triton-grpc", "triton-generate")
    health_path = "/v2/health/ready"
    info_paths = ("/v2",)
    port_count = 3
    key_variable = ""  # it knows no keys
    metrics = Metrics()  # none of those that the backend hands on

    def port_of(self, endpoint: Literal["api", "health", "metrics"], spec: ServerSpec) -> int:
        """Index among the ports HTTP, gRPC, metrics."""
        is_grpc = (spec.protocol or self.protocols[0]) == "triton-grpc"
        return 1 if endpoint == "api" and is_grpc else PORT_INDEX[endpoint]

    def container(self, spec: ServerSpec) -> Container:
        """Container settings as in NVIDIA's guide; compiled kernels are kept."""
        limits = {"memlock": -1, "stack": 67108864}
        return Container(8000, ("tritonserver",), shm_size="8g", ulimits=limits, cache=CACHE_FOLDER)

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Flags of tritonserver; the Python backend's shared memory regions are named by port, so that servers share none."""
        line = [f"--model-repository={launch.folder / 'repository'}"]
        for name, port in zip(("http", "grpc", "metrics"), launch.ports, strict=True):
            line += [f"--{name}-address={launch.host}", f"--{name}-port={port}"]
        line.append(f"--backend-config=python,shm-region-prefix-name=servegrid-{launch.port}-")
        line += ["--allow-gpu-metrics=false"] if spec.kind == "cpu" else []
        triton_flags = {
            name.removeprefix(FLAG_PREFIX): value
            for name, value in spec.options.items()
            if name.startswith(FLAG_PREFIX)
        }
        return [*line, *(f"--{name}" if value is None else f"--{name}={value}" for name, value in triton_flags.items())]

    def settings_files(self, spec: ServerSpec, launch: Launch) -> dict[str, str]:
        """The files of Triton's model repository."""
        folder = f"repository/{MODEL}"
        settings = json.dumps(self.engine_arguments(spec, launch), indent=2)
        return {f"{folder}/1/model.json": f"{settings}\n", f"{folder}/config.pbtxt": MODEL_CONFIG}

    def engine_arguments(self, spec: ServerSpec, launch: Launch) -> dict[str, Any]:
        """vLLM's settings for model.json; a flag without a value is true, with the prefix `no-` false."""
        arguments: dict[str, Any] = {"model": str(launch.files["model"]), "disable_log_stats": False}
        for name, value in self.settings(spec, launch).items():
            if name.startswith(FLAG_PREFIX):
                continue
            is_negated = value is None and name.startswith("no-")
            key = name.removeprefix("no-") if is_negated else name
            arguments[key.replace("-", "_")] = not is_negated if value is None else value
        return arguments

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Triton's own version; vLLM's is not reported."""
        return Reported(version=(answers.get("/v2") or {}).get("version"))
