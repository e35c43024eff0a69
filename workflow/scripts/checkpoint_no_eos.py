"""Write a copy of a Hugging Face checkpoint whose tokenizer knows no end token; the weights are linked, not copied."""

import argparse
from pathlib import Path

from servegrid.model import without_eos


def main() -> None:
    """Read the arguments and write the copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder with config.json and safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder of the copy")
    arguments = parser.parse_args()
    try:
        without_eos.copy_without_eos(arguments.checkpoint, arguments.out)
    except (OSError, ValueError) as error:
        parser.exit(1, f"checkpoint_no_eos: {error}\n")


if __name__ == "__main__":
    main()
