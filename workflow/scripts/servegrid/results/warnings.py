"""Warnings about rows of the results: each with its phrase, its meaning and what to do about it."""

from collections.abc import Iterable, Mapping
from enum import Enum

_SEPARATOR = "; "


class RowWarning(Enum):
    """A warning about a row, in the order in which a row lists them.

    Attributes:
        phrase: its text in the column `warnings`.
        meaning: when a row gets it, in sentences.
        hint: what the reader should do about it, in a sentence.
    """

    LATENCY_DRIFTS = (
        "latency drifts",
        "Requests became slower or faster while the load ran, by a tenth or more and beyond chance: the load was not in a steady "
        "state, and a longer one would give another number.",
        "Give the load more requests or seconds (`load.requests`, `load.duration_s`) or a longer warm-up (`load.warmup_requests`).",
    )
    THROTTLED_BY_HEAT = (
        "throttled by heat",
        "The driver lowered a GPU's clocks because it was hot, in 5 % of the samples or more. Untested on a GPU.",
        "Cool the GPU better or lower its power limit, then remove the sessions from `results/sessions` to measure them again.",
    )
    SLOWED_BY_HARDWARE = (
        "slowed by hardware",
        "The GPU's hardware lowered its clocks (power brake, heat or supply), in 5 % of the samples or more. Untested on a GPU.",
        "Check the GPU's power supply and cooling, then remove the sessions from `results/sessions` to measure them again.",
    )
    POWER_CAPPED = (
        "power-capped",
        "The driver held a GPU's clocks to keep its power limit, in 5 % of the samples or more. Usual under full load; another "
        "power limit gives other numbers. Untested on a GPU.",
        "Nothing, if the server is to run at this power limit; hold it against rows at the same limit only.",
    )
    CLIENT_BOUND = (
        "client-bound",
        "The load client may have set the pace, not the server: the number is a lower bound.",
        "Give client `stream` more processes (`load.workers`), or the client cores that the server leaves idle.",
    )
    PROMPTS_CACHED = (
        "prompts were cached",
        "The load was to be cold, and the server says that it had cached 5 % or more of the prompt tokens, beyond what the prompts have in "
        "common: it had seen them before.",
        "Find out what keeps them (an option, a proxy, a server that looks past the beginning), or ask for it with `load.cache: warm`; "
        "the row counts in no comparison.",
    )
    READ_LATE = (
        "events read late",
        "Over 5 % of the events were read together with the one before by a client that was late, or may have been where the kernel does "
        "not stamp them (TLS, other kinds of client): when each came is not known. ITL and chunk gaps are unknown, and TTFT may be too high.",
        "Leave the client a core of its own, or give client `stream` more processes (`load.workers`); then remove the sessions from "
        "`results/sessions` to measure them again.",
    )
    HELD_BACK = (
        "answers held back",
        "Answers came at once, or in a few bursts of events, as of a server that does not stream or a proxy that buffers: TTFT is the time "
        "to the whole answer or to the first burst, and ITL and chunk gaps are unknown.",
        "Ask the server itself, or turn the proxy's buffering off (nginx: `proxy_buffering off`).",
    )
    SHARED_HOST = (
        "shared host",
        "Processes other than the server and the client used a tenth or more of the host's processors.",
        "Stop the other processes, then remove the sessions from `results/sessions` to measure them again.",
    )
    SHARED_GPU = (
        "shared GPU",
        "Somebody else was on the GPU when the session ended. Untested on a GPU.",
        "Wait until the GPU is free, then remove the sessions from `results/sessions` to measure them again.",
    )
    SAMPLES_DAMAGED = (
        "samples damaged",
        "The file of telemetry or of the server's own metrics is there and cannot be read: what it would tell is unknown.",
        "Restore the file, or remove the session from `results/sessions` to measure it again.",
    )
    IMPRECISE = (
        "not as precise as asked",
        "The interval of the requests per second is wider than `repeats.precision` asks: the sessions ran out "
        "(`repeats.at_most`), or the sweep was stopped.",
        "Start the sweep again if it was stopped, else raise `repeats.at_most`: what is measured is kept.",
    )
    COLD_START = (
        "cold start",
        "The first load after the earliest launch took over 20 % longer than its repeats: files or compiled code were not in "
        "caches yet.",
        "Raise `repeats`, so that the cold session counts for less in the mean, or remove it from `results/sessions` to measure it "
        "again.",
    )
    ENERGY_WINDOW_SHORT = (
        "energy window short",
        "The load was too short for its energy: fewer than 20 sample intervals. Untested on a GPU.",
        "Give the load more requests or seconds, or take samples more often (`telemetry_interval_s`): this energy counts in no comparison.",
    )
    ENERGY_SAMPLES_MISSING = (
        "energy samples missing",
        "A fifth or more of the samples are missing, or those at an edge of the load. Untested on a GPU.",
        "Remove the sessions from `results/sessions` to measure them again; their energy counts in no comparison.",
    )
    ENERGY_FROM_POWER = (
        "energy from power samples",
        "The GPU has no energy counter; sampled power was integrated. Untested on a GPU.",
        "Hold it against energy that was made the same way only.",
    )
    ENERGY_DIFFERS = (
        "energy counter and power differ",
        "The energy counter and the integrated power differ by over a tenth. Untested on a GPU.",
        "Repeat with a longer load, and quote neither until they agree: this energy counts in no comparison.",
    )
    SPECULATION_CHANGES_TEXTS = (
        "speculation changes texts",
        "At temperature 0 the answers are others than without speculation, beyond what changes between repeats of the same point.",
        "See by `text_distance` and `garble` how far they are off, and try another version of the engine: speculation should leave "
        "such answers as they are.",
    )
    SPECULATION_MAY_CHANGE_TEXTS = (
        "speculation may change texts",
        "More answers differ from those without speculation than between repeats, but too few to tell; or any do, and there is "
        "one session.",
        "Raise `repeats` (to two at least) or `prompts.count`, so that it can be told from chance.",
    )
    QUANTIZATION_CHANGES_TEXTS = (
        "quantization changes texts",
        "The answers are others than without quantization, beyond what changes between repeats.",
        "See by `text_distance` and `garble` how far they are off, and judge the answers by a task of your own before you deploy it.",
    )
    QUANTIZATION_MAY_CHANGE_TEXTS = (
        "quantization may change texts",
        "More answers differ from those without quantization than between repeats, but too few to tell; or any do, and there is "
        "one session.",
        "Raise `repeats` (to two at least) or `prompts.count`, so that it can be told from chance.",
    )
    GARBLED_TEXTS = (
        "garbled texts",
        "Answers that differ from the baseline's are no good text any more: one is rubbish, or many are, loop, or are one text for "
        "several prompts, where the baseline's to the same prompts do not.",
        "Do not deploy this setting, and try another version of the engine or other weights: the row counts in no comparison.",
    )

    def __init__(self, phrase: str, meaning: str, hint: str) -> None:
        self.phrase, self.meaning, self.hint = phrase, meaning, hint


_BY_PHRASE = {warning.phrase: warning for warning in RowWarning}
_NO_ENERGY = (RowWarning.ENERGY_WINDOW_SHORT, RowWarning.ENERGY_SAMPLES_MISSING, RowWarning.ENERGY_DIFFERS)
DISQUALIFYING_WARNINGS: Mapping[str, tuple[RowWarning, ...]] = dict.fromkeys(
    ("energy_j", "j_per_output_token", "j_per_output_token_above_idle"), _NO_ENERGY
)
"""Metric -> the warnings with which its number is no evidence, besides those of NO_EVIDENCE."""
NO_EVIDENCE = (RowWarning.GARBLED_TEXTS, RowWarning.PROMPTS_CACHED)
"""Warnings with which no metric is evidence: garbage may come at any speed, and so may answers to prompts that were seen before."""


def join_warnings(warnings: Iterable[RowWarning]) -> str | None:
    """Value of the column `warnings`: each warning once, in the order of RowWarning; None if there are none."""
    present = set(warnings)
    return _SEPARATOR.join(warning.phrase for warning in RowWarning if warning in present) or None


def split_warnings(text: object) -> list[RowWarning]:
    """Warnings in a value of the column `warnings`; what is no phrase, such as an unknown value, is none."""
    return [_BY_PHRASE[phrase] for phrase in str(text).split(_SEPARATOR) if phrase in _BY_PHRASE]


def disqualifying_warning(text: object, metric: str) -> RowWarning | None:
    """First warning in a value of the column `warnings` with which `metric` is no evidence; None if there is none."""
    candidates = (*NO_EVIDENCE, *DISQUALIFYING_WARNINGS.get(metric, ()))
    warnings = split_warnings(text)
    return next((warning for warning in candidates if warning in warnings), None)
