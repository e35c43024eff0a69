"""Write a Hugging Face checkpoint of the Llama architecture as a CTranslate2 model; needs CTranslate2's environment."""

import argparse
from pathlib import Path

from servegrid.model import ctranslate2_model
from servegrid.model.checkpoint import UnsupportedModelError


def main() -> None:
    """Read the arguments and convert the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder with config.json and safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder of the CTranslate2 model")
    arguments = parser.parse_args()
    try:
        ctranslate2_model.convert(arguments.checkpoint, arguments.out)
    except UnsupportedModelError as error:
        parser.exit(1, f"to_ctranslate2: {error}\n")


if __name__ == "__main__":
    main()
