"""One running demo grid for the whole module; the tests run in the order in which they stand."""

import pytest
from e2e.rig import Rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("demo"), rate=6.0) as running:
        yield running
