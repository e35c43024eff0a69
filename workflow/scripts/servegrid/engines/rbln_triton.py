"""vllm-rbln under Triton's vLLM backend: a compiled folder as the model in model.json."""

from collections.abc import Mapping
from typing import Any

from servegrid.engines._rbln import Rbln, is_tutorial_fork
from servegrid.engines.base import Container, ServerSpec
from servegrid.engines.triton_vllm import TritonVllm
from servegrid.protocols._triton import SWITCHES


class RblnTriton(Rbln, TritonVllm):
    """vllm-rbln under Triton; runtime docker needs an image: NVIDIA's with vllm-rbln and Rebellions' compiler. Untested on an NPU."""

    name = "rbln-triton"
    title = "vllm-rbln under Triton"

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """Fields that the tutorial's backend (24.01) does not know are left out: counts and the finish reason."""
        return dict.fromkeys(SWITCHES) if is_tutorial_fork(spec) else {}

    def container(self, spec: ServerSpec) -> Container:
        """Container settings: privileged, as in Rebellions' guide, since the runtime asks for the driver's devices."""
        plain = TritonVllm.container(self, spec)
        return Container(plain.port, plain.program, shm_size="8g", ulimits=plain.ulimits, privileged=True)
