"""Warnings and the rules that raise them belong together: none without a rule, none spelt out elsewhere."""

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest

from isolation import REPOSITORY
from servegrid.results.warnings import (
    DISQUALIFYING_WARNINGS,
    RowWarning,
    disqualifying_warning,
    join_warnings,
    split_warnings,
)

LIBRARY = REPOSITORY / "workflow" / "scripts" / "servegrid"
RULES = (LIBRARY / "collect", LIBRARY / "metrics")
VERDICT_TOO = RowWarning.CLIENT_BOUND.phrase
"""Also what comparisons say of a row by its column `client_bound`."""


def nodes(*folders: Path) -> Iterator[ast.AST]:
    files = chain.from_iterable(folder.rglob("*.py") for folder in folders)
    for path in files:
        if path.name != "warnings.py":
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def test_every_warning_is_raised_by_a_rule() -> None:
    raised = {
        node.attr
        for node in nodes(*RULES)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "RowWarning"
    }
    assert raised == {warning.name for warning in RowWarning}


def test_no_phrase_is_spelt_out_a_second_time() -> None:
    spelt = {node.value for node in nodes(LIBRARY) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert spelt & {warning.phrase for warning in RowWarning} <= {VERDICT_TOO}


@pytest.mark.parametrize("warning", RowWarning)
def test_a_warning_says_what_it_means_and_what_to_do(warning: RowWarning) -> None:
    assert "; " not in warning.phrase and warning.phrase[0].isalpha()
    for text in (warning.meaning, warning.hint):
        assert text[0].isupper() and text.endswith(".") and "  " not in text
    assert warning.hint.count(". ") == 0, "one sentence"


def test_phrases_are_those_of_tables_that_are_written_already() -> None:
    assert [warning.phrase for warning in RowWarning] == [
        "latency drifts",
        "throttled by heat",
        "slowed by hardware",
        "power-capped",
        "client-bound",
        "prompts were cached",
        "events read late",
        "answers held back",
        "shared host",
        "shared GPU",
        "samples damaged",
        "not as precise as asked",
        "cold start",
        "energy window short",
        "energy samples missing",
        "energy from power samples",
        "energy counter and power differ",
        "speculation changes texts",
        "speculation may change texts",
        "quantization changes texts",
        "quantization may change texts",
        "garbled texts",
    ]


def test_the_column_has_each_once_in_order_and_can_be_read_back() -> None:
    text = join_warnings([RowWarning.GARBLED_TEXTS, RowWarning.COLD_START, RowWarning.COLD_START])
    assert text == "cold start; garbled texts"
    assert split_warnings(text) == [RowWarning.COLD_START, RowWarning.GARBLED_TEXTS]
    assert join_warnings([]) is None


@pytest.mark.parametrize("unknown", [None, "", float("nan"), pd.NA, "of another version"])
def test_an_unknown_value_has_no_warnings(unknown: object) -> None:
    assert split_warnings(unknown) == [] and disqualifying_warning(unknown, "energy_j") is None


def test_garbage_speaks_against_every_metric_and_doubtful_energy_against_energy() -> None:
    text = join_warnings([RowWarning.ENERGY_DIFFERS, RowWarning.SHARED_HOST])
    assert (
        disqualifying_warning(text, "energy_j") is RowWarning.ENERGY_DIFFERS
        and disqualifying_warning(text, "time_s") is None
    )
    assert disqualifying_warning(f"{text}; garbled texts", "energy_j") is RowWarning.GARBLED_TEXTS
    assert disqualifying_warning("garbled texts", "time_s") is RowWarning.GARBLED_TEXTS
    assert all(set(warnings) <= set(RowWarning) for warnings in DISQUALIFYING_WARNINGS.values())
