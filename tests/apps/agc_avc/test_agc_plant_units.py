"""Plants in the fleet: end to end through the controller of an area and its status message."""

import math

import pytest

from scada.actors.agc import agc_status
from scada.apps.agc_avc.agc.controller import AgcController
from scada.core.agc_settings import AgcSettings, AgcTuning
from scada.core.clock import VirtualClock
from scada.core.plant_settings import PlantSettings
from scada.model_cim.regulation import AgcUnit, ControlArea, RegulationGroup, TieLine
from tests.apps.agc_avc.plant_rig import member, snapshot

FREQUENCY, TIE = 1, 2


def unit(name, index, fuel, low, high, ramp=30.0, **more):
    """Power point 200 + index, set-point index."""
    given = {"power": [200 + index], "setpoint": index, "remote": None, "minimum": low, "maximum": high, "ramp_up": ramp}
    given |= {"ramp_down": ramp, "participation": 1.0, "reg_mode": "R"}
    return AgcUnit(name=name, mrid=name, fuel=fuel, **(given | more))


class Area:
    """Units that follow at once, and a tie whose flow is what they give beyond 300 MW."""

    def __init__(self, units, settings=None, groups=(), **plants):
        self.clock = VirtualClock(1_750_000_000 * 10**9)
        fields = {"frequency": [FREQUENCY], "nominal_hz": 50.0, "bias": -50.0, "scheduled_interchange": 0.0}
        fields |= {"ties": [TieLine("tie", [TIE], 1.0)], "units": units, "controlled": True, "deadband": 2.0, "groups": groups}
        tuning = AgcTuning(plants=PlantSettings(**plants))
        self.agc = AgcController(ControlArea("A", "a", **fields), settings or AgcSettings(start="on", tuning=tuning), self.clock)
        self.units = units
        self.load = 0.0
        self.power = {}
        self.values = {}
        self.told = {}

    def give(self, power):
        self.power = dict(power)
        self.load = sum(power.values())

    def step(self, count=1):
        for _ in range(count):
            self.clock.advance(4.0)
            values = {FREQUENCY: 50.0, TIE: sum(self.power.values()) - self.load} | self.values
            for u in self.units:
                values[int(u.power[0])] = self.power[u.name]
            decision = self.agc.cycle(snapshot(values))
            for order in decision.setpoints:
                self.told[order.mrid] = order.mw
                if order.mrid in self.power:
                    self.power[order.mrid] = order.mw
                self.agc.confirmed(order.cid)
        return decision

    def status(self, decision, name):
        return next(u for u in agc_status(decision).units if u.name == name)


def test_a_park_of_inverters_is_curtailed_by_its_base_point_and_let_go():
    members = tuple(member(i) for i in range(4))
    park = unit("PV", 0, "pv", 0.0, 40.0, setpoint=-1, members=members, base_mode="BASE", reg_mode="O", available=90)
    area = Area([park, unit("T", 1, "thermal", 50.0, 300.0)])
    area.give({"PV": 32.0, "T": 200.0})
    area.values = {90: 32.0} | {pid: 1.0 for i in range(4) for pid in (30 + i, 50 + i)}
    outputs = [8.0] * 4

    def run(seconds):
        for _ in range(seconds // 4):
            area.values |= {10 + i: mw for i, mw in enumerate(outputs)}
            area.power["PV"] = sum(outputs)
            decision = area.step()
            for i in range(4):
                outputs[i] = min(8.0, area.told.get(f"m{i}", 8.0))
        return area.status(decision, "PV")

    area.agc.set_unit_mode("PV", "BASE", "O", 20.0)
    status = run(120)
    assert sum(outputs) == pytest.approx(20.0, abs=0.3)
    assert (status.output, status.available_mw, status.available_source) == ("members", pytest.approx(32.0), "telemetered")
    assert (status.curtailed_by, status.curtailed_mw) == ("operator", pytest.approx(12.0, abs=0.3))
    assert [one.setpoint_mw for one in status.members] == pytest.approx([5.0] * 4, abs=0.2)
    # half a minute from 0 to 12 MW and then 12 MW for the rest of 4 s .. 120 s
    assert status.curtailed_mwh_today == pytest.approx((12 * 24 / 2 + 12 * 92) / 3600, rel=0.1)
    keys = {term.key for term in area.agc.explain("PV").steps + area.agc.explain("PV").inputs}
    assert {"available_power", "plant_order", "plant_losses", "uncontrolled_power"} <= keys
    area.agc.set_unit_mode("PV", "AUTO", "E")
    status = run(200)
    assert sum(outputs) == pytest.approx(32.0)
    assert (status.curtailed_by, status.curtailed_mw) == ("", 0.0)


def test_a_plant_that_ran_free_is_held_from_what_it_generates():
    area = Area([unit("W", 0, "wind", 0.0, 60.0, available=90, base_mode="AUTO", reg_mode="E")])
    area.give({"W": 40.0})
    area.values = {90: 40.0}
    area.agc.set_unit_mode("W", "BASE", "O", 30.0)
    area.step(20)
    area.agc.set_unit_mode("W", "AUTO", "E")
    for _ in range(30):  # let go: the set-point climbs to the maximum, the wind does not
        area.power["W"] = min(area.power["W"], 40.0)
        assert area.status(area.step(), "W").reason == "runs free"
    assert area.told["W"] == 60.0
    area.power["W"] = 40.0
    area.agc.set_unit_mode("W", "BASE", "O", 30.0)
    area.step()
    assert area.told["W"] == pytest.approx(38.0)  # 30 MW/min from 40, not from 60
    status = area.status(area.step(10), "W")
    assert (status.curtailed_by, area.power["W"]) == ("operator", pytest.approx(30.0))


def test_a_unit_that_is_no_plant_shows_none():
    area = Area([unit("T", 1, "thermal", 50.0, 300.0)])
    area.give({"T": 200.0})
    status = area.status(area.step(), "T")
    assert math.isnan(status.available_mw)
    assert not status.members


def test_the_limit_of_a_section_is_named_as_the_cause():
    wind = unit("W", 0, "wind", 0.0, 60.0, available=90, group="g")
    area = Area([wind, unit("T", 1, "thermal", 50.0, 300.0)], groups=(RegulationGroup("section", "g", maximum=30.0),))
    area.give({"W": 40.0, "T": 200.0})
    area.values = {90: 50.0}
    area.load = 255.0  # 15 MW more are wanted, and it could give 10 of them
    decision = area.step(40)
    status = area.status(decision, "W")
    assert area.power["W"] <= 30.0 + 0.6
    assert status.curtailed_by == "group"


@pytest.mark.parametrize(("rule", "gives"), [("lifo", "W2"), ("fifo", "W1")])
def test_stations_give_way_in_their_order(rule, gives):
    winds = [unit(f"W{i}", i, "wind", 0.0, 60.0, available=90 + i) for i in (1, 2)]
    area = Area(winds, stations=rule)
    area.give({"W1": 50.0, "W2": 50.0})
    area.values = {91: 50.0, 92: 50.0}
    area.load = 80.0
    area.step(60)
    assert sum(area.power.values()) == pytest.approx(80.0, abs=3.0)
    other = "W1" if gives == "W2" else "W2"
    assert area.power[other] > 48.0
    assert area.power[gives] < 35.0


def test_a_low_storage_takes_less_of_a_raise_whatever_its_rule():
    storage = unit("B", 0, "storage", -60.0, 60.0, 600.0, state_of_charge=90, energy_mwh=400.0, share="capacity")
    taken = {}
    for charge in (60.0, 20.0):
        area = Area([storage, unit("T", 1, "thermal", 50.0, 300.0, 600.0)], split_s=0.0, soc_pull_per_hour=0.0)
        area.give({"B": 0.0, "T": 150.0})
        area.values = {90: charge}
        area.load = 170.0
        area.step(60)
        assert sum(area.power.values()) == pytest.approx(170.0, abs=2.5)
        taken[charge] = area.power["B"]
    assert taken[20.0] < 0.6 * taken[60.0]


def test_a_restored_area_goes_on_with_the_account():
    wind = unit("W", 0, "wind", 0.0, 60.0, available=90, base_mode="BASE", reg_mode="O")
    area = Area([wind])
    area.give({"W": 50.0})
    area.values = {90: 50.0}
    area.agc.set_unit_mode("W", "BASE", "O", 20.0)
    area.step(50)
    other = Area([wind])
    other.agc.restore(area.agc.state())
    other.clock.advance(200.0)
    other.power, other.load, other.values = dict(area.power), area.load, dict(area.values)
    one, two = (a.status(a.step(), "W") for a in (area, other))
    assert one.curtailed_mwh_today == two.curtailed_mwh_today > 1.0


def test_storage_takes_the_fast_part_and_hands_it_over_to_the_units():
    storage = unit("B", 0, "storage", -60.0, 60.0, 600.0, state_of_charge=90, energy_mwh=400.0)
    area = Area([storage, unit("T", 1, "thermal", 50.0, 300.0, 12.0)], split_s=60.0, soc_pull_per_hour=0.0)
    area.give({"B": 0.0, "T": 150.0})
    area.values = {90: 50.0}
    area.step(3)
    area.load = 180.0
    area.step(8)
    first = dict(area.power)
    assert first["B"] > 10.0
    assert sum(first.values()) == pytest.approx(180.0, abs=10.0)
    area.step(60)
    assert sum(area.power.values()) == pytest.approx(180.0, abs=2.5)
    assert abs(area.power["B"]) < 5.0
    assert area.power["T"] > 172.0


def test_without_split_the_storage_keeps_its_part():
    storage = unit("B", 0, "storage", -60.0, 60.0, 600.0, state_of_charge=90, energy_mwh=400.0)
    area = Area([storage, unit("T", 1, "thermal", 50.0, 300.0, 12.0)], split_s=0.0, soc_pull_per_hour=0.0)
    area.give({"B": 0.0, "T": 150.0})
    area.values = {90: 50.0}
    area.load = 180.0
    area.step(68)
    assert area.power["B"] > 10.0


def test_storage_takes_over_what_the_units_cannot():
    storage = unit("B", 0, "storage", -60.0, 60.0, 600.0, state_of_charge=90, energy_mwh=400.0)
    area = Area([storage, unit("T", 1, "thermal", 50.0, 160.0, 12.0)], split_s=20.0, soc_pull_per_hour=0.0)
    area.give({"B": 0.0, "T": 150.0})
    area.values = {90: 50.0}
    area.load = 180.0
    area.step(68)
    assert sum(area.power.values()) == pytest.approx(180.0, abs=2.5)
    assert area.power["B"] == pytest.approx(20.0, abs=3.0)


def test_the_charge_is_brought_back_while_regulation_rests_and_the_sum_stays():
    storage = unit("B", 0, "storage", -60.0, 60.0, 600.0, state_of_charge=90, energy_mwh=40.0, soc_reference=50.0)
    area = Area([storage, unit("T", 1, "thermal", 50.0, 300.0, 12.0)])
    area.give({"B": 0.0, "T": 150.0})
    area.values = {90: 70.0}
    area.step(30)
    assert area.power["B"] == pytest.approx(4.0, abs=0.6)  # half of 8 MWh in an hour
    assert sum(area.power.values()) == pytest.approx(150.0, abs=1.0)


def test_after_monitor_a_plant_starts_from_what_it_generates():
    members = tuple(member(i) for i in range(4))
    area = Area([unit("PV", 0, "pv", 0.0, 40.0, setpoint=-1, members=members, base_mode="BASE", reg_mode="O", available=90)])
    area.give({"PV": 32.0})
    area.values = {90: 32.0} | {pid: 1.0 for i in range(4) for pid in (30 + i, 50 + i)} | {10 + i: 8.0 for i in range(4)}
    area.agc.set_unit_mode("PV", "BASE", "O", 10.0)
    area.step(10)
    area.agc.set_state("monitor")
    area.told.clear()
    area.step(5)
    assert not area.told
    area.agc.set_state("on")
    area.step(2)
    # it gave 32 MW all the time: two cycles of 2 MW down from there, not from the 12 MW it was ordered before
    assert sum(area.told.values()) == pytest.approx(28.0, abs=2.1)
