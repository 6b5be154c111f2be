"""The running topology follows the database: after any burst what a rebuild of the positions gives, doubts included."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.actors.topology import CLOSED, OPEN, LiveTopology
from scada.core.quality import Quality
from scada.model_cim.topology import Topology

WORDS = [0, int(Quality.INVALID), int(Quality.MANUAL | Quality.SUBSTITUTED), int(Quality.NOT_TOPICAL)]


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_state_and_doubts_equal_a_rebuild(demo, data):
    model, tables = demo
    live, topology = LiveTopology(model, tables), Topology(model)
    position = {p.equipment: int(p.pid) for p in tables.points if p.measurement_type == "SwitchPosition"}
    value = np.full(len(tables.points), CLOSED)
    quality = np.zeros(len(tables.points), dtype=np.uint32)
    value[[position[mrid] for mrid in topology.earthing]] = OPEN
    known_open, known_earth = topology.initial_open.copy(), topology.initial_earthing_open.copy()
    for _ in range(data.draw(st.integers(1, 4))):
        for mrid in data.draw(st.lists(st.sampled_from([*topology.switches, *topology.earthing]), max_size=25)):
            value[position[mrid]] = data.draw(st.sampled_from([OPEN, CLOSED, 0.0, 3.0]))
            quality[position[mrid]] = data.draw(st.sampled_from(WORDS))
        live.update(value, quality)
        doubts = []
        for mrids, stands in ((topology.switches, known_open), (topology.earthing, known_earth)):
            pids = np.array([position[mrid] for mrid in mrids])
            good = np.isin(value[pids], (OPEN, CLOSED)) & np.isin(quality[pids], (WORDS[0], WORDS[2]))
            stands[good] = value[pids][good] == OPEN
            doubts.append((~good, good & (quality[pids] == WORDS[2])))
        (unknown, held), (earth_unknown, earth_held) = doubts
        state, uncertain, substituted = live.state()
        expected = topology.process(known_open, known_earth)
        np.testing.assert_array_equal(state.equipment, expected.equipment)
        np.testing.assert_array_equal(state.bus_of_node, expected.bus_of_node)
        np.testing.assert_array_equal(uncertain, topology.uncertain(known_open, known_earth, unknown, earth_unknown))
        np.testing.assert_array_equal(substituted, topology.uncertain(known_open, known_earth, held, earth_held))
