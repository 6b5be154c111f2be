"""Soak: a whole server in one process under hours of simulated load, measured each simulated minute.

The clock stands still until the load of one step is through every actor, then it moves by a step: an hour of plant time takes
minutes, and a run is repeatable. Beside the load of measurements go status changes with source milliseconds, limits that are
passed, totals, ticks, checkpoints and retention, as in service. Everything that was sent is looked for at the far end.

Run it: ``python tests/system/soak.py --seconds 3600``; it prints one JSON object.
"""

import argparse
import ctypes
import gc
import itertools
import json
import random
import re
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from scada.actors.messages import Apply, FollowChanges
from scada.actors.resources import open_files
from scada.actors.system import System
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import NS_PER_S
from scada.core.log import configure_logging
from scada.core.settings import parse_settings
from scada.events.records import EventKind
from scada.model_cim.tables import PointKind
from scada.protocols.driver import Driver, LinkState
from scada.protocols.iec104.describe import Iec104Describer
from scada.protocols.trace import TcpReassembler, read_packets, tcp_segment

GRID = Path(__file__).parents[2] / "examples" / "demo-grid"
STEP_S = 0.5
ANALOGS_A_STEP = 60
METERED = "Heishan/G1 20kV/G1/P"
RECORDED = "Heishan RTU"
FRAMES_A_STEP = 60
NOON = 1_700_049_600 * NS_PER_S
ENERGY = f"""  <cim:Analog rdf:ID="_5f0a8c1e-0000-4000-8000-000000000001">
    <cim:IdentifiedObject.name>Energy</cim:IdentifiedObject.name>
    <cim:Measurement.measurementType>Energy</cim:Measurement.measurementType>
    <cim:Measurement.PowerSystemResource rdf:resource="#_ea1e2613-3f04-521b-8cb1-fb42dd42608e"/>
  </cim:Analog>
  <cim:AnalogValue rdf:ID="_5f0a8c1e-0000-4000-8000-000000000002">
    <cim:IdentifiedObject.name>Energy</cim:IdentifiedObject.name>
    <cim:AnalogValue.Analog rdf:resource="#_5f0a8c1e-0000-4000-8000-000000000001"/>
    <sc:MeasurementValue.expression>total("{METERED}", h)</sc:MeasurementValue.expression>
  </cim:AnalogValue>
"""


class StepClock:
    """Wall and monotonic time that move together, by steps; both read from one number, so that no reader sees half a step."""

    def __init__(self):
        self._ns = 0

    def now_ns(self):
        return NOON + self._ns

    def monotonic(self):
        return self._ns / NS_PER_S

    def real_delay(self, seconds):
        return 0.01

    def advance(self, seconds):
        self._ns += round(seconds * NS_PER_S)


class RecordedLine(Driver):
    """A channel that only speaks: numbered frames, to be found again in its recordings."""

    def __init__(self, system):
        spec = next(view.spec for view in system.channel_views if view.spec.name == RECORDED)
        super().__init__(spec, [], [], None, system.clock)
        self._loop = system.wire.loop
        self.sent = 0
        system.hubs[RECORDED].attach(self)

    def speak(self):
        """One read of many frames, on the wire loop as in service."""
        frames = b"".join(numbered_frame(self.sent + n) for n in range(FRAMES_A_STEP))
        self.sent += FRAMES_A_STEP
        heard = threading.Event()
        self._loop.call_soon_threadsafe(self._tell, frames, heard)
        heard.wait(10)

    def _tell(self, frames, heard):
        self.tee("", True, self.clock.now_ns(), frames)
        heard.set()

    async def run(self):
        """It does nothing by itself."""

    async def _no(self, control, value):
        raise NotImplementedError

    select = execute = cancel = _no


def numbered_frame(number):
    """An I frame whose information object address is its number."""
    asdu = bytes([13, 1, 3, 0, 1, 0]) + (number & 0xFFFFFF).to_bytes(3, "little") + bytes(5)
    return bytes([0x68, 4 + len(asdu)]) + ((number & 0x7FFF) << 1).to_bytes(2, "little") + bytes(2) + asdu


def recorded_numbers(folder):
    """Numbers of the frames in the recordings of a folder, in order."""
    found = []
    for path in sorted(folder.glob("*.pcapng")):
        tcp, describer = TcpReassembler(), Iec104Describer()
        segments = filter(None, map(tcp_segment, read_packets(path)))
        for chunk in itertools.chain.from_iterable(map(tcp.feed, segments)):
            found += [int.from_bytes(frame[12:15], "little") for frame in describer.split(chunk.data, received=True)]
    return found


class Soak:
    """The server, its load, and the books of what was sent and what came out."""

    def __init__(self, folder, seed=1):
        self.folder, self.chance, self.clock = folder, random.Random(seed), StepClock()
        grid = folder / "grid"
        shutil.copytree(GRID, grid, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        profile = grid / "SC.xml"
        text = profile.read_text("utf-8")
        profile.write_text(re.sub(r"(?=  <cim:Analog rdf:ID)", lambda _: ENERGY, text, count=1), "utf-8")
        self.settings = parse_settings(
            {
                "model": {"path": str(grid)},
                "rtdb": {"path": "rtdb", "map_mb": 64, "journal_mb": 8},
                "events": {"path": "events", "map_mb": 256},
                "history": {"path": "history", "map_mb": 256},
                "security": {"audit": "audit", "keys": "keys"},
                "resources": {"disk_mb": 0, "behind_s": 60},
                "recording": {"path": "recordings", "channels": [RECORDED], "max_minutes": 5, "max_mb": 1, "keep_mb": 4},
            },
            base=folder,
        )
        self.began = {}
        self.open()
        points = [p for p in self.system.tables.points if p.channel >= 0]
        self.analogs = [p for p in points if p.kind is PointKind.ANALOG]
        self.states = [p for p in points if p.kind in {PointKind.STATUS, PointKind.DOUBLE}]
        self.metered = self.system.tables.by_path[METERED].pid
        self.shown = {}
        self.received, self.next_seq, self.gaps = [], 0, 0
        self.unseen, self.soe_id = set(), 0
        self.energy = 0.0
        self.counts = {"changes": 0, "states": 0, "lost": 0}
        self.minutes = []

    # ------------------------------------------------------------ server

    def open(self):
        self.system = System(self.settings, self.clock)
        self.system.timers.start = lambda: None  # the load's loop runs them, in step with the clock
        for view in self.system.channel_views:
            view.state, view.reason = LinkState.QUARANTINED, "soak"
        self.system.start()
        self.line = RecordedLine(self.system)
        self.settle()

    def settle(self):
        """Wait until no actor has anything to do."""
        handled = -1
        deadline = time.monotonic() + 300  # kernels may have to be compiled first
        while True:
            addresses = self.system.supervisor.addresses()
            now = sum(address.health.handled for address in addresses)
            if now == handled and all(address.mailbox.empty() and not address.health.began for address in addresses):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"still busy: {[(a.name, a.mailbox.qsize()) for a in addresses if a.age_s()]}")
            handled = now
            time.sleep(0.0005)

    def take(self, changes):
        """Listener of the change stream."""
        if self.next_seq and changes.first != self.next_seq:
            self.gaps += 1
        self.next_seq = changes.last + 1
        self.received.append(changes.records)

    # ------------------------------------------------------------ load

    def value_of(self, point):
        limits = point.limits
        low, high = (limits.lo, limits.hi) if limits.hi == limits.hi and limits.lo == limits.lo else (0.0, 100.0)
        return self.chance.uniform(low, high) + (self.chance.random() < 0.002) * (high - low) * 1.2

    def begin(self):
        """Every point has a value; from here on each state that is sent is a change."""
        for point in self.analogs:
            self.shown[int(point.pid)] = self.value_of(point)
        for point in self.states:
            self.shown[int(point.pid)] = 2.0 if point.kind is PointKind.DOUBLE else 0.0
        self.send(list(self.shown), list(self.shown.values()))
        self.settle()
        self.next_seq = self.system.rtdb.ask(FollowChanges(self.take)).get(timeout=10) + 1
        events = self.system.log.query(limit=1_000_000)
        self.soe_id = max((event.event_id for event in events), default=0)

    def send(self, pids, values, **more):
        batch = PointBatch.of(pids, values, received_at=self.clock.now_ns(), **more)
        self.system.rtdb.tell(Apply((batch,)))

    def step(self):
        sent = [(int(point.pid), self.value_of(point)) for point in self.chance.sample(self.analogs, ANALOGS_A_STEP)]
        self.send(*zip(*sent, strict=True), source_time=self.clock.now_ns() - 3_000_000)
        if self.chance.random() < 0.5:
            point = self.chance.choice(self.states)
            pair = (2.0, 1.0) if point.kind is PointKind.DOUBLE else (0.0, 1.0)
            value = pair[self.shown[int(point.pid)] == pair[0]]
            stamp = self.clock.now_ns() - self.chance.randint(1, 400) * 1_000_000
            self.send([int(point.pid)], [value], source_time=stamp, flags=RecordFlag.EVENT)
            sent.append((int(point.pid), value))
            self.unseen.add((int(point.pid), stamp))
            self.counts["states"] += 1
        self.line.speak()
        self.settle()
        got = [(int(r["pid"]), float(r["value"])) for records in self.received for r in records if int(r["pid"]) in self.shown]
        self.received.clear()
        self.counts["changes"] += len(sent)
        self.counts["lost"] += sent != got
        self.shown.update(sent)
        self.energy += self.shown[int(self.metered)] * STEP_S / 3600
        self.clock.advance(STEP_S)
        self.system.timers.run_due()
        self.settle()

    # ------------------------------------------------------------ books

    def look_for_states(self):
        while events := self.system.log.query(after_id=self.soe_id, kinds=[EventKind.STATUS_CHANGE], limit=1000):
            self.unseen -= {(event.pid, event.source_time_ns) for event in events}
            self.soe_id = events[-1].event_id

    def measure(self):
        self.look_for_states()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        status = Path("/proc/self/status").read_text("ascii")
        files = {name: folder_bytes(self.folder / name) for name in ("rtdb", "events", "history", "recordings")}
        self.minutes.append(
            {
                "minute": round(self.clock.monotonic() / 60),
                "anon_kib": int(re.search(r"RssAnon:\s+(\d+)", status)[1]),
                "threads": threading.active_count(),
                "files": open_files(),
                **{f"{name}_kib": size // 1024 for name, size in files.items()},
            }
        )

    def run(self, seconds):
        self.begin()
        began = time.monotonic()
        for number in range(round(seconds / STEP_S)):
            if number % round(60 / STEP_S) == 0:
                self.measure()
            self.step()
        for _ in range(20):  # what waits in a window of source time comes out
            self.clock.advance(STEP_S)
            self.energy += self.shown[int(self.metered)] * STEP_S / 3600
            self.system.timers.run_due()
            self.settle()
        self.measure()
        total = self.system.tables.by_path["East/Energy"]
        shown = self.system.store.snapshot(np.array([total.pid], dtype=np.uint32))
        sent = self.line.sent
        restarts = {a.name: a.health.reason for a in self.system.supervisor.addresses() if a.health.restarts}
        self.system.stop()
        recorded = recorded_numbers(self.folder / "recordings")
        self.open()
        after = self.system.store.snapshot(np.array(list(self.shown), dtype=np.uint32))
        differs = int((after.value != np.array(list(self.shown.values()))).sum())
        self.system.stop()
        return {
            "seconds": seconds,
            "real_s": round(time.monotonic() - began, 1),
            **self.counts,
            "gaps": self.gaps,
            "states_not_in_log": len(self.unseen),
            "values_that_differ_after_restart": differs,
            "restarts": restarts,
            "frames_recorded": len(recorded),
            "frames_missing": sum(b != a + 1 for a, b in itertools.pairwise(recorded)) + sent - 1 - recorded[-1],
            "energy_mwh": float(shown.value[0]),
            "energy_expected_mwh": self.energy,
            "energy_quality": int(shown.quality[0]),
            "journal_kib": self.settings.rtdb.journal_mb * 1024,
            "minutes": self.minutes,
        }


def folder_bytes(folder):
    """Bytes on disk; LMDB files are sparse."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def growth(report, name, settled=0.4):
    """(mean of a column over the minutes after it had settled, mean of its last tenth)."""
    column = [minute[name] for minute in report["minutes"]]
    begin, end = int(len(column) * settled), max(1, len(column) // 10)
    early = column[begin : begin + end]
    return sum(early) / len(early), sum(column[-end:]) / end


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3600.0)
    arguments = parser.parse_args()
    configure_logging("error")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        print(json.dumps(Soak(Path(folder)).run(arguments.seconds), indent=1))
