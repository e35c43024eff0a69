"""Where tests run: the repository, and what tests that run side by side must not share."""

import os
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
RESOURCES = REPOSITORY / ("resources" if WORKER == "gw0" else f"resources-{WORKER}")
"""Models and engine environments: built as tests need them, which two sweeps must not do in one folder at once."""


def stand_apart() -> Path:
    """Temporary files of this worker's own: sweeps hold their device by a lock among them, and would wait for each other."""
    run = os.environ["PYTEST_XDIST_TESTRUNUID"][:8]
    folder = Path(tempfile.gettempdir()) / f"servegrid-tests-{run}-{WORKER}"
    folder.mkdir()
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    return folder
