"""Fetch a Hugging Face checkpoint from the model hub: the files that engines and converters read."""

import argparse
import sys
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

CHECKPOINT_FILES = ["*.safetensors", "*.json", "*.model"]


def main() -> None:
    """Read the arguments and fetch the checkpoint; an interrupted fetch is continued."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="such as org/model")
    parser.add_argument("--revision", required=True, help="commit or tag")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    arguments = parser.parse_args()
    try:
        snapshot_download(
            arguments.name, revision=arguments.revision, local_dir=arguments.out, allow_patterns=CHECKPOINT_FILES
        )
    except (HfHubHTTPError, OSError) as error:
        sys.exit(f"model {arguments.name} at {arguments.revision} cannot be fetched: {error}")


if __name__ == "__main__":
    main()
