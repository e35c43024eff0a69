"""A copy of a checkpoint whose tokenizer knows no end token, for servers that cannot be told to ignore it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

ENDS = {
    "tokenizer_config.json": "eos_token",
    "special_tokens_map.json": "eos_token",
    "generation_config.json": "eos_token_id",
}
"""Where text-generation-inference takes the end token from: the tokenizer's files, or of version 3 a list in the last."""


def make(checkpoint: Path, out: Path) -> None:
    """Write the copy into a new folder: `ENDS` without their end token, the other files by hard link, or copied where that cannot be.

    Folders are left out, they hold other formats of the model; so are hidden files, which are not of it.

    Raises:
        ValueError: when `checkpoint` is no folder with a config.json, or one of `ENDS` is no JSON object; names the file.
    """
    if not (checkpoint / "config.json").is_file():
        raise ValueError(f"{checkpoint} is no checkpoint: it has no config.json")
    out.mkdir(parents=True)
    for source in sorted(path for path in checkpoint.glob("[!.]*") if path.is_file()):
        target = out / source.name
        if source.name in ENDS:
            changed = _without(source, ENDS[source.name])
            target.write_text(json.dumps(changed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            _place(source.resolve(), target)


def _without(path: Path, key: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is not a JSON object")
    # null, and not left out: a class of tokenizers has an end token of its own where its file names none
    return (
        {**found, key: None} if path.name == "tokenizer_config.json" else {k: v for k, v in found.items() if k != key}
    )


def _place(source: Path, target: Path) -> None:
    """A link into another folder would lead nowhere in a container."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
