"""Stores on a temporary disk."""

import pytest
from actors.harness import Disk

from scada.model_cim.points import load_model


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path)
    yield disk
    disk.close()


@pytest.fixture(scope="session")
def demo():
    """The demo grid: model and tables."""
    from pathlib import Path

    model, tables, _ = load_model(Path(__file__).parents[2] / "examples" / "demo-grid")
    return model, tables
