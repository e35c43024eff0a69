"""`vllm bench serve` without the `vllm` program, which the CPU wheel's name for the package keeps from starting."""

import argparse

from vllm.benchmarks.serve import add_cli_args, main

parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
