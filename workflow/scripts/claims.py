"""Judge the claims of the config by the rows, measured and published, and write the rulings."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    """Write `<out>/claims.json`, `.csv`, `.md` and `.html`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=Path, required=True, help="results/points.parquet or .csv")
    parser.add_argument("--sessions", type=Path, required=True, help="results/sessions.parquet")
    parser.add_argument("--config", type=Path, required=True, help="the resolved config")
    parser.add_argument("--out", type=Path, required=True, help="folder for the verdicts")
    args = parser.parse_args(argv)
    write_claims(args.points, args.sessions, args.config, args.out)


def write_claims(points: Path, sessions: Path, config_path: Path, out: Path) -> None:
    """Judge every claim by the rows of every source and write the rulings, each file whole or not at all."""
    from servegrid.config import load_config
    from servegrid.report.evidence import Evidence
    from servegrid.report.judge.claim_rulings import as_data, as_table
    from servegrid.report.judge.claims import judge_claim
    from servegrid.report.result_table import ResultTable
    from servegrid.report.tables.write import to_csv, to_html, to_markdown
    from servegrid.util.files import write_atomic, write_json

    evidence = Evidence.of(ResultTable.read(points, config_path, sessions))
    claims = load_config(config_path).claims
    rulings = [judge_claim(claim, evidence, source) for claim in claims for source in evidence.sources]
    table = as_table(rulings, evidence, evidence.settings.title)
    write_json(out / "claims.json", as_data(rulings, evidence))
    for name, render in (("csv", to_csv), ("md", to_markdown), ("html", to_html)):
        write_atomic(out / f"claims.{name}", render(table))


if __name__ == "__main__":
    main()
