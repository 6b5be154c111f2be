"""Shared data, where it is present."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def golden():
    """Published cases with their answers."""
    path = REPO.parent / "shared" / "data" / "profiles" / "golden_cases.json"
    if not path.exists():
        pytest.skip("golden_cases.json is not here")
    return json.loads(path.read_text())
