"""Common base of the three engines on vllm-rbln: a model compiled beforehand for a batch, a length and a number of NPUs."""

from servegrid.engines.base import Launch, Option, ServerSpec
from servegrid.engines.vllm import Setting, Vllm

ERA = "era"
ERAS = ("plugin", "tutorial")


class Rbln(Vllm):
    """vllm-rbln 0.12 on its optimum path: the model is a folder that optimum-rbln compiled (rule `rbln`).

    Batch (concurrency), length (context_tokens) and NPUs (tensor_parallel) are fixed at compile time. The option `era: tutorial` gives
    the flags of the fork before it was a plugin (0.7), which took the checkpoint as model, the compiled folder beside it and device rbln.
    A share of the memory is not set: what the compiled model takes was settled when it was compiled.
    """

    devices = ("npu",)
    images = {}
    speculation_kinds = ()
    quantizations = {"none": ""}
    ready_checkpoints = ()
    has_memory_fraction = False

    def unsupported(self, spec: ServerSpec) -> str | None:
        """Reason for refusal: speculation on compiled models, another number of NPUs than compiled for, an unknown `era`."""
        if spec.runtime != "url" and spec.speculation.kind != "none":
            return f"{self.title} does not speculate: vllm-rbln refuses a speculative_config for models compiled beforehand"
        if reason := super().unsupported(spec):
            return reason
        if spec.runtime != "url" and len(npu_numbers(spec)) != spec.tensor_parallel:
            npu_count = len(npu_numbers(spec))
            return f"the model is compiled for {spec.tensor_parallel} NPUs (tensor_parallel), and the device has {npu_count}"
        if spec.options.get(ERA, ERAS[0]) not in ERAS:
            return f"option era: {spec.options[ERA]} is none of {', '.join(ERAS)}"
        return None

    def files(self, spec: ServerSpec) -> dict[str, str]:
        """The compiled folder; for `era: tutorial` the checkpoint too."""
        compiled = f"{spec.model.folder}/rbln-b{spec.concurrency}-l{spec.context_tokens}-d{spec.tensor_parallel}"
        return {"model": spec.model.checkpoint, "compiled": compiled} if is_tutorial_fork(spec) else {"model": compiled}

    def settings(self, spec: ServerSpec, launch: Launch) -> dict[str, Setting]:
        """Settings that are not in the compiled folder: sizes, and for `era: tutorial` device and folder."""
        sizes: dict[str, Setting] = {"max-num-seqs": spec.concurrency, "max-model-len": spec.context_tokens}
        if is_tutorial_fork(spec):
            one_block = {"max-num-batched-tokens": spec.context_tokens, "block-size": spec.context_tokens}
            sizes |= {"device": "rbln", "compiled-model-dir": str(launch.files["compiled"]), **one_block}
        else:
            sizes |= {"generation-config": "vllm", "enable-prefix-caching": spec.prefix_cache}
        options: dict[str, Option] = {name: value for name, value in spec.options.items() if name != ERA}
        return {**sizes, **options}

    def environment(self, spec: ServerSpec) -> dict[str, str]:
        """vLLM's variables, and the one that makes only the device's NPUs visible."""
        variable = "RBLN_DEVICES" if is_tutorial_fork(spec) else "RBLN_VISIBLE_DEVICES"
        return {variable: ",".join(map(str, npu_numbers(spec)))} | super().environment(spec)


def npu_numbers(spec: ServerSpec) -> list[object]:
    """Numbers of the device's NPUs, [0] unless the config names some."""
    ids = spec.device.get("ids")
    return list(ids) if isinstance(ids, (list, tuple)) and ids else [0]


def is_tutorial_fork(spec: ServerSpec) -> bool:
    """Whether this is the fork of the tutorial's time (0.7, before it was a plugin)."""
    return spec.options.get(ERA) == "tutorial"
