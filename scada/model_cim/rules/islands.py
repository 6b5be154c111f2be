"""Which nodes a source reaches with every switch in its normal position; plain numpy, so that a check needs no compiled kernel.

The same meaning as :mod:`scada.model_cim.topology`, which follows live positions; a test compares the two.
"""

from __future__ import annotations

import numpy as np

from scada.model_cim.rules.view import Bool, Int32, View

_SOURCES = ("ExternalNetworkInjection", "EnergySource", "EquivalentInjection", "PowerElectronicsConnection", "RotatingMachine")
_SERIES = ("ACLineSegment", "PowerTransformer", "SeriesCompensator", "EquivalentBranch")


def live_nodes(view: View) -> Bool | None:
    """Per object of the model, True for a node that a source reaches; None if the model has no source that is connected."""
    equipment, node = _carrying(view)
    joins = np.zeros(view.size, np.bool_)
    joins[view.rows(*_SERIES)] = True
    switches = view.rows("Switch")
    closed = ~view.truths(switches, "Switch.normalOpen", default=False)
    joins[switches[closed & (view.terminal_count[switches] == 2)]] = True
    joins[view.rows("GroundDisconnector")] = False
    used = joins[equipment]
    equipment_used, node_used = equipment[used], node[used]
    first = np.searchsorted(equipment_used, equipment_used)
    label = _components(view.size, node_used[first], node_used)
    source = np.zeros(view.size, np.bool_)
    source[view.rows(*_SOURCES)] = True
    machines = view.rows("RotatingMachine")
    source[machines[view.target(machines, "RotatingMachine.GeneratingUnit") < 0]] = False
    roots = label[node[source[equipment]]]
    if not len(roots):
        return None
    live = np.zeros(view.size, np.bool_)
    live[roots] = True
    return live[label]


def dead(view: View, rows: Int32, live: Bool) -> Bool:
    """Equipment of ``rows`` that is connected, to no live node."""
    equipment, node = _carrying(view)
    connected = np.zeros(view.size, np.bool_)
    connected[equipment] = True
    reached = np.zeros(view.size, np.bool_)
    reached[equipment[live[node]]] = True
    return connected[rows] & ~reached[rows]


def _carrying(view: View) -> tuple[Int32, Int32]:
    """Equipment and node of each terminal that connects something, by equipment."""
    terminals, equipment = view.terminals, view.terminal_equipment
    node = view.node(terminals)
    in_service = view.truths(np.maximum(equipment, 0), "Equipment.inService", default=True)
    carries = (equipment >= 0) & (node >= 0) & in_service & view.truths(terminals, "ACDCTerminal.connected", default=True)
    return equipment[carries], node[carries]


def _components(count: int, one: Int32, two: Int32) -> Int32:
    """Lowest row of each component; roots are hooked on lower roots, then every path is made short, until nothing moves."""
    label = np.arange(count, dtype=np.int32)
    while True:
        a, b = label[one], label[two]
        apart = a != b
        if not apart.any():
            return label
        np.minimum.at(label, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while True:
            above = label[label]
            if (above == label).all():
                break
            label = above
