"""Everything an operator and the plant can do to AGC in any order: no set-point that the rules forbid, ever."""

import math

import msgpack
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.agc.modes import BASE_MODES, REG_MODES
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcSettings, AgcTuning
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.model_cim.regulation import AgcUnit, ControlArea, ForbiddenZone, RegulationGroup, TieLine
from scada.rtdb.changes import Snapshot

FREQUENCY, TIE = 0, 1


def unit(index, name, low, high, ramp, **more):
    columns = {"fuel": "hydro", "power": [10 + index, 30 + index], "setpoint": index, "remote": 50 + index, "minimum": low}
    columns |= {"maximum": high, "ramp_up": ramp, "ramp_down": ramp, "participation": 1.0, "deadband": 0.5}
    return AgcUnit(name=name, mrid=name, **(columns | more))


UNITS = (
    unit(0, "plain", 50.0, 200.0, 30.0, emergency_ramp=60.0, group="g", cost_b=10.0, cost_c=0.01),
    unit(1, "zones", 0.0, 150.0, 60.0, forbidden=(ForbiddenZone(40, 60), ForbiddenZone(90, 110)), share="margin", group="g"),
    unit(2, "steps", 20.0, 120.0, 90.0, maximum_step=2.5, minimum_interval_s=8.0, share="ramp", cost_c=0.02, cost_b=8.0),
    unit(3, "waits", 20.0, 120.0, 20.0, waits=True, raise_blocked=80, lower_blocked=81, share="capacity"),
    unit(4, "pulses", 10.0, 100.0, 30.0, setpoint=-1, raise_lower=14, pulse_mw=2.0, share="economic", cost_c=0.05),
    unit(5, "store", -40.0, 40.0, 240.0, fuel="storage", state_of_charge=82, energy_mwh=40.0),
    unit(6, "remote base", 10.0, 90.0, 20.0, telemetered_base=83, base_mode="YCBASE", group="g"),
)
GROUP = RegulationGroup("section", "g", maximum=330.0)
AREA = ControlArea("A", "a", [FREQUENCY], 50.0, -80.0, 0.0, [TieLine("tie", [TIE], 1.0)], UNITS, True, 5.0, (GROUP,))
START = (120.0, 30.0, 60.0, 60.0, 50.0, 0.0, 40.0)
OWN = {unit.mrid: {50 + i} for i, unit in enumerate(UNITS)}
OWN["waits"] |= {80, 81}
OWN["store"] |= {82}
_POINTS = st.floats(-50, 250)
BAD = int(Quality.NOT_TOPICAL)


class Machine(RuleBasedStateMachine):
    """The plant, the operator and the rules."""

    @initialize(start=st.sampled_from(["on", "on", "on", "monitor", "off"]))
    def begin(self, start):
        self.clock = VirtualClock()
        self.agc = AgcController(AREA, AgcSettings(start=start, tuning=AgcTuning(response_cycles=5)), self.clock)
        self.power = dict(zip(OWN, START, strict=True))
        self.order = dict(self.power)
        self.values = {FREQUENCY: 50.0, TIE: 0.0, 80: 0.0, 81: 0.0, 82: 50.0, 83: 45.0} | {50 + i: 1.0 for i in range(7)}
        self.bad: set[int] = set()
        self.tags: dict[int, str] = {}
        self.loops = dict.fromkeys(OWN, "closed")
        self.targets: dict[str, float] = {}
        self.told: dict[str, float] = {}
        self.sent_at: dict[str, float] = {}
        self.decision = None
        self.dt = 4.0

    # ---------------------------------------------------------------- operator

    @rule(state=st.sampled_from(["on", "on", "on", "on", "monitor", "off"]))
    def switch(self, state):
        self.agc.set_state(state)

    @rule(
        mrid=st.sampled_from(list(OWN)), base=st.sampled_from(BASE_MODES), reg=st.sampled_from(REG_MODES), mw=st.floats(-50, 250)
    )
    def mode(self, mrid, base, reg, mw):
        try:
            self.agc.set_unit_mode(mrid, base, reg, mw)
        except RegulationError:
            assert base == "BASE"

    @rule(mrid=st.sampled_from(list(OWN)), loop=st.sampled_from(["closed", "closed", "open", "test"]), mw=st.floats(-100, 300))
    def loop(self, mrid, loop, mw):
        self.agc.set_loop(mrid, loop, mw)
        self.loops[mrid] = loop

    @rule(mrid=st.sampled_from(list(OWN)), mw=st.floats(-100, 300))
    def schedule(self, mrid, mw):
        self.agc.set_base_point(mrid, mw)

    @rule(mrid=st.sampled_from(list(OWN)))
    def unlock(self, mrid):
        self.agc.unlock(mrid)

    @rule(cid=st.sampled_from([0, 1, 2, 3, 14, 5, 6]), on=st.booleans())
    def tag(self, cid, on):
        self.tags.pop(cid, None)
        if on:
            self.tags[cid] = "crew at work"

    # ---------------------------------------------------------------- plant

    @rule(point=st.sampled_from([FREQUENCY, TIE, 10, 11, 12, 13, 50, 51, 52, 80, 81, 82, 83]), bad=st.booleans())
    def quality(self, point, bad):
        self.bad.discard(point)
        if bad:
            self.bad |= {point, 20 + point if 10 <= point < 20 else point}
        else:
            self.bad -= {point, 20 + point if 10 <= point < 20 else point}

    @rule(point=st.sampled_from([50, 51, 53, 54, 80, 81]), value=st.sampled_from([0.0, 1.0]))
    def status(self, point, value):
        self.values[point] = value

    @rule(tie=st.floats(-250, 250), deviation=st.floats(-0.2, 0.2), charge=st.floats(0, 100), base=st.floats(-20, 150))
    def system(self, tie, deviation, charge, base):
        self.values |= {TIE: tie, FREQUENCY: 50.0 + deviation, 82: charge, 83: base}

    @rule(mrid=st.sampled_from(list(OWN)), by=st.floats(-30, 30))
    def trip(self, mrid, by):
        self.power[mrid] += by

    @rule(seconds=st.sampled_from([0.0, 0.5, 60.0, 5000.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @precondition(lambda self: self.decision is not None and self.decision.setpoints)
    @rule(refuse=st.booleans())
    def outcome(self, refuse):
        for point in self.decision.setpoints:
            if refuse:
                self.agc.refused(point.cid, "interlock")
                self.told.pop(point.mrid, None)
            else:
                self.agc.confirmed(point.cid)

    @rule()
    def hand_over(self):
        """A successor goes on from the state, through the octets of a recording."""
        successor = AgcController(AREA, AgcSettings(tuning=AgcTuning(response_cycles=5)), self.clock)
        successor.restore(msgpack.unpackb(msgpack.packb(self.agc.state()), strict_map_key=False))
        self.agc = successor

    # ---------------------------------------------------------------- the cycle

    @rule(cycles=st.integers(1, 12), follow=st.sampled_from([0.0, 0.5, 1.0]))
    def run(self, cycles, follow):
        for _ in range(cycles):
            self.clock.advance(4.0)
            self.cycle()
            for point in self.decision.setpoints:
                self.order[point.mrid] = self.power[point.mrid] + (2 * point.pulse - 3) * 2.0 if point.pulse else point.mw
            for name in self.power:
                self.power[name] += follow * max(-6.0, min(6.0, self.order[name] - self.power[name]))

    def cycle(self):
        values = dict(self.values)
        for i, mw in enumerate(self.power.values()):
            values |= {10 + i: mw, 30 + i: mw + 0.1}
        pids = np.array(sorted(values), np.uint32)
        words = np.array([BAD if pid in self.bad else 0 for pid in pids.tolist()], np.uint32)
        zero = np.zeros(len(pids), np.int64)
        snapshot = Snapshot(1, pids, np.array([values[pid] for pid in pids.tolist()]), words, zero, zero)
        self.decision = self.agc.cycle(Measurements(snapshot, self.tags))
        self.check()

    def check(self):
        now = self.clock.monotonic()
        units = {one.mrid: one for one in self.decision.units}
        for point in self.decision.setpoints:
            self.check_point(UNITS[list(OWN).index(point.mrid)], point, units[point.mrid], now)
        for name, one in units.items():
            assert not (one.regulates and self.loops[name] != "closed"), "an open loop counts as given"
        targets = {name: one.target_mw for name, one in units.items() if not math.isnan(one.target_mw)}
        for name, target in targets.items():
            model = UNITS[list(OWN).index(name)]
            if name in self.targets:
                fastest = max(model.ramp_up, 0.0 if math.isnan(model.emergency_ramp) else model.emergency_ramp)
                assert abs(target - self.targets[name]) <= fastest * 12.0 / 60 + 1e-6
        self.targets = targets
        for name, one in units.items():
            if math.isnan(one.target_mw):
                self.told.pop(name, None)
        for point in self.decision.setpoints:
            self.sent_at[point.mrid] = now
            if not point.pulse:
                self.told[point.mrid] = point.mw

    def check_point(self, model, point, one, now):
        loop, name = self.loops[model.mrid], model.mrid
        assert loop == "test" or (self.decision.state == "on" and loop == "closed"), "only a test is sent otherwise"
        assert not one.locked
        assert point.cid not in self.tags
        assert not OWN[name] & self.bad, "an input without quality"
        assert self.values[50 + list(OWN).index(name)] == 1.0, "in remote"
        both = {10 + list(OWN).index(name), 30 + list(OWN).index(name)}
        assert not both <= self.bad
        if one.base_mode == "YCBASE":
            assert 83 not in self.bad
        assert math.isfinite(point.value)
        assert model.minimum - 1e-6 <= point.mw <= model.maximum + 1e-6
        assert not any(zone.low + 1e-6 < point.mw < zone.high - 1e-6 for zone in model.forbidden)
        if name in self.sent_at:
            assert now - self.sent_at[name] >= model.minimum_interval_s
        if point.pulse:
            assert point.value == float(point.pulse)
            assert point.pulse in {1, 2}
            return
        if name in self.told:
            change = point.mw - self.told[name]
            assert abs(change) <= model.maximum_step + 1e-6
            if name == "waits":
                assert not (self.values[80] == 1.0 and change > 1e-6), "raising is blocked"
                assert not (self.values[81] == 1.0 and change < -1e-6), "lowering is blocked"


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
