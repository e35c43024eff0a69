"""vllm-rbln's own OpenAI server: `vllm serve` with a compiled folder as the model."""

from servegrid.engines._rbln import Rbln


class RblnOpenAI(Rbln):
    """Runtime command: `[/opt/rbln/bin/vllm, serve]`, of an environment with vllm-rbln and Rebellions' compiler. Untested on an NPU."""

    name = "rbln-openai"
    title = "vllm-rbln's OpenAI server"
    runtimes = ("command", "url")
