"""Make a prompt set on this machine: a JSONL file, one prompt a line, the same for the same arguments everywhere."""

import argparse
import sys
from pathlib import Path

from servegrid.prompts import files, word_source
from servegrid.prompts.generate import generate_prompts
from servegrid.prompts.length_distribution import LengthDistribution


def main() -> None:
    """Read the arguments and write the prompt set."""
    arguments = _parser().parse_args()
    mean = arguments.input_mean
    minimum = max(1, mean // 4) if arguments.input_min is None else arguments.input_min
    maximum = 4 * mean if arguments.input_max is None else arguments.input_max
    try:
        source = word_source.word_source_for(arguments.tokenizer)
        output_lengths = LengthDistribution.parse(arguments.output_tokens) if arguments.output_tokens else None
        prompts = generate_prompts(
            arguments.count, LengthDistribution(mean, minimum, maximum), output_lengths, arguments.seed, source
        )
    except (ValueError, OSError) as error:
        sys.exit(f"build_prompts: {error}")
    files.write_prompts(arguments.out, prompts)
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
