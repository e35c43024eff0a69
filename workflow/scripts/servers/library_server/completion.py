"""Parse and check the body of POST /v1/completions."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from library_server.errors import ApiError, invalid
from library_server.generation import GREEDY, Generation, Sampling
from library_server.options import Options


def _is_integer_from(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number_between(above: float, most: float) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value) and above < value <= most

    return fits


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_prompt(value: Any) -> bool:
    return (isinstance(value, str) or _is_list_of(int)(value)) and len(value) > 0


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(type(item) is kind for item in value)


def _is_stop(value: Any) -> bool:
    stops = [value] if isinstance(value, str) else value
    return _is_list_of(str)(stops) and len(stops) <= 4 and all(stops)


def _is_stream_options(value: Any) -> bool:
    names = {"include_usage", "continuous_usage_stats"}
    return isinstance(value, dict) and value.keys() <= names and all(_is_flag(item) for item in value.values())


# field: value when absent or null, check of a value, and text of what is allowed
FIELDS: dict[str, tuple[Any, Callable[[Any], bool], str]] = {
    "model": (None, lambda value: isinstance(value, str), "a string"),
    "prompt": (None, _is_prompt, "a non-empty string, or a non-empty list of token ids"),
    "max_tokens": (16, _is_integer_from(1), "a whole number from 1 on"),
    "min_tokens": (0, _is_integer_from(0), "a whole number from 0 to max_tokens"),
    "ignore_eos": (False, _is_flag, "true or false"),
    "temperature": (1.0, _is_number_between(-math.ulp(0.0), 100.0), "a number from 0 (greedy) to 100"),
    "top_p": (1.0, _is_number_between(0.0, 1.0), "a number above 0 and up to 1"),
    "top_k": (0, _is_integer_from(-1), "a whole number; 0 and -1 mean all tokens"),
    "seed": (None, _is_integer_from(0), "a whole number from 0 on"),
    "stop": (None, _is_stop, "a non-empty string, or a list of up to 4 of them"),
    "stream": (False, _is_flag, "true or false"),
    "stream_options": (
        None,
        _is_stream_options,
        "an object of include_usage and continuous_usage_stats, true or false",
    ),
    "n": (1, lambda value: type(value) is int and value == 1, "1"),
    "echo": (False, lambda value: value is False, "false"),
    "user": (None, lambda value: isinstance(value, str), "a string"),
}


@dataclass(frozen=True)
class CompletionRequest:
    """A checked request: the generation, and how the client wants its response."""

    generation: Generation
    stops: tuple[str, ...]
    stream: bool
    include_usage: bool
    continuous_usage: bool


def parse_completion(body: Any, tokenizer: Tokenizer, options: Options) -> CompletionRequest:
    """Parse a request's JSON; ApiError 400 names the field, its value and what is allowed, 404 another model."""
    values = _checked_values(body)
    if values["model"] not in (None, options.served_model_name):
        message = f"model: {values['model']!r} is not served here; allowed: {options.served_model_name!r}"
        raise ApiError(404, message, "model", "not_found_error")
    generation = Generation(
        prompt=_token_ids(values["prompt"], tokenizer),
        max_tokens=values["max_tokens"],
        min_tokens=values["min_tokens"],
        ignore_eos=values["ignore_eos"],
        sampling=_parse_sampling(values),
    )
    _check_length(generation, options.max_model_len)
    stops = [values["stop"]] if isinstance(values["stop"], str) else values["stop"] or []
    stream_options = values["stream_options"] or {}
    continuous_usage = stream_options.get("continuous_usage_stats", False)
    return CompletionRequest(
        generation, tuple(stops), values["stream"], stream_options.get("include_usage", False), continuous_usage
    )


def _checked_values(body: Any) -> dict[str, Any]:
    """Values of all fields, checked, with defaults for absent ones."""
    if not isinstance(body, dict):
        raise ApiError(400, "the body is not a JSON object")
    for field in body:
        if field not in FIELDS:
            raise ApiError(400, f"{field}: no such field; allowed: {', '.join(FIELDS)}", field)
    values = {}
    for field, (absent, is_valid, allowed) in FIELDS.items():
        value = body.get(field)
        if value is not None and not is_valid(value):
            raise invalid(field, value, allowed)
        values[field] = absent if value is None else value
    if values["prompt"] is None:
        raise invalid("prompt", None, FIELDS["prompt"][2])
    if values["min_tokens"] > values["max_tokens"]:
        raise invalid("min_tokens", values["min_tokens"], f"a whole number from 0 to {values['max_tokens']}")
    return values


def _parse_sampling(values: dict[str, Any]) -> Sampling:
    if values["temperature"] == 0:
        return GREEDY
    if values["seed"] is not None:
        raise invalid(
            "seed", values["seed"], "none but with temperature 0: the engine has one seed, the server's --seed"
        )
    return Sampling(float(values["temperature"]), float(values["top_p"]), max(0, values["top_k"]))


def _token_ids(prompt: str | list[int], tokenizer: Tokenizer) -> list[int]:
    if isinstance(prompt, str):
        ids: list[int] = tokenizer.encode(prompt).ids
        if not ids:
            raise invalid("prompt", prompt, "a text of at least one token")
        return ids
    size = tokenizer.get_vocab_size()
    for token_id in prompt:
        if not 0 <= token_id < size:
            raise invalid("prompt", token_id, f"token ids from 0 to {size - 1}")
    return prompt


def _check_length(generation: Generation, limit: int | None) -> None:
    total = len(generation.prompt) + generation.max_tokens
    if limit is not None and total > limit:
        message = (
            f"max_tokens: {len(generation.prompt)} tokens of prompt and {generation.max_tokens} of answer are {total}; "
            f"allowed: {limit} together"
        )
        raise ApiError(400, message, "max_tokens")
