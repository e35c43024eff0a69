"""Entry point: `python path/to/library_server --backend NAME --model DIR`."""

import sys
from pathlib import Path

# Run by its folder, Python puts the folder itself first on the path; the package is found from its parent.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from library_server.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
