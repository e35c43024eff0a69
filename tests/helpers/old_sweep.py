"""The results of a small sweep of version 0.1, whose servers are at a URL."""

import shutil
from pathlib import Path

from isolation import TESTS

OLD = TESTS / "data" / "sweep-0.1"
LATER = {"threads-1-7cfadbd50a": "threads-1-18be8d16f3", "threads-2-35f9627144": "threads-2-bd8ea83bdd"}
"""Ids of its loads -> those of today, as prompts to servers at a URL are salted now."""


def copy_under_ids_of_today(results: Path) -> None:
    """Copy the sweep to the folder `results`, as if its loads had been measured today."""
    shutil.copytree(OLD, results)
    for folder in results.glob("sessions/*/rep*/loads/*"):
        folder.rename(folder.with_name(LATER[folder.name]))
