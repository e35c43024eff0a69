"""Convert a Hugging Face checkpoint to a GGUF file."""

import argparse
import sys
from pathlib import Path

from servegrid.model.gguf_file import QUANTIZATIONS, Unsupported, convert


def main() -> None:
    """Read the arguments and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--quantization", required=True, choices=QUANTIZATIONS)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        convert(arguments.checkpoint, arguments.out, arguments.quantization)
    except Unsupported as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
