"""Write a Hugging Face checkpoint of the Llama architecture as a GGUF file."""

import argparse
from pathlib import Path

from servegrid.model import gguf_file
from servegrid.model.checkpoint import UnsupportedModelError


def main() -> None:
    """Read the arguments and convert the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder with config.json and safetensors")
    parser.add_argument(
        "--quantization", default="f32", help=", ".join((*gguf_file.QUANTIZATIONS, *gguf_file.OWN_TYPES))
    )
    parser.add_argument("--out", type=Path, required=True, help="the GGUF file")
    arguments = parser.parse_args()
    try:
        gguf_file.convert(arguments.checkpoint, arguments.out, arguments.quantization)
    except UnsupportedModelError as error:
        parser.exit(1, f"to_gguf: {error}\n")


if __name__ == "__main__":
    main()
