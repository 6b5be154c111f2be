"""Every cause that suspends AGC, by injection; waiting, resuming, alarms, counters; state that survives."""

import json
import math
import random
from dataclasses import replace

import msgpack
import numpy as np
import pytest

from scada.apps.agc_avc.agc.area import AreaControl
from scada.apps.agc_avc.agc.reserve import Reserve
from scada.apps.agc_avc.agc.sources import FrequencySources
from scada.apps.agc_avc.agc.suspension import ALARMS, SUSPENDING
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcSettings, AgcTuning
from scada.core.clock import NS_PER_S
from scada.core.quality import Quality
from scada.model_cim.regulation import AgcUnit, ControlArea, TieLine
from scada.rtdb.changes import Snapshot

F1, F2, NORTH, SOUTH, METER, CLOCK, UNIT = 1, 2, 10, 11, 20, 21, 30
BEGIN = 480_000 * 3600 * NS_PER_S
UNITS = (AgcUnit("T", "t", "thermal", [UNIT], 0, None, 80.0, 300.0, 9.0, 9.0, 1.0),)
AREA = ControlArea(
    "A",
    "a",
    [F1, F2],
    50.0,
    -80.0,
    0.0,
    [TieLine("north", [NORTH], 1.0), TieLine("south", [SOUTH], -1.0)],
    UNITS,
    True,
    interchange_meter=[METER],
    time_error=CLOCK,
    bias_sum=-400.0,
)
GOOD = {F1: 50.01, F2: 50.01, NORTH: 120.0, SOUTH: 110.0, METER: 10.0, CLOCK: 1.5, UNIT: 200.0}
"""10 MW exported, 10 mHz too much: ACE = 10 + 8 = 18 MW."""


def measured(values, bad=()):
    pids = np.array(sorted(values), dtype=np.uint32)
    quality = np.array([int(Quality.INVALID) if pid in bad else 0 for pid in pids.tolist()], dtype=np.uint32)
    zero = np.zeros(len(pids), np.int64)
    return Measurements(Snapshot(1, pids, np.array([values[pid] for pid in pids.tolist()], float), quality, zero, zero))


class Bench:
    """An area and its time."""

    def __init__(self, start="on", area=AREA, tuning=None, **more):
        self.now = BEGIN
        self.area = AreaControl(area, AgcSettings(start=start, tuning=AgcTuning(**(tuning or {})), **more))
        self.said = []

    def run(self, bad=(), dt=4.0, elapsed=None, **values):
        """One cycle; ``values`` by name, such as ``north=-120``."""
        self.now += round((elapsed or dt) * NS_PER_S)
        names = {"f1": F1, "f2": F2, "north": NORTH, "south": SOUTH, "meter": METER, "clock": CLOCK, "unit": UNIT}
        inputs = measured(GOOD | {names[key]: value for key, value in values.items()}, bad)
        found = self.area.cycle(inputs, dt, self.now, elapsed)
        self.said += self.area.notices
        self.area.notices.clear()
        return found

    def cause(self, key):
        return next(one for one in self.area.causes if one.key == key)


@pytest.mark.parametrize(
    ("cause", "bad", "values", "cycles"),
    [
        ("frequency_missing", (F1, F2), {}, 1),
        ("frequency_missing", (), {"f1": math.nan, "f2": math.inf}, 1),
        ("frequency_spread", (), {"f2": 50.3}, 1),
        ("frequency_deviation", (), {"f1": 48.9, "f2": 48.9}, 1),
        ("tie_missing", (SOUTH,), {}, 1),
        ("front_end_lost", tuple(GOOD), {}, 1),
        ("tie_mismatch", (), {"meter": 60.0}, 3),
        ("tie_mismatch", (), {"south": -110.0}, 3),
        ("ace_implausible", (METER,), {"north": 5000.0}, 3),
    ],
)
def test_each_cause_suspends_is_counted_and_goes(cause, bad, values, cycles):
    bench = Bench()
    for _ in range(3):
        found = bench.run()
    assert (bench.area.regime, found.acts, found.ace.ace_mw) == ("on", True, pytest.approx(18.0))
    for _ in range(cycles - 1):
        found = bench.run(bad, **values)
        assert not found.acts, "nothing moves on an input in doubt"
        assert bench.area.reason.startswith("waiting")
    found = bench.run(bad, **values)
    assert bench.area.regime == "suspended"
    assert (found.controls, found.acts, found.change_mw) == (False, False, 0.0)
    one = bench.cause(cause)
    assert (one.active, one.count, one.last_ns, one.suspends) == (True, 1, bench.now, True)
    assert [line for line in bench.said if line.startswith("AGC suspended")]
    bench.run(bad, **values)
    assert bench.cause(cause).count == 1, "one suspension is one, however long"
    assert bench.run().controls is False
    assert bench.run().controls is True
    assert bench.area.regime == "on"
    assert bench.said[-1] == "AGC resumed" or "AGC resumed" in bench.said
    assert not bench.cause(cause).active
    assert bench.cause(cause).count == 1


def test_every_missing_tie_is_named():
    bench = Bench()
    bench.run(bad=(NORTH, SOUTH))
    assert bench.cause("tie_missing").text == bench.area.reason
    assert ("tie north" in bench.area.reason, "tie south" in bench.area.reason) == (True, True)


def test_a_tie_with_the_wrong_sign_is_named():
    bench = Bench()
    for _ in range(3):
        bench.run(south=-110.0)
    assert "the sign of south may be wrong" in bench.area.reason
    account = bench.area.accounts.inadvertent
    assert (account.hour_mwh, account.unknown_s) == (0.0, 12.0), "what is not believed is not booked"
    other = Bench()
    for _ in range(3):
        other.run(meter=95.0)
    assert other.area.regime == "suspended"
    assert "sign" not in other.area.reason


def test_constant_frequency_control_does_not_care_for_ties():
    bench = Bench(mode="CFC")
    for _ in range(4):
        found = bench.run(bad=(NORTH,), south=-110.0)
    assert (bench.area.regime, found.acts) == ("on", True)
    assert found.ace.ace_mw == pytest.approx(8.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bias": 80.0},
        {"bias": math.nan},
        {"deadband": 0.0},
        {"deadband": math.nan},
        {"nominal_hz": 0.0},
        {"scheduled_interchange": math.nan},
        {"ties": [TieLine("north", [NORTH], 0.0)]},
    ],
)
def test_a_model_that_makes_no_sense_is_said_and_never_regulated(wrong):
    bench = Bench(area=replace(AREA, **wrong))
    for _ in range(5):
        found = bench.run()
        assert (bench.area.regime, found.controls, found.change_mw) == ("suspended", False, 0.0)
    assert "the model is unfit" in bench.area.reason


def test_two_islands_one_source_off_is_enough():
    bench = Bench(tuning={"frequency_spread_hz": 0.1})
    bench.run()
    bench.run(f2=49.85)
    assert "the area may be split" in bench.area.reason


def moving(bench, seconds, *, first=True, second=True):
    found = None
    for cycle in range(round(seconds / 4)):
        wave = 0.01 * math.sin(cycle)
        found = bench.run(f1=50.0 + wave * first, f2=50.001 + wave * second)
    return found


def test_a_frozen_source_is_passed_over_and_said():
    bench = Bench()
    assert moving(bench, 120).ace.readings[0].source == 1
    assert moving(bench, 56, first=False).ace.readings[0].source == 1
    found = moving(bench, 20, first=False)
    assert (found.ace.readings[0].source, found.ace.readings[0].note) == (2, "source 1 is frozen")
    assert bench.area.regime == "on"
    assert bench.cause("frequency_source_frozen").active
    assert moving(bench, 8).ace.readings[0].source == 1
    assert not bench.cause("frequency_source_frozen").active


def test_all_sources_frozen_suspend_and_one_that_never_moves_is_not_accused():
    bench = Bench()
    moving(bench, 120)
    moving(bench, 296, first=False, second=False)
    assert bench.area.regime == "on"
    moving(bench, 12, first=False, second=False)
    assert (bench.area.regime, bench.cause("frequency_frozen").count) == ("suspended", 1)
    moving(bench, 12)
    assert bench.area.regime == "on"
    still = Bench()
    for _ in range(200):
        still.run()
    assert still.area.regime == "on"


def test_a_source_with_a_coarse_dead_band_may_rest_longer():
    bench = Bench()
    for step in range(12):
        for _ in range(10):
            bench.run(f1=50.0 + 0.01 * (step % 2), f2=50.0 + 0.01 * (step % 2))
    for _ in range(80):
        bench.run(f1=50.0, f2=50.0)
    assert bench.area.regime == "on", "its usual pause is 40 s"


def test_no_cycle_for_too_long():
    bench = Bench()
    bench.run()
    bench.run(dt=12.0, elapsed=41.0)
    assert bench.area.regime == "suspended"
    assert "no cycle for 41 s" in bench.area.reason
    bench.run()
    bench.run()
    assert bench.area.regime == "on"


def test_a_tie_is_held_for_some_cycles_and_nothing_moves_meanwhile():
    bench = Bench(tuning={"hold_cycles": 2})
    bench.run()
    for _ in range(2):
        found = bench.run(bad=(NORTH,))
        assert (bench.area.regime, found.controls, found.acts) == ("on", True, False)
        assert found.ace.readings[1].state == "held"
    bench.run(bad=(NORTH,))
    assert bench.area.regime == "suspended"


def test_thirty_minutes_without_an_ace_are_an_alarm():
    bench = Bench(start="off")
    for _ in range(450):
        bench.run(bad=(F1, F2))
    assert not bench.cause("ace_missing_long").active
    bench.run(bad=(F1, F2))
    assert bench.cause("ace_missing_long").active
    assert any("30 min" in line for line in bench.said)
    bench.run()
    assert bench.area.without_ace_s == 0.0
    assert not bench.cause("ace_missing_long").active


def test_reserve_short_is_told_and_its_end():
    bench = Bench(tuning={"reserve_up_mw": 50.0, "regulating_down_mw": 10.0})
    bench.area.judge_reserve(Reserve(40.0, 0.0, math.nan, math.nan))
    bench.run()
    assert bench.cause("spinning_up_short").active
    assert bench.cause("regulating_down_short").text.endswith("unknown of 10 MW")
    assert not bench.cause("spinning_down_short").active
    bench.area.judge_reserve(Reserve(60.0, 0.0, 5.0, 10.0))
    bench.run()
    assert any(line.startswith("gone: spinning up") for line in bench.said)
    assert [one.short for one in bench.area.reserves] == [False] * 4


# ---------------------------------------------------------------- states and modes


def test_monitor_computes_and_does_not_send():
    bench = Bench(start="monitor")
    bench.run()
    found = bench.run(north=180.0, meter=70.0)
    assert (bench.area.regime, found.controls, found.acts, found.sends) == ("monitor", True, True, False)
    assert found.change_mw < 0
    bench.area.set_state("on")
    found = bench.run(north=180.0, meter=70.0)
    assert found.sends
    assert abs(found.change_mw) < 10, "the error that stood before asks for no jump"


def test_what_is_wanted_while_suspended_holds_afterwards():
    bench = Bench()
    bench.run(bad=(F1, F2))
    bench.area.set_state("monitor")
    assert bench.area.regime == "suspended"
    bench.run()
    bench.run()
    assert bench.area.regime == "monitor"
    bench.run(bad=(F1, F2))
    bench.area.set_state("off")
    bench.run(bad=(F1, F2))
    assert bench.area.regime == "off"
    with pytest.raises(RegulationError, match="no state"):
        bench.area.set_state("paused")


MODES = ("CFC", "CIC", "TLBC", "TLBC+TEC", "TLBC+II", "TLBC+ATEC")


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
def test_a_change_of_mode_asks_for_no_step(before, after):
    """120 MW of difference between the two ACEs, and the demand moves by no more than the integral of one cycle."""
    bench = Bench(mode=before)
    values = {"f1": 49.85, "f2": 49.85, "north": 170.0, "meter": 60.0, "clock": -20.0}
    for _ in range(5):
        bench.run(**values)
    bench.area.set_control_mode(after)
    found = bench.run(**values)
    settings = AgcSettings()
    if before != after:
        assert abs(found.change_mw) <= settings.integral * 4.0 * abs(found.ace.ace_mw) + 1e-9
    assert bench.area.mode == after


def test_modes_that_cannot_be():
    bench = Bench()
    with pytest.raises(RegulationError, match="no control mode"):
        bench.area.set_control_mode("TLB")
    alone = Bench(area=ControlArea("B", "b", [F1], 50.0, -80.0, 0.0, (), UNITS, True), mode="TLBC+ATEC")
    assert alone.area.mode == "TLBC"
    with pytest.raises(RegulationError, match="bias of the interconnection"):
        alone.area.set_control_mode("TLBC+ATEC")
    alone.run()
    assert any("TLBC instead" in line for line in alone.said)


def test_the_integral_stands_still_while_suspended():
    bench = Bench()
    for _ in range(5):
        bench.run(north=170.0, meter=60.0)
    before = bench.area.requirement.state()["recent_integral"]
    assert before > 0
    for _ in range(10):
        found = bench.run(north=170.0, meter=60.0, f2=50.5)
        assert found.change_mw == 0.0
    assert abs(bench.area.requirement.state()["recent_integral"]) <= abs(before)


# ---------------------------------------------------------------- what is told and kept


def test_terms_say_where_everything_came_from():
    bench = Bench()
    bench.run(bad=(F1,))
    terms = bench.area.area_terms()
    keys = [term.key for term in terms]
    assert keys[:6] == ["frequency", "input", "input", "input", "input", "scheduled_frequency"]
    assert keys[-6:] == ["filtered_ace", "proportional", "integral", "cps", "requirement", "zone"]
    assert terms[0].note == "source 2 of 2, good"
    assert terms[2].note == "south, source 1 of 1, good"
    by_key = {term.key: term.value for term in terms}
    ace = by_key["interchange"] - by_key["scheduled_interchange"] + 800 * (by_key["frequency"] - by_key["scheduled_frequency"])
    assert by_key["ace"] == pytest.approx(ace)


@pytest.mark.parametrize("folder", ["scada/api/texts", "hmi-client/src/locale"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_cause_has_words(folder, language, request):
    words = json.loads((request.config.rootpath / folder / f"{language}.json").read_text())
    assert all(words.get(f"agc.cause.{key}") for key in SUSPENDING + ALARMS)


@pytest.mark.parametrize("mode", ["TLBC", "TLBC+ATEC", "TLBC+TEC"])
def test_restored_in_the_middle_it_goes_on_identically(mode):
    script, dice = [], random.Random(7)
    for _ in range(900):
        bad = tuple(pid for pid in GOOD if dice.random() < 0.02)
        far = 4000.0 if dice.random() < 0.03 else 0.0
        values = {"f1": 50 + dice.gauss(0, 0.02), "north": 120 + dice.gauss(0, 30) + far, "clock": dice.gauss(0, 12)}
        values["meter"] = values["north"] - 110 + dice.gauss(0, 3)
        script.append((bad, dice.choice((4.0, 4.0, 4.1)), values))
    whole = Bench(mode=mode, tuning={"hold_cycles": 1})
    half = len(script) // 2
    for bad, dt, values in script[:half]:
        whole.run(bad, dt, **values)
    taken = Bench(mode="CFC", tuning={"hold_cycles": 1})
    taken.area.restore(msgpack.unpackb(msgpack.packb(whole.area.state())))
    taken.now = whole.now
    for bad, dt, values in script[half:]:
        one, two = whole.run(bad, dt, **values), taken.run(bad, dt, **values)
        assert repr(one) == repr(two)
        assert repr(whole.area.state()) == repr(taken.area.state())
    assert sum(one.count for one in whole.area.causes) > 10


def test_a_long_pause_of_before_does_not_hide_a_frozen_source():
    """What stood still before the plant began to move, or was frozen once, is not how the source usually moves."""
    sources = FrequencySources([0], 60.0, 300.0)

    def read(value):
        zero = np.zeros(1, np.int64)
        snapshot = Snapshot(1, np.zeros(1, np.uint32), np.array([value]), np.zeros(1, np.uint32), zero, zero)
        return sources.read(Measurements(snapshot), 4.0).reading.note

    for _ in range(200):
        read(50.0)
    for k in range(1, 13):
        read(50.0 + k / 1000)
    assert [read(50.012) for _ in range(30)][-1] == "stands still"
    for _ in range(200):
        read(50.02)
    for k in range(12):
        read(50.0 + k / 1000)
    notes = [read(50.011) for _ in range(40)]
    assert notes[-1] == "stands still"
