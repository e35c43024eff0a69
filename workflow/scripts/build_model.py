"""Build the built-in model, or its draft model, as a Hugging Face checkpoint."""

import argparse
from pathlib import Path

from servegrid.model import builtin


def main() -> None:
    """Read the arguments and build the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draft", action="store_true", help="build the smaller model that drafts for the main one")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    arguments = parser.parse_args()
    try:
        (builtin.build_draft if arguments.draft else builtin.build)(arguments.out)
    except builtin.BuildError as error:
        parser.exit(1, f"build_model: {error}\n")


if __name__ == "__main__":
    main()
