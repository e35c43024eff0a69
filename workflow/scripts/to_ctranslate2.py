"""Convert a Hugging Face checkpoint to a CTranslate2 model. Runs in CTranslate2's own environment."""

import argparse
import sys
from pathlib import Path

from servegrid.model.ctranslate2_model import convert


def main() -> None:
    """Read the arguments and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        convert(arguments.checkpoint, arguments.out)
    except ValueError as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
