"""ACE: published cases, sign convention, sources, faults."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from scada.apps.agc_avc.agc.ace import AceCalculator
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.agc_avc.performance.cps import PerformanceIndex
from scada.core.agc_settings import AgcTuning
from scada.core.clock import NS_PER_S
from scada.core.quality import Quality
from scada.model_cim.regulation import ControlArea, TieLine
from scada.rtdb.changes import Snapshot

GOLDEN = Path(__file__).parents[4] / "shared" / "data" / "profiles" / "golden_cases.json"


def inputs(values, bad=()):
    pids = np.array(sorted(values), dtype=np.uint32)
    quality = np.array([bad.get(pid, 0) if isinstance(bad, dict) else 0 for pid in pids.tolist()], dtype=np.uint32)
    zero = np.zeros(len(pids), np.int64)
    return Measurements(Snapshot(1, pids, np.array([values[pid] for pid in sorted(values)], float), quality, zero, zero))


def area(bias=-50.0, scheduled=0.0, frequency=(0,), ties=((10, 11),), nominal=50.0, sign=1.0):
    lines = [TieLine(f"tie {i}", pids, sign) for i, pids in enumerate(ties)]
    return ControlArea("A", "a", frequency, nominal, bias, scheduled, lines, (), True)


def golden(name):
    if not GOLDEN.exists():
        pytest.skip("the shared golden cases are not here")
    return json.loads(GOLDEN.read_text())[name]


def test_elgerd_two_areas_only_the_disturbed_area_sees_an_error():
    case = golden("elgerd_two_area")
    bias = -case["B"] * case["Pr_MW"] / 10
    frequency = case["f0"] + case["df_ss_uncontrolled"]
    tie = case["dPtie12_ss_uncontrolled"] * case["Pr_MW"]
    one = AceCalculator(area(bias, nominal=case["f0"], ties=((1,),))).calculate(inputs({0: frequency, 1: tie}))
    two = AceCalculator(area(bias, nominal=case["f0"], ties=((1,),), sign=-1.0)).calculate(inputs({0: frequency, 1: tie}))
    assert one.ace_mw == pytest.approx(-case["dPL1"] * case["Pr_MW"], abs=0.01)
    assert two.ace_mw == pytest.approx(0.0, abs=0.01)


def test_saadat_12_5():
    case = golden("saadat_12_5")
    base, f0 = case["base_MVA"], 60.0
    bias = [-(1 / r + d) * base / f0 / 10 for r, d in zip(case["R_pu"], case["D_pu"], strict=True)]
    values = inputs({0: case["f_ss_Hz"], 1: case["dP12_MW"]})
    one = AceCalculator(area(bias[0], nominal=f0, ties=((1,),))).calculate(values)
    two = AceCalculator(area(bias[1], nominal=f0, ties=((1,),), sign=-1.0)).calculate(values)
    assert one.ace_mw == pytest.approx(-case["dPL1_MW"], abs=0.1)
    assert two.ace_mw == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(("mode", "expected"), [("TLBC", 30 - 20 + 50), ("CFC", 50), ("CIC", 10)])
def test_modes_and_sign(mode, expected):
    """Over-frequency and over-export are over-generation: positive."""
    result = AceCalculator(area(scheduled=20.0), mode).calculate(inputs({0: 50.1, 10: 30.0}))
    assert result.ace_mw == pytest.approx(expected)
    assert result.faults == ()


def test_first_good_source_wins():
    values, bad = {0: 50.0, 10: 1.0, 11: 7.0}, {10: int(Quality.INVALID)}
    assert AceCalculator(area()).calculate(inputs(values, bad)).interchange_mw == 7.0
    assert AceCalculator(area()).calculate(inputs({0: 50.0, 10: math.nan, 11: 7.0})).interchange_mw == 7.0
    assert AceCalculator(area()).calculate(inputs({0: 50.0, 10: 1.0, 11: 7.0})).interchange_mw == 1.0


@pytest.mark.parametrize(
    "flag", [Quality.INVALID, Quality.NOT_TOPICAL, Quality.OLD_DATA, Quality.COMM_LOST, Quality.NEVER_RECEIVED, Quality.OVERFLOW]
)
def test_bad_or_stale_values_are_never_used(flag):
    lost_tie = AceCalculator(area()).calculate(inputs({0: 50.0, 10: 1.0}, {10: int(flag)}))
    assert math.isnan(lost_tie.ace_mw)
    assert "tie 0" in lost_tie.faults[0].text
    lost_frequency = AceCalculator(area()).calculate(inputs({0: 50.0, 10: 1.0}, {0: int(flag)}))
    assert math.isnan(lost_frequency.frequency_hz)
    assert "frequency" in lost_frequency.faults[0].text


def test_a_tie_is_held_for_some_cycles_and_the_frequency_never():
    calculator = AceCalculator(area(), tuning=AgcTuning(hold_cycles=2))
    calculator.calculate(inputs({0: 50.0, 10: 5.0}))
    for _ in range(2):
        held = calculator.calculate(inputs({0: 50.0}))
        assert held.interchange_mw == 5.0
        assert held.held == ("tie 0",)
        assert held.faults == ()
    assert calculator.calculate(inputs({0: 50.0})).faults
    assert calculator.calculate(inputs({10: 5.0})).faults


def test_a_tie_that_was_never_seen_is_not_held():
    assert AceCalculator(area(), tuning=AgcTuning(hold_cycles=5)).calculate(inputs({0: 50.0})).faults


def test_constant_frequency_control_needs_no_tie():
    result = AceCalculator(area(), "CFC").calculate(inputs({0: 49.9}))
    assert result.ace_mw == pytest.approx(-50.0)
    assert result.faults == ()
    assert math.isnan(result.interchange_mw)


def test_sources_that_disagree_may_be_two_islands():
    result = AceCalculator(area(frequency=(0, 1))).calculate(inputs({0: 50.0, 1: 50.5, 10: 0.0}))
    assert "split" in result.faults[0].text


def test_cps1_of_a_hand_worked_hour():
    """Bias 50 MW/0.1 Hz, eps 0.02 Hz: minute 1 CF = 100/500*0.01 = 0.002, minute 2 CF = -0.001; mean 0.0005 / 0.0004 = 1.25."""
    index = PerformanceIndex(-50.0, 0.02)
    hour = 3600 * NS_PER_S * 480_000
    for second in range(0, 60, 4):
        index.sample(100.0, 0.01, hour + second * NS_PER_S)
    assert math.isnan(index.cps1_percent)
    for second in range(60, 120, 4):
        index.sample(-50.0, 0.01, hour + second * NS_PER_S)
    for second in range(120, 180, 4):  # a minute with too few valid samples does not count
        index.sample(500.0 if second < 132 else math.nan, 0.1, hour + second * NS_PER_S)
    index.sample(0.0, 0.0, hour + 180 * NS_PER_S)
    assert index.cps1_percent == pytest.approx(100 * (2 - 1.25))
    index.sample(0.0, 0.0, hour + 3600 * NS_PER_S)
    assert math.isnan(index.cps1_percent)
