"""Ways to start a recommended server by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.specs import SPEC, base
from servegrid import engines
from servegrid.engines.base import ServerSpec
from servegrid.launch.deploy import deployment_forms


def in_a_container(**changes: Any) -> ServerSpec:
    spec = base(engines.get("tgi"), "docker", "cuda")
    return replace(spec, **changes)


def test_a_container_has_a_line_a_compose_file_and_its_own_words() -> None:
    line, compose, own_command = deployment_forms(in_a_container(), Path("/srv/resources"))
    assert line.text.startswith("docker run --rm --init") and own_command.text in line.text
    service = yaml.safe_load(compose.text)["services"]["server"]
    assert service["image"] in line.text and service["init"] is True
    assert "127.0.0.1:8080:80" in service["ports"]
    device = service["deploy"]["resources"]["reservations"]["devices"][0]
    assert device["device_ids"] == ["GPU-0"] and device["capabilities"] == ["gpu"]


def test_secrets_are_named_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hush")
    texts = [
        form.text
        for form in deployment_forms(in_a_container(env={"HF_TOKEN": "${HF_TOKEN}", "PRICE": "5$"}), Path("/srv"))
    ]
    assert not any("hush" in text for text in texts)
    environment = yaml.safe_load(texts[1])["services"]["server"]["environment"]
    assert environment["HF_TOKEN"] == "${HF_TOKEN}" and environment["PRICE"] == "5$$"
    assert texts[0].startswith("docker run") and "-e HF_TOKEN " in texts[0]


def test_a_secret_is_taken_from_the_variable_that_holds_it() -> None:
    line, compose, _ = deployment_forms(
        in_a_container(env={"HF_TOKEN": "${OF_THE_HUB}"}, api_key_env="MY_KEY"), Path("/srv")
    )
    assert line.text.startswith('HF_TOKEN="$OF_THE_HUB" API_KEY="$MY_KEY" docker run')
    assert "-e HF_TOKEN " in line.text and "-e API_KEY " in line.text
    environment = yaml.safe_load(compose.text)["services"]["server"]["environment"]
    assert environment["HF_TOKEN"] == "${OF_THE_HUB}" and environment["API_KEY"] == "${MY_KEY}"


def test_files_that_the_engine_reads_are_written_first() -> None:
    spec = base(engines.get("tensorrt-llm"), "docker", "cuda")
    text = deployment_forms(spec, Path("/srv/resources"))[0].text
    assert text.startswith("mkdir -p /srv/servegrid\ncat > /srv/servegrid/") and "\nEOF\ndocker run" in text


def test_another_runtime_has_its_line() -> None:
    (form,) = deployment_forms(SPEC, Path("/srv/resources"))
    assert form.title == "Command" and "/srv/resources/envs/llamacpp" in form.text


def test_several_servers_are_all_started_and_the_balancer_before_them() -> None:
    (form,) = deployment_forms(in_a_container(replicas=2, balancer="nginx"), Path("/srv/resources"))
    assert form.title == "2 servers behind nginx"
    assert form.text.count("docker run") == 2 and "device=GPU-0" in form.text and "device=GPU-1" in form.text
    assert "cat > /srv/servegrid/balancer/nginx.conf" in form.text and form.text.splitlines()[-1].endswith("nginx.conf")


def test_words_with_a_dollar_stay_as_they_are() -> None:
    compose = deployment_forms(in_a_container(options={"chat-template": "a $HOME b"}), Path("/srv"))[1]
    assert "a $$HOME b" in yaml.safe_load(compose.text)["services"]["server"]["command"]
