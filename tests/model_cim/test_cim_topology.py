"""Topology: equality with official TP profiles, and what people must be able to trust: dead, energised, earthed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.model_cim.reader import ModelReader
from scada.model_cim.topology import Energised, Topology


@pytest.mark.parametrize("name", ["mini_nb_cim16.zip", "small_nb_cim16.zip", "mini_cgmes3.zip", "small_cgmes3.zip"])
def test_buses_equal_the_official_topology_profile(public_models, name):
    model = ModelReader(public_models / name).read()
    topology = Topology(model)
    state = topology.process()
    official = [model.ref(node, "ConnectivityNode.TopologicalNode") for node in topology.nodes]
    pairs = {(int(bus), tp) for bus, tp in zip(state.bus_of_node, official, strict=True) if tp is not None}
    assert len(pairs) == len({bus for bus, _ in pairs}) == len({tp for _, tp in pairs}) > 10


def test_switches_out_of_service_stay_open(public_models):
    """Svedala: 237 official nodes; one of our buses holds two of them, joined by a closed breaker that TP retains."""
    model = ModelReader(public_models / "svedala_relicap_cgmes3.zip").read()
    topology = Topology(model)
    state = topology.process()
    official = [model.ref(node, "ConnectivityNode.TopologicalNode") for node in topology.nodes]
    pairs = {(int(bus), tp) for bus, tp in zip(state.bus_of_node, official, strict=True) if tp is not None}
    assert len(pairs) == len({tp for _, tp in pairs}) == 237
    assert len({bus for bus, _ in pairs}) == 236
    ignoring = topology.process(np.array([model.truth(switch, "Switch.open") for switch in topology.switches]))
    assert ignoring.buses == state.buses


class Bench:
    """The demo's topology with switches by path-like name."""

    def __init__(self, model):
        self.model = model
        self.topology = Topology(model)
        self.open = self.topology.initial_open.copy()
        self.earth_open = self.topology.initial_earthing_open.copy()
        self.switches = {self._key(mrid): row for row, mrid in enumerate(self.topology.switches)}
        self.earthing = {self._key(mrid): row for row, mrid in enumerate(self.topology.earthing)}
        self.equipment = {model.path(mrid): row for row, mrid in enumerate(self.topology.equipment)}

    def _key(self, mrid):
        return self.model.path(mrid)

    def state(self, equipment):
        return Energised(self.topology.process(self.open, self.earth_open).equipment[self.equipment[equipment]])


@pytest.fixture
def bench(demo):
    return Bench(demo[0])


def test_all_of_the_demo_is_energised_but_the_open_reactor(bench):
    state = bench.topology.process()
    dead = {bench.topology.equipment[row] for row in np.flatnonzero(state.equipment != Energised.ENERGISED)}
    assert {bench.model.path(mrid) for mrid in dead} == {"Beishan/10kV/R1"}


def test_an_opened_feeder_is_dead_and_earthed_once_the_earthing_switch_is_closed(bench):
    load = "Nanping/10kV/F1 load"
    assert bench.state(load) is Energised.ENERGISED
    bench.open[bench.switches["Nanping/10kV/F1/9110"]] = True
    assert bench.state(load) is Energised.DEAD
    bench.earth_open[bench.earthing["Nanping/10kV/F1/9119"]] = False
    assert bench.state(load) is Energised.EARTHED


def test_what_is_energised_is_never_shown_earthed(bench):
    bench.earth_open[bench.earthing["Nanping/10kV/F1/9119"]] = False
    assert bench.state("Nanping/10kV/F1 load") is Energised.ENERGISED


def test_a_station_without_source_is_dead_and_lives_by_its_second_line(bench):
    bus = "Nanping/110kV/Bus I"
    bench.open[bench.switches["Nanping/110kV/Beishan 1/1110"]] = True
    assert bench.state(bus) is Energised.ENERGISED
    bench.open[bench.switches["Nanping/110kV/Donghu 1/1120"]] = True
    assert bench.state(bus) is Energised.DEAD
    assert bench.state("Nanping/10kV/F2 load") is Energised.DEAD
    assert bench.state("Beishan-Nanping 1/Beishan-Nanping 1") is Energised.ENERGISED


def test_the_areas_part_when_both_ties_open(bench):
    assert bench.topology.process(bench.open).energised.any()
    before = bench.topology.process(bench.open)
    for tie in ("Beishan/220kV/Lianhua 1/2140", "Donghu/220kV/Hongqi 1/2130"):
        bench.open[bench.switches[tie]] = True
    after = bench.topology.process(bench.open)
    live = [len(set(state.island_of_bus[state.energised])) for state in (before, after)]
    assert live == [1, 2]


def test_a_unit_that_stands_still_holds_no_island(bench):
    assert not bench.topology.process(source_live=np.zeros(len(bench.topology.sources), np.bool_)).energised.any()


def test_only_what_an_unknown_switch_could_change_is_uncertain(bench):
    unknown = np.zeros_like(bench.open)
    nothing = np.zeros_like(bench.earth_open)
    unknown[bench.switches["Nanping/10kV/F1/9110"]] = True
    uncertain = bench.topology.uncertain(bench.open, bench.earth_open, unknown, nothing)
    names = {bench.model.path(bench.topology.equipment[row]) for row in np.flatnonzero(uncertain)}
    assert names == {"Nanping/10kV/F1 load"}


def test_an_unknown_earthing_switch_makes_earthed_uncertain(bench):
    bench.open[bench.switches["Nanping/10kV/F1/9110"]] = True
    bench.earth_open[bench.earthing["Nanping/10kV/F1/9119"]] = False
    unknown = np.zeros_like(bench.earth_open)
    unknown[bench.earthing["Nanping/10kV/F1/9119"]] = True
    uncertain = bench.topology.uncertain(bench.open, bench.earth_open, np.zeros_like(bench.open), unknown)
    assert uncertain[bench.equipment["Nanping/10kV/F1 load"]]
    assert uncertain.sum() == 1


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_uncertain_bounds_every_position_of_the_unknown_switches(demo, data):
    bench = Bench(demo[0])
    rows = data.draw(st.lists(st.sampled_from(range(len(bench.open))), unique=True, max_size=40))
    bench.open[rows] = True
    unknown = np.zeros_like(bench.open)
    unknown[data.draw(st.lists(st.sampled_from(range(len(bench.open))), unique=True, max_size=6))] = True
    earth_unknown = np.zeros_like(bench.earth_open)
    earth_unknown[data.draw(st.lists(st.sampled_from(range(len(earth_unknown))), unique=True, max_size=6))] = True
    uncertain = bench.topology.uncertain(bench.open, bench.earth_open, unknown, earth_unknown)
    here = bench.topology.process(bench.open, bench.earth_open).equipment
    other_open, other_earth = bench.open.copy(), bench.earth_open.copy()
    other_open[unknown] = data.draw(st.lists(st.booleans(), min_size=int(unknown.sum()), max_size=int(unknown.sum())))
    count = int(earth_unknown.sum())
    other_earth[earth_unknown] = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    there = bench.topology.process(other_open, other_earth).equipment
    assert not ((here != there) & ~uncertain).any()


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_buses_are_the_connected_components_by_a_plain_search(demo, data):
    bench = Bench(demo[0])
    rows = data.draw(st.lists(st.sampled_from(range(len(bench.open))), unique=True, max_size=200))
    bench.open[rows] = True
    state = bench.topology.process(bench.open)
    neighbours = {}
    for switch, open_ in zip(bench.topology.switches, bench.open, strict=True):
        one, two = bench.topology.ends(switch)
        if not open_:
            neighbours.setdefault(one, set()).add(two)
            neighbours.setdefault(two, set()).add(one)
    seen = np.full(len(bench.topology.nodes), -1)
    for number, start in enumerate(range(len(seen))):
        todo = [start] if seen[start] < 0 else []
        while todo:
            node = todo.pop()
            if seen[node] < 0:
                seen[node] = number
                todo.extend(neighbours.get(node, ()))
    assert len({(int(a), int(b)) for a, b in zip(seen, state.bus_of_node, strict=True)}) == len(set(seen.tolist())) == state.buses
