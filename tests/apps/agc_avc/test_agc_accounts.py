"""Time error, inadvertent interchange, payback, IATEC and meter error against values worked by hand; sources by priority."""

import math

import numpy as np
import pytest

from scada.apps.agc_avc.agc.ace import AceCalculator
from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.agc.inadvertent import Inadvertent, MeterError
from scada.apps.agc_avc.agc.time_error import TimeError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcSettings, AgcTuning
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.quality import Quality
from scada.model_cim.regulation import AgcUnit, ControlArea, TieLine
from scada.rtdb.changes import Snapshot

MIDNIGHT = 1_767_571_200 * NS_PER_S
"""Monday, 5 January 2026, 00:00 UTC."""
HOUR = 3600 * NS_PER_S


def area(**more):
    given = {"bias": -50.0, "scheduled_interchange": 0.0, "bias_sum": -500.0, "deadband": 5.0} | more
    ties = [TieLine("one", [10], 1.0), TieLine("two", [11, 12], -1.0)]
    return ControlArea("A", "a", [0], 50.0, ties=ties, units=(), controlled=True, **given)


def measured(values, quality=None):
    pids = np.array(sorted(values), dtype=np.uint32)
    words = np.array([(quality or {}).get(pid, 0) for pid in pids.tolist()], dtype=np.uint32)
    zero = np.zeros(len(pids), np.int64)
    return Measurements(Snapshot(1, pids, np.array([values[pid] for pid in pids.tolist()], float), words, zero, zero))


# ---------------------------------------------------------------- time error


def test_time_error_of_an_hour_at_50_02_hz():
    """0.02 Hz for an hour of 50 Hz: 3600 * 0.02 / 50 = 1.44 s fast."""
    error = TimeError(50.0, AgcTuning())
    for _ in range(900):
        error.update(50.02, 4.0, math.nan)
    assert error.error_s == pytest.approx(1.44)
    error.update(math.nan, 4.0, math.nan)
    assert error.error_s == pytest.approx(1.44)
    error.update(50.02, 4.0, -2.5)
    assert error.error_s == -2.5, "the time monitor knows better"
    error.update(50.02, 100.0, math.nan)
    assert error.error_s == pytest.approx(-2.46), "without it ours goes on from there"


def test_a_correction_starts_and_stops_at_its_limits():
    error = TimeError(50.0, AgcTuning())
    seen = []
    for value in (9.9, 10.0, 7.0, 6.1, 6.0, 9.0, -9.9, -10.0, -6.1, -6.0, 12.0, -12.0):
        error.update(50.0, 4.0, value)
        seen.append(error.offset_hz)
    assert seen == [0.0, -0.02, -0.02, -0.02, 0.0, 0.0, 0.0, 0.02, 0.02, 0.0, -0.02, 0.02]


def test_a_correction_offsets_the_schedule_in_its_mode_only():
    """Slow clocks: FS = 50.02; at 50.02 Hz and no interchange the ACE is 0, in the other modes -10 B 0.02 = 10 MW."""
    model = area(time_error=5)
    values = measured({0: 50.02, 10: 0.0, 11: 0.0, 5: -11.0})
    corrected = AceCalculator(model, "TLBC+TEC").calculate(values, 4.0, MIDNIGHT)
    assert (corrected.scheduled_hz, corrected.ace_mw) == (50.02, pytest.approx(0.0, abs=1e-9))
    assert corrected.corrected
    assert AceCalculator(model, "TLBC").calculate(values, 4.0, MIDNIGHT).ace_mw == pytest.approx(10.0)


# ---------------------------------------------------------------- inadvertent interchange


def book(account, hours, mw, te_per_hour=0.0, begin=MIDNIGHT):
    """Whole hours of one inadvertent power."""
    for minute in range(round(hours * 60)):
        account.update(mw, 60.0, begin + minute * 60 * NS_PER_S, te_per_hour * minute / 60)
    return begin + round(hours * 3600) * NS_PER_S


def test_hours_are_booked_on_and_off_peak():
    """10 MW over the schedule all day: 8 hours off-peak (22-06), 16 on-peak; a Sunday has no on-peak."""
    account = Inadvertent(area(), AgcTuning())
    end = book(account, 24, 10.0)
    account.update(0.0, 4.0, end, 0.0)
    assert (account.accounts["on"], account.accounts["off"]) == (pytest.approx(160.0), pytest.approx(80.0))
    sunday = Inadvertent(area(), AgcTuning())
    sunday.update(0.0, 4.0, book(sunday, 24, 10.0, begin=MIDNIGHT - 24 * HOUR), 0.0)
    assert (sunday.accounts["on"], sunday.accounts["off"]) == (0.0, pytest.approx(240.0))
    china = Inadvertent(area(), AgcTuning(time_zone="Asia/Shanghai"))
    china.update(0.0, 4.0, book(china, 1, 10.0), 0.0)
    assert china.accounts["on"] == pytest.approx(10.0), "00:00 UTC is 08:00 there"


def test_the_primary_part_of_an_hour_by_hand():
    """II 9 MWh, B -50 MW/0.1 Hz, dTE +0.36 s, Y 0.1: PII = 0.9 (9 + 50 * 0.36 / 6) = 10.8; IATEC = 10.8 / (0.9 * 3) = 4 MW."""
    account = Inadvertent(area(), AgcTuning())
    assert account.share == pytest.approx(0.1)
    end = book(account, 1, 9.0, te_per_hour=0.36)
    account.update(0.0, 4.0, end, 0.36)
    assert account.accounts["primary_off"] == pytest.approx(10.8)
    assert account.iatec_mw == pytest.approx(4.0)
    assert account.payback_mw == pytest.approx(3.0)


def test_payback_is_limited_and_what_is_unknown_is_not_booked():
    account = Inadvertent(area(), AgcTuning())
    end = book(account, 1, 600.0)
    account.update(math.nan, 4.0, end, 0.0)
    assert account.payback_mw == pytest.approx(10.0), "0.2 |B|"
    assert (account.hour_mwh, account.unknown_s) == (0.0, 4.0)
    assert Inadvertent(area(bias_sum=math.nan), AgcTuning()).share != Inadvertent(area(), AgcTuning()).share
    assert math.isnan(Inadvertent(area(bias_sum=math.nan), AgcTuning()).iatec_mw)


@pytest.mark.parametrize("mode", ["TLBC+II", "TLBC+ATEC"])
def test_payback_returns_the_energy(mode):
    """An area that holds its ACE at 0 by payback exports less, until the account is empty: by (1 - 1/3) an hour, 0.8 MWh of 9."""
    calculator = AceCalculator(area(), mode)
    assert calculator.calculate(measured({0: 50.0, 10: 9.0, 11: 0.0}), 4.0, MIDNIGHT).correction_mw == 0.0
    now, export = MIDNIGHT, 9.0
    for step in range(1, 7 * 900 + 2):
        now = MIDNIGHT + step * 4 * NS_PER_S
        ace = calculator.calculate(measured({0: 50.0, 10: export, 11: 0.0}), 4.0, now)
        if step == 900:
            assert ace.correction_mw == pytest.approx(3.0, rel=0.01)
            assert ace.corrected
        if step >= 900:
            export -= ace.ace_mw
    accounts = calculator.inadvertent.accounts
    assert 0 < accounts["off"] + accounts["on"] < 1.5


# ---------------------------------------------------------------- meter error


def test_meter_error_is_the_mean_difference_of_the_last_hour():
    error = MeterError(area(), AgcTuning())
    for second in range(0, 3600, 4):
        assert not error.update(5.0 if second < 1800 else 3.0, 4.0, MIDNIGHT + second * NS_PER_S)
    assert error.update(0.0, 4.0, MIDNIGHT + HOUR)
    assert error.error_mw == pytest.approx(4.0)
    for second in range(0, 3600, 4):
        error.update(100.0 if second < 1000 else math.nan, 4.0, MIDNIGHT + HOUR + second * NS_PER_S)
    error.update(0.0, 4.0, MIDNIGHT + 2 * HOUR)
    assert error.error_mw == pytest.approx(4.0), "an hour of which too little is known says nothing"
    wild = MeterError(area(), AgcTuning())
    for second in range(0, 3604, 4):
        wild.update(-80.0, 4.0, MIDNIGHT + second * NS_PER_S)
    assert wild.error_mw == -10.0, "two dead bands"
    assert MeterError(area(), AgcTuning(meter_error="none", meter_error_mw=7.0)).error_mw == 0.0


def test_an_entered_meter_error_is_taken_off_the_ties():
    tuning = AgcTuning(meter_error="entered", meter_error_mw=2.5)
    ace = AceCalculator(area(), "CIC", tuning).calculate(measured({0: 50.0, 10: 30.0, 11: 10.0}))
    assert ace.ace_mw == pytest.approx(30.0 - 10.0 - 2.5)
    assert AceCalculator(area(), "CFC", tuning).calculate(measured({0: 50.0})).ace_mw == 0.0


# ---------------------------------------------------------------- sources and sign


def test_every_input_names_its_source():
    model = area(interchange_meter=(20, 21), time_error=5)
    values = {0: 50.0, 10: 30.0, 11: 9.0, 12: 10.0, 21: 20.0}
    ace = AceCalculator(model).calculate(measured(values, {11: int(Quality.INVALID), 21: int(Quality.MANUAL)}))
    shown = [(one.name, one.value, one.source, one.sources, one.pid, one.state) for one in ace.readings]
    assert shown[:4] == [
        ("frequency", 50.0, 1, 1, 0, "good"),
        ("one", 30.0, 1, 1, 10, "good"),
        ("two", 10.0, 2, 2, 12, "good"),
        ("interchange meter", 20.0, 2, 2, 21, "substituted"),
    ]
    assert (ace.readings[4].source, ace.readings[4].pid, ace.readings[4].state) == (0, -1, "missing")
    assert ace.interchange_mw == 20.0


@pytest.mark.parametrize(("sign", "factor"), [("nerc", 1.0), ("reversed", -1.0)])
def test_the_sign_is_that_of_what_is_shown_and_the_units_move_the_same_way(sign, factor):
    units = (AgcUnit("T", "t", "thermal", [30], 0, None, 80.0, 300.0, 60.0, 60.0, 1.0),)
    model = ControlArea("A", "a", [0], 50.0, -80.0, 0.0, [TieLine("tie", [1], 1.0)], units, True)
    clock = VirtualClock()
    agc = AgcController(model, AgcSettings(start="on", sign=sign), clock)
    for _ in range(5):
        clock.advance(4.0)
        decision = agc.cycle(measured({0: 50.0, 1: -50.0, 30: 200.0}))
    assert decision.ace_mw == pytest.approx(-50.0 * factor)
    assert math.copysign(1.0, decision.filtered_ace_mw) == -factor
    assert decision.regulation_mw > 0
    assert decision.setpoints[0].mw > 200.0
    assert decision.sign == sign
