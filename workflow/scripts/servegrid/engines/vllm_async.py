"""vLLM as a library, AsyncLLMEngine, behind servegrid's small HTTP server, with no other server code around the engine."""

from collections.abc import Mapping
from typing import Any

from servegrid.engines import _library_server
from servegrid.engines.base import Engine, Launch, Reported, ServerSpec
from servegrid.engines.served_types import ServedTypes
from servegrid.engines.vllm import Vllm


class VllmAsync(Vllm):
    """vLLM's AsyncLLMEngine with the settings and environment of `vllm`; requests join the running batch as they come.

    Drafted and accepted tokens are not counted: the library reports them to its own server, not to its caller.
    """

    name = "vllm-async"
    title = "vLLM's AsyncLLMEngine"
    runtimes = ("venv",)
    program = "servers/library_server"
    images = {}
    protocols = ("openai-completions",)
    info_paths = ("/version",)
    key_variable = "SERVER_API_KEY"
    metrics = _library_server.METRICS

    python_arguments = Engine.python_arguments
    container = Engine.container

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Arguments of the library server; the engine's settings are passed on under the names of its AsyncEngineArgs."""
        line = _library_server.common_arguments("async_llm_engine", spec, launch)
        return line + _library_server.engine_arguments(self.settings(spec, launch))

    def answered_types(self, answers: Mapping[str, Any]) -> ServedTypes:
        """Compute type as the library server reports it; of the cache the log says it."""
        return ServedTypes(_library_server.parse_types(answers).compute)

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """Version, context and concurrency as the library server reports them."""
        return _library_server.parse_reported(answers)
