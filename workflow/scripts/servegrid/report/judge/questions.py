"""Answers to the article's four questions, from the rows: threads, memory share, device, client."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from servegrid.report.evidence import MEASURED, Evidence
from servegrid.report.format import DASH, format_number, format_reasons
from servegrid.report.judge import client_effect, knee, memory_scaling, roofline
from servegrid.report.judge.claim_rulings import estimate_data, estimate_text
from servegrid.report.judge.knee import Knee
from servegrid.report.judge.model_size import ModelSize
from servegrid.results.axes import level_label
from servegrid.stats.intervals import ROUNDING

_MAX_LINES = 24


@dataclass(frozen=True)
class Answer:
    """Answer to one question: the method, a line per group of rows, the same as data; `missing`: why there is no line.

    `left_out` gives the reasons why rows that bear on it were not used -> how many.
    """

    question: str
    method: str
    lines: Sequence[str]
    data: Sequence[Mapping[str, Any]]
    missing: str
    left_out: Mapping[str, int]


def answer_questions(evidence: Evidence, devices: pd.DataFrame, sizes: Mapping[str, ModelSize]) -> list[Answer]:
    """Answers to all four questions, in the article's order."""
    return [
        _answer_threads(evidence),
        _answer_memory(evidence),
        _answer_device(evidence, devices, sizes),
        _answer_client(evidence),
    ]


def as_data(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """Answers as plain values; `lines` are those of the answers as text."""
    return [_answer_data(answer) for answer in answers]


def _answer_data(answer: Answer) -> dict[str, Any]:
    entry: dict[str, Any] = {"question": answer.question, "method": answer.method, "answers": list(answer.data)}
    entry |= {"lines": list(answer.lines), "left_out": dict(answer.left_out)}
    return entry if answer.data else entry | {"not_measured": answer.missing}


def as_markdown(answers: Iterable[Answer]) -> str:
    """Markdown with a section per question."""
    parts = ["# Four questions", ""]
    for answer in answers:
        lines = [f"- {line}" for line in answer.lines[:_MAX_LINES]] or [f"Not measured: {answer.missing}."]
        if len(answer.lines) > _MAX_LINES:
            lines.append(f"- and {len(answer.lines) - _MAX_LINES:,} more, in questions.json")
        if answer.left_out:
            lines += ["", f"Left out: {format_reasons(answer.left_out)}."]
        parts += [f"## {answer.question}", "", *lines, "", answer.method, ""]
    return "\n".join(parts)


def _answer_threads(evidence: Evidence) -> Answer:
    knees = list(knee.knees(evidence))
    lines = [f"{_place_text(group_knee.source, group_knee.place)}: {_knee_text(group_knee)}" for group_knee in knees]
    data = [
        {
            "source": group_knee.source, "place": group_knee.place, "metric": group_knee.metric,
            "best": group_knee.best, "knee": group_knee.knee, "low": group_knee.low, "high": group_knee.high,
            "doubt": knee.missing_interval_reason(group_knee), "throughput": knee.drain_caveat(group_knee),
            "best_is_the_highest_level": group_knee.best_is_highest_level,
            "left_out": {f"{threads:g}": why for threads, why in group_knee.left_out.items()},
            "share_of_best": {f"{threads:g}": estimate_data(share) for threads, share in group_knee.shares.items()},
        }
        for group_knee in knees
    ]  # fmt: skip
    missing = "no points to rely on that differ in client threads alone"
    left_out = evidence.left_out("time_s")
    return Answer("How many client threads are best?", knee.DEFINITION, lines, data, missing, left_out)


def _knee_text(group_knee: Knee) -> str:
    interval = (
        f"{group_knee.low:g}{DASH}{group_knee.high:g}"
        if group_knee.low is not None and group_knee.high is not None
        else knee.missing_interval_reason(group_knee)
    )
    threads = f"{group_knee.knee:g} thread{'s' if group_knee.knee != 1 else ''}"
    text = f"knee at {threads} ({interval}), with {group_knee.shares[group_knee.knee].value:.1%} of the most"
    end = ", the highest level measured: more may come beyond" if group_knee.best_is_highest_level else ""
    most = f"the most is at {group_knee.best:g}{end}{_left_out_levels(group_knee)}"
    return f"{text}; {most}; {knee.drain_caveat(group_knee)}"


def _left_out_levels(group_knee: Knee) -> str:
    levels = ", ".join(f"{threads:g} {why}" for threads, why in group_knee.left_out.items())
    return f"; no evidence: {levels}" if levels else ""


def _answer_memory(evidence: Evidence) -> Answer:
    elasticities = list(memory_scaling.elasticities(evidence))
    lines = [
        f"{_place_text(elasticity.source, elasticity.place)}: slope {estimate_text(elasticity.slope)} over memory shares "
        f"{', '.join(f'{level:g}' for level in elasticity.levels)}: {_slope_verdict(elasticity)}; {elasticity.slope.how}"
        for elasticity in elasticities
    ]
    data = [
        {
            "source": elasticity.source,
            "place": elasticity.place,
            "levels": elasticity.levels,
            "slope": estimate_data(elasticity.slope),
        }
        for elasticity in elasticities
    ]
    method = (
        "The slope of log throughput over log memory share: 0 is no effect, 1 in proportion, between them less than linear."
        " Intervals hold 95 % for all groups of points together (Bonferroni)."
    )
    missing = f"no points to rely on that differ in {memory_scaling.AXIS} alone"
    left_out = evidence.left_out("time_s") if memory_scaling.AXIS in evidence.settings.all_axes else {}
    return Answer("Does more memory give more throughput?", method, lines, data, missing, left_out)


def _slope_verdict(elasticity: memory_scaling.Elasticity) -> str:
    """What the slope says about more memory, by its interval against 0 and 1."""
    if elasticity.source == MEASURED and not elasticity.slope.has_interval:
        return "not told: no doubt known"
    low, high = elasticity.slope.interval
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


def _answer_device(evidence: Evidence, devices: pd.DataFrame, sizes: Mapping[str, ModelSize]) -> Answer:
    shares = list(roofline.roofline_shares(evidence, devices, sizes))
    contrasts = list(roofline.device_contrasts(evidence, shares))
    lines = [*map(_contrast_text, contrasts), *_share_lines(evidence, shares)]
    if shares and not lines:
        lines = ["one known device, and no share of what it can do: that needs tokens/s and the model's files"]
    data = [_contrast_data(contrast) for contrast in contrasts] + [_share_data(share, evidence) for share in shares]
    missing = "no point ran on one device of config/published/devices.csv"
    question = "How does throughput follow the device's tensor cores and bandwidth?"
    return Answer(question, roofline.DEFINITION, lines, data, missing, evidence.left_out("time_s"))


def _contrast_text(contrast: roofline.DeviceContrast) -> str:
    throughput = f"{estimate_text(contrast.throughput)} times the throughput of {contrast.reference}"
    tensor, bandwidth = format_number(contrast.tensor), format_number(contrast.bandwidth)
    text = (
        f"{contrast.device} has {throughput}, with {tensor} times the tensor TFLOPS and {bandwidth} times the bandwidth"
    )
    return f"{_place_text(contrast.source, contrast.place)}: {text}; {contrast.throughput.how}"


def _contrast_data(contrast: roofline.DeviceContrast) -> dict[str, Any]:
    return {
        "source": contrast.source, "place": contrast.place, "device": contrast.device, "reference": contrast.reference,
        "throughput": estimate_data(contrast.throughput), "tensor": contrast.tensor, "bandwidth": contrast.bandwidth,
    }  # fmt: skip


def _share_lines(evidence: Evidence, shares_of_rows: Sequence[roofline.RooflineShare]) -> Iterator[str]:
    for row_share in shares_of_rows:
        parts = [("bandwidth", row_share.of_bandwidth), ("compute", row_share.of_compute)]
        shares = [f"{share:.1%} of the {name}" for name, share in parts if share is not None]
        if shares:
            place = {axis: level_label(evidence.rows[axis].iloc[row_share.row]) for axis in evidence.settings.all_axes}
            device_limits = (
                f"{format_number(row_share.tensor_tflops)} TFLOPS, {format_number(row_share.bandwidth_gb_s)} GB/s"
            )
            beyond = any(share is not None and share > 1 for _, share in parts)
            doubt = ", more than it can do: something is counted wrong" if beyond else ""
            of_device = f"at least {' and '.join(shares)} of {row_share.device}"
            yield f"{_place_text(MEASURED, place)}: {of_device} ({device_limits}){doubt}"


def _share_data(row_share: roofline.RooflineShare, evidence: Evidence) -> dict[str, Any]:
    return {
        "source": evidence.rows["source"].iloc[row_share.row],
        "place": {axis: level_label(evidence.rows[axis].iloc[row_share.row]) for axis in evidence.settings.all_axes},
        "device": row_share.device,
        "tensor_tflops": row_share.tensor_tflops, "bandwidth_gb_s": row_share.bandwidth_gb_s,
        "time_s": float(evidence.rows["time_s"].iloc[row_share.row]),
        "share_of_bandwidth": row_share.of_bandwidth, "share_of_compute": row_share.of_compute,
    }  # fmt: skip


def _answer_client(evidence: Evidence) -> Answer:
    effects = list(client_effect.client_effects(evidence))
    lines = [
        f"{_place_text(MEASURED, effect.place)}: {effect.client} is {estimate_text(effect.effect)} times as fast as"
        f" {effect.reference}; {effect.effect.how}"
        for effect in effects
    ]
    data = [
        {
            "place": effect.place,
            "client": effect.client,
            "reference": effect.reference,
            "effect": estimate_data(effect.effect),
        }
        for effect in effects
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


def _place_text(source: str, place: Mapping[str, str]) -> str:
    text = ", ".join(f"{axis} {value}" for axis, value in place.items())
    return text if source == MEASURED else f"{text} (published: {source})"
