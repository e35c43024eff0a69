"""Requests to and responses of Triton's vLLM backend, over HTTP and gRPC alike: src/model.py of triton-inference-server/vllm_backend."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from servegrid.protocols._output import Output, token_count
from servegrid.protocols.base import GenerationSettings
from servegrid.records.request import RequestRecord

MODEL = "vllm_model"
"""Name of the model in the model repository, as in the backend's own samples."""
SWITCHES = ("return_finish_reason", "return_num_input_tokens", "return_num_output_tokens")
"""Inputs that ask for more than text. Backends of before October 2024 have none of them: leave them out by None in `extra`."""

ROOM_FACTOR = 8
"""How many times larger than usual an answer may be: backends of early 2024 (r24.01) put the prompt in front of the output, and send all
of both in every response."""


class Piece(NamedTuple):
    """Content of one response: text, and the number of output tokens that are new in it (None: it does not say)."""

    t_s: float
    text: str
    new_tokens: int | None = None
    prompt_tokens: int | None = None
    finish: str | None = None


def enabled_switches(settings: GenerationSettings) -> dict[str, bool]:
    """Inputs of SWITCHES that are on, as request fields."""
    return {name: True for name in SWITCHES if settings.extra.get(name, True) is not None}


def sampling_parameters(settings: GenerationSettings) -> dict[str, Any]:
    """Fields of vLLM's SamplingParams, with those of `extra`."""
    fields = {
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "seed": settings.seed,
        "ignore_eos": True if settings.exact else None,
        "min_tokens": settings.max_tokens if settings.exact else None,
    }
    fields |= {name: value for name, value in settings.extra.items() if name not in SWITCHES}
    return {name: value for name, value in fields.items() if value is not None}


def write_pieces(pieces: Iterable[Piece], record: RequestRecord, prompt: str) -> None:
    """Write the responses into the record; token counts are increments, and a token may come without text.

    `prompt`: of the request, which some backends repeat, see ROOM_FACTOR.
    """
    output = Output()
    for piece in pieces:
        tokens = token_count(piece.new_tokens)
        if tokens is not None:
            output.output_tokens = (output.output_tokens or 0) + tokens
        if piece.text or tokens:
            output.add(piece.t_s, piece.text, output.output_tokens)
        record.prompt_tokens = token_count(piece.prompt_tokens) or record.prompt_tokens
        if piece.finish not in (None, "None"):  # the backend sends Python's None as text
            record.finish_reason = piece.finish
    output.write(record, prompt)
