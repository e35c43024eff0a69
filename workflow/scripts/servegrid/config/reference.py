"""Generate config/README.md, every key with its type, default and meaning, from the models that check the config."""

import json
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from servegrid.config.judging import Claim
from servegrid.config.models import Config
from servegrid.config.section import AxisValue
from servegrid.config.serving import Device, EngineConfig

PAGE_HEAD = """# The config

`config/config.yaml` is the default sweep. A sweep of your own is a file with what differs from it:

    snakemake --cores 1 --configfile my.yaml

Mappings merge with the default, lists replace it. Single values can be given on the command line too:
`snakemake --cores 1 --config repeats=3`. An unknown key or a wrong value stops the run before anything starts.
`snakemake plan` shows what a config would do, `snakemake doctor` whether this host can do it.

The tables below are written from the code that checks the config: `make reference`.
"""
ENTRY_SECTIONS: dict[str, tuple[str, type[BaseModel]]] = {
    "engines": ("engines.<name>", EngineConfig),
    "devices": ("devices.<name>", Device),
    "claims": ("claims[]", Claim),
}


def config_reference() -> str:
    """Text of config/README.md, in Markdown."""
    return "\n".join([PAGE_HEAD, *_section_lines("", Config)])


def _section_lines(path: str, section: type[BaseModel]) -> Iterator[str]:
    yield f"## {path or 'Top level'}\n"
    yield f"{(section.__doc__ or '').strip().splitlines()[0]}\n"
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in section.model_fields.items():
        description = (field.description or "").replace("|", "\\|")
        yield f"| `{name}` | {_type_text(field.annotation)} | {_default_text(field)} | {description} |"
    yield ""
    for name, field in section.model_fields.items():
        key = f"{path}.{name}" if path else name
        if key in ENTRY_SECTIONS:
            yield from _section_lines(*ENTRY_SECTIONS[key])
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _section_lines(key, field.annotation)


def _default_text(field: FieldInfo) -> str:
    if field.default_factory is not None:
        value: Any = field.get_default(call_default_factory=True, validated_data={})
        if isinstance(value, dict) and value:
            value = {key: entry.model_dump(exclude_none=True) for key, entry in value.items()}
        return "see below" if isinstance(value, BaseModel) else _code(value)
    return "required" if field.default is PydanticUndefined else _code(field.default)


def _code(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def _type_text(annotation: Any) -> str:
    """Name of a type in terms of YAML."""
    if annotation == AxisValue:
        return "value"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_text(member) for member in arguments))
    if origin is list:
        return f"list of {_type_text(arguments[0])}"
    if origin is dict:
        return f"mapping to {_type_text(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", types.NoneType: "null"}
    return "value" if annotation is Any else names[annotation]
