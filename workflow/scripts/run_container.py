"""Run one container, as its folder describes it, until it ends or this program is stopped; started under the guard."""

import argparse
import sys
from pathlib import Path

from servegrid.launch.docker.keeper import ContainerKeeper


def main() -> int:
    """Read the arguments, run the container, and exit with its status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="where container.json lies; started.json and ended.json are written there"
    )
    parser.add_argument("stop_timeout_s", type=float, help="seconds that the server may take to stop by itself")
    arguments = parser.parse_args()
    return ContainerKeeper(arguments.folder, arguments.stop_timeout_s).run()


if __name__ == "__main__":
    sys.exit(main())
