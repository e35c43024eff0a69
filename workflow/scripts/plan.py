"""Say what a sweep would do: its points and sessions, what is skipped and why, what is there already, how long it takes."""

import argparse
from pathlib import Path

from servegrid.config import load_config
from servegrid.facts import gather
from servegrid.grid import Grid
from servegrid.plan import plan


def main() -> None:
    """Read the arguments and print the plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the resolved config")
    config = load_config(parser.parse_args().config)
    print(plan(Grid(config, gather(config))))


if __name__ == "__main__":
    main()
