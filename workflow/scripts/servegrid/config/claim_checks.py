"""Check that the config's claims name metrics and axes that exist."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from servegrid.config.errors import unknown_key, yaml_text
from servegrid.config.judging import Claim
from servegrid.results.columns import BETTER

OTHER_AXES = ("memory_fraction", "runs_at_once", "replicas", "tensor_parallel")
"""Axes that published tables and engines' options can have even if this grid does not."""


def claim_mistakes(claims: Iterable[Claim], axes: Iterable[str]) -> Iterator[str]:
    """Yield an error message for every mistake; `axes` are those that this grid has or could have."""
    allowed_axes = list(dict.fromkeys([*axes, *OTHER_AXES]))
    for number, claim in enumerate(claims):
        yield from _mistakes(f"claims[{number}]", claim, allowed_axes)


def _mistakes(key: str, claim: Claim, axes: list[str]) -> Iterator[str]:
    if claim.metric not in BETTER:
        yield f"{key}.metric = {yaml_text(claim.metric)}: must be one of {', '.join(BETTER)}"
    if not claim.better and not claim.than:
        yield f"{key}: names no rows; give better, than, or both"
    if claim.at_most is not None and claim.at_most < claim.at_least:
        yield f"{key}.at_most = {yaml_text(claim.at_most)}: is below at_least = {yaml_text(claim.at_least)}"
    for part in ("better", "than"):
        yield from _selector_mistakes(f"{key}.{part}", getattr(claim, part), axes)
    named_axes = [(f"{key}.matched_on", axis) for axis in claim.matched_on or []]
    if claim.less_than_linear_in:
        named_axes.append((f"{key}.less_than_linear_in", claim.less_than_linear_in))
    yield from (
        f"{claim_key} = {yaml_text(axis)}: is not one of {', '.join(axes)}"
        for claim_key, axis in named_axes
        if _is_unknown(axis, axes)
    )


def _selector_mistakes(key: str, selector: Mapping[str, Any], axes: list[str]) -> Iterator[str]:
    for axis, value in selector.items():
        if _is_unknown(axis, axes):
            yield unknown_key(f"{key}.{axis}", [*axes, "options.<flag>"])
        if value == []:
            yield f"{key}.{axis} = []: needs at least one value"


def _is_unknown(axis: str, axes: list[str]) -> bool:
    return axis not in axes and not axis.startswith("options.")
