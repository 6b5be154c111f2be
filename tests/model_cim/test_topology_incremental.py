"""Buses that follow single switch operations: at any time what a rebuild from scratch gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.model_cim.topology import Topology
from scada.model_cim.topology_graph import SwitchGraph

COLUMNS = ("bus_of_node", "island_of_bus", "energised", "earthed", "equipment")


def rows(values):
    return np.array(values, dtype=np.int32)


def pairs(draw, top, size):
    both = draw(st.lists(st.tuples(st.integers(0, top), st.integers(0, top)), max_size=size))
    return rows([a for a, _ in both]), rows([b for _, b in both])


@st.composite
def graphs(draw):
    """Small graphs with everything that is awkward: parallel switches, loops, unusable switches, nodes with nothing."""
    top = draw(st.integers(0, 11))
    one, two = pairs(draw, top, 18)
    branches = pairs(draw, top, 5)
    place_row = rows(draw(st.lists(st.integers(0, 4), max_size=8)))
    earth_row = rows(draw(st.lists(st.integers(0, 2), max_size=4)))
    node = st.integers(0, top)

    def nodes(size):
        return rows(draw(st.lists(node, min_size=size, max_size=size)))

    usable = np.array(draw(st.lists(st.sampled_from([True, True, True, False]), min_size=len(one), max_size=len(one))), np.bool_)
    sources = nodes(draw(st.integers(0, 3)))
    return SwitchGraph(
        top + 1, one, two, usable, *branches, sources, earth_row, nodes(len(earth_row)), 5, place_row, nodes(len(place_row))
    )


def same(one, other):
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column), err_msg=column)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_sequence_of_operations_gives_what_a_rebuild_gives(data):
    from scada.model_cim.topology_graph import LiveBuses

    graph = data.draw(graphs())
    switches, sources = len(graph.usable), len(graph.source_node)
    open_ = np.array(data.draw(st.lists(st.booleans(), min_size=switches, max_size=switches)), np.bool_)
    earthing, running = np.array([True, False, True]), np.ones(sources, np.bool_)
    live = LiveBuses(graph, open_, earthing, running)
    same(live.state(), graph.process(open_, earthing, running))
    for _ in range(data.draw(st.integers(1, 25))):
        before = graph.process(open_, earthing, running)
        match data.draw(st.sampled_from(["switch", "earthing", "burst"])):
            case "switch" if switches:
                row, to_open = data.draw(st.integers(0, switches - 1)), data.draw(st.booleans())
                open_[row] = to_open
                changed = live.switch(row, to_open)
                assert changed == (not np.array_equal(before.bus_of_node, graph.process(open_, earthing, running).bus_of_node))
            case "earthing":
                row, to_open = data.draw(st.integers(0, 2)), data.draw(st.booleans())
                assert live.earthing(row, to_open) == (earthing[row] != to_open)
                earthing[row] = to_open
            case _:
                open_ = np.array(data.draw(st.lists(st.booleans(), min_size=switches, max_size=switches)), np.bool_)
                running = np.array(data.draw(st.lists(st.booleans(), min_size=sources, max_size=sources)), np.bool_)
                live.move(open_, earthing, running)
        if data.draw(st.booleans()):
            same(live.state(), graph.process(open_, earthing, running))
    same(live.state(), graph.process(open_, earthing, running))


def test_a_thousand_operations_in_the_demo_grid(demo):
    topology = Topology(demo[0])
    live = topology.live()
    open_ = topology.initial_open.copy()
    chance = np.random.default_rng(5)
    for row in chance.integers(0, len(open_), 1000).tolist():
        open_[row] = not open_[row]
        live.switch(row, bool(open_[row]))
    same(live.state(), topology.process(open_))


def test_positions_given_are_copied(demo):
    topology = Topology(demo[0])
    live = topology.live()
    before = topology.initial_open.copy()
    live.switch(0, not before[0])
    live.earthing(0, not topology.initial_earthing_open[0])
    np.testing.assert_array_equal(topology.initial_open, before)


@pytest.fixture
def ring():
    """Four nodes in a ring of four switches; a source at the first node, equipment at the third."""
    one, two = rows([0, 1, 2, 3]), rows([1, 2, 3, 0])
    none = rows([])
    usable = np.ones(4, np.bool_)
    return SwitchGraph(4, one, two, usable, none, none, rows([0]), none, none, 1, rows([0]), rows([2]))


def test_a_switch_in_a_ring_changes_no_bus_and_the_state_is_kept(ring):
    from scada.model_cim.topology_graph import LiveBuses

    live = LiveBuses(ring, np.zeros(4, np.bool_), np.zeros(0, np.bool_), np.ones(1, np.bool_))
    state = live.state()
    assert live.switch(2, is_open=True) is False
    assert live.state() is state, "nothing is computed again"
    assert live.switch(0, is_open=True) is True
    assert live.state().equipment.tolist() == [0]
    assert live.switch(0, is_open=True) is False, "it stands so already"
    assert live.switch(2, is_open=False) is True
    assert live.state().equipment.tolist() == [1]
