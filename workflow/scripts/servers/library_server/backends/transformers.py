"""transformers: AutoModelForCausalLM.generate, as it is used by who writes a script.

A batch is padded on the left to its longest prompt. It is computed until its last sequence has ended; a sequence that ended
before is padded on and costs as much as the others.
"""

from collections.abc import Hashable, Sequence
from importlib.metadata import version as distribution_version
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, GenerationConfig, StoppingCriteria, StoppingCriteriaList

from library_server.backends.base import OnStep, StepToken
from library_server.generation import GREEDY, Generation
from library_server.options import Options

DTYPES = ("default", "auto", "float32", "float16", "bfloat16")


def version() -> str:
    """The library's version."""
    return distribution_version("transformers")


def load(options: Options, tokenizer: Tokenizer) -> "TransformersBackend":
    """Loads a checkpoint; OSError or ValueError when the library cannot."""
    if options.compute_type not in DTYPES:
        raise ValueError(f"--compute-type: {options.compute_type}; allowed: {', '.join(DTYPES)}")
    if options.seed is not None:
        torch.manual_seed(options.seed)
    torch.set_num_threads(options.intra_threads)
    dtype = "auto" if options.compute_type == "default" else options.compute_type
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype, **options.engine_arguments)
    return TransformersBackend(model.to(options.device).eval(), options.intra_threads)


class TransformersBackend:
    """A model of transformers behind the Backend protocol."""

    continuous = False

    def __init__(self, model: Any, threads: int):
        self._model = model
        ends = model.generation_config.eos_token_id
        self._end_ids: list[int] = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        self.compute_type = str(model.dtype).removeprefix("torch.")
        self.threads = threads

    def batch_key(self, generation: Generation) -> Hashable:
        """Sampling and minimum length are a batch's, not a sequence's."""
        return generation.sampling, "max" if generation.ignore_eos else generation.min_tokens

    def generate(self, batch: Sequence[Generation], on_step: OnStep) -> None:
        """Runs one call of `generate`."""
        ids, mask = self._padded(batch)
        steps = _Steps(batch, self._end_ids, on_step)
        with torch.inference_mode():
            self._model.generate(
                ids,
                attention_mask=mask,
                generation_config=self._config(batch),
                stopping_criteria=StoppingCriteriaList([steps]),
            )

    def _padded(self, batch: Sequence[Generation]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask, each (sequences, longest prompt), int64."""
        longest = max(len(generation.prompt) for generation in batch)
        gaps = [longest - len(generation.prompt) for generation in batch]
        ids = [[0] * gap + generation.prompt for gap, generation in zip(gaps, batch, strict=True)]
        mask = [[0] * gap + [1] * (longest - gap) for gap in gaps]
        return torch.tensor(ids, device=self._model.device), torch.tensor(mask, device=self._model.device)

    def _config(self, batch: Sequence[Generation]) -> GenerationConfig:
        first, longest = batch[0], max(generation.max_tokens for generation in batch)
        sampling = first.sampling
        how: dict[str, Any] = {"do_sample": False}
        if sampling != GREEDY:
            how = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
            how["top_k"] = sampling.top_k
        ends = self._end_ids or None
        least = longest if first.ignore_eos else first.min_tokens
        return GenerationConfig(
            max_new_tokens=longest, min_new_tokens=least, eos_token_id=ends, pad_token_id=(ends or [0])[0], **how
        )


class _Steps(StoppingCriteria):
    """Is asked after each step which sequences end, and hands on the step's tokens."""

    def __init__(self, batch: Sequence[Generation], end_ids: Sequence[int], on_step: OnStep):
        self._batch = batch
        self._end_ids = frozenset(end_ids)
        self._on_step = on_step
        self._left = [generation.max_tokens for generation in batch]
        self._ended = [False] * len(batch)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Which sequences have ended, (sequences,) bool."""
        tokens: list[StepToken] = []
        for place, token_id in enumerate(input_ids[:, -1].tolist()):
            if not self._ended[place]:
                reason = self._take(place, token_id)
                self._ended[place] = reason is not None or self._batch[place].cancelled
                tokens.append((place, token_id, reason))
        self._on_step(tokens)
        return torch.tensor(self._ended, device=input_ids.device)

    def _take(self, place: int, token_id: int) -> str | None:
        self._left[place] -= 1
        if token_id in self._end_ids and not self._batch[place].ignore_eos:
            return "stop"
        return None if self._left[place] else "length"
