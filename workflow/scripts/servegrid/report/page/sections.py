"""What stands above the table: the answer, the claims and the questions, from the files that other rules wrote."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from servegrid.report.format import format_interval, format_number, format_reasons
from servegrid.util.files import read_json
from servegrid.util.text import clip

_KINDS = {"supported": "supported", "contradicted": "contradicted", "no difference shown": "unclear"}
_MOST_LINES = 10


def read_parts(reports: Path) -> dict[str, Any]:
    """All parts for the template: `answer`, `claims`, `questions`; empty where there is nothing to say."""
    return {
        "answer": answer_section(found := read_json(reports / "recommendation.json")),
        "unanswered": _sentence(found["lead"]),
        "claims": [claim_row(entry) for entry in read_json(reports / "claims.json")],
        "questions": [question_section(entry) for entry in read_json(reports / "questions.json")],
    }


def answer_section(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The recommended setting, its figure and its doubt, what it beats by how much, and the commands."""
    if not found["setting"]:
        return None
    commands = [form | {"id": f"command-{place}"} for place, form in enumerate(found["commands"])]
    return {
        "lead": _sentence(found["lead"]),
        "figures": [_figure(found["unit"], found["figure"]), *_second(found["second"])],
        "over": [*map(_sentence, found["details"]), *_undecided(found["no_difference_shown"]), *_caveats(found)],
        "commands": commands,
    }


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}" + ("" if line.endswith(".") else ".")


def _figure(unit: str, estimate: Mapping[str, Any]) -> dict[str, str]:
    return {"name": unit, "value": format_number(estimate["value"]), "unit": "", "doubt": _doubt(estimate)}


def _second(second: Mapping[str, Any] | None) -> list[dict[str, str]]:
    if second is None:
        return []
    effect = second["effect"]
    return [
        {"name": "times the next best", "value": format_number(effect["value"]), "unit": "", "doubt": _doubt(effect)}
    ]


def _doubt(estimate: Mapping[str, Any]) -> str:
    if estimate["low"] is None:
        return str(estimate["doubt"])
    return f"{format_interval(estimate['low'], estimate['high'])}, {estimate['doubt']}"


def _undecided(rivals: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rivals:
        return []
    named = "; ".join(_setting(rival["setting"]) for rival in rivals[:3])
    rest = f" and {len(rivals) - 3} more" if len(rivals) > 3 else ""
    return [f"No difference shown from: {named}{rest}."]


def _caveats(found: Mapping[str, Any]) -> list[str]:
    parts = ", ".join(f"{count} {reason}" for reason, count in found["left_out"].items())
    said = [f"Warnings: {found['warnings']}."] if found["warnings"] else []
    return [*said, f"Not considered: {parts}."] if parts else said


def _setting(setting: Mapping[str, str]) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in setting.items())


def claim_row(entry: Mapping[str, Any]) -> dict[str, str]:
    """One row of the claims."""
    deciding = entry["deciding"]
    rows = f"{entry['source']}: {entry['because']}"
    effect = ""
    if deciding:
        rows += f"; deciding: {_against(deciding['first']['axes'], deciding['second']['axes'])}"
    if deciding and deciding["effect"]["value"] is not None:
        effect = f"{format_number(deciding['effect']['value'])} times"
        effect += f" ({_doubt(deciding['effect'])})" if deciding["effect"]["low"] is not None else ""
    kind = _KINDS.get(entry["verdict"], "open")
    said = {"verdict": entry["verdict"], "says": entry["claim"]["says"]}
    return {"kind": kind, "effect": effect, "rows": clip(rows, 400), **said}


def _against(first: Mapping[str, str], second: Mapping[str, str]) -> str:
    """Two places by what tells them apart, then what they share."""
    apart = [axis for axis in first if first[axis] != second.get(axis)]
    sides = " against ".join(_setting({axis: side[axis] for axis in apart if axis in side}) for side in (first, second))
    shared = _setting({axis: value for axis, value in first.items() if axis not in apart})
    return f"{sides}, both with {shared}" if shared else sides


def question_section(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Title and lines of one question, the first of many; where nothing was measured, nothing needs a definition."""
    if "not_measured" in entry:
        lines, method = [f"Not measured: {entry['not_measured']}."], []
    else:
        lines, method = list(entry["lines"]), [entry["method"]]
    if (rest := len(lines) - _MOST_LINES) > 0:
        lines = [*lines[:_MOST_LINES], f"and {rest:,} more, in questions.json"]
    left_out = [f"Left out: {format_reasons(entry['left_out'])}."] if entry["left_out"] else []
    return {"title": entry["question"], "lines": [*lines, *left_out, *method]}
