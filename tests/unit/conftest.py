"""The time limit of unit tests, and the built-in model, built once for all of them."""

from pathlib import Path

import pytest

from servegrid.model import builtin

LIMIT_S = 120
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A unit test that says nothing else has LIMIT_S seconds."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


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
