"""Make a prompt set on this machine: a JSONL file, one prompt a line, the same for the same arguments everywhere."""

import argparse
import sys
from pathlib import Path

from servegrid.prompts import files, words
from servegrid.prompts.generate import generate
from servegrid.prompts.spread import Spread


def main() -> None:
    """Command line."""
    arguments = _parser().parse_args()
    source = words.source_for(arguments.tokenizer)
    shortest, longest = max(1, arguments.input_mean // 4), 4 * arguments.input_mean
    try:
        input_tokens = Spread(arguments.input_mean, arguments.input_min or shortest, arguments.input_max or longest)
        output_tokens = Spread.parse(arguments.output_tokens) if arguments.output_tokens else None
        prompts = generate(arguments.count, input_tokens, output_tokens, arguments.seed, source)
    except ValueError as error:
        sys.exit(f"build_prompts: {error}")
    files.write(arguments.out, prompts)
    if source.note:
        print(f"build_prompts: {source.note}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tokenizer", type=Path, help="tokenizer.json of the model; without it lengths are approximate"
    )
    parser.add_argument("--count", type=int, required=True, help="how many prompts")
    parser.add_argument("--input-mean", type=int, required=True, help="mean length in tokens")
    parser.add_argument("--input-min", type=int, help="a quarter of the mean unless given")
    parser.add_argument("--input-max", type=int, help="four times the mean unless given")
    parser.add_argument("--output-tokens", help="max_tokens: a number, or mean:minimum:maximum; none unless given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="the JSONL file")
    return parser


if __name__ == "__main__":
    main()
