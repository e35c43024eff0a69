"""Config sections of the evaluation: claims and report."""

from typing import Annotated, Literal

from pydantic import Field

from servegrid.config.section import Point, Section


class Claim(Section):
    """A sentence, stated as a comparison of rows. Its verdict: supported, contradicted, no difference shown, not measured."""

    says: str = Field(min_length=1, description="The sentence.")
    metric: str = Field(
        "time_s", description="Which column of the result table decides; servegrid knows which way it is better."
    )
    better: Point = Field(
        default_factory=dict,
        description="The rows that the sentence puts ahead, by axis: a value, a list of values, or a range such as "
        '`"> 256"`; speculation also by length alone, so that 2 is `ngram:2` and `draft:2`. Empty: all rows but those of `than`.',
    )
    than: Point = Field(
        default_factory=dict,
        description="The rows they are held against, in the same form. Empty: all rows but those of `better`.",
    )
    matched_on: list[str] | None = Field(
        None,
        description="Axes on which two rows must agree to be compared; null: all that `better` and `than` leave open.",
    )
    at_least: Annotated[float, Field(gt=-1)] = Field(
        0.0, description="Least effect, as a share: 0.12 for 12 % better. 0 is any; below 0 allows for a loss."
    )
    at_most: float | None = Field(None, description="Greatest effect, in the same form; null: none.")
    less_than_linear_in: str | None = Field(
        None, description="A numeric axis of which the effect must grow by less than in proportion."
    )
    than_times: Annotated[float, Field(gt=0)] = Field(
        1.0, description="The metric of the `than` rows is multiplied by this first: 2 for two runs in sequence."
    )


class Report(Section):
    """How the results are shown. A change here measures nothing."""

    title: str = Field("servegrid", description="Title of the report.")
    baseline: Point = Field(
        default_factory=dict, description="The point that others are held against, by axis; axes left out match any."
    )
    objective: Literal["max_throughput", "max_throughput_under_slo", "min_cost", "min_energy"] = Field(
        "max_throughput",
        description="What the recommended setting is the best at: output tokens per second (with or without `slo`), US dollars "
        "per output token, or joules per output token.",
    )
    slo: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Greatest latencies in ms, e.g. `{ttft_ms_p99: 500, itl_ms_p99: 50}`. A setting that breaks one, or of "
        "which it is not known, is not recommended, whatever the objective. The goodput counts the requests that keep all.",
    )
    published: list[str] = Field(
        default_factory=list,
        description="Published tables to show beside what is measured, marked as such: CSV files with the columns `gpu`, "
        "`engine`, `threads`, `time_s`, and optionally `source`, `vram` (`24/48`), `speculation`, `quantization`, `runs_at_once`. "
        "`config/published/article.csv` is one.",
    )
    also_from: list[str] = Field(
        default_factory=list,
        description="Result folders of the same config from other hosts, copied here: points whose device this host lacks are taken "
        "from the first that has them, where model and programs lie at the same paths there as here. Every row says its `host`.",
    )
    timelines: Annotated[int, Field(ge=0)] = Field(
        50, description="Of how many servers the telemetry is drawn over time, in the order of the grid; 0 for none."
    )
