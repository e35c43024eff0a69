"""Ways to start a recommended server by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from test_engines import SPEC, base

from servegrid import engines
from servegrid.deploy import forms
from servegrid.engines.base import ServerSpec


def in_a_container(**changes: Any) -> ServerSpec:
    spec = base(engines.get("tgi"), "docker", "cuda")
    return replace(spec, **changes)


def test_a_container_has_a_line_a_compose_file_and_its_own_words() -> None:
    line, compose, own = forms(in_a_container(), Path("/srv/resources"))
    assert line.text.startswith("docker run --rm --init") and own.text in line.text
    service = yaml.safe_load(compose.text)["services"]["server"]
    assert service["image"] in line.text and service["init"] is True
    assert "127.0.0.1:8080:80" in service["ports"]
    device = service["deploy"]["resources"]["reservations"]["devices"][0]
    assert device["device_ids"] == ["GPU-0", "GPU-1"] and device["capabilities"] == ["gpu"]


def test_secrets_are_named_and_not_told() -> None:
    texts = [form.text for form in forms(in_a_container(env={"HF_TOKEN": "hidden", "PRICE": "5$"}), Path("/srv"))]
    assert not any("hidden" in text for text in texts)
    environment = yaml.safe_load(texts[1])["services"]["server"]["environment"]
    assert environment["HF_TOKEN"] == "${HF_TOKEN}" and environment["PRICE"] == "5$$"


def test_files_that_the_engine_reads_are_written_first() -> None:
    spec = base(engines.get("tensorrt-llm"), "docker", "cuda")
    text = forms(spec, Path("/srv/resources"))[0].text
    assert text.startswith("mkdir -p /srv/servegrid\ncat > /srv/servegrid/") and "\nEOF\ndocker run" in text


def test_another_runtime_has_its_line() -> None:
    (form,) = forms(SPEC, Path("/srv/resources"))
    assert form.title == "Command" and "/srv/resources/envs/llamacpp" in form.text
