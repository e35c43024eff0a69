"""Every key of the config, with its type, default and meaning. config/README.md is written from these descriptions."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)]
AxisValue = Annotated[str | int | float, Field(union_mode="left_to_right")]
Point = dict[str, AxisValue | list[AxisValue]]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


def _from_command_line(value: Any) -> Any:
    """Snakemake hands `--config key=true` over as text."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


class Section(BaseModel):
    """A part of the config: unknown keys are refused, and no value is turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Model(Section):
    """What is served."""

    source: str = Field(
        "builtin",
        description="The model: `builtin` (a small Llama built on this machine, no download), "
        "a folder with a Hugging Face checkpoint, or a hub name such as `lmsys/vicuna-7b-v1.5`.",
    )
    revision: str | None = Field(
        None, description="Commit or tag of a hub model. Required for a hub name: a name alone can change."
    )
    draft: str | None = Field(
        "builtin", description="The smaller model for `draft:N` speculation: `builtin`, a folder, or null for none."
    )
    quantized: dict[str, str] = Field(
        default_factory=dict,
        description="Ready quantized checkpoints by quantization, e.g. `{awq: /models/m-awq}`: a folder, or a hub name that the "
        "engine itself fetches.",
    )
    speculators: dict[str, str] = Field(
        default_factory=dict,
        description="Weights for kinds of speculation that are trained for the model, e.g. `{eagle3: /models/m-eagle3}`: a "
        "folder, or a hub name that the engine itself fetches.",
    )
    gguf: dict[str, str] = Field(
        default_factory=dict,
        description="Ready GGUF files by quantization, e.g. `{none: /models/m-f16.gguf, q4_k_m: /models/m-q4.gguf}`. "
        "What is not named here is converted from the checkpoint, where servegrid can.",
    )


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


class EngineConfig(Section):
    """One engine and how it is started."""

    runtime: Literal["venv", "docker", "command", "url"] = Field(
        "venv",
        description="`venv`: the engine's own locked environment, built on first use. "
        "`docker`: a container of `image`, started through the daemon that DOCKER_HOST names (Docker, rootless Docker, Podman). "
        "`command`: a program you have, named in `command`. "
        "`url`: a server that runs already, here or elsewhere, at `url`; it is neither launched nor stopped, and goes with a "
        "device of kind `remote`.",
    )
    engine: Name | None = Field(
        None,
        description="Which engine this is, when the key is a name of your own (two versions of one engine side by side).",
    )
    command: list[str] | None = Field(
        None,
        description="For runtime `command`: the program and its first arguments, e.g. `[/opt/llama.cpp/llama-server]`.",
    )
    image: str | None = Field(
        None,
        description="For runtime `docker`: the image, e.g. `vllm/vllm-openai:v0.33.0`; null: the engine's own. What a tag means is "
        "looked up once (`resources/images/`); from then on the image is used by its digest. One that is here already is not pulled.",
    )
    memory_limit: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[kmg]$")] | None = Field(
        None,
        description="For runtime `docker`: the host's memory that the container may take, e.g. `64g`; more is out of memory. "
        "null: no limit.",
    )
    protocol: str | None = Field(
        None, description="How the server is spoken to, where the engine has several ways; null: its first."
    )
    url: str | None = Field(
        None, description="For runtime `url`: where the server is, without the path of its API: `http://10.0.0.5:8000`."
    )
    api_key_env: str | None = Field(
        None,
        description="The environment variable that holds the server's API key; a server that is launched here is given it too, "
        "where the engine knows keys.",
    )
    served_model: str | None = Field(
        None, description="For runtime `url`: the model's name there; null: the first that the server lists."
    )
    version: str | None = Field(
        None,
        description='For all runtimes but `venv`: the version you have, as text (quote it: "0.10"). A new version is a new server. '
        "Unset, the program's own file is hashed instead.",
    )
    options: dict[str, str | int | float | None] = Field(
        default_factory=dict,
        description="Further flags of the engine, passed as they are: `{batch-size: 512}` becomes `--batch-size 512`. "
        'A flag without a value has nothing after its colon: `{enforce-eager: }`. Quote words such as "off".',
    )
    env: dict[str, str] = Field(
        default_factory=dict,
        description="Environment variables for the server. `${NAME}` is replaced by the variable of that name at launch; a secret "
        "(KEY, TOKEN, SECRET or PASSWORD in its name) must be given so.",
    )


class Device(Section):
    """What a server runs on."""

    kind: Literal["cpu", "cuda", "npu", "remote"] = Field(
        description="`cpu`, `cuda`, `npu` (Rebellions' RBLN NPUs), or `remote`: wherever a server of runtime `url` runs. Nothing "
        "of it is sampled."
    )
    name: str | None = Field(
        None, description="Part of the GPU's name as the driver gives it, to find it on this host."
    )
    ids: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, description="GPU numbers on this host, as nvidia-smi counts; NPU numbers, as rbln-smi does (null: 0)."
    )
    uuids: list[str] | None = Field(None, description="GPU UUIDs; the surest way to name them.")
    count: Positive = Field(
        1, description="How many GPUs of that name the device is; for servers that take several (see server.replicas)."
    )
    usd_per_hour: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Price of the device per hour in US dollars, for cost per token."
    )

    def defining(self) -> dict[str, Any]:
        """What makes a server on it another server; its price does not."""
        return self.model_dump(exclude={"usd_per_hour", *(["count"] if self.count == 1 else [])})

    @property
    def gpu_count(self) -> int:
        """How many GPUs it is, if they are here."""
        return len(self.uuids or self.ids or []) or self.count if self.kind in ("cuda", "npu") else 0

    @model_validator(mode="after")
    def _cpu_has_no_gpus(self) -> "Device":
        if self.kind == "npu" and (self.uuids or self.name):
            raise ValueError("a device of kind npu takes no name or uuids; its NPUs are chosen by ids")
        if self.kind not in ("cuda", "npu") and (self.ids or self.uuids or self.name or self.count > 1):
            raise ValueError(
                f"a device of kind {self.kind} takes no name, ids, uuids or count; those choose a GPU (kind: cuda)"
            )
        if self.count > 1 and (self.ids or self.uuids):
            raise ValueError(f"count = {self.count} goes with a name alone; ids and uuids say how many they are")
        return self


class Load(Section):
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
        "`duration_s` allows.",
    )
    duration_s: Seconds | None = Field(
        None, description="Send for so many seconds, then wait for what is in flight; null: no such end."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] = Field(0.0, description="0 is greedy: the same text every time.")
    warmup_requests: Annotated[int, Field(ge=0)] = Field(
        4, description="Requests before each load, at its own concurrency, with prompts that are never measured."
    )
    request_timeout_s: Seconds = Field(120.0, description="One request, from send to last byte, in seconds.")
    time_limit_s: Seconds = Field(
        600.0, description="One load, in seconds; what is still open then counts as a timeout."
    )


class Server(Section):
    """What every engine's server is given, each in its own spelling. Every key but the time limits can be an axis of the grid."""

    concurrency: Positive = Field(
        4,
        description="Requests the server works on at once (slots, batch size, max-num-seqs). More than these queue, or are "
        "refused by engines that do not queue (TGI, PowerInfer); `snakemake plan` says so.",
    )
    context_tokens: Positive = Field(512, description="Longest prompt plus output of one request, in tokens.")
    cpu_threads: Positive | None = Field(
        None, description="Threads for computing on a CPU; null: all cores of the host."
    )
    prefix_cache: bool = Field(
        False, description="Whether answers may reuse work on prompts seen before. Off measures honestly."
    )
    memory_fraction: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="Share of the device's memory that one server may take, for weights and cache together; null: the engine's own "
        "choice. Each engine has its own way to say it; the results tell what it really took.",
    )
    tensor_parallel: Positive = Field(1, description="GPUs that one server splits the model over.")
    replicas: Positive = Field(
        1,
        description="Servers with GPUs of their own (`tensor_parallel` each) behind a load balancer. On a CPU they share the cores: "
        "set `cpu_threads`. `concurrency`, `context_tokens` and `cpu_threads` are those of each server; the load is one load, "
        "divided among them.",
    )
    sharing: Positive = Field(
        1,
        description="Servers that share one device, behind the same balancer: `sharing: 2` is two servers on one card that divide "
        "the same load. They start one after the other, for engines measure the free memory when they start; "
        "`memory_fraction` is the share of each.",
    )
    balancer: Literal["nginx", "haproxy"] = Field(
        "nginx",
        description="The load balancer in front of several servers (Debian: `nginx-light`, `haproxy`); it starts and stops with "
        "them, and sends each request to the server with the fewest in flight.",
    )
    start_timeout_s: Seconds = Field(300.0, description="Launch to ready, in seconds; longer is a failed point.")
    stop_timeout_s: Seconds = Field(
        10.0, description="How long a server may take to stop by itself before it is killed."
    )


class Grid(BaseModel):
    """The axes. A key beyond the five is a further axis: a key of `server` or `load`, or `options.<flag>` of the engines.

    Of an axis `options.<flag>`, the value `default` leaves the flag out.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, list[AxisValue | bool | None]] = Field(init=False)

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
        description="`none`, a name all engines know (`int8`), or an engine's own spelling (`q4_0`).",
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


class Claim(Section):
    """A sentence, stated as a comparison of rows. Its verdict: supported, contradicted, no difference shown, not measured."""

    says: str = Field(min_length=1, description="The sentence.")
    metric: str = Field(
        "time_s", description="Which column of the result table decides; servegrid knows which way it is better."
    )
    better: Point = Field(
        default_factory=dict,
        description="The rows that the sentence puts ahead, by axis: a value, a list of values, or a range such as "
        '`"> 256"`. Empty: all rows but those of `than`.',
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
        "`engine`, `threads`, `time_s`, and optionally `source`, `vram` (`24/48`), `speculation`, `quantization`, `copies`. "
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


class Repeats(Section):
    """As many sessions of each server as its numbers take to be precise. `auto` is this with the defaults, a number is both bounds."""

    precision: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05,
        description="Sessions are added to a server until the 95 % interval of the requests per second reaches no further than this "
        "share to either side (half its width), for each of its loads. Intervals that end a measurement this way hold in 92 to 95 % "
        "of cases (`bench/stopping.py`).",
    )
    at_least: Positive = Field(3, description="Sessions that every server gets.")
    at_most: Positive = Field(
        10, description="Sessions after which a server gets no more; what is not precise by then says so."
    )

    @property
    def is_open(self) -> bool:
        """Whether the number of sessions is not settled beforehand."""
        return self.at_least < self.at_most

    @model_validator(mode="after")
    def _in_order(self) -> "Repeats":
        if self.at_most < self.at_least:
            raise ValueError(f"at_most ({self.at_most}) must be no less than at_least ({self.at_least})")
        return self


def _number_or_auto(value: Any) -> Any:
    """A number of sessions, or `auto`, as the section that it stands for."""
    if value == "auto":
        return {}
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return {"at_least": value, "at_most": value}
    if not isinstance(value, dict | Repeats):
        raise ValueError("must be an integer greater than or equal to 1, auto, or a section")
    return value


class PathVars(Section):
    """Where things go; Snakemake's own path variables."""

    results: str = Field("results", description="Raw records and result tables.")
    reports: str = Field("reports", description="Tables, figures, the report page.")
    resources: str = Field("resources", description="Models, prompts and engine environments made by the run.")
    logs: str = Field("logs", description="Logs of the jobs that prepare and compare.")


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
    grid: Grid = Field(description="What is measured: the product of the axes.")
    repeats: Annotated[Repeats, BeforeValidator(_number_or_auto)] = Field(
        default_factory=lambda: Repeats(at_least=2, at_most=2),
        description="Sessions per server: each launches it anew. The spread over them is the doubt. A number (2 unless given); or `auto`, or a section "
        "with the keys below: as many as a precision takes.",
    )
    retry: list[Literal["failed", "partial"]] = Field(
        default_factory=list, description="Which recorded outcomes to measure again in this run, e.g. `[failed]`."
    )
    load: Load = Field(default_factory=Load, description="How the server is loaded.")
    server: Server = Field(default_factory=Server, description="What every server is given.")
    claims: list[Claim] = Field(
        default_factory=list, description="Sentences to be held against the rows, measured and published."
    )
    report: Report = Field(default_factory=Report, description="How the results are shown.")
    telemetry_interval_s: Annotated[float, Field(ge=0.05, le=60)] = Field(
        0.5, description="Seconds between two samples of the hardware and of the server's own metrics."
    )
    pathvars: PathVars = Field(default_factory=PathVars, description="Where things go.")
    commands: Annotated[bool, BeforeValidator(_from_command_line)] = Field(
        False, description="For `snakemake plan --config commands=true`: print every server's command line."
    )


def section_of(axis: str) -> type[Section] | None:
    """The config section that a further axis overrides a key of, or None if there is no such key."""
    for section in (Server, Load):
        if axis in section.model_fields and not axis.endswith(("timeout_s", "limit_s")):
            return section
    return None


def further_axes(grid: Grid) -> dict[str, list[Any]]:
    """The axes of the grid beyond the five, in the order of the config."""
    return dict(grid.__pydantic_extra__ or {})
