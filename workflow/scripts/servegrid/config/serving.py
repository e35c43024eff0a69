"""Config sections of the servers: model, engines, devices, and settings common to all servers."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from servegrid.config.section import Name, Positive, Seconds, Section


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
        None,
        description="How the server is spoken to, where the engine has several ways; null: its first. A server at a URL may also speak "
        "`openai-chat` or `openai-completions`, whatever its engine.",
    )
    url: str | None = Field(
        None,
        description="For runtime `url`: where the server is, `http://10.0.0.5:8000`. The path of its API may follow (`/v1`, `/api/v3`), or "
        "that of the endpoint itself (`/chat/completions`); a query goes with every request.",
    )
    health_path: Annotated[str, StringConstraints(pattern=r"^(/.*|none)$")] | None = Field(
        None,
        description="For runtime `url`: what is asked until the server answers, such as `/ping`; null: what the engine has; `none`: "
        "nothing is asked. That there is no such page (404) is an answer.",
    )
    ca_file: str | None = Field(
        None,
        description="For an `https` url: file with the certificates to trust (PEM), by all that ask the server; null: SSL_CERT_FILE and "
        "SSL_CERT_DIR, else the system's.",
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
        "A flag without a value has nothing after its colon: `{enforce-eager: }`; `no-mmap` and `--no-mmap` are the same. Quote words "
        'such as "off". What another key sets (model, ports, context, concurrency, ...) is refused, in every spelling, with that key.',
    )
    request: dict[str, Any] = Field(
        default_factory=dict,
        description="Further fields of every request's body, as the engine's protocol spells them; null leaves out a field that servegrid "
        "would send, also within an object: `{stream_options: {continuous_usage_stats: null}}`. A text `<max_tokens>` is the number of "
        "tokens asked for, likewise `<prompt>`, `<model>`, `<temperature>`, `<top_p>`, `<top_k>`, `<seed>`: so fields get other names, "
        '`{max_tokens: null, max_completion_tokens: "<max_tokens>"}`. What `load` has keys for (temperature, top_p, top_k) is set there.',
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
        1,
        description="How many GPUs of that name the device is. Every engine's server sees and uses `tensor_parallel` of them for each of "
        "its `replicas`; the others stay idle and count nowhere.",
    )
    usd_per_hour: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="Price of the device per hour in US dollars, of all its GPUs together, for cost per token. A server that uses some of "
        "them (`tensor_parallel` x `replicas`) costs their part.",
    )

    def identifying_fields(self) -> dict[str, Any]:
        """The fields that are part of a server's identity: all but the price, and a count of 1."""
        return self.model_dump(exclude={"usd_per_hour", *(["count"] if self.count == 1 else [])})

    @property
    def gpu_count(self) -> int:
        """Number of GPUs or NPUs that the config gives the device; 0 for other kinds."""
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


class ServerConfig(Section):
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
        False,
        description="Whether the server keeps work on prompts for others that begin alike. How far a load's prompts meet it is "
        "`load.cache`. It cannot be set on a server at a URL.",
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
