"""transformers: AutoModelForCausalLM.generate, as a script would use it.

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
    """Version of the library."""
    return distribution_version("transformers")


def load(options: Options, tokenizer: Tokenizer) -> "TransformersBackend":
    """Load a checkpoint; OSError or ValueError when the library cannot."""
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
        end_ids = model.generation_config.eos_token_id
        self._end_ids: list[int] = [] if end_ids is None else [end_ids] if isinstance(end_ids, int) else list(end_ids)
        self.compute_type = str(model.dtype).removeprefix("torch.")
        self.threads = threads

    def batch_key(self, generation: Generation) -> Hashable:
        """Key of sampling and minimum length, which the library has per batch and not per sequence."""
        return generation.sampling, "max" if generation.ignore_eos else generation.min_tokens

    def generate(self, batch: Sequence[Generation], on_step: OnStep) -> None:
        """Generate a batch with one call of the library's `generate`."""
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
        sampling_options: dict[str, Any] = {"do_sample": False}
        if sampling != GREEDY:
            sampling_options = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
            sampling_options["top_k"] = sampling.top_k
        end_ids = self._end_ids or None
        min_length = longest if first.ignore_eos else first.min_tokens
        return GenerationConfig(
            max_new_tokens=longest,
            min_new_tokens=min_length,
            eos_token_id=end_ids,
            pad_token_id=(end_ids or [0])[0],
            **sampling_options,
        )


class _Steps(StoppingCriteria):
    """Stopping criterion: decides after each step which sequences end, and passes the step's tokens on."""

    def __init__(self, batch: Sequence[Generation], end_ids: Sequence[int], on_step: OnStep):
        self._batch = batch
        self._end_ids = frozenset(end_ids)
        self._on_step = on_step
        self._tokens_left = [generation.max_tokens for generation in batch]
        self._ended = [False] * len(batch)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Mask of the sequences that have ended, (sequences,) bool."""
        tokens: list[StepToken] = []
        for index, token_id in enumerate(input_ids[:, -1].tolist()):
            if not self._ended[index]:
                reason = self._finish_reason(index, token_id)
                self._ended[index] = reason is not None or self._batch[index].cancelled
                tokens.append((index, token_id, reason))
        self._on_step(tokens)
        return torch.tensor(self._ended, device=input_ids.device)

    def _finish_reason(self, index: int, token_id: int) -> str | None:
        self._tokens_left[index] -= 1
        if token_id in self._end_ids and not self._batch[index].ignore_eos:
            return "stop"
        return None if self._tokens_left[index] else "length"
