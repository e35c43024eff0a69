"""TGI 1.4.4, of March 2024: the version many published tables were measured with."""

from collections.abc import Mapping
from typing import ClassVar

from servegrid.engines.base import Launch, Option, ServerSpec
from servegrid.engines.tgi import IMAGE, TGI

PREFILL_TOKENS = 4096  # the launcher's own default


class TGI14(TGI):
    """TGI 1.4, like version 3 without what came later: heads of kind mlp, prefix cache, API keys, fp8, marlin, exl2.

    Its OpenAI API is left out: completions are always sampled there (`do_sample: true`), and streams tell no usage and no end.
    """

    name = "tgi-1.4"
    title = "TGI 1.4"
    images: ClassVar[Mapping[str, str]] = {"cuda": f"{IMAGE}:1.4.4"}
    protocols = ("tgi-generate",)
    devices = ("cuda",)
    speculation_kinds = ("ngram", "medusa")
    quantizations: ClassVar[Mapping[str, str]] = {
        name: native
        for name, native in TGI.quantizations.items()
        if native not in ("fp8", "marlin", "exl2", "compressed-tensors")
    }
    has_prefix_cache = False
    key_variable = None
    port_count = 2
    input_flag = "max-input-length"

    def _version_options(self, spec: ServerSpec, launch: Launch) -> dict[str, Option]:
        """Flags of this version only: a prompt must fit into one prefill, which newer versions ensure themselves."""
        longest = max(PREFILL_TOKENS, spec.context_tokens)
        return {"max-batch-prefill-tokens": longest, "json-output": None}

    def environment(self, spec: ServerSpec) -> dict[str, str]:
        """The variables of every engine; this version has none of its own."""
        return super(TGI, self).environment(spec)
