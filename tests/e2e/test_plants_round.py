"""Plants end to end: PV, wind and storage of the demo grid follow AGC through the real processes; the account runs."""

import pytest
from scadapb.v1 import scada_pb2 as pb

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def units(rig):
    rig.until(lambda: (s := rig.status()) and s.points_good >= 0.99 * s.points_total and s, 60, "the points")
    rig.until(lambda: rig.status().agc_state == "on", 60, "AGC on")
    return {unit.name: unit for area in rig.tables.areas for unit in area.units if area.controlled}


def shown(rig, name):
    return next(one for one in rig.call("Regulation/GetAgc", pb.GetAgcRequest()).units if one.name == name)


def order(rig, unit, base, reg, mw=0.0):
    mode = pb.UnitMode(unit=unit.mrid, base_mode=base, reg_mode=reg, base_point_mw=mw)
    reply = rig.signed("Control/SetMode", pb.SetModeRequest(unit=mode))
    assert reply.accepted, reply


@pytest.mark.parametrize("name", ["W1", "PV1"])
def test_sun_and_wind_are_curtailed_and_let_go(rig, units, name):
    unit = units[name]
    status = rig.until(lambda: (s := shown(rig, name)).available_mw > 5 and s, 60, f"{name} has power to give")
    assert status.available_source == "telemetered"
    wanted = round(0.6 * status.available_mw, 1)
    order(rig, unit, "BASE", "O", wanted)
    rig.until(lambda: abs(rig.good(unit.power[0]) - wanted) < 1.0, 120, f"{name} at {wanted} MW")
    held = rig.until(lambda: (s := shown(rig, name)).curtailed_mw > 1 and s, 30, "what it is kept from")
    assert held.curtailed_by == "operator"
    assert held.curtailed_mw == pytest.approx(held.available_mw - held.power_mw, abs=0.5)
    rig.until(lambda: shown(rig, name).curtailed_mwh_today > held.curtailed_mwh_today, 30, "the account runs")
    assert 0 < held.curtailment_validity <= 1
    why = rig.call("Regulation/Explain", pb.ExplainRequest(mrid=unit.mrid))
    assert {"available_power", "curtailed"} <= {term.key for term in (*why.inputs, *why.steps)}
    order(rig, unit, "AUTO", "E")
    rig.until(lambda: (s := shown(rig, name)).power_mw > s.available_mw - 1.5, 120, f"{name} gives what it can again")
    rig.until(lambda: shown(rig, name).curtailed_by == "", 60, "nobody curtails it")


def test_storage_follows_and_its_charge_moves(rig, units):
    unit = units["B1"]
    before = shown(rig, "B1").state_of_charge
    assert 10 < before < 95
    for wanted in (8.0, -8.0):
        order(rig, unit, "BASE", "O", wanted)
        rig.until(lambda mw=wanted: abs(rig.good(unit.power[0]) - mw) < 0.6, 60, f"B1 at {wanted} MW")
        start = shown(rig, "B1").state_of_charge
        rig.until(lambda mw=wanted, at=start: (at - shown(rig, "B1").state_of_charge) * mw > 0, 90, "its charge moves")
    order(rig, unit, "AUTO", "R")


def test_members_behind_the_plants_controller_are_shown(rig, units):
    status = shown(rig, "PV1")
    assert len(status.members) == len(units["PV1"].members) == 4

    def agree():
        seen = shown(rig, "PV1")
        return abs(sum(one.power_mw for one in seen.members) - seen.power_mw) < 1.5

    rig.until(agree, 30, "the members and the plant agree")
