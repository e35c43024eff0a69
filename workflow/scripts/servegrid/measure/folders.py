"""The folders and files of a run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolders:
    """Where a run reads and writes."""

    results: Path
    resources: Path
    prompts: Path
