"""Write the tables of the config's points, of their sessions and of their latencies' distributions, from raw records."""

import argparse
from pathlib import Path

import pyarrow as pa

from servegrid.collect.tables import collect
from servegrid.config import load_config
from servegrid.plan.grid import Grid
from servegrid.plan.resolve import resolve
from servegrid.records.schema import write_table
from servegrid.util.files import replacing, write_atomic


def main() -> None:
    """Collect the tables of the config in the arguments and write them: points as CSV too, the others as Parquet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--parquet", type=Path, required=True)
    parser.add_argument("--sessions", type=Path, required=True, help="one row per point and session, as Parquet")
    parser.add_argument("--distributions", type=Path, required=True, help="percentiles of latencies, as Parquet")
    parser.add_argument("--token", required=True, help="names this collection; see Sweep.collect_token")
    parser.add_argument("--token-file", type=Path, required=True)
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    collected = collect(Grid(config, resolve(config)), Path(config.pathvars.results))
    with replacing(arguments.csv) as beside:
        collected.points.to_csv(beside, index=False)
    paths = arguments.parquet, arguments.sessions, arguments.distributions
    for path, frame in zip(paths, (collected.points, collected.sessions, collected.distributions), strict=True):
        write_table(path, pa.Table.from_pandas(frame, preserve_index=False))
    write_atomic(arguments.token_file, f"{arguments.token}\n")


if __name__ == "__main__":
    main()
