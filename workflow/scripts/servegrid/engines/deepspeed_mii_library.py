"""DeepSpeed-MII as a library: its pipeline behind servegrid's small HTTP server (see servers/library_server). Untested: it needs a GPU."""

from servegrid.engines._library_server import RESERVED_FLAGS
from servegrid.engines.base import SCRIPTS, Container, Engine, Launch, Metrics, Option, ServerSpec, flags

PROGRAM = "servers/library_server"


class DeepSpeedMIILibrary(Engine):
    """MII's pipeline; the command is a Python with deepspeed-mii, e.g. `[/opt/mii/bin/python]`, and an image is named by the user.

    Unlike MII's own server it is greedy, exact in length, counts tokens, and has quantization to 6 bits; its batches are static.
    """

    name = "deepspeed-mii-library"
    title = "DeepSpeed-MII (library)"
    runtimes = ("command", "docker")
    devices = ("cuda",)
    quantizations = {"none": "default", "fp6": "wf6af16"}
    has_prefix_cache = False
    reserved_flags = RESERVED_FLAGS
    metrics = Metrics(running="servegrid_requests_running", waiting="servegrid_requests_waiting")

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, with its tokenizer; and the server's own program, which a container needs mounted."""
        return {"model": spec.model.checkpoint, "program": str(SCRIPTS / PROGRAM)}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """The program and its flags; it computes one batch at a time, of at most `concurrency` requests."""
        options: dict[str, Option] = {"backend": "mii", "model": str(launch.files["model"]), "device": "cuda"}
        options |= {"host": launch.host, "port": launch.port, "compute-type": self.quantizations[spec.quantization]}
        options |= {"max-batch-size": spec.concurrency, "max-model-len": spec.context_tokens}
        options["served-model-name"] = spec.model.name
        return [str(launch.files["program"]), *flags(options | dict(spec.options))]

    def container(self, spec: ServerSpec) -> Container:
        """Container settings; the image's Python runs the mounted program."""
        return Container(entrypoint=("python",), shm_size="1g")
