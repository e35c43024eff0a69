"""Write config/README.md, and the parts of docs/results.md and docs/engines.md that are generated from the code."""

from servegrid.consult.reference import pages
from servegrid.util.files import REPOSITORY, write_atomic

if __name__ == "__main__":
    for path, text in pages(REPOSITORY).items():
        write_atomic(path, text)
