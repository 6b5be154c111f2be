"""Our buses beside the topology profile of official models, and the counts measured when the models were stored."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from scada.model_cim.reader import ModelReader
from scada.model_cim.topology import Topology

MODELS = [
    "micro_bc_assembled_cim16.zip",
    "mini_nb_cim16.zip",
    "mini_nb_with_measurements_cim16.zip",
    "small_nb_cim16.zip",
    "micro_cgmes3.zip",
    "mini_cgmes3.zip",
    "small_cgmes3.zip",
    "svedala_relicap_cgmes3.zip",
]


@pytest.fixture(scope="module", params=MODELS)
def case(request, public_models):
    model = ModelReader(public_models / request.param).read()
    expected = json.loads((public_models / "expected.json").read_text())[request.param]["topology"]
    return model, Topology(model), expected


def official(model, topology, state):
    """Pairs of our bus and the TopologicalNode of each connectivity node."""
    nodes = [model.ref(node, "ConnectivityNode.TopologicalNode") for node in topology.nodes]
    return {(int(bus), node) for bus, node in zip(state.bus_of_node, nodes, strict=True) if node is not None}


def test_counts(case):
    _, topology, expected = case
    state = topology.process()
    assert len(topology.nodes) == expected["nodes"]
    assert len(topology.switches) == expected["switches"]
    assert (topology.graph.usable & ~topology.initial_open).sum() == expected["effective_closed"]
    assert state.buses == expected["own_buses"]


def test_pairs_with_the_topology_profile(case):
    model, topology, expected = case
    if expected["own_vs_TP(own,tp,pairs)"] is None:
        pytest.skip("a bus-branch model: its nodes are the topological nodes")
    pairs = official(model, topology, topology.process())
    assert [len({bus for bus, _ in pairs}), len({node for _, node in pairs}), len(pairs)] == expected["own_vs_TP(own,tp,pairs)"]


def test_the_partition_is_the_official_one_where_retained_switches_part(case):
    """The profile keeps a closed switch between two of its nodes where it is retained; otherwise bus for bus the same."""
    model, topology, expected = case
    if expected["own_vs_TP(own,tp,pairs)"] is None:
        pytest.skip("a bus-branch model: its nodes are the topological nodes")
    pairs = official(model, topology, topology.process(topology.initial_open | topology.retained))
    assert len(pairs) == len({bus for bus, _ in pairs}) == len({node for _, node in pairs}) > 10


def test_svedala_needs_what_is_out_of_service_open(public_models):
    """Of its switches 476 are out of service, some of them in the position closed; with those, official nodes would merge."""
    model = ModelReader(public_models / "svedala_relicap_cgmes3.zip").read()
    topology = Topology(model)
    out = np.array([not model.truth(mrid, "Equipment.inService", default=True) for mrid in topology.switches])
    assert out.sum() == 476
    assert not topology.graph.usable[out].any()
    closed = ~topology.initial_open
    naive = replace(topology.graph, usable=np.ones_like(out)).process(
        ~closed, topology.initial_earthing_open, np.ones(len(topology.sources), bool)
    )
    buses = {bus for bus, _ in official(model, topology, naive)}
    assert (closed & out).sum() == 46
    assert len(buses) < 236


@pytest.mark.slow
def test_real_grid(public_models):
    model = ModelReader(public_models / "real_bb_cim16.zip").read()
    expected = json.loads((public_models / "expected.json").read_text())["real_bb_cim16.zip"]["topology"]
    topology = Topology(model)
    state = topology.process()
    assert (len(topology.nodes), state.buses) == (expected["nodes"], expected["own_buses"])
    assert np.bincount(state.island_of_bus).max() == expected["main_island_buses"]
