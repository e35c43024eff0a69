"""Reads what `snakemake --lint` prints from standard input; ends with status 1 if anything is to be mended, and prints it.

One lint does not apply: rules name no conda environment or container, because everything runs in environments that are
locked with hashes and built by `make` and by the workflow itself.
"""

import re
import sys

NOT_HERE = "Specify a conda environment or container for each rule."

if __name__ == "__main__":
    text = sys.stdin.read()
    found = re.findall(r"^Lints for .*|^    \* .*", text, re.MULTILINE)
    place, lints = "", []
    for line in found:
        place = line if line.startswith("Lints") else place
        if line.startswith("    *") and NOT_HERE not in line:
            lints.append(f"{place}{line}")
    print("\n".join(lints) or ("snakemake --lint: nothing but the missing conda environments" if found else text))
    sys.exit(bool(lints) or not found)
