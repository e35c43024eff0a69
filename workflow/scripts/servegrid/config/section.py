"""Base class and common types of the config's sections."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)]
AxisValue = Annotated[str | int | float | bool | None, Field(union_mode="left_to_right")]
Point = dict[str, AxisValue | list[AxisValue]]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


def parse_command_line_bool(value: Any) -> Any:
    """The value with the texts `true` and `false` as booleans: Snakemake passes `--config key=true` as text."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


class Section(BaseModel):
    """A part of the config: unknown keys are refused, and no value is turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
