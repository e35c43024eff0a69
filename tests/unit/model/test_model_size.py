"""What a server's model weighs, where its files say it."""

import json
from dataclasses import replace
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


def checkpoint(folder: Path, head: bool = True, **config: Any) -> None:
    """A checkpoint of 27 parameters beside a vocabulary of 3 tokens in 4 dimensions, with a head or with the vocabulary as head."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {"model.a": np.zeros((4, 5), np.float32), "model.b": np.zeros(7, np.float32)}
    tensors["model.embed_tokens.weight"] = np.zeros((3, 4), np.float32)
    save_file(
        tensors | ({"lm_head.weight": np.zeros((3, 4), np.float32)} if head else {}), folder / "model.safetensors"
    )


@pytest.mark.parametrize("head", [True, False])
def test_parameters_are_those_of_the_checkpoint_without_embeddings(tmp_path: Path, head: bool) -> None:
    server = spec(prefix_cache=True)
    checkpoint(tmp_path / server.model.checkpoint, head, hidden_size=8)
    assert model_size(server, tmp_path) == ModelSize(None, 27, 27 + 12, prompts_cached=True), "a step reads the head"
    assert model_size(spec(), tmp_path) == ModelSize(None, 27, 27 + 12)
    assert model_size(replace(server, quantization="int8"), tmp_path).read_parameters is None


@pytest.mark.parametrize("key", ["num_local_experts", "n_routed_experts", "num_experts"])
def test_of_a_mixture_of_experts_nothing_is_known(tmp_path: Path, key: str) -> None:
    server = spec()
    checkpoint(tmp_path / server.model.checkpoint, **{key: 8})
    assert model_size(server, tmp_path) == ModelSize()
    (tmp_path / server.model.checkpoint / "config.json").write_text(json.dumps({"text_config": {key: 8}}))
    assert model_size(server, tmp_path) == ModelSize()


@pytest.mark.parametrize(("experts", "head"), [(0, True), (0, False), (8, True)])
def test_a_gguf_file_says_itself_whether_it_has_experts_and_what_a_step_reads(
    tmp_path: Path, experts: int, head: bool
) -> None:
    server = spec("llamacpp")
    path = needed_files(server, tmp_path)["model"]
    path.parent.mkdir(parents=True)
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    if experts:
        writer.add_expert_count(experts)
    for name in ("a", "token_embd.weight", *(["output.weight"] if head else [])):
        writer.add_tensor(name, np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert model_size(server, tmp_path).weights_bytes == (None if experts else 2 * 32 * 4)
