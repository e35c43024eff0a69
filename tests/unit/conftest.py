"""The built-in model, built once for all unit tests."""

from pathlib import Path

import pytest

from servegrid.model import builtin


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its Hugging Face checkpoint; read only."""
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    builtin.build(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The draft model's checkpoint; read only."""
    folder = tmp_path_factory.mktemp("draft") / "checkpoint"
    builtin.build_draft(folder)
    return folder
