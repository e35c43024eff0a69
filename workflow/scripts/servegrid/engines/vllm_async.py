"""vLLM as a library, AsyncLLMEngine, behind servegrid's small HTTP server: no more of a server than that around the engine."""

from collections.abc import Mapping
from typing import Any

from servegrid.engines import _library_server
from servegrid.engines.base import Engine, Launch, Reported, ServerSpec
from servegrid.engines.vllm import Vllm


class VllmAsync(Vllm):
    """The same settings as `vllm`, in its environment; requests join the running batch as they come.

    How many were drafted and accepted is not counted: the library tells its server, and not its caller.
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
        """The engine's settings go to the library as they are, under the names of its AsyncEngineArgs."""
        line = _library_server.common_arguments("async_llm_engine", spec, launch)
        return line + _library_server.engine_arguments(self.settings(spec, launch))

    def reported(self, answers: Mapping[str, Any]) -> Reported:
        """What the small server says."""
        return _library_server.parse_version(answers)
