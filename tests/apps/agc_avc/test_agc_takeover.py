"""Take-over without a bump: the whole controller and a plant through every transition, in a chance order that repeats."""

import itertools
import math
import random

import msgpack
import numpy as np
import pytest

from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.agc.modes import BASE_MODES, REG_MODES
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcSettings, AgcTuning
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.model_cim.regulation import AgcUnit, ControlArea, TieLine
from scada.rtdb.changes import Snapshot

CYCLE = 4.0
DEADBAND = 0.5
TUNING = AgcTuning(eps10_hz=0.02)
SETTINGS = AgcSettings(start="on", tuning=TUNING)
BIAS_MW_PER_HZ = 800.0


def unit(index, low, high, ramp, **more):
    columns = {"name": f"U{index}", "mrid": f"U{index}", "fuel": "hydro", "power": [10 + index], "setpoint": index}
    columns |= {
        "remote": None,
        "minimum": low,
        "maximum": high,
        "ramp_up": ramp,
        "ramp_down": ramp,
        "participation": 1.0,
        "deadband": DEADBAND,
    }
    return AgcUnit(**(columns | more))


UNITS = (
    unit(0, 50.0, 250.0, 20.0, cost_b=10.0, cost_c=0.01),
    unit(1, 20.0, 200.0, 60.0, cost_b=12.0, cost_c=0.02),
    unit(2, 10.0, 120.0, 40.0, telemetered_base=40, maximum_step=2.0),
    unit(3, -40.0, 40.0, 300.0, fuel="storage", energy_mwh=200.0, state_of_charge=41),
)
AREA = ControlArea("A", "a", [0], 50.0, -BIAS_MW_PER_HZ / 10, 0.0, [TieLine("tie", [1], 1.0)], UNITS, True, 5.0)
STATES = ("on", "monitor", "off", "suspended", "test")


class Plant:
    """Units that follow at their ramp, and a load that drifts; what they lack flows in over the tie."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.clock = VirtualClock()
        self.agc = AgcController(AREA, SETTINGS, self.clock)
        self.power = dict(zip((one.mrid for one in UNITS), (150.0, 100.0, 60.0, 0.0), strict=True))
        self.order = dict(self.power)
        self.load = sum(self.power.values())
        self.told: dict[str, float] = {}
        self.lost = False
        self.sent = 0

    def cycle(self):
        self.clock.advance(CYCLE)
        self.load += self.chance.uniform(-4.0, 4.0)
        values = {0: 50.0, 1: sum(self.power.values()) - self.load, 40: 80.0, 41: 50.0}
        values |= {10 + i: mw for i, mw in enumerate(self.power.values())}
        pids = np.array(sorted(values), np.uint32)
        words = np.array([int(Quality.INVALID) if pid == 0 and self.lost else 0 for pid in pids.tolist()], np.uint32)
        zero = np.zeros(len(pids), np.int64)
        column = np.array([values[pid] for pid in pids.tolist()])
        decision = self.agc.cycle(Measurements(Snapshot(1, pids, column, words, zero, zero)))
        assert decision.state == "on" or not [one for one in decision.setpoints if "test value" not in one.why]
        under = {one.mrid for one in decision.units if not math.isnan(one.target_mw)}
        self.told = {mrid: mw for mrid, mw in self.told.items() if mrid in under}
        for point in decision.setpoints:
            self.check(point)
            self.told[point.mrid] = self.order[point.mrid] = point.mw
            self.agc.confirmed(point.cid)
        for one in UNITS:
            if one.mrid not in self.told and decision.state != "on":  # whoever runs it by hand meanwhile
                wanted = self.power[one.mrid] + self.chance.uniform(-8.0, 8.0)
                self.power[one.mrid] = self.order[one.mrid] = max(one.minimum, min(one.maximum, wanted))
            reach = one.ramp_up * CYCLE / 60
            self.power[one.mrid] += max(-reach, min(reach, self.order[one.mrid] - self.power[one.mrid]))
        return decision

    def check(self, point):
        """A unit is told no more than its ramp (and what the dead band kept back) from where it was told or stood."""
        one = UNITS[int(point.mrid[1:])]
        start = self.told.get(point.mrid, self.power[point.mrid])
        allowed = min(one.ramp_up * CYCLE / 60 + DEADBAND, one.maximum_step or math.inf)
        assert abs(point.mw - start) <= allowed + 1e-6, (point, start, self.clock.monotonic())
        assert abs(point.mw - self.power[point.mrid]) <= one.ramp_up * CYCLE / 60 + 2 * DEADBAND + 2 * max(2.0, allowed), point
        self.sent += 1

    def go(self, state):
        """Bring about a state of the area, or a test of one of its units."""
        self.lost = state == "suspended"
        if state != "test":
            self.agc.set_state("on" if state == "suspended" else state)
        for one in UNITS:
            self.agc.set_loop(one.mrid, "closed")
        if state == "test":
            self.agc.set_loop("U1", "test", 180.0)

    def hand_over(self):
        """A successor goes on from the state."""
        successor = AgcController(AREA, SETTINGS, self.clock)
        successor.restore(msgpack.unpackb(msgpack.packb(self.agc.state()), strict_map_key=False))
        self.agc = successor

    def restart(self, mode):
        """A new life with standing orders: state, modes and control mode are ordered again, accounts are taken over."""
        kept = msgpack.unpackb(msgpack.packb(self.agc.state()), strict_map_key=False)
        self.agc = AgcController(AREA, SETTINGS, self.clock)
        self.agc.resume(kept)
        self.agc.set_state("on")
        self.agc.set_control_mode("CFC")
        self.agc.set_unit_mode("U0", *mode, 120.0)
        self.told.clear()


@pytest.mark.parametrize("seed", range(4))
def test_no_set_point_jumps_from_any_state_to_any_other(seed):
    plant = Plant(seed)
    for before, after in itertools.permutations(STATES, 2):
        for state in (before, after):
            plant.go(state)
            for _ in range(plant.chance.randrange(4, 10)):
                decision = plant.cycle()
            assert decision.state == state or state == "test"
    assert plant.sent > 50


@pytest.mark.parametrize("seed", range(4))
def test_no_set_point_jumps_by_modes_loops_control_modes_interchange_or_a_successor(seed):
    plant = Plant(seed)
    chance = plant.chance
    for pair in itertools.product(BASE_MODES, REG_MODES):
        mrid = chance.choice(UNITS).mrid
        plant.agc.set_unit_mode(mrid, *pair, chance.uniform(60.0, 110.0) if mrid != "U3" else 0.0)
        act = chance.choice(("loop", "mode", "interchange", "schedule", "hand over", "restart", "unlock"))
        match act:
            case "loop":
                plant.agc.set_loop(chance.choice(UNITS).mrid, chance.choice(("closed", "open", "test")), chance.uniform(20, 110))
            case "mode":
                plant.agc.set_control_mode(chance.choice(("CFC", "CIC", "TLBC", "TLBC+TEC", "TLBC+II")))
            case "interchange":
                plant.agc.set_interchange(chance.uniform(-60, 60))
            case "schedule":
                plant.agc.set_base_point(chance.choice(UNITS).mrid, chance.uniform(-40, 250))
            case "hand over":
                plant.hand_over()
            case "restart":
                plant.restart(pair)
            case _:
                plant.agc.unlock(mrid)
        for _ in range(chance.randrange(3, 9)):
            plant.cycle()
    assert plant.sent > 50
