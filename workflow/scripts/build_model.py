"""Build the built-in model or its draft model, or fetch a model from the hub."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Read the arguments; the folder appears whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--builtin", choices=("model", "draft"))
    what.add_argument("--hub", metavar="NAME")
    parser.add_argument("--revision", help="commit or tag, for --hub")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.hub:
        _fetch(arguments.hub, arguments.revision, arguments.out)
    else:
        _build(arguments.builtin, arguments.out)


def _build(which: str, out: Path) -> None:
    from servegrid.model import builtin

    build = builtin.build if which == "model" else builtin.build_draft
    build(out)


def _fetch(name: str, revision: str, out: Path) -> None:
    """Fetch the files that the engines and converters read; broken off, it goes on where it was."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        snapshot_download(name, revision=revision, local_dir=out, allow_patterns=["*.safetensors", "*.json", "*.model"])
    except (HfHubHTTPError, OSError) as error:
        sys.exit(f"model {name} at {revision} cannot be fetched: {error}")


if __name__ == "__main__":
    main()
