"""Config sections of the measurement: prompts, grid, load and repeats."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from servegrid.config.section import AxisValue, Name, Point, Positive, Seconds, Section


class Prompts(Section):
    """What is asked. The same set, in the same order, for every point."""

    source: str = Field(
        "generated",
        description="`generated` (from the seed, on this machine) or a JSON Lines file with one object per line: "
        "`prompt`, and optionally `id` and `max_tokens`.",
    )
    count: Positive = Field(24, description="How many prompts are measured in each load (of a file: the first ones).")
    input_tokens: Positive = Field(
        48, description="Mean length of a generated prompt, in tokens; lengths spread around it."
    )
    input_tokens_max: Positive = Field(160, description="Longest generated prompt, in tokens.")
    output_tokens: Positive = Field(32, description="Output tokens per request, exactly, where the engine allows it.")
    seed: Annotated[int, Field(ge=0)] = Field(1, description="Seed of the generated prompts.")


class GridConfig(BaseModel):
    """The axes. A key beyond the five is a further axis: a key of `server` or `load`, or `options.<flag>` of the engines.

    Of an axis `options.<flag>`, the value `default` leaves the flag out.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, list[AxisValue]] = Field(init=False)

    engine: list[Name] = Field(min_length=1, description="Names of `engines`.")
    gpu: list[Name] = Field(["cpu"], min_length=1, description="Names of `devices`.")
    threads: list[Positive] = Field(min_length=1, description="Client threads: requests in flight at once.")
    speculation: list[str | int] = Field(
        ["none"],
        min_length=1,
        description="`none`, a kind with its length such as `ngram:2` or `draft:4`, or a bare length "
        "(the engine's own default kind; 0 is none).",
    )
    quantization: list[str] = Field(
        ["none"],
        min_length=1,
        description="`none` (on a GPU the checkpoint's own type, on a CPU float32), a name all engines know (`int8`), or an engine's own "
        "spelling (`q4_0`).",
    )
    include: list[Point] = Field(
        default_factory=list,
        description="Extra points beside the product: each entry gives values (or lists of values) for some axes; "
        "the axes it leaves out keep their whole list.",
    )
    exclude: list[Point] = Field(
        default_factory=list,
        description="Points to leave out: every point that matches all axes of an entry. Applied before `include`.",
    )


class LoadConfig(Section):
    """How the server is loaded. Every key but the time limits can be an axis of the grid."""

    client: Literal["stream", "requests", "parallel"] = Field(
        "stream",
        description="The load client: `stream`, servegrid's own streaming core; `requests`, Python threads with the "
        "requests library; `parallel`, GNU parallel with one curl per request, which measures process starts too. "
        "All leave the same records; the last two carry out closed loops only. Over gRPC `stream` is Python threads with the grpcio "
        "library, and the others are unsupported.",
    )
    workers: Positive = Field(
        1, description="Processes that share the work of client `stream`, for hosts with cores to spare."
    )
    arrival: Literal["closed", "constant", "poisson", "gamma", "burst", "ramp", "trace"] = Field(
        "closed",
        description="`closed`: N threads of work, each sends its next request when the last is answered. All others are "
        "arrival times planned before the load begins, and `threads` is then ignored: `constant` and `poisson` at `rate`; "
        "`gamma` at `rate` with `burstiness`; `burst`: `burst_size` at once; `ramp`: from `rate` to `end_rate` over "
        "`duration_s`; `trace`: as in the file `trace`.",
    )
    rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Requests per second for planned arrivals; of a trace: stretches it to this mean rate."
    )
    burstiness: Annotated[float, Field(gt=0)] = Field(
        1.0, description="For `gamma`: shape of the gaps; 1 is poisson, less is burstier, more is steadier."
    )
    burst_size: Positive = Field(8, description="For `burst`: requests at once.")
    end_rate: Annotated[float, Field(gt=0)] | None = Field(None, description="For `ramp`: the rate at its end.")
    trace: str | None = Field(
        None,
        description="For `trace`: a file with one arrival per line, in seconds, or JSON objects with `timestamp`.",
    )
    requests: Positive | None = Field(
        None,
        description="How many requests are sent, going round the prompts; null: every prompt once, or as many as "
        "`duration_s` allows. Give each thread 4 or more; `plan` says where there are fewer.",
    )
    duration_s: Seconds | None = Field(
        None, description="Send for so many seconds, then wait for what is in flight; null: no such end."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(
        0.0,
        description="0 is greedy: the same text every time. Above it, engines sample from different candidates unless `top_p` and `top_k` "
        "say from which.",
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="Sample from the likeliest tokens that have this probability together; null: the engine's own.",
    )
    top_k: Positive | None = Field(
        None,
        description="Sample from so many of the likeliest tokens; null: the engine's own. Servers of OpenAI's own API refuse it.",
    )
    stop: Literal["exact", "natural"] = Field(
        "exact",
        description="`exact`: every answer has as many tokens as are asked for, where the engine can. `natural`: answers end where the model "
        "ends them, at the latest then. Answers that are forced past their end flatter or punish speculation; those that end by themselves "
        "differ in length, so times are then compared per output token.",
    )
    warmup_requests: Annotated[int, Field(ge=0)] = Field(
        4, description="Requests before each load, at its own concurrency, with prompts that are never measured."
    )
    cache: Literal["cold", "warm"] = Field(
        "cold",
        description="`cold`: no prompt meets what the server kept of it. Servers launched here keep nothing unless `server.prefix_cache`; "
        "with it, and at a URL, every prompt stands behind a few letters that are others in every session and load and the same for "
        "all servers at one place (8 letters and a line's end, about 9 tokens). `warm`: each prompt is sent once, unmeasured, before the load.",
    )
    request_timeout_s: Seconds = Field(120.0, description="One request, from send to last byte, in seconds.")
    time_limit_s: Seconds = Field(
        600.0, description="One load, in seconds; what is still open then counts as a timeout."
    )


class Repeats(Section):
    """As many sessions of each server as its numbers take to be precise. `auto` is this with the defaults, a number is both bounds."""

    precision: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05,
        description="Sessions are added to a server until the 95 % interval of the requests per second reaches no further than this "
        "share to either side (half its width), for each of its loads. Intervals that end a measurement this way hold in 91 to 94 % "
        "of cases (`bench/stopping.py`).",
    )
    at_least: Positive = Field(3, description="Sessions that every server gets.")
    at_most: Positive = Field(
        10, description="Sessions after which a server gets no more; what is not precise by then says so."
    )

    @property
    def is_open(self) -> bool:
        """Whether the number of sessions depends on the measured precision."""
        return self.at_least < self.at_most

    @model_validator(mode="after")
    def _in_order(self) -> "Repeats":
        if self.at_most < self.at_least:
            raise ValueError(f"at_most ({self.at_most}) must be no less than at_least ({self.at_least})")
        return self


def _number_or_auto(value: Any) -> Any:
    """The section `repeats` that a number of sessions or `auto` stands for."""
    if value == "auto":
        return {}
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return {"at_least": value, "at_most": value}
    if not isinstance(value, dict | Repeats):
        raise ValueError("must be an integer greater than or equal to 1, auto, or a section")
    return value


RepeatsSetting = Annotated[Repeats, BeforeValidator(_number_or_auto)]
"""Type of the key `repeats`: a number, `auto`, or the section."""
