"""DeepSpeed-MII: its own OpenAI server (read: mii/entrypoints/openai_api_server.py of 0.3.3). Untested: it needs a GPU."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from servegrid.engines.base import LAUNCH, Container, Engine, Launch, Option, ServerSpec, flags

SERVER_COMMAND = ("python", "-m", "mii.entrypoints.openai_api_server")


class DeepSpeedMII(Engine):
    """DeepSpeed-MII's server, `python -m mii.entrypoints.openai_api_server`; it has no image of its own: name one that has it.

    How many requests it works on at once cannot be set there, nor its memory. It samples always, and top_k 1 leaves it one token to
    choose from. It heeds no end token as long as prompt and answer together are shorter than `min_tokens` (Request.is_done in
    mii/batching/data_classes.py), which is how an answer gets its exact length. Streams count no tokens.
    """

    name = "deepspeed-mii"
    title = "DeepSpeed-MII"
    runtimes = ("command", "docker", "url")
    protocols = ("openai-completions", "openai-chat")
    metrics_path = None
    devices = ("cuda",)
    quantizations = {"none": ""}
    reserved_flags: ClassVar[Mapping[str, Sequence[str]]] = {
        LAUNCH: ("host", "port"),
        "model.source": ("model",),
        "server.context_tokens": ("max-length",),
        "server.tensor_parallel": ("tensor-parallel",),
        "engines.<name>.api_key_env": ("api-keys",),
    }
    has_tensor_parallel = True
    has_prefix_cache = False
    above_limit = "no limit"
    greedy_fields: ClassVar[Mapping[str, Any]] = {
        "temperature": None,
        "top_k": 1,
    }  # 0 is refused, and changes nothing with one candidate

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: its internal ports are fixed, and it takes the host's first GPUs whatever CUDA_VISIBLE_DEVICES says."""
        reason = super().unsupported(spec)
        if reason or spec.runtime == "url":
            return reason
        if spec.runtime == "command" and spec.copies > 1:
            return "DeepSpeed-MII's server uses fixed ports (50050, 29500): one per host; its own option is replica-num"
        ids = spec.device.get("ids")
        if spec.runtime == "command" and isinstance(ids, list) and ids != list(range(len(ids))):
            return "DeepSpeed-MII does not heed CUDA_VISIBLE_DEVICES and would take GPU 0; use runtime docker"
        return None

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint."""
        return {"model": spec.model.checkpoint}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """Flags of the server; its API knows the model by the path given here."""
        options: dict[str, Option] = {"model": self.api_model(spec, launch), "host": launch.host, "port": launch.port}
        options |= {"tensor-parallel": spec.tensor_parallel, "max_length": spec.context_tokens}
        return flags(options | dict(spec.options))

    def api_model(self, spec: ServerSpec, launch: Launch) -> str:
        """Absolute path of the model, the same as in a container."""
        return str(launch.files["model"].absolute())

    def container(self, spec: ServerSpec) -> Container:
        """Container settings; its processes share memory."""
        return Container(program=SERVER_COMMAND, shm_size="1g")

    def request_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """Fields that it does not know are left out."""
        return dict.fromkeys(("seed", "ignore_eos", "stream_options", "min_tokens"))

    def exact_fields(self, spec: ServerSpec, max_tokens: int) -> Mapping[str, Any]:
        """A least length of prompt and answer together that none reaches."""
        return {"min_tokens": spec.context_tokens}
