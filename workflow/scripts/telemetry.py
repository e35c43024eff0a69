"""Sample hardware and server metrics beside a measurement; started and controlled by servegrid.telemetry."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from servegrid.telemetry.sidecar import Sidecar


class WithoutPandas(MetaPathFinder):
    """Import hook that hides pandas and numpy, which pyarrow would import: half a second of CPU that the server should have."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """None, to let other finders go on; raise ModuleNotFoundError for pandas and numpy."""

        if name in ("pandas", "numpy"):
            raise ModuleNotFoundError(f"{name} is not needed here", name=name)
        return None


def main() -> int:
    """Run the sidecar until its stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the two Parquet files go")
    parser.add_argument("--gpu", action="append", default=[], help="UUID of a GPU to sample; may be repeated")
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between two samples")
    arguments = parser.parse_args()
    sys.meta_path.insert(0, WithoutPandas())
    try:
        Sidecar(arguments.folder, arguments.gpu, arguments.interval).run()
    except OSError as error:
        print(f"telemetry could not be written: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    # Not sys.exit: the files are in place, and a thread that hangs in the driver or in a read must not keep us here.
    os._exit(main())
