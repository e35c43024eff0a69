"""CTranslate2: a library of its own making, without continuous batching.

What its batches are like (4.8): prompts of different length share a batch without padding; up to the shortest prompt all
are read at once, the rest of the longer ones token by token in the decoding loop, so a sequence's first token comes
(its length - the shortest) steps late. A sequence that has ended is taken out of the batch.
"""

import json
from collections.abc import Hashable, Sequence
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

import ctranslate2
from tokenizers import Tokenizer

from library_server.backends.base import OnStep, StepToken
from library_server.generation import GREEDY, Generation
from library_server.options import Options

DEFAULT_EOS = "</s>"  # CTranslate2's own, for a model whose config.json names none


def version() -> str:
    """Version of the library."""
    return distribution_version("ctranslate2")


def load(options: Options, tokenizer: Tokenizer) -> "CTranslate2Backend":
    """Load a converted model; RuntimeError or ValueError when the library cannot."""
    if options.seed is not None:
        ctranslate2.set_random_seed(options.seed)
    generator = ctranslate2.Generator(
        str(options.model),
        device=options.device,
        compute_type=options.compute_type,
        inter_threads=options.inter_threads,
        intra_threads=options.intra_threads,
    )
    vocabulary = _vocabulary(options.model, tokenizer)
    return CTranslate2Backend(generator, vocabulary, _end_token(options.model), options.intra_threads)


def _vocabulary(model: Path, tokenizer: Tokenizer) -> list[str]:
    """Tokens of the model by id, checked against the tokenizer: different ids would silently give nonsense."""
    path = model / "vocabulary.json"
    if not path.is_file():
        return [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
    tokens: list[str] = json.loads(path.read_text(encoding="utf-8"))
    for token, i in tokenizer.get_vocab().items():
        if i >= len(tokens) or tokens[i] != token:
            raise ValueError(f"tokenizer and model disagree: id {i} is {token!r} in the one and not in the other")
    return tokens


def _end_token(model: Path) -> str:
    path = model / "config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return str(config.get("eos_token") or DEFAULT_EOS)


class CTranslate2Backend:
    """A ctranslate2.Generator behind the Backend protocol."""

    continuous = False

    def __init__(self, generator: Any, vocabulary: list[str], end_token: str, threads: int):
        self._generator = generator
        self._vocabulary = vocabulary
        self._end_id = vocabulary.index(end_token) if end_token in vocabulary else None
        self.compute_type = str(generator.compute_type)
        self.threads = threads

    def batch_key(self, generation: Generation) -> Hashable:
        """Key of sampling and minimum length, which the library has per batch and not per sequence.

        Prompts of one token are batched apart: beside one, the library counts the other prompts' tokens as output.
        """
        min_length = "max" if generation.ignore_eos else generation.min_tokens
        return generation.sampling, min_length, len(generation.prompt) == 1

    def generate(self, batch: Sequence[Generation], on_step: OnStep) -> None:
        """Generate a batch with one call of generate_batch."""
        first, longest = batch[0], max(generation.max_tokens for generation in batch)
        sampling = first.sampling
        self._generator.generate_batch(
            [[self._vocabulary[i] for i in generation.prompt] for generation in batch],
            include_prompt_in_result=False,
            max_length=longest,
            min_length=longest if first.ignore_eos else first.min_tokens,
            sampling_topk=1 if sampling == GREEDY else sampling.top_k,
            sampling_topp=sampling.top_p,
            sampling_temperature=sampling.temperature or 1.0,
            callback=_Steps(batch, self._end_id, on_step).callback,
        )


class _Steps:
    """Collects the library's callbacks, one per token, into one call per step, and decides which sequences end.

    A step is over when every sequence that has begun and not ended had its call, which is known beforehand, so
    that a step's tokens need not wait for the next step.
    """

    def __init__(self, batch: Sequence[Generation], end_id: int | None, on_step: OnStep):
        shortest = min(len(generation.prompt) for generation in batch)
        self._batch = batch
        self._end_id = end_id
        self._on_step = on_step
        self._tokens_left = [generation.max_tokens for generation in batch]
        # sequences by the step they begin at, and how many of those at work the present step is still to call
        self._begins = [len(generation.prompt) - shortest for generation in batch]
        self._active = 0
        self._step = -1
        self._awaited = 0
        self._tokens: list[StepToken] = []

    def callback(self, result: Any) -> bool:
        """Take a token; return True to end its sequence."""
        if result.step != self._step:
            self._begin_step(result.step)
        index, token_id = result.batch_id, result.token_id
        generation = self._batch[index]
        self._tokens_left[index] -= 1
        reason = None
        if token_id == self._end_id and not generation.ignore_eos:
            reason = "stop"
        elif not self._tokens_left[index]:
            reason = "length"
        ends = reason is not None or generation.cancelled
        self._tokens.append((index, token_id, reason))
        self._awaited -= 1
        self._active -= ends
        if not self._awaited:
            self._flush()
        return ends

    def _begin_step(self, step: int) -> None:
        self._flush()
        self._active += sum(self._step < begin <= step for begin in self._begins)
        self._step, self._awaited = step, self._active

    def _flush(self) -> None:
        if self._tokens:
            self._on_step(self._tokens)
            self._tokens = []
