"""Sections above the table: the answer, the claims and the questions, from the files that other rules wrote."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from servegrid.report.format import format_interval, format_number, format_reasons
from servegrid.util.files import read_json
from servegrid.util.text import clip

_KINDS = {"supported": "supported", "contradicted": "contradicted", "no difference shown": "unclear"}
_MAX_LINES = 10


def read_parts(reports: Path) -> dict[str, Any]:
    """All parts for the template: `answer`, `claims`, `questions`; empty where there is nothing to say."""
    return {
        "answer": answer_section(recommendation := read_json(reports / "recommendation.json")),
        "unanswered": _sentence(recommendation["lead"]),
        "claims": [claim_row(entry) for entry in read_json(reports / "claims.json")],
        "questions": [question_section(entry) for entry in read_json(reports / "questions.json")],
    }


def answer_section(recommendation: Mapping[str, Any]) -> dict[str, Any] | None:
    """The recommended setting, its value and interval, what it beats, and the commands; None without one."""
    if not recommendation["setting"]:
        return None
    commands = [form | {"id": f"command-{place}"} for place, form in enumerate(recommendation["commands"])]
    return {
        "lead": _sentence(recommendation["lead"]),
        "figures": [
            _headline_number(recommendation["unit"], recommendation["figure"]),
            *_headline_effect(recommendation["second"]),
        ],
        "over": [
            *map(_sentence, recommendation["details"]),
            *_undecided_lines(recommendation["no_difference_shown"]),
            *_caveat_lines(recommendation),
        ],
        "commands": commands,
    }


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}" + ("" if line.endswith(".") else ".")


def _headline_number(unit: str, estimate: Mapping[str, Any]) -> dict[str, str]:
    return {"name": unit, "value": format_number(estimate["value"]), "unit": "", "doubt": _interval_text(estimate)}


def _headline_effect(second: Mapping[str, Any] | None) -> list[dict[str, str]]:
    if second is None:
        return []
    effect = second["effect"]
    return [
        {
            "name": "times the next best",
            "value": format_number(effect["value"]),
            "unit": "",
            "doubt": _interval_text(effect),
        }
    ]


def _interval_text(estimate: Mapping[str, Any]) -> str:
    if estimate["low"] is None:
        return str(estimate["doubt"])
    return f"{format_interval(estimate['low'], estimate['high'])}, {estimate['doubt']}"


def _undecided_lines(rivals: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rivals:
        return []
    named = "; ".join(_setting_text(rival["setting"]) for rival in rivals[:3])
    rest = f" and {len(rivals) - 3} more" if len(rivals) > 3 else ""
    return [f"No difference shown from: {named}{rest}."]


def _caveat_lines(recommendation: Mapping[str, Any]) -> list[str]:
    parts = ", ".join(f"{count} {reason}" for reason, count in recommendation["left_out"].items())
    warning_lines = [f"Warnings: {recommendation['warnings']}."] if recommendation["warnings"] else []
    return [*warning_lines, f"Not considered: {parts}."] if parts else warning_lines


def _setting_text(setting: Mapping[str, str]) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in setting.items())


def claim_row(entry: Mapping[str, Any]) -> dict[str, str]:
    """One row of the claims."""
    deciding = entry["deciding"]
    rows = f"{entry['source']}: {entry['because']}"
    effect = ""
    if deciding:
        rows += f"; deciding: {_places_text(deciding['first']['axes'], deciding['second']['axes'])}"
    if deciding and deciding["effect"]["value"] is not None:
        effect = f"{format_number(deciding['effect']['value'])} times"
        effect += f" ({_interval_text(deciding['effect'])})" if deciding["effect"]["low"] is not None else ""
    kind = _KINDS.get(entry["verdict"], "open")
    texts = {"verdict": entry["verdict"], "says": entry["claim"]["says"]}
    return {"kind": kind, "effect": effect, "rows": clip(rows, 400), **texts}


def _places_text(first: Mapping[str, str], second: Mapping[str, str]) -> str:
    """Two places by what tells them apart, then what they share."""
    differing = [axis for axis in first if first[axis] != second.get(axis)]
    sides = " against ".join(
        _setting_text({axis: side[axis] for axis in differing if axis in side}) for side in (first, second)
    )
    shared = _setting_text({axis: value for axis, value in first.items() if axis not in differing})
    return f"{sides}, both with {shared}" if shared else sides


def question_section(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Title and first lines of one question; the method only where something was measured."""
    if "not_measured" in entry:
        lines, method = [f"Not measured: {entry['not_measured']}."], []
    else:
        lines, method = list(entry["lines"]), [entry["method"]]
    if (rest := len(lines) - _MAX_LINES) > 0:
        lines = [*lines[:_MAX_LINES], f"and {rest:,} more, in questions.json"]
    left_out = [f"Left out: {format_reasons(entry['left_out'])}."] if entry["left_out"] else []
    return {"title": entry["question"], "lines": [*lines, *left_out, *method]}
