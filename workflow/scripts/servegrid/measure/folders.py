"""Folders and files that a run reads and writes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolders:
    """Folders of results and resources, and the prompt file."""

    results: Path
    resources: Path
    prompts: Path
