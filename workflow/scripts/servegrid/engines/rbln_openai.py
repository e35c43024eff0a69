"""vllm-rbln's own OpenAI server: `vllm serve` with a compiled folder as the model."""

from servegrid.engines._rbln import Rbln


class RblnOpenAI(Rbln):
    """vllm-rbln's server; the command is `[/opt/rbln/bin/vllm, serve]` with Rebellions' compiler beside it. Untested on an NPU."""

    name = "rbln-openai"
    title = "vllm-rbln's OpenAI server"
    runtimes = ("command", "url")
