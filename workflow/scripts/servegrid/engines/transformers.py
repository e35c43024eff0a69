"""transformers as a library: AutoModelForCausalLM.generate, behind servegrid's small HTTP server, in static batches."""

from collections.abc import Mapping
from typing import Any

from servegrid.engines import _library_server
from servegrid.engines.base import Engine, Launch, Reported, ServerSpec
from servegrid.engines.served_types import ServedTypes


class Transformers(Engine):
    """transformers as in a plain script: no continuous batching, no paged cache. Options are arguments of `from_pretrained`."""

    name = "transformers"
    title = "transformers"
    runtimes = ("venv",)
    program = "servers/library_server"
    devices = ("cpu", "cuda")
    info_paths = ("/version",)
    quantizations = {"none": "float32"}
    has_prefix_cache = False
    key_variable = "SERVER_API_KEY"
    metrics = _library_server.METRICS
    reserved_flags = _library_server.RESERVED_FLAGS

    def lock(self, device_kind: str) -> str:
        """Lock file with torch for this kind of device."""
        return "transformers-cpu" if device_kind == "cpu" else "transformers"

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, with its tokenizer."""
        return {"model": spec.model.checkpoint}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Arguments of the library server: one batch at a time, float32 on a CPU, elsewhere the checkpoint's own precision."""
        line = _library_server.common_arguments("transformers", spec, launch)
        line += ["--compute-type", "float32" if spec.kind == "cpu" else "default"]
        if spec.cpu_threads:
            line += ["--intra-threads", str(spec.cpu_threads)]
        return line + _library_server.engine_arguments(spec.options)

    def answered_types(self, answers: Mapping[str, Any]) -> ServedTypes:
        """Types as the library server reports them."""
        return _library_server.parse_types(answers)

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Version, context and concurrency as the library server reports them."""
        return _library_server.parse_reported(answers)
