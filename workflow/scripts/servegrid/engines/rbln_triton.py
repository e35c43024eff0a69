"""vllm-rbln under Triton's vLLM backend: a compiled folder as the model in model.json."""

from servegrid.engines._rbln import Rbln
from servegrid.engines.base import Container, ServerSpec
from servegrid.engines.triton_vllm import TritonVllm


class RblnTriton(Rbln, TritonVllm):
    """Of runtime docker the image must be named: NVIDIA's, with vllm-rbln and Rebellions' compiler put into it. Untested on an NPU."""

    name = "rbln-triton"
    title = "vllm-rbln under Triton"

    def container(self, spec: ServerSpec) -> Container:
        """Privileged, as Rebellions' guide has it: its driver's devices are asked for by the runtime."""
        plain = TritonVllm.container(self, spec)
        return Container(plain.port, plain.program, shm_size="8g", ulimits=plain.ulimits, privileged=True)
