"""From a small real sweep to claims, a recommendation whose command starts a server, and the four questions."""

import json
import shlex
import subprocess
from collections.abc import Callable

import pandas as pd

from servegrid.host.ports import free_port
from servegrid.launch.remote import RemoteServer
from workflow.project import Project

CLAIMS = [
    {
        "says": "a request at four threads waits longer",
        "metric": "ttft_ms_p50",
        "better": {"threads": 1},
        "than": {"threads": 4},
    },
    {
        "says": "four threads are a hundred times faster",
        "better": {"threads": 4},
        "than": {"threads": 1},
        "at_least": 99,
    },
    {"says": "vLLM beats llama.cpp", "better": {"engine": "vllm"}, "than": {"engine": "llamacpp"}},
]


def test_a_real_sweep_ends_in_a_decision(project: Callable[..., Project]) -> None:
    published = "config/published/article.csv"
    clone = project(
        {
            "repeats": 3,
            "claims": CLAIMS,
            "report": {"published": [published]},
            "grid": {"threads": [1, 4]},
            "prompts": {"count": 12, "output_tokens": 24},  # the wait is far longer than any noise
            "server": {"concurrency": 1},
        }
    )
    text = clone.run()
    reports = clone.folder / "reports"
    sessions = pd.read_parquet(clone.folder / "results" / "sessions.parquet")
    assert sorted(zip(sessions["threads"], sessions["rep"], strict=True)) == [(t, k) for t in (1, 4) for k in (1, 2, 3)]

    rulings = json.loads((reports / "claims.json").read_text())
    verdicts = {ruling["claim"]["says"]: ruling["verdict"] for ruling in rulings if ruling["source"] == "measured"}
    assert verdicts["four threads are a hundred times faster"] == "contradicted"
    assert verdicts["vLLM beats llama.cpp"] == "not measured"
    assert verdicts["a request at four threads waits longer"] == "supported", "one slot: three of four wait"

    recommendation = json.loads((reports / "recommendation.json").read_text())
    assert recommendation["setting"]["engine"] == "llamacpp" and recommendation["considered"] == 2
    assert all(line in text for line in recommendation["summary"]), "the run ends with it"
    serves(recommendation["command"])
    questions = json.loads((reports / "questions.json").read_text())
    assert [bool(question["answers"]) for question in questions] == [True, True, True, False]


def serves(command: str) -> None:
    """The command of the recommendation starts a server that becomes ready."""
    port = free_port()
    line = command.replace("--port 8080", f"--port {port}")
    assert line != command
    arguments = shlex.split(line)
    with subprocess.Popen(["env", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            RemoteServer(f"http://127.0.0.1:{port}", {}).wait_ready(f"http://127.0.0.1:{port}/health", 60)
        finally:
            server.kill()
