"""What dispatch says of single units: limits bind for a time and narrow only; the explanation names the order."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from apps.agc_avc.test_agc_units import Plant, unit

from scada.apps.agc_avc.errors import RegulationError

FREE = (-math.inf, math.inf)


def follow(plant, count):
    """Cycles in which the tie asks for much more, and units that do as they are told."""
    for _ in range(count):
        plant.cycle(tie=-60.0)
        for point in plant.decision.setpoints:
            plant.power[point.mrid] = point.value


def of(plant, mrid):
    return next(one for one in plant.decision.units if one.mrid == mrid)


def test_limits_bind_are_said_and_end():
    plant = Plant(unit(0), unit(1))
    plant.cycle()
    plant.agc.set_limits("U0", 20.0, 105.0, "o1 (d)")
    follow(plant, 30)
    assert plant.power["U0"] <= 105.0
    assert plant.power["U1"] > 130.0, "the other one takes what is left"
    assert of(plant, "U0").reason == "limits of dispatch"
    told = plant.agc.explain("U0")
    steps = {term.key: (term.value, term.note) for term in told.steps if term.key.startswith("dispatch")}
    assert steps == {"dispatch_minimum": (20.0, "o1 (d)"), "dispatch_maximum": (105.0, "o1 (d)")}
    assert "dispatch_limits" in [limit.key for limit in told.limits if limit.binding]
    plant.agc.set_limits("U0", *FREE)
    follow(plant, 30)
    assert plant.power["U0"] > 110.0


def test_a_unit_beyond_new_limits_goes_there_at_its_ramp():
    plant = Plant(unit(0, ramp=60.0), power=[150.0])
    plant.cycle()
    plant.agc.set_limits("U0", 0.0, 100.0, "o")
    seen = [150.0]
    for _ in range(20):
        plant.cycle()
        for point in plant.decision.setpoints:
            plant.power["U0"] = point.value
        seen.append(plant.power["U0"])
    assert seen[-1] == pytest.approx(100.0)
    assert max(before - after for before, after in pairwise(seen)) <= 4.0 + 1e-9


@pytest.mark.parametrize(("low", "high"), [(300.0, 400.0), (-50.0, -10.0), (-math.inf, 500.0)])
def test_limits_never_widen_what_the_model_allows(low, high):
    plant = Plant(unit(0, low=20.0, high=120.0), unit(1))
    plant.cycle()
    plant.agc.set_limits("U0", low, high, "o")
    follow(plant, 20)
    assert 20.0 <= plant.power["U0"] <= 120.0


def test_a_base_point_names_its_order_until_a_plan_gives_it():
    plant = Plant(unit(0, base_mode="SCHE", reg_mode="O"))
    plant.agc.set_base_point("U0", 90.0, "o7 (d)")
    plant.cycle()
    keys = {term.key: (term.value, term.note) for term in plant.agc.explain("U0").steps}
    assert keys["dispatch_order"] == (90.0, "o7 (d)")
    plant.agc.set_base_point("U0", 80.0)
    plant.cycle()
    assert "dispatch_order" not in {term.key for term in plant.agc.explain("U0").steps}


def test_a_successor_keeps_the_limits():
    plant = Plant(unit(0), unit(1))
    plant.cycle()
    plant.agc.set_limits("U0", 0.0, 101.0, "o")
    state = plant.agc.state()
    plant.agc = plant.make()
    plant.agc.restore(state)
    follow(plant, 20)
    assert plant.power["U0"] <= 101.0


def test_limits_that_are_none_are_refused():
    plant = Plant(unit(0))
    for given in (("U9", 0.0, 1.0), ("U0", 5.0, 4.0), ("U0", math.nan, 4.0)):
        with pytest.raises(RegulationError):
            plant.agc.set_limits(*given)
