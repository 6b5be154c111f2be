"""The embedded historian holds the contract of historians."""

import pytest
from history.conformance import POINTS, Contract

from scada.core.clock import VirtualClock
from scada.history.store import HistoryStore


class EmbeddedRig:
    """A folder with an embedded history."""

    def __init__(self, folder):
        self.folder, self.clock = folder, VirtualClock()

    def open(self, points=POINTS, retention=None):
        return HistoryStore(self.folder, self.clock, points, map_mb=64, retention=retention)

    def kill(self, historian):
        historian._file.close()


class TestEmbedded(Contract):
    @pytest.fixture
    def rig(self, tmp_path):
        return EmbeddedRig(tmp_path)

    @pytest.fixture
    def fresh_rig(self, tmp_path_factory):
        return lambda: EmbeddedRig(tmp_path_factory.mktemp("history"))
