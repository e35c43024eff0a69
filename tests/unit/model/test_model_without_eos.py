"""The copy of a checkpoint that no server ends early with."""

import json
from pathlib import Path

import pytest

from servegrid.model import without_eos


def test_the_copy_has_all_but_the_end_token(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "models" / "copy"
    without_eos.copy_without_eos(tiny_model, copy)
    assert {path.name for path in copy.iterdir()} == {path.name for path in tiny_model.iterdir()}
    assert json.loads((tiny_model / "tokenizer_config.json").read_text())["eos_token"] is not None
    assert json.loads((copy / "tokenizer_config.json").read_text())["eos_token"] is None
    assert "eos_token_id" not in json.loads((copy / "generation_config.json").read_text())
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        assert (copy / name).read_bytes() == (tiny_model / name).read_bytes()


def test_weights_are_not_written_twice(tiny_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "checkpoint"
    source.mkdir()
    for path in tiny_model.iterdir():
        (source / path.name).symlink_to(path)  # as in the cache of a hub
    (source / "weights.safetensors").write_bytes(b"w")
    without_eos.copy_without_eos(source, tmp_path / "copy")
    assert (tmp_path / "copy" / "weights.safetensors").samefile(source / "weights.safetensors")
    assert not any(path.is_symlink() for path in (tmp_path / "copy").iterdir())


def test_everything_but_the_end_token_stays(tmp_path: Path) -> None:
    source = tmp_path / "checkpoint"
    (source / "original").mkdir(parents=True)
    (source / "config.json").write_text('{"eos_token_id": 2}')
    (source / ".snakemake_timestamp").touch()
    (source / "special_tokens_map.json").write_text('{"eos_token": {"content": "</s>"}, "unk_token": "ü"}')
    (source / "generation_config.json").write_text('{"eos_token_id": [1, 2], "temperature": 0.6}')
    without_eos.copy_without_eos(source, tmp_path / "copy")
    files = {path.name: json.loads(path.read_text()) for path in (tmp_path / "copy").iterdir()}
    assert files == {
        "config.json": {"eos_token_id": 2},
        "special_tokens_map.json": {"unk_token": "ü"},
        "generation_config.json": {"temperature": 0.6},
    }


@pytest.mark.parametrize(("name", "text"), [("tokenizer_config.json", "{"), ("generation_config.json", "[]")])
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name} is not"):
        without_eos.copy_without_eos(tmp_path, tmp_path / "copy")


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is no checkpoint: it has no config\.json"):
        without_eos.copy_without_eos(tmp_path, tmp_path / "copy")
