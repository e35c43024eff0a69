"""The article's four questions, answered from the rows: threads, memory share, device, client."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from servegrid.report.evidence import MEASURED, Evidence
from servegrid.report.format import DASH, counted, number
from servegrid.report.judge import client_effect, knee, memory_scaling, roofline
from servegrid.report.judge.claim_rulings import estimate_data, estimate_words
from servegrid.report.judge.claims import ROUNDING
from servegrid.report.judge.knee import Knee
from servegrid.report.judge.model_size import ModelSize
from servegrid.results.axes import level_label

_LINES = 24


@dataclass(frozen=True)
class Answer:
    """One question: how it was answered, one line per group of rows, the same as data; no line says why there is none.

    `left_out` is why rows that bear on it were not used -> how many.
    """

    question: str
    method: str
    lines: Sequence[str]
    data: Sequence[Mapping[str, Any]]
    missing: str
    left_out: Mapping[str, int]


def answers(evidence: Evidence, devices: pd.DataFrame, sizes: Mapping[str, ModelSize]) -> list[Answer]:
    """All four, in the article's order."""
    return [_threads(evidence), _memory(evidence), _device(evidence, devices, sizes), _client(evidence)]


def as_data(found: Iterable[Answer]) -> list[dict[str, Any]]:
    """Return the answers in plain values; `lines` are those of the answers in words."""
    return [_entry(answer) for answer in found]


def _entry(answer: Answer) -> dict[str, Any]:
    entry: dict[str, Any] = {"question": answer.question, "method": answer.method, "answers": list(answer.data)}
    entry |= {"lines": list(answer.lines), "left_out": dict(answer.left_out)}
    return entry if answer.data else entry | {"not_measured": answer.missing}


def as_markdown(found: Iterable[Answer]) -> str:
    """A section per question."""
    parts = ["# Four questions", ""]
    for one in found:
        lines = [f"- {line}" for line in one.lines[:_LINES]] or [f"Not measured: {one.missing}."]
        if len(one.lines) > _LINES:
            lines.append(f"- and {len(one.lines) - _LINES:,} more, in questions.json")
        if one.left_out:
            lines += ["", f"Left out: {counted(one.left_out)}."]
        parts += [f"## {one.question}", "", *lines, "", one.method, ""]
    return "\n".join(parts)


def _threads(evidence: Evidence) -> Answer:
    found = list(knee.knees(evidence))
    lines = [f"{_place(one.source, one.place)}: {_knee_words(one)}" for one in found]
    data = [
        {
            "source": one.source, "place": one.place, "metric": one.metric, "best": one.best, "knee": one.knee,
            "low": one.low, "high": one.high, "doubt": knee.doubt(one), "best_is_the_highest_level": one.at_end,
            "left_out": {f"{threads:g}": why for threads, why in one.left_out.items()},
            "share_of_best": {f"{threads:g}": estimate_data(share) for threads, share in one.shares.items()},
        }
        for one in found
    ]  # fmt: skip
    missing = "no points to rely on that differ in client threads alone"
    left_out = evidence.left_out("time_s")
    return Answer("How many client threads are best?", knee.DEFINITION, lines, data, missing, left_out)


def _knee_words(one: Knee) -> str:
    doubt = f"{one.low:g}{DASH}{one.high:g}" if one.low is not None and one.high is not None else knee.doubt(one)
    words = f"knee at {one.knee:g} thread{'s' if one.knee != 1 else ''} ({doubt}), with {one.shares[one.knee].value:.1%} of the most"
    end = ", the highest level measured: more may come beyond" if one.at_end else ""
    return f"{words}; the most is at {one.best:g}{end}{_no_evidence(one)}"


def _no_evidence(one: Knee) -> str:
    levels = ", ".join(f"{threads:g} {why}" for threads, why in one.left_out.items())
    return f"; no evidence: {levels}" if levels else ""


def _memory(evidence: Evidence) -> Answer:
    found = list(memory_scaling.elasticities(evidence))
    lines = [
        f"{_place(one.source, one.place)}: slope {estimate_words(one.slope)} over memory shares "
        f"{', '.join(f'{level:g}' for level in one.levels)}: {_less_than_linear(one)}; {one.slope.how}"
        for one in found
    ]
    data = [
        {"source": one.source, "place": one.place, "levels": one.levels, "slope": estimate_data(one.slope)}
        for one in found
    ]
    method = (
        "The slope of log throughput over log memory share: 0 is no effect, 1 in proportion, between them less than linear."
        " Intervals hold 95 % for all groups of points together (Bonferroni)."
    )
    missing = f"no points to rely on that differ in {memory_scaling.AXIS} alone"
    left_out = evidence.left_out("time_s") if memory_scaling.AXIS in evidence.settings.all_axes else {}
    return Answer("Does more memory give more throughput?", method, lines, data, missing, left_out)


def _less_than_linear(one: memory_scaling.Elasticity) -> str:
    if one.source == MEASURED and not one.slope.has_interval:
        return "not told: no doubt known"
    low, high = one.slope.interval
    below_one = high < 1 - ROUNDING
    if low > ROUNDING and below_one:
        return "more helps, less than linearly"
    if low >= 1 - ROUNDING:
        return "more helps, in proportion or beyond"
    if high < -ROUNDING:
        return "more hurts"
    if high <= ROUNDING:
        return "more does not help"
    if low > ROUNDING:
        return "more helps; whether less than linearly is not told"
    return (
        "helps less than linearly, if at all" if below_one else "no effect told from none, or from a proportional one"
    )


def _device(evidence: Evidence, devices: pd.DataFrame, sizes: Mapping[str, ModelSize]) -> Answer:
    found = list(roofline.shares(evidence, devices, sizes))
    pairs = list(roofline.contrasts(evidence, found))
    lines = [*map(_contrast_words, pairs), *_share_lines(evidence, found)]
    if found and not lines:
        lines = ["one known device, and no share of what it can do: that needs tokens/s and the model's files"]
    data = [_contrast_data(one) for one in pairs] + [_share_data(one, evidence) for one in found]
    missing = "no point ran on one device of config/published/devices.csv"
    question = "How does throughput follow the device's tensor cores and bandwidth?"
    return Answer(question, roofline.DEFINITION, lines, data, missing, evidence.left_out("time_s"))


def _contrast_words(one: roofline.Contrast) -> str:
    with_what = f"{number(one.tensor)} times the tensor TFLOPS and {number(one.bandwidth)} times the bandwidth"
    words = (
        f"{one.device} has {estimate_words(one.throughput)} times the throughput of {one.reference}, with {with_what}"
    )
    return f"{_place(one.source, one.place)}: {words}; {one.throughput.how}"


def _contrast_data(one: roofline.Contrast) -> dict[str, Any]:
    return {
        "source": one.source, "place": one.place, "device": one.device, "reference": one.reference,
        "throughput": estimate_data(one.throughput), "tensor": one.tensor, "bandwidth": one.bandwidth,
    }  # fmt: skip


def _share_lines(evidence: Evidence, found: Sequence[roofline.Share]) -> Iterator[str]:
    for one in found:
        known = [("bandwidth", one.of_bandwidth), ("compute", one.of_compute)]
        shares = [f"{share:.1%} of the {name}" for name, share in known if share is not None]
        if shares:
            place = {axis: level_label(evidence.rows[axis].iloc[one.row]) for axis in evidence.settings.all_axes}
            facts = f"{number(one.tensor_tflops)} TFLOPS, {number(one.bandwidth_gb_s)} GB/s"
            beyond = any(share is not None and share > 1 for _, share in known)
            doubt = ", more than it can do: something is counted wrong" if beyond else ""
            yield f"{_place('measured', place)}: at least {' and '.join(shares)} of {one.device} ({facts}){doubt}"


def _share_data(one: roofline.Share, evidence: Evidence) -> dict[str, Any]:
    return {
        "source": evidence.rows["source"].iloc[one.row],
        "place": {axis: level_label(evidence.rows[axis].iloc[one.row]) for axis in evidence.settings.all_axes},
        "device": one.device, "tensor_tflops": one.tensor_tflops, "bandwidth_gb_s": one.bandwidth_gb_s,
        "time_s": float(evidence.rows["time_s"].iloc[one.row]),
        "share_of_bandwidth": one.of_bandwidth, "share_of_compute": one.of_compute,
    }  # fmt: skip


def _client(evidence: Evidence) -> Answer:
    found = list(client_effect.client_effects(evidence))
    lines = [
        f"{_place('measured', one.place)}: {one.client} is {estimate_words(one.effect)} times as fast as {one.reference};"
        f" {one.effect.how}"
        for one in found
    ]
    data = [
        {"place": one.place, "client": one.client, "reference": one.reference, "effect": estimate_data(one.effect)}
        for one in found
    ]
    method = (
        "The time of the reference client over that of the other, on points otherwise the same, client-bound ones among"
        " them. What the client's threads do is the first question."
    )
    missing = (
        "the grid has no axis client with two kinds measured; to have one: grid.client: [stream, requests, parallel]"
    )
    left_out = evidence.left_out("time_s", True) if client_effect.AXIS in evidence.settings.all_axes else {}
    return Answer("Does the kind of client change the result?", method, lines, data, missing, left_out)


def _place(source: str, place: Mapping[str, str]) -> str:
    words = ", ".join(f"{axis} {value}" for axis, value in place.items())
    return words if source == "measured" else f"{words} (published: {source})"
