"""Coverage-guided fuzzing of how answers are read: bytes, framing, events, protocols, record.

The fuzzer is no part of the development environment; it is locked apart, in envs/fuzz.txt. From the repository's root:

    .venv/bin/python -m pip install --no-deps --require-hashes -r envs/fuzz.txt
    mkdir -p /tmp/found
    .venv/bin/python tests/fuzz/fuzz_answer.py /tmp/found tests/fuzz/corpus -dict=tests/fuzz/answer.dict \\
        -max_len=700 -max_total_time=300 -artifact_prefix=/tmp/found/

It stops at the first case that does harm and writes it to /tmp/found/crash-<SHA-1>: that case belongs into tests/fuzz/corpus,
under its SHA-1 alone. What else is new in /tmp/found is added, as far as it covers more than the corpus does, by

    .venv/bin/python tests/fuzz/fuzz_answer.py -merge=1 tests/fuzz/corpus /tmp/found

tests/unit/test_fuzz_corpus.py replays the corpus without the fuzzer; cases.py says how a case is written.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "workflow" / "scripts"), str(_ROOT / "tests")]


def main() -> None:
    """Fuzz, with the options of libFuzzer."""
    with atheris.instrument_imports(include=["servegrid"]):
        from fuzz import cases
    # to merge, libFuzzer runs itself again, by its first argument and the shell
    atheris.Setup([f"{sys.executable} {sys.argv[0]}", *sys.argv[1:]], cases.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
