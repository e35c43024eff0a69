"""Generate a prompt set, with lengths counted by the model's own tokenizer."""

import argparse
from pathlib import Path

from servegrid.prompts.files import write_prompts
from servegrid.prompts.generate import generated


def main() -> None:
    """Read the arguments and write the set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json of the model")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--input-mean", type=int, required=True, help="tokens")
    parser.add_argument("--input-max", type=int, required=True, help="tokens")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    mean, longest = arguments.input_mean, arguments.input_max
    write_prompts(arguments.out, generated(arguments.tokenizer, arguments.count, mean, longest, arguments.seed))


if __name__ == "__main__":
    main()
