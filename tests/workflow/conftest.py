"""Clones of the project for real sweeps."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from workflow.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    """Makes a clone whose config differs from the small one in what is given."""

    def make(changes: Mapping[str, Any] | None = None) -> Project:
        return Project(tmp_path / "clone", changes)

    (tmp_path / "clone").mkdir()
    return make
