"""Copy a checkpoint without the tokenizer's end token, for servers that cannot be told to ignore it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

EOS_KEYS = {
    "tokenizer_config.json": "eos_token",
    "special_tokens_map.json": "eos_token",
    "generation_config.json": "eos_token_id",
}
"""Where text-generation-inference takes the end token from: the tokenizer's files, or of version 3 a list in the last."""


def copy_without_eos(checkpoint: Path, out: Path) -> None:
    """Write the copy into a new folder: `EOS_KEYS` without their end token, other files as hard links, or copied where that fails.

    Folders are left out, they hold other formats of the model; so are hidden files, which are not of it.

    Raises:
        ValueError: when `checkpoint` is no folder with a config.json, or one of `EOS_KEYS` is no JSON object; names the file.
    """
    if not (checkpoint / "config.json").is_file():
        raise ValueError(f"{checkpoint} is no checkpoint: it has no config.json")
    out.mkdir(parents=True)
    for source in sorted(path for path in checkpoint.glob("[!.]*") if path.is_file()):
        target = out / source.name
        if source.name in EOS_KEYS:
            changed = _config_without(source, EOS_KEYS[source.name])
            target.write_text(json.dumps(changed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            _link_or_copy(source.resolve(), target)


def _config_without(path: Path, key: str) -> dict[str, Any]:
    """Content of a JSON file without the end token `key`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object")
    # null, and not left out: a class of tokenizers has an end token of its own where its file names none
    return (
        {**content, key: None}
        if path.name == "tokenizer_config.json"
        else {k: v for k, v in content.items() if k != key}
    )


def _link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it to another file system; a symbolic link would lead nowhere in a container."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
