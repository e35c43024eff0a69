"""transformers as a library: AutoModelForCausalLM.generate, behind servegrid's small HTTP server, in static batches."""

import json

from servegrid.engines.base import Engine, Launch, Metrics, ServerSpec


class Transformers(Engine):
    """What a plain script gets: no continuous batching, no paged cache. Options are arguments of `from_pretrained`."""

    name = "transformers"
    title = "transformers"
    runtimes = ("venv",)
    program = "servers/library_server"
    devices = ("cpu", "cuda")
    facts_paths = ("/version",)
    quantizations = {"none": "float32"}
    has_prefix_cache = False
    key_variable = "SERVER_API_KEY"
    metrics = Metrics(
        running="servegrid_requests_running",
        waiting="servegrid_requests_waiting",
        prompt_tokens="servegrid_prompt_tokens_total",
        output_tokens="servegrid_output_tokens_total",
    )

    def lock(self, device_kind: str) -> str:
        """With torch for this kind of device."""
        return "transformers-cpu" if device_kind == "cpu" else "transformers"

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The checkpoint, with its tokenizer."""
        return {"model": spec.model.checkpoint}

    def arguments(self, spec: ServerSpec, launch: Launch) -> list[str]:
        """One batch at a time, of at most `concurrency` requests; full precision on a CPU, the checkpoint's own elsewhere."""
        line = ["--backend", "transformers", "--model", str(launch.files["model"])]
        line += ["--host", launch.host, "--port", str(launch.port), "--device", spec.kind]
        line += ["--compute-type", "float32" if spec.kind == "cpu" else "default"]
        line += ["--max-batch-size", str(spec.concurrency), "--max-model-len", str(spec.context_tokens)]
        line += ["--served-model-name", spec.model.name]
        if spec.cpu_threads:
            line += ["--intra-threads", str(spec.cpu_threads)]
        return line + (["--engine-arguments", json.dumps(dict(spec.options))] if spec.options else [])
