"""vllm-rbln as a library, AsyncLLMEngine, behind servegrid's small HTTP server."""

from servegrid.engines._rbln import Rbln
from servegrid.engines.base import Engine, Launch, ServerSpec
from servegrid.engines.vllm_async import VllmAsync


class RblnAsync(Rbln, VllmAsync):
    """vllm-rbln's AsyncLLMEngine; the command is a Python with vllm-rbln and Rebellions' compiler. Untested on an NPU."""

    name = "rbln-async"
    title = "vllm-rbln's AsyncLLMEngine"
    runtimes = ("command",)
    key_variable = "SERVER_API_KEY"

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """The library server's program and its arguments; the user's command is the Python, e.g. `[/opt/rbln/bin/python]`."""
        return [*Engine.python_arguments(self), *VllmAsync.arguments(self, spec, launch)]
