"""The built-in model is the same to the byte everywhere, and its formats say the same."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from isolation import REPOSITORY
from servegrid.model import builtin, gguf_file
from servegrid.model.checkpoint import UnsupportedModelError
from servegrid.model.identity import revision_of
from servegrid.model.language import language
from servegrid.prompts.word_source import word_source_for

SCRIPTS = REPOSITORY / "workflow" / "scripts"


def test_the_same_bytes_again(tiny_model: Path, tiny_draft: Path) -> None:
    """`build` refuses other bytes than those pinned; that the pins are of this content is checked here."""
    for folder, pins in ((tiny_model, builtin.PINS), (tiny_draft, builtin.DRAFT_PINS)):
        digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in pins}
        assert digests == dict(pins)


@pytest.mark.slow
def test_the_same_bytes_on_an_older_cpu(tmp_path: Path) -> None:
    """Without the vector instructions that numpy picks where it finds them; the command fails on other bytes."""
    dispatched = [feature for feature in __cpu_dispatch__ if __cpu_features__.get(feature)]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(dispatched)}
    command = [sys.executable, SCRIPTS / "build_model.py", "--draft", "--out", tmp_path / "draft"]
    subprocess.run(command, env=environment, check=True)
    assert (tmp_path / "draft" / "model.safetensors").is_file()


def test_other_bytes_are_refused_and_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "DRAFT_PINS", dict(builtin.DRAFT_PINS) | {"config.json": "0000"})
    with pytest.raises(builtin.BuildError, match="0000 is pinned"):
        builtin.build_draft(tmp_path / "draft")
    assert not list(tmp_path.iterdir())


def test_sizes(tiny_model: Path, tiny_draft: Path) -> None:
    count = {
        path: sum(tensor.size for tensor in load_file(path / "model.safetensors").values())
        for path in (tiny_model, tiny_draft)
    }
    assert 20e6 < count[tiny_model] < 40e6
    assert count[tiny_draft] < count[tiny_model] / 5
    assert (tiny_draft / "tokenizer.json").read_text() == (tiny_model / "tokenizer.json").read_text()


def test_any_text_survives_the_tokenizer(tiny_model: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    text = "Zwölf Boxkämpfer, naïve 12.5 % \N{SNOWMAN}\n\tend"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_words_follow_each_other_by_the_table(tiny_model: Path) -> None:
    source = word_source_for(tiny_model / "tokenizer.json")
    tokens = Tokenizer.from_file(str(tiny_model / "tokenizer.json")).encode(" " + " ".join(source.words("a", 200))).ids
    assert len(tokens) == 200, "every word is one token"
    assert all(after in language().successors[before] for before, after in pairwise(tokens))


@pytest.mark.parametrize("quantization", gguf_file.QUANTIZATIONS)
def test_gguf_holds_the_same_weights(tiny_draft: Path, tmp_path: Path, quantization: str) -> None:
    gguf_file.convert(tiny_draft, tmp_path / "model.gguf", quantization)
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    original = load_file(tiny_draft / "model.safetensors")["lm_head.weight"]
    stored = gguf.dequantize(tensors["output.weight"].data, tensors["output.weight"].tensor_type).reshape(
        original.shape
    )
    error = float(np.abs(stored - original).mean() / np.abs(original).mean())
    assert error < {"f32": 1e-9, "f16": 1e-3, "bf16": 1e-2, "q8_0": 0.02}.get(quantization, 0.15)
    assert tensors["output_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32


def test_gguf_is_the_same_to_the_byte(tiny_draft: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        gguf_file.convert(tiny_draft, tmp_path / name, "q8_0")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_cannot_be_converted_is_said(tiny_draft: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="q4_k_m"):
        gguf_file.convert(tiny_draft, tmp_path / "x", "q4_k_m")
    shutil.copytree(tiny_draft, tmp_path / "other")
    config = json.loads((tiny_draft / "config.json").read_text()) | {"architectures": ["MambaForCausalLM"]}
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match="MambaForCausalLM"):
        gguf_file.convert(tmp_path / "other", tmp_path / "x", "f32")
    assert not (tmp_path / "x").exists()


def test_identity_of_a_users_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    big = tmp_path / "model.safetensors"
    big.write_bytes(bytes(6 * 2**20))
    first = revision_of(tmp_path)
    assert first == revision_of(tmp_path)
    big.write_bytes(bytes(6 * 2**20 - 1) + b"x")
    assert revision_of(tmp_path) != first
    with pytest.raises(FileNotFoundError, match="nowhere"):
        revision_of(tmp_path / "nowhere")
