"""Secrets stay out of records and plans."""

import copy
from pathlib import Path

import pytest
import yaml

from helpers.grids import RESOLVED
from isolation import REPOSITORY
from servegrid.config import parse_config
from servegrid.consult.preview import plan_text
from servegrid.plan.grid import Grid
from servegrid.util.secret_env import is_secret, redacted, shell_assignment


@pytest.mark.parametrize("name", ["HF_TOKEN", "LLAMA_API_KEY", "openai_api_key", "PASSWORD", "AWS_SECRET_ACCESS_KEY"])
def test_secrets_by_name(name: str) -> None:
    assert is_secret(name)
    assert redacted({name: "s3cret", "OMP_NUM_THREADS": "2"}) == {name: f"${{{name}}}", "OMP_NUM_THREADS": "2"}


@pytest.mark.parametrize("name", ["KEYBOARD", "TOKENIZERS_PARALLELISM", "MONKEY", "OMP_WAIT_POLICY"])
def test_what_is_no_secret(name: str) -> None:
    assert not is_secret(name)


def test_an_assignment_takes_a_secret_from_the_variable_that_holds_it() -> None:
    assert shell_assignment("VLLM_API_KEY", "${MY_KEY}") == 'VLLM_API_KEY="$MY_KEY"'
    assert shell_assignment("HF_TOKEN", "hush") == 'HF_TOKEN="$HF_TOKEN"'
    assert shell_assignment("NAME", "a b") == "NAME='a b'"


def test_a_plan_shows_the_variable_instead(tmp_path: Path) -> None:
    raw = copy.deepcopy(yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text()))
    raw |= {"commands": True, "pathvars": {"results": str(tmp_path)}}
    raw["engines"]["llamacpp"]["env"] = {"LLAMA_API_KEY": "${LLAMA_API_KEY}"}
    text = plan_text(Grid(parse_config(raw), RESOLVED))
    assert "s3cret" not in text
    assert 'LLAMA_API_KEY="$LLAMA_API_KEY"' in text
