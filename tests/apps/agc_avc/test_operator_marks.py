"""AGC and AVC under what operators put on the plant: tagged devices are left alone, held measurements are used and named."""

import math

import numpy as np
import pytest

from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.avc.records import AvcSensitivity
from scada.apps.agc_avc.inputs import Measurements
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.core.settings import AgcSettings, AvcSettings
from scada.model_cim.regulation import AgcUnit, ControlArea, DiscreteDevice, PilotNode, ReactiveSource, TieLine, VoltageZone
from scada.rtdb.changes import Snapshot

SUBSTITUTED = int(Quality.MANUAL | Quality.SUBSTITUTED)
BLOCKED = int(Quality.OPERATOR_BLOCKED)
TAG = "do_not_operate on T1 by wang: crew at work"


def inputs(values, quality=None, forbidden=None):
    pids = np.array(sorted(values), dtype=np.uint32)
    words = np.array([(quality or {}).get(pid, 0) for pid in pids.tolist()], dtype=np.uint32)
    zero = np.zeros(len(pids), np.int64)
    column = np.array([values[pid] for pid in sorted(values)], float)
    return Measurements(Snapshot(1, pids, column, words, zero, zero), forbidden)


@pytest.mark.parametrize("word", [SUBSTITUTED, BLOCKED])
def test_a_held_value_is_good_and_known_as_held(word):
    found = inputs({1: 5.0, 2: 6.0, 3: 7.0}, {1: word, 2: int(Quality.SUBSTITUTED), 3: int(Quality.INVALID)})
    assert found.read(1) == 5.0
    assert [found.is_held(pid) for pid in (1, 2, 3, None)] == [True, False, False, False]
    assert found.rests_on_held((3, 1, 2))
    assert not found.rests_on_held((3, 2, 1))
    assert not found.rests_on_held(())


# ---------------------------------------------------------------- AGC

UNITS = [
    AgcUnit(f"T{i}", f"t{i}", "thermal", [10 + i], i, 20 + i, 80.0, 300.0, 9.0, 9.0, 1.0)  # type: ignore[arg-type]
    for i in (0, 1)
]
AREA = ControlArea("A", "a", [0], 50.0, -80.0, 0.0, [TieLine("tie", [1, 2], 1.0)], UNITS, controlled=True)
MEASURED = {0: 50.0, 1: 0.0, 2: 0.0, 10: 200.0, 11: 200.0, 20: 1.0, 21: 1.0}


class Area:
    def __init__(self):
        self.clock = VirtualClock()
        self.agc = AgcController(AREA, AgcSettings(start="on"), self.clock)

    def cycle(self, tie=0.0, quality=None, forbidden=None):
        self.clock.advance(4.0)
        return self.agc.cycle(inputs(MEASURED | {1: tie}, quality, forbidden))


def test_a_tagged_unit_is_not_available_and_gets_no_setpoint():
    area = Area()
    area.cycle()
    for _ in range(5):
        decision = area.cycle(tie=-60.0, forbidden={0: TAG})
        assert {one.cid for one in decision.setpoints} <= {1}
    first, second = decision.units
    assert (first.available, first.reason) == (False, f"tagged: {TAG}")
    assert second.available
    assert math.isnan(first.setpoint_mw)
    decision = area.cycle(tie=-60.0)
    assert decision.units[0].available, "the tag was taken down"
    assert any("T0 under control" in notice for notice in decision.notices)


def test_substituted_inputs_of_agc_are_used_and_named():
    area = Area()
    area.cycle()
    decision = area.cycle(quality={0: SUBSTITUTED, 1: BLOCKED, 10: SUBSTITUTED, 21: BLOCKED})
    assert (decision.state, decision.reason) == ("on", "substituted: frequency, tie")
    assert [unit.available for unit in decision.units] == [True, True]
    assert [unit.reason for unit in decision.units] == ["substituted: output", "substituted: remote status"]
    assert area.cycle().reason == ""


# ---------------------------------------------------------------- AVC

PILOT = PilotNode("Bus", "bus", [0, 1], 110.0, 1.0, 105.0, 115.0)
CAP = DiscreteDevice("C1", "c1", "capacitor", 10, 100, "bus", mvar=10.0, min_interval_s=0.0, daily_limit=3)
SOURCE = ReactiveSource("G1", "g1", 20, 200, -40.0, 60.0, 5.0)
EFFECTS = AvcSensitivity(np.array([[0.2]]), np.array([[1.2]]))
LOW = {0: 107.0, 1: 107.0, 10: 1.0, 20: 0.0}


def avc():
    return AvcController([VoltageZone("Z", [PILOT], [SOURCE], [CAP])], AvcSettings(start="on"), VirtualClock())


def test_tagged_devices_and_sources_are_left_alone():
    both = avc().cycle(inputs(LOW), EFFECTS)
    assert {one.cid for one in both.commands} == {100, 200}
    controller = avc()
    for _ in range(4):
        decision = controller.cycle(inputs(LOW, forbidden={100: TAG, 200: TAG}), EFFECTS)
        assert decision.commands == ()
    (zone,) = decision.zones
    assert zone.devices[0].lock == f"tagged: {TAG}"
    assert (zone.sources[0].available, zone.sources[0].reason) == (False, f"tagged: {TAG}")
    assert controller.cycle(inputs(LOW), EFFECTS).commands, "no lock by refusals is left behind"


def test_a_device_whose_position_is_held_is_locked_and_entering_it_is_no_operation():
    controller = avc()
    controller.cycle(inputs(LOW | {0: 110.0}), EFFECTS)
    for value, word in ((2.0, SUBSTITUTED), (1.0, 0), (1.0, BLOCKED)):
        decision = controller.cycle(inputs(LOW | {0: 110.0, 10: value}, {10: word}), EFFECTS)
        device = decision.zones[0].devices[0]
        assert device.operations_today == 0
        assert ("substituted" in device.lock) is bool(word)
    decision = controller.cycle(inputs(LOW, {10: SUBSTITUTED}), EFFECTS)
    assert {one.cid for one in decision.commands} == {200}


def test_substituted_inputs_of_avc_are_used_and_named():
    decision = avc().cycle(inputs(LOW, {0: SUBSTITUTED, 20: BLOCKED}), EFFECTS)
    assert {one.cid for one in decision.commands} == {100, 200}
    (zone,) = decision.zones
    assert zone.reason == "substituted: voltage of Bus"
    assert (zone.sources[0].available, zone.sources[0].reason) == (True, "substituted: reactive power")
    assert "substituted" not in avc().cycle(inputs(LOW, {1: SUBSTITUTED}), EFFECTS).reason, "the second source is not used"
