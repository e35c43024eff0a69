"""The whole config as a pydantic model. config/README.md is generated from the descriptions of its keys."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from servegrid.config.judging import Claim, Report
from servegrid.config.measuring import GridConfig, LoadConfig, Prompts, Repeats, RepeatsSetting
from servegrid.config.section import Name, Section, parse_command_line_bool
from servegrid.config.serving import Device, EngineConfig, Model, ServerConfig
from servegrid.results.axes import AXES


def _without_braces(path: str) -> str:
    if set("{}<>") & set(path):
        raise ValueError("must have none of { } < >, which Snakemake takes for wildcards and path variables")
    return path


Folder = Annotated[str, AfterValidator(_without_braces)]


class PathVars(Section):
    """Where things go; Snakemake's own path variables."""

    results: Folder = Field("results", description="Raw records and result tables.")
    reports: Folder = Field("reports", description="Tables, figures, the report page.")
    resources: Folder = Field("resources", description="Models, prompts and engine environments made by the run.")
    logs: Folder = Field("logs", description="Logs of the jobs that prepare and compare.")


class Config(Section):
    """The whole config."""

    model: Model = Field(default_factory=Model, description="What is served.")
    prompts: Prompts = Field(default_factory=Prompts, description="What is asked.")
    engines: dict[Name, EngineConfig] = Field(min_length=1, description="The engines, by the name the grid uses.")
    devices: dict[Name, Device] = Field(
        default_factory=lambda: {"cpu": Device(kind="cpu")},
        min_length=1,
        description="The devices, by the name the grid uses.",
    )
    grid: GridConfig = Field(description="What is measured: the product of the axes.")
    repeats: RepeatsSetting = Field(
        default_factory=lambda: Repeats(at_least=2, at_most=2),
        description="Sessions per server: each launches it anew. The spread over them is the doubt. A number (2 unless given); or `auto`, or a section "
        "with the keys below: as many as a precision takes.",
    )
    retry: list[Literal["failed", "partial"]] = Field(
        default_factory=list, description="Which recorded outcomes to measure again in this run, e.g. `[failed]`."
    )
    load: LoadConfig = Field(default_factory=LoadConfig, description="How the server is loaded.")
    server: ServerConfig = Field(default_factory=ServerConfig, description="What every server is given.")
    claims: list[Claim] = Field(
        default_factory=list, description="Sentences to be held against the rows, measured and published."
    )
    report: Report = Field(default_factory=Report, description="How the results are shown.")
    telemetry_interval_s: Annotated[float, Field(ge=0.05, le=60)] = Field(
        0.5, description="Seconds between two samples of the hardware and of the server's own metrics."
    )
    pathvars: PathVars = Field(default_factory=PathVars, description="Where things go.")
    commands: Annotated[bool, BeforeValidator(parse_command_line_bool)] = Field(
        False, description="For `snakemake plan --config commands=true`: print every server's command line."
    )


def section_of(axis: str) -> type[Section] | None:
    """The section (`server` or `load`) that has the key `axis`, if it can be an axis of the grid; else None."""
    for section in (ServerConfig, LoadConfig):
        if axis in section.model_fields and not axis.endswith(("timeout_s", "limit_s")):
            return section
    return None


def all_axes(grid: GridConfig) -> dict[str, list[Any]]:
    """The axes of the grid with their values: the five standard ones, then the further ones."""
    return {axis: getattr(grid, axis) for axis in AXES} | further_axes(grid)


def further_axes(grid: GridConfig) -> dict[str, list[Any]]:
    """The axes of the grid beyond the five standard ones, with their values, in the order of the config."""
    return dict(grid.__pydantic_extra__ or {})
