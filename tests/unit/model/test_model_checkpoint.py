"""Reading checkpoints of users: what is read, and what is refused with its name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from servegrid.model import gguf_file
from servegrid.model.checkpoint import Checkpoint, UnsupportedModelError
from servegrid.model.folder import replacing_folder

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def linked(tiny_draft: Path, tmp_path: Path) -> Path:
    """A copy of the draft model whose files can be replaced."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in tiny_draft.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def change(path: Path, how: Change) -> None:
    content = json.loads(path.read_text())
    how(content)
    path.unlink()
    path.write_text(json.dumps(content))


def tokenizer_keys(path: Path) -> dict[str, Any]:
    return {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items() if "tokenizer" in key}


def test_tokenizer_section(tiny_draft: Path, tmp_path: Path) -> None:
    gguf_file.convert(tiny_draft, tmp_path / "model.gguf", "q8_0")
    keys = tokenizer_keys(tmp_path / "model.gguf")
    tokenizer = json.loads((tiny_draft / "tokenizer.json").read_text())
    assert (keys["tokenizer.ggml.model"], keys["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert dict(zip(keys["tokenizer.ggml.tokens"], range(4096), strict=True)) == tokenizer["model"]["vocab"]
    assert [merge.split(" ") for merge in keys["tokenizer.ggml.merges"]] == tokenizer["model"]["merges"]
    assert keys["tokenizer.ggml.token_type"] == [3] + [1] * 4095
    assert not keys["tokenizer.ggml.add_bos_token"] and not keys["tokenizer.ggml.add_eos_token"]


def test_a_token_put_in_front_is_put_there_by_gguf_too(linked: Path, tmp_path: Path) -> None:
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}]}
    change(linked / "tokenizer.json", lambda t: t.update(post_processor={"type": "Sequence", "processors": [template]}))
    gguf_file.convert(linked, tmp_path / "model.gguf", "q8_0")
    assert tokenizer_keys(tmp_path / "model.gguf")["tokenizer.ggml.add_bos_token"]


def test_ids_without_a_token_are_filled(linked: Path) -> None:
    change(linked / "config.json", lambda c: c.update(vocab_size=4100))
    assert Checkpoint(linked).tokens()[4095:] == [
        Checkpoint(linked).tokens()[4095],
        *(f"[PAD{i}]" for i in range(4096, 4100)),
    ]


@pytest.mark.parametrize(
    ("how", "message_parts"),
    [
        (lambda c: c.update(architectures=["Qwen2ForCausalLM"]), ["architectures", "Qwen2ForCausalLM"]),
        (lambda c: c.update(attention_bias=True), ["attention_bias", "True"]),
        (lambda c: c.update(rope_scaling={"rope_type": "llama3", "factor": 8.0}), ["rope_type", "llama3"]),
        (lambda c: c.update(rope_parameters={"rope_type": "yarn"}), ["rope_type", "yarn"]),
        (lambda c: c.update(quantization_config={"quant_method": "awq"}), ["quantization_config", "awq"]),
    ],
)
def test_another_model_is_refused(linked: Path, how: Change, message_parts: list[str]) -> None:
    change(linked / "config.json", how)
    with pytest.raises(UnsupportedModelError) as caught:
        Checkpoint(linked)
    assert all(word in str(caught.value) for word in ["config.json", *message_parts])


@pytest.mark.parametrize(
    "how",
    [
        lambda t: t["model"].update(type="Unigram"),
        lambda t: t["model"].update(byte_fallback=True),
        lambda t: t.update(normalizer={"type": "NFC"}),
        lambda t: t["model"].update(ignore_merges=True),
        lambda t: t.update(pre_tokenizer={"type": "Whitespace"}),
        lambda t: t.update(pre_tokenizer=None),
    ],
)
def test_another_tokenizer_is_refused_and_nothing_is_left(linked: Path, tmp_path: Path, how: Change) -> None:
    change(linked / "tokenizer.json", how)
    with pytest.raises(UnsupportedModelError, match=r"tokenizer\.json.*byte-level BPE"):
        gguf_file.convert(linked, tmp_path / "out" / "model.gguf", "f32")
    assert not list((tmp_path / "out").iterdir())


def test_rope_parameters_of_newer_checkpoints(linked: Path) -> None:
    change(linked / "config.json", lambda c: c.update(rope_theta=None, rope_parameters={"rope_theta": 5e5}))
    assert Checkpoint(linked).sizes.rope_theta == 5e5


def stored(path: Path, kind: str, values: bytes, shape: list[int]) -> None:
    header = json.dumps({"x": {"dtype": kind, "shape": shape, "data_offsets": [0, len(values)]}}).encode()
    path.unlink(missing_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + values)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_tensors_of_every_float(linked: Path, kind: str) -> None:
    expected = np.array([[1.5, -2.0], [0.0, 384.0]], dtype=np.float32)  # exact in all three
    shortened = (expected.view(np.uint32) >> 16).astype("<u2")
    content = {"F32": expected, "F16": expected.astype("<f2"), "BF16": shortened}[kind].tobytes()
    stored(linked / "model.safetensors", kind, content, [2, 2])
    assert np.array_equal(Checkpoint(linked).tensor("x"), expected)
    assert Checkpoint(linked).tied, "without an output head the embeddings serve as one"


@pytest.mark.parametrize(
    ("stored_as", "quantization", "expected"),
    [
        ("F32", "own", "F32"),
        ("F16", "own", "F16"),
        ("BF16", "own", "BF16"),
        ("BF16", "own_f16", "F16"),
        ("F32", "own_f16", "F32"),
    ],
)
def test_a_converted_file_keeps_the_checkpoints_own_type(
    linked: Path, tmp_path: Path, stored_as: str, quantization: str, expected: str
) -> None:
    written = Checkpoint(linked).tensors
    arrays = {name: tensor.read() for name, tensor in written.items()}
    half = {
        "F32": lambda x: x,
        "F16": lambda x: x.astype("<f2"),
        "BF16": lambda x: (x.view(np.uint32) >> 16).astype("<u2"),
    }
    contents, header, place = [], {}, 0
    for name, array in arrays.items():
        contents.append(half[stored_as](array).tobytes())
        header[name] = {"dtype": stored_as, "shape": array.shape, "data_offsets": [place, place + len(contents[-1])]}
        place += len(contents[-1])
    head = json.dumps(header).encode()
    (linked / "model.safetensors").unlink()
    (linked / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + b"".join(contents))
    gguf_file.convert(linked, tmp_path / "own.gguf", quantization)
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "own.gguf").tensors}
    assert types["token_embd.weight"] == types["blk.0.attn_q.weight"] == expected


def test_tensors_of_integers_are_refused(linked: Path) -> None:
    stored(linked / "model.safetensors", "I8", b"1234", [4])
    with pytest.raises(UnsupportedModelError, match="I8"):
        Checkpoint(linked).tensor("x")
    with pytest.raises(UnsupportedModelError, match=r"lacks the tensor model\.norm\.weight"):
        Checkpoint(linked).tensor("model.norm.weight")


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"has no config\.json"):
        Checkpoint(tmp_path)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with replacing_folder(target) as beside:
        (beside / "a").write_text("one")
    with pytest.raises(ZeroDivisionError), replacing_folder(target) as beside:
        (beside / "a").write_text("two")
        raise ZeroDivisionError
    assert (target / "a").read_text() == "one"
    with replacing_folder(target) as beside:
        (beside / "b").write_text("three")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["target"], "nothing is left beside it"
