"""The columns of the result tables, one entry each: every list of columns and the reference in docs/results.md derive from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "number", "count", "flag"]
Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Column:
    """A column of results/points.

    Attributes:
        name: as in the table, with its unit.
        header: as shown to readers.
        definition: what it is, with denominator and source.
        kind: of its values; a number may have a fraction, a count has none.
        better: the direction in which settings are better by it; None: they are not ranked by it, nor are claims and `compare` about it.
        per_session: whether results/sessions has it too.
        never_zero: whether a 0 is no reading, since whatever ran took some of it.
        per_answer: whether it goes with the length of the answers: see results.answer_lengths.
        in_comparison: whether the full comparison shows it as it is; tables place the others by themselves.
        added_by: `collect`, or `report` for what published tables bring along.
    """

    name: str
    header: str
    definition: str
    kind: Kind = "number"
    better: Direction | None = None
    per_session: bool = False
    never_zero: bool = False
    per_answer: bool = False
    in_comparison: bool = True
    added_by: Literal["collect", "report"] = "collect"


PERCENTILES = (50, 90, 99)
PERCENTILE_LABELS = tuple(f"p{percent}" for percent in PERCENTILES)
DISTRIBUTION_PERCENTILES = (1, 2, *range(5, 100, 5), 98, 99, 99.5, 99.9)
"""Percentiles of results/distributions."""
DISTRIBUTED_LATENCIES = ("ttft", "itl")
"""The latencies of results/distributions."""
TOKEN_LATENCIES = ("itl", "chunk_gap")
"""Latencies of which a request has many values; of the others it has one."""
LATENCY_DEFINITIONS: dict[str, tuple[str, str]] = {
    "ttft": ("TTFT", "Time to first token: send to the first event that carries output, per ok request"),
    "itl": (
        "ITL",
        "Inter-token latency: each gap between arrivals (events that came together are one), shared evenly among the tokens of the later "
        "one, over all ok requests; unknown where the server does not say how many tokens an event carried",
    ),
    "chunk_gap": (
        "chunk gap",
        "Gap between the events that carry output, over all ok requests; an event may carry several tokens",
    ),
    "tpot": (
        "TPOT",
        "Time per output token after the first event: (last - first event) / tokens after the first event, without those that the "
        "server says it keeps (hidden reasoning), per ok request with two events or more that did not come at once",
    ),
    "e2e": ("end to end", "Send to the end of the answer, per ok request"),
    "ttft_planned": (
        "TTFT from planned send",
        "Planned send to the first event that carries output: with planned arrivals the wait that users would have had, whoever "
        "held the request up (coordinated omission)",
    ),
    "e2e_planned": ("end to end from planned send", "Planned send to the end of the answer, likewise"),
}
"""Latency -> its name and its definition."""
LATENCIES = tuple(LATENCY_DEFINITIONS)


def latency_column(latency: str, percent: float) -> str:
    """Name of the column of a latency's percentile: `ttft_ms_p99`."""
    return f"{latency}_ms_p{percent:g}"


def split_latency_column(column: str) -> tuple[str, float]:
    """Latency and percentile of a column that `latency_column` named: `ttft`, 99."""
    latency, _, percent = column.rpartition("_ms_p")
    return latency, float(percent)


def _latency_columns() -> Iterator[Column]:
    """Yield the columns of every latency's percentiles."""
    for latency, (name, definition) in LATENCY_DEFINITIONS.items():
        for percent in PERCENTILES:
            yield Column(
                latency_column(latency, percent),
                f"{name} p{percent} (ms)",
                f"{definition}; its {percent}th percentile (Hyndman and Fan 1996, definition 7), where enough values stand behind it.",
                better="lower",
                per_session=True,
                per_answer=latency.startswith("e2e"),
            )


ALL_COLUMNS: tuple[Column, ...] = (
    Column(
        "status",
        "status",
        "`ok`: every session is whole; `partial`: some are; `failed`: none has a number; `unsupported`: engine or client cannot; "
        "`absent`: this host lacks something; `published`: somebody else's.",
        "text",
        in_comparison=False,
    ),
    Column("reason", "reason", "Why the status is not `ok`.", "text", in_comparison=False),
    Column("sessions", "sessions", "Sessions that have numbers.", "count", in_comparison=False),
    Column(
        "time_s",
        "time (s)",
        "Time to complete: first send to last end over all requests, whatever their outcome; the mean over sessions.",
        better="lower",
        per_session=True,
        per_answer=True,
        never_zero=True,
        in_comparison=False,
    ),
    Column("time_s_low", "time low (s)", "The shortest of the sessions' times.", in_comparison=False),
    Column("time_s_high", "time high (s)", "The longest of the sessions' times.", in_comparison=False),
    Column(
        "tail_s",
        "tail (s)",
        "Drain: from the first answer after the last send, when a thread ran out of work, to the last end.",
        better="lower",
        per_session=True,
    ),
    Column(
        "steady_s",
        "steady state (s)",
        "Length of the steady state: from the end of the first ok answer, when requests begin to come and go, to the last send. None "
        "where it is shorter than twice the median request, or fewer ok requests end in it than twice those in flight at once.",
        per_session=True,
    ),
    Column(
        "in_flight_mean",
        "requests in flight, mean",
        "Requests in flight at once, on the mean of the time to complete: all times from send to end / time to complete. Far below "
        "`threads` where requests are too few for them.",
        per_session=True,
    ),
    Column(
        "requests_ok",
        "requests ok",
        "Requests that were answered as asked; they alone count for rates and latencies.",
        "count",
        per_session=True,
    ),
    Column(
        "requests_short",
        "requests with too few tokens",
        "Requests whose answer ended before the tokens that were asked for.",
        "count",
        per_session=True,
    ),
    Column(
        "requests_failed",
        "requests failed",
        "Requests that ended in an error, a time-out or an answer that cannot be read, has no output, says that it failed, or has a token "
        "count that cannot be (docs/client.md).",
        "count",
        per_session=True,
    ),
    Column(
        "prompt_tokens",
        "prompt tokens",
        "Tokens of the prompts of ok requests; unknown if one of them is.",
        "count",
        per_session=True,
    ),
    Column(
        "output_tokens",
        "output tokens",
        "Tokens of the answers of ok requests; unknown if one of them is.",
        "count",
        per_session=True,
    ),
    Column(
        "tokens_from",
        "tokens counted from",
        "Who counted the tokens: `usage` (the server), `tokenizer`, or `mixed`.",
        "text",
    ),
    Column(
        "requests_per_s",
        "requests/s",
        "Ok requests per second of the time to complete.",
        better="higher",
        per_session=True,
        per_answer=True,
    ),
    Column(
        "output_tokens_per_s",
        "output tokens/s",
        "Output tokens of ok requests per second of the time to complete.",
        better="higher",
        per_session=True,
    ),
    Column(
        "total_tokens_per_s",
        "total tokens/s",
        "Prompt and output tokens of ok requests per second of the time to complete.",
        better="higher",
        per_session=True,
    ),
    Column(
        "goodput_requests_per_s",
        "goodput (requests/s)",
        "Ok requests within every limit of `report.slo` per second of the time to complete (Zhong et al. 2024, DistServe, "
        "arXiv:2401.09670).",
        better="higher",
        per_session=True,
        per_answer=True,
    ),
    Column(
        "steady_output_tokens_per_s",
        "output tokens/s in the steady state",
        "Output tokens that were made within the steady state, of ok requests, per second of it; those of an arrival (events that "
        "came together) are spread evenly over the time since the one before, of the first since the send.",
        better="higher",
        per_session=True,
    ),
    *_latency_columns(),
    Column(
        "startup_s",
        "start-up (s)",
        "Launch to the first answer of the server's health check.",
        better="lower",
        per_session=True,
        never_zero=True,
    ),
    Column(
        "running_mean",
        "running requests, mean",
        "Requests that the server worked on, by its own metrics, on the mean of the load.",
        per_session=True,
    ),
    Column(
        "waiting_max",
        "waiting requests, max",
        "Requests that waited in the server, by its own metrics, at most.",
        "count",
        per_session=True,
    ),
    Column(
        "kv_cache_max",
        "KV cache used, max (0 to 1)",
        "Share of the KV cache in use, by the server's metrics, at most.",
        per_session=True,
    ),
    Column(
        "kv_cache_tokens",
        "room in the KV cache (tokens)",
        "Tokens that the KV cache holds, as the server says.",
        "count",
        per_session=True,
    ),
    Column(
        "cache_policy",
        "prompts met a cache",
        "`cold (off)`: the server keeps no prompts; `cold (salt)`: every prompt was a new one to it, by a salt in front; `warm`: each was "
        "sent once before, unmeasured (`load.cache`).",
        "text",
    ),
    Column(
        "prefix_cache_hit_rate",
        "prompt tokens cached (0 to 1)",
        "Prompt tokens that the server says it had cached / all prompt tokens: by its answers, over the ok requests, else by its own "
        "counters over the load.",
        per_session=True,
    ),
    Column(
        "acceptance_rate",
        "acceptance rate (0 to 1)",
        "Accepted / drafted tokens of speculation, by the server's counters over the load.",
        better="higher",
        per_session=True,
    ),
    Column(
        "acceptance_length",
        "acceptance length (tokens)",
        "Tokens that a step yields where something was drafted, by the server's counters over the load.",
        better="higher",
        per_session=True,
    ),
    Column(
        "vram_used_gib",
        "vRAM used (GiB)",
        "Memory in use on the GPUs of the server while the load ran, at most, summed over GPUs.",
        better="lower",
        per_session=True,
        never_zero=True,
    ),
    Column("vram_total_gib", "vRAM total (GiB)", "Memory that these GPUs have.", per_session=True),
    Column(
        "gpu_util_mean",
        "GPU utilisation, mean (%)",
        "Share of time with a kernel on the GPU, as the driver says, on the mean of the load.",
        per_session=True,
    ),
    Column("power_w_mean", "power, mean (W)", "Power of the GPUs over the load, summed over GPUs.", per_session=True),
    Column(
        "energy_j",
        "energy (J)",
        "Energy of the GPUs over the load, by their counter, else by integrated power.",
        better="lower",
        per_session=True,
        per_answer=True,
        never_zero=True,
    ),
    Column(
        "j_per_output_token",
        "energy (J/output token)",
        "That energy per output token of ok requests.",
        better="lower",
        per_session=True,
        never_zero=True,
    ),
    Column(
        "idle_power_w", "idle power, nothing launched (W)", "Power of the GPUs before the launch.", per_session=True
    ),
    Column(
        "energy_above_idle_j",
        "energy above idle (J)",
        "Energy of the GPUs over the load, less the idle power for as long.",
        per_session=True,
    ),
    Column(
        "j_per_output_token_above_idle",
        "energy above idle (J/output token)",
        "That energy per output token of ok requests.",
        per_session=True,
    ),
    Column(
        "output_tokens_per_s_per_gpu",
        "output tokens/s per GPU",
        "Output tokens/s / the GPUs that the server uses.",
        per_session=True,
    ),
    Column(
        "server_cpu_percent_mean",
        "server CPU, mean (% of a core)",
        "CPU time of the server's processes per second of the load; 100 is one core.",
        per_session=True,
    ),
    Column(
        "server_memory_gib_max",
        "server memory, max (GiB)",
        "Memory of the server's processes, shared pages counted once, at most.",
        better="lower",
        per_session=True,
        never_zero=True,
    ),
    Column(
        "usd_per_million_output_tokens",
        "cost (USD/million output tokens)",
        "`usd_per_hour` of the device, of several GPUs the part that the server uses, over the time to complete, per million output "
        "tokens of ok requests.",
        better="lower",
        per_session=True,
    ),
    Column(
        "agreement",
        "texts equal to the baseline's (0 to 1)",
        "Share of answers whose text is the same as that of the baseline point (`report.baseline`).",
    ),
    Column(
        "agreement_floor",
        "baseline's texts equal to its own repeat's (0 to 1)",
        "The same share between sessions of the baseline: what changes by itself.",
    ),
    Column(
        "divergence_characters_p50",
        "differing texts part after, p50 (characters)",
        "Characters that an answer has in common with the baseline's before they differ: median over those that differ.",
    ),
    Column(
        "divergence_characters_p50_floor",
        "baseline's own repeats part after, p50 (characters)",
        "The same between sessions of the baseline.",
    ),
    Column(
        "text_distance",
        "distance of differing texts (0 to 1)",
        "How far answers that differ from the baseline's lie from them: q-gram distance of their character trigrams over its largest "
        "possible value (Ukkonen 1992, Theoretical Computer Science 92).",
    ),
    Column(
        "text_distance_floor",
        "distance of the baseline's own repeats (0 to 1)",
        "The same between sessions of the baseline.",
    ),
    Column(
        "garble",
        "garble of differing texts (0 to 1)",
        "Share of those answers that are no good text: rubbish, a loop, or one text for several prompts, beyond what the baseline's "
        "answers are themselves. Unknown where answers are short (60 characters) or the temperature is another than the baseline's.",
    ),
    Column("client_cpu_s", "client CPU (s)", "CPU time of the load client over the load."),
    Column(
        "client_share",
        "share of the client's ceiling (0 to 1)",
        "Time that the client needs for such a load, by its calibration on this host / the time it had.",
    ),
    Column(
        "client_bound",
        "client-bound",
        "Whether the client rather than the server may have set the pace: by its share of the ceiling, its mean lateness or its mean "
        "turnaround; unknown where these are.",
        "flag",
    ),
    Column("lateness_ms_mean", "lateness, mean (ms)", "Send - planned send of requests with a plan; mean."),
    Column("lateness_ms_p99", "lateness p99 (ms)", "The same; 99th percentile."),
    Column(
        "turnaround_ms_mean",
        "answer's end to the thread's next send, mean (ms)",
        "End of a thread's answer to its next send, in a closed loop; mean over all sessions.",
    ),
    Column(
        "turnaround_ms_p99",
        "answer's end to the thread's next send, p99 (ms)",
        "The same; 99th percentile.",
    ),
    Column(
        "stamp_late_ms_p99",
        "client's stamps late, p99 (ms)",
        "How late this client stamps a chunk on this host, by its calibration; 99th percentile.",
    ),
    Column(
        "stamps_shared",
        "events read late with the one before (0 to 1)",
        "Share of the events after an answer's first that were read together with the one before, and late, so that they share a stamp "
        "that is not their own; over 0.05, ITL and chunk gaps are unknown.",
        per_session=True,
    ),
    Column(
        "warnings",
        "warnings",
        "What may be wrong with the row, joined with `; `; docs/results.md says what each means.",
        "text",
        in_comparison=False,
    ),
    Column(
        "answers_end",
        "answers end",
        "How answers end (`load.stop`): `exact`, after the tokens that were asked for; `natural`, where the model ends them.",
        "text",
    ),
    Column("engine_version", "engine version", "Version as the server says it, else as the config does.", "text"),
    Column("runtime", "runtime", "How the engine was started: `docker`, `venv`, `command`, `url`.", "text"),
    Column(
        "copies",
        "copies of the server",
        "Servers that share the load: `replicas` x `sharing`; unknown at a URL.",
        "count",
    ),
    Column(
        "served_dtype",
        "type served",
        "Number type of the weights, or that the engine computes in, as the server says it, else as its command line sets it.",
        "text",
    ),
    Column(
        "kv_cache_dtype",
        "type of the KV cache",
        "Number type of the KV cache, by the same sources.",
        "text",
    ),
    Column("image_digest", "image", "Digest of the container image.", "text"),
    Column("model", "model", "Model and revision.", "text"),
    Column("host", "host", "Name of the machine that it was measured on.", "text"),
    Column("gpu_name", "GPU model", "Names of the GPUs, as the driver says.", "text"),
    Column("driver", "driver", "Version of the GPUs' driver.", "text"),
    Column(
        "server_id",
        "server",
        "Folder of the server's sessions below results/sessions; its hash is of all that defines the server.",
        "text",
    ),
    Column("load_id", "load", "Folder of the load inside a session; its hash is of all that defines the load.", "text"),
    Column("source", "published in", "Who published the row.", "text", in_comparison=False, added_by="report"),
    Column(
        "over_published",
        "measured / published time",
        "Measured time / published time of the same point.",
        in_comparison=False,
        added_by="report",
    ),
)
"""Every column of results/points behind the axes, in its order; then what the report adds."""

POINT_COLUMNS = [column.name for column in ALL_COLUMNS if column.added_by == "collect"]
"""Columns of results/points, after the axes."""
SESSION_COLUMNS = [
    "rep",
    "status",
    "server_id",
    "load_id",
    *(column.name for column in ALL_COLUMNS if column.per_session),
]
"""Columns of results/sessions, after the axes."""
TEXT_COLUMNS = tuple(column.name for column in ALL_COLUMNS if column.kind == "text")
FLAG_COLUMNS = tuple(column.name for column in ALL_COLUMNS if column.kind == "flag")
NUMBER_COLUMNS = tuple(column.name for column in ALL_COLUMNS if column.kind in ("number", "count"))
LATENCY_COLUMNS = tuple(column.name for column in _latency_columns())
BETTER: dict[str, Direction] = {column.name: column.better for column in ALL_COLUMNS if column.better}
"""Metric that settings can be ranked by -> direction in which it is better. None is below zero; of a 0 there is no ratio
(intervals.ratio)."""
PER_ANSWER = tuple(column.name for column in ALL_COLUMNS if column.per_answer)
NEVER_ZERO = tuple(column.name for column in ALL_COLUMNS if column.never_zero)
COMPARISON_COLUMNS = tuple(column for column in ALL_COLUMNS if column.in_comparison)
"""Columns of the full comparison, in reading order."""
