"""A small AVC for tests: one zone, measurements by name, time that is driven."""

from __future__ import annotations

import numpy as np

from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.avc.records import AvcSensitivity
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcDiscreteSettings, AvcReferenceSettings, AvcSettings, AvcSuspendSettings
from scada.core.clock import NS_PER_S, VirtualClock
from scada.model_cim.regulation import DiscreteDevice, PilotNode, ReactiveSource, VoltageZone
from scada.rtdb.changes import Snapshot

DAY_S = 86_400
MIDNIGHT_NS = 20_000 * DAY_S * NS_PER_S
OPEN, CLOSED = 1.0, 2.0

PILOT = PilotNode("Bus", "bus", [0, 1], 110.0, 1.0, 105.0, 115.0)
CAP = DiscreteDevice(
    "C1", "c1", "capacitor", 10, 100, "bus", mvar=10.0, min_interval_s=60.0, daily_limit=12, discharge_s=300.0,
    remote=13, tripped=14, blocked=15,
)  # fmt: skip
REACTOR = DiscreteDevice("R1", "r1", "reactor", 11, 101, "bus", mvar=-10.0, min_interval_s=60.0, daily_limit=12)
TAP = DiscreteDevice("T1", "t1", "tap", 12, 102, "bus", low_step=-8, high_step=8, min_interval_s=60.0, daily_limit=24)
SOURCE = ReactiveSource("G1", "g1", 20, 200, -40.0, 60.0, 5.0, remote=21)

GOOD = {0: 110.0, 10: OPEN, 11: OPEN, 12: 0.0, 13: 1.0, 14: 0.0, 15: 0.0, 20: 0.0, 21: 1.0}
"""A quiet state by point id."""


def inputs(values, quality=None, forbidden=None):
    """Measurements; a value of None is not there."""
    values = {pid: value for pid, value in values.items() if value is not None}
    pids = np.array(sorted(values), dtype=np.uint32)
    words = np.array([(quality or {}).get(pid, 0) for pid in pids.tolist()], dtype=np.uint32)
    zero = np.zeros(len(pids), np.int64)
    return Measurements(Snapshot(1, pids, np.array([values[int(pid)] for pid in pids], float), words, zero, zero), forbidden)


class Bench:
    """One zone under AVC.

    Args:
        devices, sources, pilots: of the zone.
        effects: kV of a raising operation by device, at every pilot alike or ``(pilots, devices)``.
        columns: kV per Mvar by source.
        discrete, suspend, references: settings that differ from the defaults.
    """

    def __init__(
        self, devices=(CAP,), sources=(), pilots=(PILOT,), *, effects=None, columns=None, start="on", at_s=13 * 3600.0,
        discrete=None, suspend=None, references=None, zones=None,
    ):  # fmt: skip
        self.clock = VirtualClock(start_ns=MIDNIGHT_NS + round(at_s * NS_PER_S))
        self.settings = AvcSettings(
            start=start,
            discrete=AvcDiscreteSettings(**(discrete or {})),
            suspend=AvcSuspendSettings(**({"late_cycles": 1e9} | (suspend or {}))),
            references=AvcReferenceSettings(**(references or {})),
        )
        self.zones = list(zones or [VoltageZone("Z", list(pilots), list(sources), list(devices))])
        rows = sum(len(zone.pilots) for zone in self.zones)
        count = sum(len(zone.devices) for zone in self.zones)
        wide = np.broadcast_to(np.array([1.2] * count if effects is None else effects, float), (rows, count))
        wide_sources = sum(len(zone.sources) for zone in self.zones)
        found = np.broadcast_to(np.array([0.1] * wide_sources if columns is None else columns, float), (rows, wide_sources))
        self.sensitivity = AvcSensitivity(found.copy(), wide.copy())
        self.values = dict(GOOD)
        self.quality = {}
        self.forbidden = {}
        self.avc = self.fresh()

    def fresh(self):
        """A controller without a past."""
        return AvcController(self.zones, self.settings, self.clock)

    def cycle(self, seconds=30.0, sensitivity="known", **values):
        """A cycle ``seconds`` after the last; ``kv``, ``cap``, ``tap``, ``q`` change the state before."""
        names = {"kv": 0, "cap": 10, "reactor": 11, "tap": 12, "remote": 13, "tripped": 14, "blocked": 15, "q": 20}
        self.values |= {names[name]: value for name, value in values.items()}
        self.clock.advance(seconds)
        known = self.sensitivity if isinstance(sensitivity, str) else sensitivity
        self.decision = self.avc.cycle(inputs(self.values, self.quality, self.forbidden), known)
        return [(one.mrid, one.value) for one in self.decision.commands]

    def device(self, place=0):
        """Status of a device after the last cycle."""
        return self.decision.zones[0].devices[place]

    def obey(self):
        """The plant carries out what was commanded."""
        for one in self.decision.commands:
            if one.mrid.startswith("t"):
                self.values[self.point(one.mrid)] += 1.0 if one.value == 2 else -1.0
            elif one.discrete:
                self.values[self.point(one.mrid)] = one.value
            else:
                self.values[self.point(one.mrid)] = one.value
            self.avc.confirmed(one.cid)

    def point(self, mrid):
        """Position or power of a device or source."""
        for zone in self.zones:
            for device in zone.devices:
                if device.mrid == mrid:
                    return device.position
            for source in zone.sources:
                if source.mrid == mrid:
                    return source.power
        raise KeyError(mrid)
