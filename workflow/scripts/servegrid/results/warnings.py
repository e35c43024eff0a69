"""What may be wrong with a measured number, in fixed phrases; the column `warnings` joins those of a point with `; `."""

from collections.abc import Iterable, Mapping

GARBLED = "garbled texts"
PHRASES: dict[str, str] = {
    "latency drifts": "Requests became slower or faster while the load ran, by a tenth or more and beyond chance: the load was not "
    "in a steady state, and a longer one would give another number.",
    "throttled by heat": "The driver lowered a GPU's clocks because it was hot, in 5 % of the samples or more. Untested on a GPU.",
    "slowed by hardware": "The GPU's hardware lowered its clocks (power brake, heat or supply), in 5 % of the samples or more. "
    "Untested on a GPU.",
    "power-capped": "The driver held a GPU's clocks to keep its power limit, in 5 % of the samples or more. Usual under full load; "
    "another power limit gives other numbers. Untested on a GPU.",
    "client-bound": "The load client may have set the pace, not the server: the number is a lower bound.",
    "shared host": "Processes other than the server and the client used a tenth or more of the host's processors.",
    "shared GPU": "Somebody else was on the GPU when the session ended. Untested on a GPU.",
    "not as precise as asked": "The interval of the requests per second is wider than `repeats.precision` asks: the sessions ran out "
    "(`repeats.at_most`), or the sweep was stopped.",
    "cold start": "The first load after the earliest launch took over 20 % longer than its repeats: files or compiled code were "
    "not in caches yet.",
    "energy window short": "The load was too short for its energy: fewer than 20 sample intervals. Untested on a GPU.",
    "energy samples missing": "A fifth or more of the samples are missing, or those at an edge of the load. Untested on a GPU.",
    "energy from power samples": "The GPU has no energy counter; sampled power was integrated. Untested on a GPU.",
    "energy counter and power differ": "The energy counter and the integrated power differ by over a tenth. Untested on a GPU.",
    "speculation changes texts": "At temperature 0 the answers are others than without speculation, beyond what changes between "
    "repeats of the same point.",
    "speculation may change texts": "More answers differ from those without speculation than between repeats, but too few to tell; "
    "or any do, and there is one session.",
    "quantization changes texts": "The answers are others than without quantization, beyond what changes between repeats.",
    "quantization may change texts": "More answers differ from those without quantization than between repeats, but too few to "
    "tell; or any do, and there is one session.",
    GARBLED: "The answers that differ from the baseline's are not in its language any more: rather garbage than another "
    "good answer.",
}
"""Every phrase and what it means, in the order they are listed."""
_ENERGY = ("energy samples missing", "energy counter and power differ")
UNTRUSTED: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("energy_j", "j_per_output_token", "j_per_output_token_above_idle"), _ENERGY
)
"""Metric -> the phrases with which its number is not to be relied on, besides GARBLED, with which none is."""


def joined(phrases: Iterable[str]) -> str | None:
    """The phrases once each, in the order of PHRASES, as the column holds them; None if there are none."""
    found = set(phrases)
    if unknown := found - PHRASES.keys():
        raise ValueError(f"not among the phrases: {', '.join(sorted(unknown))}")
    return "; ".join(phrase for phrase in PHRASES if phrase in found) or None


def distrust(warnings: object, metric: str) -> str:
    """The first phrase in the column's value `warnings` with which `metric` is no evidence; empty if there is none.

    Garbage may come at any speed, so GARBLED speaks against every metric.
    """
    found = str(warnings).split("; ")  # an unknown value is no phrase
    return next((phrase for phrase in (GARBLED, *UNTRUSTED.get(metric, ())) if phrase in found), "")
