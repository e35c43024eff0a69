"""Any running server with OpenAI's completions or chat API: hosted ones, and engines that servegrid does not launch."""

from servegrid.engines.base import Engine, Launch, ServerSpec


class OpenAI(Engine):
    """A server with OpenAI's API, of runtime url only. Its metrics are not read, since their meaning is not known."""

    name = "openai"
    title = "a server with OpenAI's API"
    runtimes = ("url",)
    protocols = ("openai-completions", "openai-chat")
    health_path = "/v1/models"
    metrics_path = None
    devices = ("remote",)
    quantizations = {"none": "none"}

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """No files: the server has its own."""
        return {}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """No arguments: the server is not launched."""
        return []
