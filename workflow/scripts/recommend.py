"""Recommend the setting that is best for the objective of the config, and write the command that starts it."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servegrid.launch.deploy import DeploymentForm


def main(argv: Sequence[str] | None = None) -> None:
    """Write `<out>/recommendation.json`, `.md` and `.sh`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, required=True, help="results/points.parquet or .csv")
    parser.add_argument("--sessions", type=Path, required=True, help="results/sessions.parquet")
    parser.add_argument("--config", type=Path, required=True, help="the resolved config")
    parser.add_argument("--out", type=Path, required=True, help="folder for the recommendation")
    args = parser.parse_args(argv)
    write_recommendation(args.points, args.sessions, args.config, args.out)


def write_recommendation(points: Path, sessions: Path, config_path: Path, out: Path) -> None:
    """Choose the setting and write it in all formats, each file whole or not at all."""
    from servegrid.report.evidence import Evidence
    from servegrid.report.judge.recommendation import recommend
    from servegrid.report.judge.recommendation_text import as_data, as_markdown
    from servegrid.report.result_table import ResultTable
    from servegrid.util.files import write_atomic, write_json

    # what was not measured here is not recommended
    evidence = Evidence.of(ResultTable.read(points, config_path, sessions, published=False))
    recommendation = recommend(evidence)
    server_id = None if recommendation.row is None else str(evidence.rows["server_id"].iloc[recommendation.row])
    forms = [] if server_id is None else _launch_forms(server_id, config_path)
    command = forms[0].text if forms else None
    write_json(out / "recommendation.json", as_data(recommendation, evidence, forms))
    write_atomic(out / "recommendation.md", as_markdown(recommendation, evidence, command))
    write_atomic(out / "recommendation.sh", f"#!/bin/sh\n{command or '# nothing to recommend'}\n")


def _launch_forms(server_id: str, config_path: Path) -> "list[DeploymentForm]":
    """Commands and files that start the server, with absolute paths; none if the config no longer has it."""
    from servegrid.config import load_config
    from servegrid.launch.deploy import deployment_forms
    from servegrid.plan.grid import Grid
    from servegrid.plan.resolve import resolve

    config = load_config(config_path)
    servers = {point.server.id: point.server for point in Grid(config, resolve(config)).points}
    server = servers.get(server_id)
    return deployment_forms(server.spec, Path(config.pathvars.resources).absolute()) if server else []


if __name__ == "__main__":
    main()
