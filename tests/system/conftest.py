"""A whole server in this process on the demo grid, its stations on raw sockets, its log lines in a list."""

import io
import logging
import sys
import time
from pathlib import Path

import pytest
import structlog
from system.raw_rtu import RawRtu

from scada.actors.system import System
from scada.core.clock import SystemClock
from scada.core.log import configure_logging
from scada.core.settings import parse_settings
from scada.model_cim.points import load_model
from scada.model_cim.tables import PointKind

GRID = Path(__file__).parents[2] / "examples" / "demo-grid"
BAD, GOOD = "Nanping RTU", "Longtan RTU"
DARK = 1
"""A port on which nothing listens."""


@pytest.fixture(scope="session")
def tables():
    return load_model(GRID)[1]


class Log:
    """What an operator would find on stderr."""

    def __init__(self):
        self._stream = io.StringIO()
        self._handlers, self._config = logging.getLogger().handlers[:], structlog.get_config()
        before = sys.stderr
        sys.stderr = self._stream
        try:
            configure_logging("info")
        finally:
            sys.stderr = before
        structlog.configure(cache_logger_on_first_use=False)

    def lines(self, *words):
        return [line for line in self._stream.getvalue().splitlines() if all(word in line for word in words)]

    def text(self):
        return self._stream.getvalue()

    def close(self):
        logging.getLogger().handlers[:] = self._handlers
        structlog.configure(**self._config)


class Running:
    """A system with its stations."""

    def __init__(self, folder, rtus=None, grid=GRID, clock=None, overrides=None, **sections):
        self.log = Log()
        self.rtus = rtus or {}
        self.clock = clock or SystemClock()
        names = [channel.name for channel in load_model(grid)[1].channels]
        ports = {name: {"host": "127.0.0.1", "port": self.rtus[name].port if name in self.rtus else DARK} for name in names}
        for name, more in (overrides or {}).items():
            ports.setdefault(name, {}).update(more)
        raw = {
            "model": {"path": str(grid)},
            "rtdb": {"path": "rtdb", "map_mb": 64, "journal_mb": 8, **sections.pop("rtdb", {})},
            "events": {"path": "events", "map_mb": 32, **sections.pop("events", {})},
            "history": {"path": "history", "map_mb": 32, **sections.pop("history", {})},
            "security": {"audit": "audit", "keys": "keys"},
            "channels": ports,
            "upstream": {"stations": {"Provincial dispatch": {"port": 0}}} if grid == GRID else {},
            **sections,
        }
        try:
            self.system = System(parse_settings(raw, base=folder), self.clock)
            self.system.start()
        except BaseException:
            self.log.close()
            raise
        self._stopped = False

    def until(self, condition, seconds=10.0, what=""):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what}\n{self.log.text()}"
            time.sleep(0.01)
        return found

    def events(self, key, **parameters):
        wanted = parameters.items()
        return [e for e in self.system.log.query(limit=100_000) if e.key == key and wanted <= e.parameters.items()]

    def value(self, pid):
        snapshot = self.system.store.snapshot([pid])
        return float(snapshot.value[0]), int(snapshot.quality[0])

    def snapshot(self):
        whole = self.system.store.snapshot()
        return whole.value.copy(), whole.quality.copy()

    def stop(self):
        if not self._stopped:
            self._stopped = True
            self.system.stop()
            for rtu in self.rtus.values():
                rtu.close()
            self.log.close()


@pytest.fixture
def run(tmp_path):
    """Start systems that are stopped after the test."""
    running = []

    def start(folder=tmp_path, **arguments):
        running.append(Running(folder, **arguments))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def plain(tables, channel, type_id, kind=PointKind.ANALOG):
    """Points of a channel with one type of address."""
    index = next(spec.index for spec in tables.channels if spec.name == channel)
    return [p for p in tables.points_of_channel(index) if p.address.type_id == type_id and p.kind is kind]


@pytest.fixture(scope="module")
def plant(tmp_path_factory, tables):
    """One system for all tests of a module, with a station that misbehaves and one that does not."""
    rtus = {BAD: RawRtu(5), GOOD: RawRtu(4)}
    running = Running(tmp_path_factory.mktemp("plant"), rtus)
    for rtu in rtus.values():
        rtu.wait_started()
    running.until(lambda: all(running.log.lines(name, "state=up") for name in rtus), what="both stations up")
    yield running
    running.stop()
