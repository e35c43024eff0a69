"""CTranslate2: a library, behind servegrid's small HTTP server (static batches; see servers/library_server)."""

from collections.abc import Mapping
from typing import Any

from servegrid.engines import _library_server
from servegrid.engines.base import Engine, Launch, Reported, ServerSpec, flags
from servegrid.engines.served_types import ServedTypes


class CTranslate2(Engine):
    """CTranslate2 in static batches. Quantization happens when the converted model is loaded."""

    name = "ctranslate2"
    title = "CTranslate2"
    runtimes = ("venv",)
    program = "servers/library_server"
    quantizations = {"none": "float32", "int8": "int8", "int16": "int16"}
    has_prefix_cache = False  # nothing is kept from one prompt for the next
    info_paths = ("/version",)
    metrics = _library_server.METRICS
    reserved_flags = _library_server.RESERVED_FLAGS

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The converted model, with its tokenizer beside it."""
        return {"model": f"{spec.model.folder}/ctranslate2"}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Arguments of the library server; it computes one batch at a time."""
        line = _library_server.common_arguments("ctranslate2", spec, launch)
        line += ["--compute-type", self.quantizations[spec.quantization]]
        if spec.cpu_threads:
            line += ["--intra-threads", str(spec.cpu_threads)]
        return line + flags(spec.options)

    def answered_types(self, answers: Mapping[str, Any]) -> ServedTypes:
        """Types as the library server reports them."""
        return _library_server.parse_types(answers)

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Version, context and concurrency as the library server reports them."""
        return _library_server.parse_reported(answers)
