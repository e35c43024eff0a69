"""Answer the article's four questions from the rows, measured and published."""

import argparse
from collections.abc import Sequence
from pathlib import Path

DEVICES = Path(__file__).resolve().parents[2] / "config" / "published" / "devices.csv"


def main(argv: Sequence[str] | None = None) -> None:
    """Write `<out>/questions.json` and `.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, required=True, help="results/points.parquet or .csv")
    parser.add_argument("--sessions", type=Path, required=True, help="results/sessions.parquet")
    parser.add_argument("--config", type=Path, required=True, help="the resolved config")
    parser.add_argument("--devices", type=Path, default=DEVICES, help="table of device facts")
    parser.add_argument("--out", type=Path, required=True, help="folder for the answers")
    args = parser.parse_args(argv)
    write_answers(args.points, args.sessions, args.config, args.devices, args.out)


def write_answers(points: Path, sessions: Path, config_path: Path, devices: Path, out: Path) -> None:
    """Answer the questions and write both formats, each file whole or not at all."""
    from servegrid.config import load_config
    from servegrid.plan.grid import Grid
    from servegrid.plan.resolve import resolve
    from servegrid.report.evidence import Evidence
    from servegrid.report.judge.model_size import model_size
    from servegrid.report.judge.questions import answer_questions, as_data, as_markdown
    from servegrid.report.judge.roofline import read_devices
    from servegrid.report.result_table import ResultTable
    from servegrid.util.files import write_atomic, write_json

    config = load_config(config_path)
    resources = Path(config.pathvars.resources)
    grid_points = Grid(
        config, resolve(config)
    ).points  # those of absent devices too, which another host may have measured
    servers = {
        point.server.id: point.server.spec
        for point in grid_points
        if not point.skip or point.skip.status != "unsupported"
    }
    sizes = {server: model_size(spec, resources) for server, spec in servers.items()}
    evidence = Evidence.of(ResultTable.read(points, config_path, sessions))
    answers = answer_questions(evidence, read_devices(devices), sizes)
    write_json(out / "questions.json", as_data(answers))
    write_atomic(out / "questions.md", as_markdown(answers))


if __name__ == "__main__":
    main()
