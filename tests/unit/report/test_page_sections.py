"""The page's upper part, from the files of the rules that decide."""

import json
from pathlib import Path
from typing import Any

from servegrid.report.page.sections import answer_section, claim_row, question_section, read_parts

FOUND: dict[str, Any] = {
    "setting": {"engine": "llamacpp", "threads": "4"},
    "unit": "output tokens/s",
    "figure": {"value": 664.2, "low": 650.0, "high": 671.0, "doubt": "95 % interval over 3 sessions"},
    "second": {
        "setting": {"engine": "vllm", "threads": "4"},
        "effect": {"value": 1.24, "low": None, "high": None, "doubt": "one session: no doubt known"},
        "beaten": False,
    },
    "no_difference_shown": [],
    "left_out": {},
    "warnings": "",
    "commands": [{"title": "Command", "text": "llama-server --port 8080"}],
    "lead": "recommended for max throughput: engine llamacpp",
    "details": ["1.24 times as good as the next best"],
}


def test_an_answer_has_its_figures_and_their_doubt() -> None:
    section = answer_section(FOUND)
    assert section and section["lead"].startswith("Recommended for max throughput")
    assert [figure["value"] for figure in section["figures"]] == ["664", "1.24"]
    assert section["figures"][0]["doubt"].startswith("650\N{EN DASH}671")
    assert section["figures"][1]["doubt"] == "one session: no doubt known"
    assert section["commands"] == [{"title": "Command", "text": "llama-server --port 8080", "id": "command-0"}]


def test_all_that_the_summary_says_is_shown() -> None:
    more = [*FOUND["details"], "limit kept: ttft_ms_p50 209 of at most 220, in 2 of 3 sessions"]
    section = answer_section(FOUND | {"details": more})
    assert section and section["over"][1] == "Limit kept: ttft_ms_p50 209 of at most 220, in 2 of 3 sessions."


def test_those_that_are_as_good_are_named() -> None:
    section = answer_section(FOUND | {"no_difference_shown": [FOUND["second"]] * 5})
    assert section and section["over"][-1].startswith("No difference shown from: engine vllm, threads 4")
    assert section["over"][-1].endswith("and 2 more.")


def test_nothing_to_recommend_is_no_answer() -> None:
    assert answer_section(FOUND | {"setting": None}) is None


def test_a_page_without_an_answer_begins_with_a_whole_sentence(tmp_path: Path) -> None:
    nothing = FOUND | {"setting": None, "lead": "nothing to recommend for max throughput: 10 absent", "details": []}
    (tmp_path / "recommendation.json").write_text(json.dumps(nothing))
    (tmp_path / "claims.json").write_text("[]")
    (tmp_path / "questions.json").write_text("[]")
    assert read_parts(tmp_path)["unanswered"] == "Nothing to recommend for max throughput: 10 absent."


def test_a_claim_that_was_not_measured_says_why() -> None:
    entry = {
        "claim": {"says": "x"},
        "source": "measured",
        "verdict": "not measured",
        "because": "no row",
        "deciding": None,
    }
    assert claim_row(entry) == {
        "kind": "open",
        "effect": "",
        "rows": "measured: no row",
        "verdict": "not measured",
        "says": "x",
    }


def test_what_was_not_measured_needs_no_definition() -> None:
    nothing = {"question": "More memory?", "method": "The slope of.", "lines": [], "left_out": {}, "answers": []}
    assert question_section(nothing | {"not_measured": "one card"})["lines"] == ["Not measured: one card."]
    assert question_section(nothing | {"lines": ["vllm: 0.9"], "left_out": {"failed": 2}})["lines"] == [
        "vllm: 0.9",
        "Left out: 2 failed.",
        "The slope of.",
    ]


def test_questions_keep_their_first_lines(tmp_path: Path) -> None:
    (tmp_path / "recommendation.json").write_text(json.dumps(FOUND))
    (tmp_path / "claims.json").write_text("[]")
    entry = {"question": "How many?", "method": "The method.", "left_out": {}, "answers": []}
    (tmp_path / "questions.json").write_text(json.dumps([entry | {"lines": [f"line {n}" for n in range(30)]}]))
    (section,) = read_parts(tmp_path)["questions"]
    assert section["title"] == "How many?" and len(section["lines"]) == 12
    assert (
        section["lines"][0] == "line 0"
        and section["lines"][-2] == "and 20 more, in questions.json"
        and section["lines"][-1] == "The method."
    )
