"""What Triton's vLLM backend is asked and says, over HTTP and gRPC alike: src/model.py of triton-inference-server/vllm_backend."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from servegrid.protocols._output import Output, count
from servegrid.protocols.base import GenerationSettings
from servegrid.records.request import RequestRecord

MODEL = "vllm_model"
"""The model's name in the repository, as in the backend's own samples."""
SWITCHES = ("return_finish_reason", "return_num_input_tokens", "return_num_output_tokens")
"""Inputs that ask for more than text. Backends of before October 2024 have none of them: leave them out by None in `extra`."""


class Piece(NamedTuple):
    """One response: text, and the output tokens that are new in it (None: it does not say)."""

    t_s: float
    text: str
    new_tokens: int | None = None
    prompt_tokens: int | None = None
    finish: str | None = None


def switches(settings: GenerationSettings) -> dict[str, bool]:
    """The switches that are on."""
    return {name: True for name in SWITCHES if settings.extra.get(name, True) is not None}


def sampling(settings: GenerationSettings) -> dict[str, Any]:
    """vLLM's SamplingParams; `extra` goes here."""
    fields = {
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "seed": settings.seed,
        "ignore_eos": True if settings.exact else None,
        "min_tokens": settings.max_tokens if settings.exact else None,
    }
    fields |= {name: value for name, value in settings.extra.items() if name not in SWITCHES}
    return {name: value for name, value in fields.items() if value is not None}


def write(pieces: Iterable[Piece], record: RequestRecord) -> None:
    """Put the responses together. Counts are differences; a token may come without text."""
    output = Output()
    for piece in pieces:
        tokens = count(piece.new_tokens)
        if tokens is not None:
            output.counted = (output.counted or 0) + tokens
        if piece.text or tokens:
            output.add(piece.t_s, piece.text, output.counted)
        record.prompt_tokens = count(piece.prompt_tokens) or record.prompt_tokens
        if piece.finish not in (None, "None"):  # the backend sends Python's None as text
            record.finish_reason = piece.finish
    output.write(record)
