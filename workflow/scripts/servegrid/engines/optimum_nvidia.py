"""Optimum-NVIDIA: a Python library over TensorRT-LLM 0.15, without releases since January 2025. Listed so that a grid may name it."""

from servegrid.engines.base import Engine, Launch, ServerSpec


class OptimumNVIDIA(Engine):
    """An engine that is never measured: the library has no server, no stream of tokens, and no speculation of its own."""

    name = "optimum-nvidia"
    title = "Optimum-NVIDIA"
    runtimes = ("docker", "command")
    devices = ("cuda",)
    quantizations = {"none": "", "fp8": "fp8"}

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal, always given: it is superseded."""
        return "Optimum-NVIDIA is superseded by TensorRT-LLM, on which it was built: use that"

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """No files."""
        return {}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """No arguments: it is not launched."""
        return []
