"""Optimum-NVIDIA: a Python library over TensorRT-LLM 0.15, without releases since January 2025. Named, so that a grid may say so."""

from servegrid.engines.base import Engine, Launch, ServerSpec


class OptimumNVIDIA(Engine):
    """No point of it is measured: the library has no server, no stream of tokens, and no speculation of its own."""

    name = "optimum-nvidia"
    title = "Optimum-NVIDIA"
    runtimes = ("docker", "command")
    devices = ("cuda",)
    quantizations = {"none": "", "fp8": "fp8"}

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Always."""
        return "Optimum-NVIDIA is superseded by TensorRT-LLM, on which it was built: use that"

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """None."""
        return {}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """None: it is not launched."""
        return []
