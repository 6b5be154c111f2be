"""A plant of several members beside its control, in simulated time: what it is told, it does, as far as sun and wind allow."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from scada.apps.agc_avc.agc.plants import PlantControl
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcTuning
from scada.core.plant_settings import PlantSettings
from scada.core.quality import Quality
from scada.model_cim.regulation import AgcUnit, PlantMember
from scada.rtdb.changes import Snapshot

START_NS = 1_750_000_000 * 10**9 - 1_750_000_000 * 10**9 % (86_400 * 10**9)
METER, AVAILABLE, IRRADIANCE = 1, 2, 3


def snapshot(values, bad=()):
    """Measurements of these values; ``bad`` points are invalid."""
    pids = np.array(sorted(values), dtype=np.uint32)
    words = np.array([int(Quality.INVALID) if pid in bad else 0 for pid in pids.tolist()], dtype=np.uint32)
    zero = np.zeros(len(pids), np.int64)
    return Measurements(Snapshot(1, pids, np.array([values[pid] for pid in sorted(values)], float), words, zero, zero))


def member(index, maximum=10.0, kind="pv", minimum=0.0, **more):
    """Member number ``index``: power point 10 + index, running 30 + index, remote 50 + index, set-point 100 + index."""
    given = {"running": 30 + index, "remote": 50 + index, "setpoint": 100 + index, **more}
    return PlantMember(f"M{index}", f"m{index}", kind, 10 + index, minimum, maximum, **given)


def plant(members, fuel="pv", **more):
    """A unit of these members, ruled by this server unless a ``setpoint`` is given."""
    total = sum(m.maximum for m in members)
    given = {"power": [METER], "setpoint": -1, "remote": None, "minimum": 0.0, "maximum": total, "ramp_up": math.nan}
    given |= {"ramp_down": math.nan, "participation": 1.0, "deadband": 0.1, "members": tuple(members)}
    return AgcUnit(name="P", mrid="p", fuel=fuel, **(given | more))


def tuning(**plants):
    return AgcTuning(plants=PlantSettings(**plants))


@dataclass
class Rig:
    """Members follow their set-points with a lag; the meter sees their sum less ``losses`` (part of it)."""

    unit: AgcUnit
    tuning: AgcTuning = field(default_factory=AgcTuning)
    losses: float = 0.0
    lag_s: float = 6.0
    dt: float = 4.0

    def __post_init__(self):
        self.control = PlantControl(self.unit, self.tuning)
        count = len(self.unit.members)
        self.available = [m.maximum * 0.8 for m in self.unit.members]
        self.power = list(self.available)
        self.setpoint = [math.inf] * count
        self.running, self.remote = [1.0] * count, [1.0] * count
        self.bad = set()
        self.extra = {}
        self.now_ns = START_NS
        self.orders = []

    @property
    def meter(self):
        return sum(self.power) * (1 - self.losses)

    def values(self):
        found = {METER: self.meter} | self.extra
        for index, m in enumerate(self.unit.members):
            found |= {int(m.power): self.power[index], 30 + index: self.running[index], 50 + index: self.remote[index]}
        return found

    def move(self):
        """What happens in one cycle out there."""
        for index in range(len(self.power)):
            wanted = min(self.setpoint[index], self.available[index]) if self.running[index] else 0.0
            share = 1 - math.exp(-self.dt / self.lag_s) if self.lag_s > 0 else 1.0
            self.power[index] += share * (wanted - self.power[index])
        self.now_ns += int(self.dt * 1e9)

    def read(self):
        return self.control.read(snapshot(self.values(), self.bad), self.now_ns, self.dt)

    def step(self, target, **more):
        """One cycle; returns the set-points sent."""
        reading = self.read()
        orders = self.control.split(min(max(target, reading.low), reading.high), self.dt, **more)
        for order in orders:
            if order.cid >= 100:
                self.setpoint[order.cid - 100] = order.mw
        self.orders = orders
        self.move()
        return orders

    def run(self, seconds, target, **more):
        for _ in range(round(seconds / self.dt)):
            self.step(target, **more)

    def without(self, **changes):
        return replace(self.unit, **changes)
