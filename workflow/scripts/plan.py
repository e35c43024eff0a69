"""Print what a sweep would do: its points and sessions, what is skipped and why, what is measured already, how long it takes."""

import argparse
import json

from servegrid.config import parse_config
from servegrid.consult.preview import plan_text
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import resolve


def main() -> None:
    """Read the arguments and print the plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="the whole config, as JSON")
    config = parse_config(parser.parse_args().config)
    print(plan_text(Grid(config, resolve(config))))


if __name__ == "__main__":
    main()
