"""What a plant of sun or wind could give: benchmarks, irradiance, the ladder."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.apps.agc_avc.agc.available_power import Benchmarks, KindSample, Sample, available_power, bounded, irradiance_power
from scada.core.plant_settings import PlantSettings

SETTINGS = PlantSettings(benchmark_settle_s=0.0)
NAN = math.nan


def on(power, *, uncurtailed=True):
    return Sample(power, in_service=True, uncurtailed=uncurtailed)


def benchmarks(count=3, capacities=None, **changes):
    capacities = capacities or [10.0] * count
    settings = PlantSettings(**({"benchmark_settle_s": 0.0, "benchmark_minimum": 2} | changes))
    return Benchmarks([f"m{i}" for i in range(count)], capacities, range(count), settings)


def test_output_of_the_benchmarks_per_capacity():
    found = benchmarks(2, [10.0, 5.0])
    assert found.per_capacity([on(6.0), on(4.5)]) == pytest.approx(10.5 / 15)  # by capacity, not the mean of the ratios


def test_too_few_benchmarks_say_nothing():
    assert math.isnan(benchmarks(2).per_capacity([on(6.0), Sample(6.0, in_service=False, uncurtailed=True)]))
    assert math.isnan(benchmarks(2).per_capacity([on(6.0), on(NAN)]))
    assert math.isnan(benchmarks(2).per_capacity([on(6.0), on(12.0)]))  # more than it can give
    assert benchmarks(2, benchmark_minimum=1).per_capacity([on(6.0), on(NAN)]) == pytest.approx(0.6)


def test_one_that_differs_from_the_median_is_skipped():
    assert benchmarks().per_capacity([on(6.0), on(6.4), on(1.0)]) == pytest.approx(0.62)


def test_a_curtailed_benchmark_counts_again_after_it_settled():
    found = benchmarks(2, benchmark_settle_s=20.0)
    samples = [on(6.0), on(6.0)]
    for count in range(5):
        found.update(samples, 4.0)
        assert math.isnan(found.per_capacity(samples)) == (count < 4)
    found.update([on(6.0), on(4.0, uncurtailed=False)], 4.0)
    found.update(samples, 4.0)
    assert math.isnan(found.per_capacity(samples))


def test_a_benchmark_that_stands_still_while_others_move_is_frozen():
    found = benchmarks(benchmark_frozen_s=60.0)
    for count in range(20):
        samples = [on(6.0), on(6.0 - 0.1 * count), on(6.0 - 0.1 * count)]
        found.update(samples, 4.0)
    assert found.per_capacity(samples) == pytest.approx(samples[1].power / 10)
    # at its rating one may well stand still
    found = benchmarks(benchmark_frozen_s=60.0)
    for count in range(20):
        samples = [on(10.0), on(9.9 - 0.1 * count), on(9.9 - 0.1 * count)]
        found.update(samples, 4.0)
    assert found.per_capacity(samples) > samples[1].power / 10


def test_still_air_freezes_nobody():
    found = benchmarks(benchmark_frozen_s=60.0)
    for _ in range(100):
        found.update([on(6.0)] * 3, 4.0)
    assert found.per_capacity([on(6.0)] * 3) == pytest.approx(0.6)


def test_irradiance_by_hand():
    assert irradiance_power(50.0, 800.0, SETTINGS) == pytest.approx(50 * 0.85 * 0.8)
    warm = PlantSettings(ambient_c=30.0)
    # cells at 30 + 25 = 55 °C: 30 K above 25 °C cost 12 %
    assert irradiance_power(50.0, 800.0, warm) == pytest.approx(50 * 0.85 * 0.8 * 0.88)
    assert irradiance_power(50.0, -3.0, SETTINGS) == 0.0
    assert math.isnan(irradiance_power(50.0, None, SETTINGS))
    assert math.isnan(irradiance_power(50.0, 5000.0, SETTINGS))


def test_the_ladder():
    kind = KindSample("pv", 40.0, 10.0, at_its_best=True, benchmark=0.6)
    blind = KindSample("pv", 40.0, 10.0, at_its_best=True, benchmark=NAN)
    held = KindSample("pv", 40.0, 10.0, at_its_best=False, benchmark=NAN)
    assert available_power([kind], 30.0, 500.0, SETTINGS)[0].source == "telemetered"
    assert available_power([kind], None, 500.0, SETTINGS)[0].mw == pytest.approx(24.0)
    assert available_power([blind], None, 500.0, SETTINGS)[0].source == "irradiance"
    assert available_power([blind], None, None, SETTINGS)[0] == bounded(10.0, "output", 40.0, 10.0)
    unknown = available_power([held], None, None, SETTINGS)[0]
    assert math.isnan(unknown.mw)
    assert unknown.source == ""


def test_wind_knows_nothing_of_irradiance_and_one_unknown_kind_makes_the_plant_unknown():
    sun = KindSample("pv", 40.0, 10.0, at_its_best=False, benchmark=0.5)
    wind = KindSample("wind", 60.0, 30.0, at_its_best=False, benchmark=NAN)
    whole, single = available_power([sun, wind], None, 500.0, SETTINGS)
    assert math.isnan(whole.mw)
    assert single["pv"].mw == pytest.approx(20.0)
    calm = KindSample("wind", 60.0, 30.0, at_its_best=True, benchmark=NAN)
    whole, _ = available_power([sun, calm], None, 500.0, SETTINGS)
    assert (whole.mw, whole.source) == (pytest.approx(50.0), "benchmark+output")


def test_a_kind_out_of_service_is_no_obstacle():
    sun = KindSample("pv", 40.0, 10.0, at_its_best=True, benchmark=NAN)
    gone = KindSample("wind", 0.0, 0.0, at_its_best=True, benchmark=NAN)
    whole, _ = available_power([sun, gone], None, None, SETTINGS)
    assert whole.mw == pytest.approx(10.0)


number = st.one_of(st.none(), st.floats(-100, 200))


@given(number, number, st.one_of(st.just(NAN), st.floats(-1, 2)), st.floats(0.1, 60), st.floats(0, 1), st.booleans())
def test_never_above_the_capacity_nor_below_the_output(told, sun, benchmark, capacity, part, best):
    kind = KindSample("pv", capacity, part * capacity, at_its_best=best, benchmark=benchmark)
    whole, single = available_power([kind], told, sun, SETTINGS)
    assert math.isnan(whole.mw) == (whole.source == "")
    if whole.source:
        assert part * capacity - 1e-9 <= whole.mw <= capacity + 1e-9
        assert single["pv"].mw == pytest.approx(whole.mw)
