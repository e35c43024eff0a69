"""Resolve an image's name to its digest on this host, pulling it if needed, and record it.

An image that cannot be had is recorded too, with the reason: the servers that need it become rows, and the sweep goes on.
"""

import argparse
import sys
from pathlib import Path

from servegrid.launch.docker.images import resolve_image


def main() -> None:
    """Read the arguments, resolve the image and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, help="such as vllm/vllm-openai:v0.33.0")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the record")
    arguments = parser.parse_args()
    record = resolve_image(arguments.reference)
    record.write(arguments.out)
    summary = f"no image {record.reference}: {record.error}" if record.error else f"{record.reference} is {record.name}"
    print(summary, file=sys.stderr)


if __name__ == "__main__":
    main()
