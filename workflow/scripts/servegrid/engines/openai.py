"""Any server with OpenAI's completions that runs already: hosted ones, and engines that servegrid does not launch."""

from servegrid.engines.base import Engine, Launch, ServerSpec


class OpenAI(Engine):
    """Runtime url alone. Its metrics are left alone, for what they mean is not known."""

    name = "openai"
    title = "a server with OpenAI's API"
    runtimes = ("url",)
    health_path = "/v1/models"
    metrics_path = None
    devices = ("remote",)
    quantizations = {"none": "none"}

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """None: it has its own."""
        return {}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """None: it is not launched."""
        return []
