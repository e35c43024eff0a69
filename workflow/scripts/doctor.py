"""Check what this config needs on this host, and say how to mend each miss; exit status 1 if a sweep would fail."""

import argparse
import json
import sys

from servegrid.config import parse_config
from servegrid.consult.doctor import check_host
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import resolve


def main() -> int:
    """Read the arguments and print the findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="the whole config, as JSON")
    config = parse_config(parser.parse_args().config)
    findings = check_host(Grid(config, resolve(config)))
    print("\n".join(map(str, findings)))
    return int(any(finding.state == "miss" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
