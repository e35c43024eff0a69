"""What a server's model weighs, where its files say it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter
from safetensors.numpy import save_file

from data.results import made_grid
from servegrid.engines.base import ServerSpec
from servegrid.launch.command_line import needed_files
from servegrid.report.judge.model_size import ModelSize, model_size


def spec(engine: str = "ctranslate2", **server: Any) -> ServerSpec:
    engines = {engine: {"runtime": "venv"}}
    return made_grid(engines=engines, grid={"engine": [engine], "threads": [1]}, server=server).points[0].server.spec


def checkpoint(folder: Path, **config: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"a": np.zeros((4, 5), np.float32), "b": np.zeros(7, np.float32)}, folder / "model.safetensors")


def test_parameters_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    server = spec(prefix_cache=True)
    checkpoint(tmp_path / server.model.checkpoint, hidden_size=8)
    assert model_size(server, tmp_path) == ModelSize(None, 27, prompts_cached=True)
    assert model_size(spec(), tmp_path) == ModelSize(None, 27)


@pytest.mark.parametrize("key", ["num_local_experts", "n_routed_experts", "num_experts"])
def test_of_a_mixture_of_experts_nothing_is_known(tmp_path: Path, key: str) -> None:
    server = spec()
    checkpoint(tmp_path / server.model.checkpoint, **{key: 8})
    assert model_size(server, tmp_path) == ModelSize()
    (tmp_path / server.model.checkpoint / "config.json").write_text(json.dumps({"text_config": {key: 8}}))
    assert model_size(server, tmp_path) == ModelSize()


@pytest.mark.parametrize("experts", [0, 8])
def test_a_gguf_file_says_itself_whether_it_has_experts(tmp_path: Path, experts: int) -> None:
    server = spec("llamacpp")
    path = needed_files(server, tmp_path)["model"]
    path.parent.mkdir(parents=True)
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    if experts:
        writer.add_expert_count(experts)
    writer.add_tensor("a", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert model_size(server, tmp_path).weights_bytes == (None if experts else path.stat().st_size)
