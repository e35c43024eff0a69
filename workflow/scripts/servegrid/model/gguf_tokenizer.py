"""Write the tokenizer section of a GGUF file from a tokenizer.json with byte-level BPE."""

from typing import Any

from gguf import GGUFWriter, TokenType

from servegrid.model.checkpoint import Checkpoint, UnsupportedModelError

_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def write_tokenizer(writer: GGUFWriter, checkpoint: Checkpoint) -> None:
    """Write vocabulary, merges, special tokens and chat template.

    Raises:
        UnsupportedModelError: The tokenizer is none that llama.cpp would reproduce from these keys.
    """
    model = checkpoint.tokenizer["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(checkpoint))
    writer.add_token_list(checkpoint.tokens())
    writer.add_token_types(_token_types(checkpoint))
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    if (bos := checkpoint.special_token("bos")) is not None:
        writer.add_bos_token_id(bos)
    if (eos := checkpoint.special_token("eos")) is not None:
        writer.add_eos_token_id(eos)
    writer.add_add_bos_token(_adds_token_in_front(checkpoint.tokenizer.get("post_processor")))
    writer.add_add_eos_token(False)
    _add_chat_template(writer, checkpoint)


def _pre_tokenizer(checkpoint: Checkpoint) -> str:
    """Name of the pre-tokenizer, the split of a text before the merges, as llama.cpp calls it."""
    tokenizer = checkpoint.tokenizer
    model, steps = tokenizer["model"], _pre_tokenizer_steps(tokenizer.get("pre_tokenizer"))
    if model.get("type") != "BPE" or model.get("byte_fallback") or not steps or steps[-1]["type"] != "ByteLevel":
        raise _unsupported(checkpoint, f"the {model.get('type')} tokenizer without a byte-level pre-tokenizer")
    if tokenizer.get("normalizer") is not None or steps[-1].get("add_prefix_space"):
        raise _unsupported(checkpoint, "a tokenizer that changes the text (normalizer, prefix space)")
    whole_words = bool(model.get("ignore_merges", False))
    for name, matches, ignores_merges in (
        ("gpt-2", _is_gpt_2, False),
        ("smollm", _is_smollm, False),
        ("llama-bpe", _is_llama_3, True),
    ):
        if matches(steps) and whole_words == ignores_merges:
            return name
    raise _unsupported(checkpoint, "a pre-tokenizer other than those of GPT-2, SmolLM and Llama 3")


def _is_gpt_2(steps: list[dict[str, Any]]) -> bool:
    return len(steps) == 1 and bool(steps[0].get("use_regex", True))


def _is_smollm(steps: list[dict[str, Any]]) -> bool:
    digits = {"type": "Digits", "individual_digits": True}
    return len(steps) == 2 and steps[0] == digits and bool(steps[1].get("use_regex", True))


def _is_llama_3(steps: list[dict[str, Any]]) -> bool:
    return len(steps) == 2 and steps[0].get("pattern") == {"Regex": _LLAMA_3} and not steps[1].get("use_regex", True)


def _pre_tokenizer_steps(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if pre_tokenizer is None:
        return []
    return list(pre_tokenizer["pretokenizers"]) if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]


def _unsupported(checkpoint: Checkpoint, what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{checkpoint.folder / 'tokenizer.json'}: {what} cannot be converted to GGUF here; supported is byte-level BPE "
        "as in GPT-2, SmolLM and Llama 3. Give a GGUF file instead, made with llama.cpp's own converter"
    )


def _token_types(checkpoint: Checkpoint) -> list[TokenType]:
    added = {token["id"]: bool(token.get("special")) for token in checkpoint.tokenizer.get("added_tokens", [])}
    used_ids = {*checkpoint.tokenizer["model"]["vocab"].values(), *added}
    kinds = {True: TokenType.CONTROL, False: TokenType.USER_DEFINED}
    size = checkpoint.sizes.vocab_size
    return [
        kinds[added[i]] if i in added else TokenType.NORMAL if i in used_ids else TokenType.UNUSED for i in range(size)
    ]


def _adds_token_in_front(post_processor: dict[str, Any] | None) -> bool:
    """Whether encoding puts a special token before the text."""
    if post_processor is None:
        return False
    if post_processor["type"] == "Sequence":
        return any(_adds_token_in_front(step) for step in post_processor["processors"])
    if post_processor["type"] != "TemplateProcessing":
        return False
    template = post_processor["single"]
    return bool(template) and "SpecialToken" in template[0]


def _add_chat_template(writer: GGUFWriter, checkpoint: Checkpoint) -> None:
    template = checkpoint.tokenizer_config.get("chat_template")
    template_file = checkpoint.folder / "chat_template.jinja"
    if template_file.is_file():
        template = template_file.read_text(encoding="utf-8")
    if isinstance(template, str):
        writer.add_chat_template(template)
