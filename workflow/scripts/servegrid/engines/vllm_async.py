"""vLLM as a library, AsyncLLMEngine, behind servegrid's small HTTP server: no more of a server than that around the engine."""

import json

from servegrid.engines.base import Engine, Launch, Metrics, ServerSpec
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
    facts_paths = ("/version",)
    key_variable = "SERVER_API_KEY"
    metrics = Metrics(
        running="servegrid_requests_running",
        prompt_tokens="servegrid_prompt_tokens_total",
        output_tokens="servegrid_output_tokens_total",
    )

    started_by = Engine.started_by
    container = Engine.container

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """The engine's settings go to the library as they are, under the names of its AsyncEngineArgs."""
        line = ["--backend", "async_llm_engine", "--model", str(launch.files["model"])]
        line += ["--host", launch.host, "--port", str(launch.port), "--device", spec.kind]
        line += ["--max-batch-size", str(spec.concurrency), "--max-model-len", str(spec.context_tokens)]
        line += ["--served-model-name", spec.model.name]
        settings = {name.replace("-", "_"): value for name, value in self.settings(spec, launch).items()}
        return [*line, "--engine-arguments", json.dumps({k: v is None or v for k, v in settings.items()})]
