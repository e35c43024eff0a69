"""CTranslate2: a library, behind servegrid's small HTTP server (static batches; see servers/library_server)."""

from servegrid.engines.base import Engine, Launch, Metrics, ServerSpec, flags


class CTranslate2(Engine):
    """Quantization happens when the converted model is loaded."""

    name = "ctranslate2"
    title = "CTranslate2"
    runtimes = ("venv",)
    program = "servers/library_server"
    quantizations = {"none": "float32", "int8": "int8", "int16": "int16"}
    has_prefix_cache = False  # nothing is kept from one prompt for the next
    metrics = Metrics(
        running="servegrid_requests_running",
        waiting="servegrid_requests_waiting",
        prompt_tokens="servegrid_prompt_tokens_total",
        output_tokens="servegrid_output_tokens_total",
    )

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The converted model, with its tokenizer beside it."""
        return {"model": f"{spec.model.folder}/ctranslate2"}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """One batch at a time, of at most `concurrency` requests."""
        line = ["--backend", "ctranslate2", "--model", str(launch.files["model"])]
        line += ["--host", launch.host, "--port", str(launch.port)]
        line += ["--compute-type", self.quantizations[spec.quantization], "--max-batch-size", str(spec.concurrency)]
        line += ["--max-model-len", str(spec.context_tokens), "--device", "cpu"]
        line += ["--served-model-name", spec.model.name]
        if spec.cpu_threads:
            line += ["--intra-threads", str(spec.cpu_threads)]
        return line + flags(spec.options)
