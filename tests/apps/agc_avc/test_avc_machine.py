"""AVC under anything that people, plant and network do: what must never be sent is never sent."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.apps.agc_avc.avc_bench import CAP, CLOSED, DAY_S, OPEN, REACTOR, SOURCE, TAP, Bench

TAP = replace(TAP, daily_limit=4, min_interval_s=90.0)
CAP, REACTOR = replace(CAP, daily_limit=3, min_interval_s=90.0), replace(REACTOR, daily_limit=3, min_interval_s=90.0)
DEVICES = (TAP, CAP, REACTOR)
FREE = {"quota": [], "reversal_s": 0.0, "hold_s": 0.0, "hysteresis": 0.0}
CONTROL = {device.mrid: device.control for device in DEVICES}
LIMIT = {device.mrid: device.daily_limit for device in DEVICES}


class Voltages(RuleBasedStateMachine):
    """One zone; a model of what may be sent is kept beside the controller."""

    @initialize(free=st.booleans(), table=st.sampled_from([{}, {"low/ok": ["bank_up", "tap_up"], "high/ok": ["bank_down"]}]))
    def begin(self, free, table):
        self.bench = Bench(DEVICES, [SOURCE], effects=[1.2, 1.1, 1.0], discrete=(FREE if free else {}) | {"nine_zone": table})
        self.wanted = "on"
        self.loop = dict.fromkeys(CONTROL, "closed")
        self.tests = set()
        self.sent = {mrid: [] for mrid in CONTROL}  # seconds of our commands

    # ------------------------------------------------------------ what people do

    @rule(state=st.sampled_from(["on", "monitor", "off"]))
    def order_state(self, state):
        self.bench.avc.set_state(state)
        self.wanted = state

    @rule(mrid=st.sampled_from(sorted(CONTROL)), loop=st.sampled_from(["open", "closed", "test"]), value=st.sampled_from([1, 2]))
    def order_loop(self, mrid, loop, value):
        self.bench.avc.set_loop(mrid, loop, float(value))
        self.loop[mrid] = loop
        self.tests.discard(mrid)
        if loop == "test":
            self.tests.add(mrid)

    @rule(mrid=st.sampled_from(sorted(CONTROL)))
    def unlock(self, mrid):
        self.bench.avc.unlock(mrid)

    @rule(mrid=st.sampled_from(sorted(CONTROL)), on=st.booleans())
    def tag(self, mrid, on):
        if on:
            self.bench.forbidden[CONTROL[mrid]] = "do_not_operate"
        else:
            self.bench.forbidden.pop(CONTROL[mrid], None)

    @rule(step=st.integers(-8, 8))
    def move_the_tap_by_hand(self, step):
        self.bench.values[12] = float(step)

    # ------------------------------------------------------------ what the plant does

    @rule(pid=st.sampled_from([13, 14, 15, 21]), value=st.sampled_from([0.0, 1.0, None]))
    def point_changes(self, pid, value):
        self.bench.values[pid] = value

    @rule(pid=st.sampled_from([10, 11]), value=st.sampled_from([0.0, OPEN, CLOSED, 3.0, None]))
    def switch_changes(self, pid, value):
        self.bench.values[pid] = value

    @rule(good=st.booleans())
    def front_end(self, good):
        self.bench.avc.front_end(lost=not good)

    @rule()
    def restart(self):
        state = self.bench.avc.state()
        self.bench.avc = self.bench.fresh()
        self.bench.avc.restore(state)

    # ------------------------------------------------------------ time

    @rule(
        kv=st.one_of(st.none(), st.sampled_from([106.0, 108.0, 112.0, 114.0]), st.floats(100.0, 120.0)),
        seconds=st.sampled_from([10.0, 30.0, 100.0, 100.0, 400.0, 40_000.0]),
        obeys=st.sampled_from(["obeys", "refuses", "sleeps"]),
        known=st.booleans(),
        times=st.integers(1, 6),
    )
    def cycles(self, kv, seconds, obeys, known, times):
        for _ in range(times):
            self.cycle(kv, seconds, obeys, known)

    def cycle(self, kv, seconds, obeys, known):
        bench = self.bench
        before = bench.decision.zones[0] if hasattr(bench, "decision") else None
        bench.cycle(seconds, sensitivity="known" if known else None, kv=kv)
        decision, now = bench.decision, bench.clock.now_ns() / 1e9
        discrete = [one for one in decision.commands if one.discrete]
        tests = [one for one in discrete if one.why == "test command"]
        own = [one for one in discrete if one.why != "test command"]
        zone = decision.zones[0]
        assert len(own) <= 1
        if self.wanted != "on" or zone.cause or kv is None:
            assert [one for one in decision.commands if not one.why.startswith("test")] == []
        for one in tests:
            assert one.mrid in self.tests
            self.tests.discard(one.mrid)
        for one in own:
            assert self.loop[one.mrid] == "closed"
        for one in discrete:
            self.check(one, now, before)
        for one in decision.commands:
            if not one.discrete:
                assert SOURCE.minimum <= one.value <= SOURCE.maximum
                assert bench.values[21] == 1.0
        if obeys == "obeys":
            bench.obey()
        elif obeys == "refuses":
            for one in decision.commands:
                bench.avc.refused(one.cid)

    def check(self, one, now, before):
        values, device = self.bench.values, next(device for device in DEVICES if device.mrid == one.mrid)
        assert CONTROL[one.mrid] not in self.bench.forbidden
        position = values[device.position]
        if device is TAP:
            assert TAP.low_step <= position + (1 if one.value == 2 else -1) <= TAP.high_step
        else:
            assert {position, one.value} == {OPEN, CLOSED}
        if device is CAP:
            assert (values[13], values[14], values[15]) == (1.0, 0.0, 0.0)
        sent = self.sent[one.mrid]
        assert all(now - when >= device.min_interval_s for when in sent)
        shown = next(row for row in self.bench.decision.zones[0].devices if row.mrid == one.mrid)
        assert shown.operations_today < LIMIT[one.mrid]
        if before is not None and now % DAY_S > 40_000:  # the same day
            was = next(row for row in before.devices if row.mrid == one.mrid)
            assert was.operations_today <= shown.operations_today
        sent.append(now)

    @invariant()
    def positions_are_never_outside_the_range(self):
        if hasattr(self, "bench"):
            assert -8 <= self.bench.values[12] <= 8


TestVoltages = Voltages.TestCase
TestVoltages.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
