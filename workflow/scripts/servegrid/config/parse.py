"""Parse a mapping, as Snakemake merged it from files and command line, into a checked `Config`."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from servegrid.config.arrivals import arrival_mistake
from servegrid.config.claim_checks import claim_mistakes
from servegrid.config.errors import ConfigError, from_validation, unknown_key, yaml_hint, yaml_text
from servegrid.config.measuring import LoadConfig
from servegrid.config.models import Config, all_axes, further_axes, section_of
from servegrid.config.section import Section
from servegrid.config.serving import EngineConfig, ServerConfig
from servegrid.config.url_checks import allowed_protocols, reference_mistakes, url_mistakes
from servegrid.engines.speculation import TRAINED, parse_speculation
from servegrid.prompts import salt
from servegrid.results.axes import AXES
from servegrid.results.columns import LATENCY_COLUMNS
from servegrid.util.files import read_json
from servegrid.util.secret_env import REFERENCE, is_secret

SAMPLING_FIELDS = ("temperature", "top_p", "top_k")  # of a request, that `load` has keys for


def load_config(path: Path) -> Config:
    """Read and check the resolved config (JSON) that the run wrote beside its results."""
    return parse_config(read_json(path))


def parse_config(raw: dict[str, Any]) -> Config:
    """Parse and check a raw mapping.

    Raises:
        ConfigError: with every mistake found, each naming the key, the value and what is allowed.
    """
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise from_validation(error) from None
    mistakes = list(_mistakes(config))
    if mistakes:
        raise ConfigError(mistakes)
    return config


def engine_of(name: str, entry: EngineConfig) -> str:
    """Name of the engine of an entry of `engines`: its key `engine`, else the entry's own name."""
    return entry.engine or name


def _mistakes(config: Config) -> Iterator[str]:
    yield from _unknown_names(config)
    yield from _engine_mistakes(config)
    yield from _further_axis_mistakes(config)
    yield from _duplicates(config)
    yield from _selector_mistakes(config)
    yield from _objective_mistakes(config)
    yield from claim_mistakes(config.claims, [*all_axes(config.grid), *_section_axes()])
    yield from _arrival_mistakes(config)
    yield from _speculation_mistakes(config)
    yield from _quantization_mistakes(config)
    yield from _speculator_mistakes(config)
    yield from _length_mistakes(config)
    yield from _result_folder_mistakes(config)


def _unknown_names(config: Config) -> Iterator[str]:
    for axis, defined in (("engine", config.engines), ("gpu", config.devices)):
        for index, value in enumerate(getattr(config.grid, axis)):
            if value not in defined:
                section = {"engine": "engines", "gpu": "devices"}[axis]
                yield f"grid.{axis}[{index}] = {yaml_text(value)}: is not one of {section} ({', '.join(sorted(defined))})"


def _engine_mistakes(config: Config) -> Iterator[str]:
    from servegrid import engines

    for name, entry in config.engines.items():
        engine_name = engine_of(name, entry)
        if engine_name not in engines.names():
            key = f"engines.{name}.engine" if entry.engine else f"engines.{name}"
            yield f"{key} = {yaml_text(engine_name)}: is not an engine servegrid knows ({', '.join(engines.names())})"
        elif entry.runtime not in engines.get(engine_name).runtimes:
            allowed = ", ".join(engines.get(engine_name).runtimes)
            yield f"engines.{name}.runtime = {yaml_text(entry.runtime)}: {engine_name} runs from {allowed}"
        elif entry.protocol not in (None, *allowed_protocols(engine_name, entry.runtime)):
            allowed = ", ".join(allowed_protocols(engine_name, entry.runtime))
            yield f"engines.{name}.protocol = {yaml_text(entry.protocol)}: {engine_name} speaks {allowed}"
        for key in ("image", "memory_limit"):
            if getattr(entry, key) is not None and entry.runtime != "docker":
                yield f"engines.{name}.{key} = {yaml_text(getattr(entry, key))}: goes with runtime docker, and with no other"
        yield from _secret_mistakes(name, entry)
        for field in SAMPLING_FIELDS:
            if entry.request.get(field) is not None:
                yield f"engines.{name}.request.{field}: is set by load.{field} (null leaves it out)"
        if entry.request.get("cache_prompt") and entry.runtime != "url":
            yield f"engines.{name}.request.cache_prompt: is set by server.prefix_cache"
        if engine_name in engines.names():
            yield from _reserved_mistakes(f"engines.{name}.options", entry.options, engine_name, name)
        if (entry.runtime == "command") != (entry.command is not None):
            yield f"engines.{name}.command = {yaml_text(entry.command)}: goes with runtime command, and with no other"
        yield from url_mistakes(name, engine_name, entry)
        yield from reference_mistakes(f"engines.{name}.request", entry.request)


def _reserved_mistakes(key: str, options: Iterable[str], engine: str, name: str) -> Iterator[str]:
    """Yield a mistake for each option that another key sets: the server would not be the one that its row names."""
    from servegrid import engines

    for option in options:
        if setter := engines.get(engine).reserved_by(option):
            yield f"{key}.{option}: is set by {setter.replace('<name>', name)}"


def _secret_mistakes(name: str, entry: EngineConfig) -> Iterator[str]:
    """Yield a mistake for each secret written out: it would end up in records and in the report."""
    for variable, value in entry.env.items():
        if is_secret(variable) and not REFERENCE.fullmatch(value):
            yield f"engines.{name}.env.{variable}: is a secret; write ${{{variable}}}, and set that variable in the shell"


def _further_axis_mistakes(config: Config) -> Iterator[str]:
    for axis, values in further_axes(config.grid).items():
        section = section_of(axis)
        if axis.startswith("options."):
            yield from _option_value_mistakes(axis, values)
            yield from _reserved_axis_mistakes(config, axis.removeprefix("options."))
            continue
        if section is None:
            yield unknown_key(f"grid.{axis}", [*AXES, "include", "exclude", *_section_axes(), "options.<flag>"])
            continue
        yield from _axis_value_mistakes(config, section, axis, values)


def _axis_value_mistakes(config: Config, section: type[Section], axis: str, values: list[Any]) -> Iterator[str]:
    base = config.server if section is ServerConfig else config.load
    for index, value in enumerate(values):
        try:
            section.model_validate(base.model_dump() | {axis: value})
        except ValidationError as error:
            message = from_validation(error).mistakes[0].partition(": ")[2]
            yield f"grid.{axis}[{index}] = {yaml_text(value)}: {message}"


def _option_value_mistakes(axis: str, values: list[Any]) -> Iterator[str]:
    for index, value in enumerate(values):
        if isinstance(value, bool):
            yield f"grid.{axis}[{index}] = {yaml_text(value)}: must be text, a number, null (the flag alone) or default{yaml_hint(value)}"


def _reserved_axis_mistakes(config: Config, option: str) -> Iterator[str]:
    """Yield the mistake of an axis that one of the grid's engines has another key for."""
    from servegrid import engines

    names = dict.fromkeys(str(value) for _key, value in _keyed_axis_values(config, "engine"))
    kinds = {name: engine_of(name, config.engines[name]) for name in names if name in config.engines}
    for name, engine in kinds.items():
        if engine in engines.names():
            for mistake in _reserved_mistakes("grid.options", [option], engine, name):
                yield f"{mistake} (of {name})"


def _section_axes() -> list[str]:
    return [key for section in (ServerConfig, LoadConfig) for key in section.model_fields if section_of(key)]


def _duplicates(config: Config) -> Iterator[str]:
    axes = all_axes(config.grid)
    for axis, values in axes.items():
        if not values:
            yield f"grid.{axis} = []: needs at least one value"
        seen: list[Any] = []
        for index, value in enumerate(values):
            if str(value) in seen:
                yield f"grid.{axis}[{index}] = {yaml_text(value)}: stands twice"
            seen.append(str(value))


def _selector_mistakes(config: Config) -> Iterator[str]:
    axes = all_axes(config.grid)
    entries = [("grid.include", config.grid.include), ("grid.exclude", config.grid.exclude)]
    for key, points in [*entries, ("report.baseline", [config.report.baseline])]:
        for index, point in enumerate(points):
            entry_key = key if key == "report.baseline" else f"{key}[{index}]"
            yield from (unknown_key(f"{entry_key}.{axis}", axes) for axis in point if axis not in axes)
            yield from _axis_type_mistakes(entry_key, point)
            if not point and key != "report.baseline":
                yield f"{entry_key} = {{}}: names no axis"
            if key == "grid.include":
                yield from _include_mistakes(config, entry_key, point)
            elif key == "grid.exclude":
                yield from _exclude_mistakes(entry_key, point, axes)


def _axis_type_mistakes(entry_key: str, point: dict[str, Any]) -> Iterator[str]:
    for axis in AXES:
        for value in as_list(point.get(axis, [])):
            if value is None or isinstance(value, bool):
                yield f"{entry_key}.{axis} = {yaml_text(value)}: must be a value that grid.{axis} can have, in quotes if it is a word"


def _objective_mistakes(config: Config) -> Iterator[str]:
    yield from (
        unknown_key(f"report.slo.{name}", LATENCY_COLUMNS) for name in config.report.slo if name not in LATENCY_COLUMNS
    )
    if config.report.objective == "max_throughput_under_slo" and not config.report.slo:
        yield "report.slo = {}: needs at least one limit for the objective max_throughput_under_slo"


def _include_mistakes(config: Config, entry_key: str, point: dict[str, Any]) -> Iterator[str]:
    for axis, defined in (("engine", config.engines), ("gpu", config.devices)):
        for value in as_list(point.get(axis, [])):
            if value not in defined:
                yield f"{entry_key}.{axis} = {yaml_text(value)}: is not one of {', '.join(sorted(defined))}"
    for value in as_list(point.get("threads", [])):
        if not isinstance(value, int) or value < 1:
            yield f"{entry_key}.threads = {yaml_text(value)}: must be a whole number, at least 1"


def as_list(value: Any) -> list[Any]:
    """The values of a selector, which may name one or a list of them."""
    return value if isinstance(value, list) else [value]


def _arrival_mistakes(config: Config) -> Iterator[str]:
    """Yield the mistakes of every combination of the load's axes."""
    axes = {axis: values for axis, values in further_axes(config.grid).items() if axis in LoadConfig.model_fields}
    mistakes: list[str] = []
    for values in itertools.product(*axes.values()):
        try:
            options = LoadConfig.model_validate(config.load.model_dump() | dict(zip(axes, values, strict=True)))
        except ValidationError:
            return  # reported by _axis_value_mistakes
        mistakes += [mistake] if (mistake := arrival_mistake(options)) else []
    yield from dict.fromkeys(mistakes)


def _exclude_mistakes(entry_key: str, point: dict[str, Any], axes: dict[str, list[Any]]) -> Iterator[str]:
    for axis, value in point.items():
        axis_values = list(map(str, axes.get(axis, [])))
        for selected in as_list(value):
            if axis_values and str(selected) not in axis_values:
                yield f"{entry_key}.{axis} = {yaml_text(selected)}: leaves nothing out; the axis has {', '.join(axis_values)}"


def _keyed_axis_values(config: Config, axis: str) -> Iterator[tuple[str, Any]]:
    """Yield every value that the grid gives to `axis`, with the config key it is at."""
    yield from ((f"grid.{axis}[{index}]", value) for index, value in enumerate(getattr(config.grid, axis)))
    for index, point in enumerate(config.grid.include):
        yield from ((f"grid.include[{index}].{axis}", value) for value in as_list(point.get(axis, [])))


def _speculation_mistakes(config: Config) -> Iterator[str]:
    for key, value in _keyed_axis_values(config, "speculation"):
        try:
            parse_speculation(value, "ngram")
        except ValueError as error:
            yield f"{key} = {yaml_text(value)}: must be {error}{yaml_hint(value)}"


def _quantization_mistakes(config: Config) -> Iterator[str]:
    """Yield a mistake for a name that no engine of the config knows; one that only some lack is an unsupported point."""
    from servegrid import engines

    used = {engine_of(name, entry) for name, entry in config.engines.items()} & set(engines.names())
    allowed = sorted(
        {name for engine in used for name in engines.get(engine).quantizations}
        | {*config.model.gguf, *config.model.quantized}
    )
    for key, value in _keyed_axis_values(config, "quantization"):
        if str(value) not in allowed:
            yield f"{key} = {yaml_text(value)}: no engine of this config knows it (allowed: {', '.join(allowed)}){yaml_hint(value)}"


def _speculator_mistakes(config: Config) -> Iterator[str]:
    for kind in config.model.speculators:
        if kind not in TRAINED:
            yield f"model.speculators.{kind}: is no kind with weights of its own (allowed: {', '.join(TRAINED)})"


def _result_folder_mistakes(config: Config) -> Iterator[str]:
    for index, folder in enumerate(config.report.also_from):
        if not (Path(folder) / "sessions").is_dir():
            yield f"report.also_from[{index}] = {yaml_text(folder)}: must be a folder of results, with a folder sessions in it"


def _length_mistakes(config: Config) -> Iterator[str]:
    """Yield a mistake for lengths that contradict each other or do not fit the context of a server."""
    prompts = config.prompts
    if prompts.source != "generated":
        return
    if prompts.input_tokens > prompts.input_tokens_max:
        yield f"prompts.input_tokens = {prompts.input_tokens}: is above prompts.input_tokens_max = {prompts.input_tokens_max}"
    axes = further_axes(config.grid)
    contexts = axes.get("context_tokens", [config.server.context_tokens])
    is_cold = "cold" in axes.get("cache", [config.load.cache])
    is_salted = is_cold and True in axes.get("prefix_cache", [config.server.prefix_cache])
    longest = prompts.input_tokens_max + prompts.output_tokens + (salt.MOST_TOKENS if is_salted else 0)
    for context in contexts:
        if isinstance(context, int) and context < longest:
            salt_text = f" + {salt.MOST_TOKENS} of a salt, as server.prefix_cache is true" if is_salted else ""
            sum_text = f"prompts.input_tokens_max + prompts.output_tokens{salt_text} = {longest}"
            yield f"server.context_tokens = {context}: is less than the longest request, {sum_text}"
