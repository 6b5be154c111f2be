"""Node-breaker topology: which nodes are one bus, which buses one island, what is dead, energised or earthed.

``effective_open = Switch.open OR NOT Equipment.inService OR any Terminal.connected = false``. An island is energised when a
generating unit or an external injection in service is connected to it. A bus is earthed by a closed earthing switch. A bus
that is energised and earthed at once is reported energised, never safe.

Where the model stands in columns is read here; the graph itself is :mod:`scada.model_cim.topology_graph`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from scada.model_cim.cim import CimModel
from scada.model_cim.dense import DenseModel
from scada.model_cim.topology_graph import Energised, LiveBuses, SwitchGraph, TopologyState

__all__ = ["Energised", "Topology", "TopologyState"]

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]
_SOURCES = ("ExternalNetworkInjection", "EnergySource", "EquivalentInjection", "PowerElectronicsConnection", "RotatingMachine")
_SERIES = ("ACLineSegment", "PowerTransformer", "SeriesCompensator", "EquivalentBranch")


class Topology:
    """The switching graph of a model.

    Attributes:
        nodes: mRID of each ConnectivityNode; of each TopologicalNode in a bus-branch model, which connects no terminal to a
            connectivity node. A terminal that alone lacks its connectivity node is taken at its TopologicalNode.
        switches: mRID of each switch that joins two nodes.
        earthing: mRID of each earthing switch.
        equipment: mRID of each other conducting equipment.
        sources: mRID of each generating unit's machine or external injection that is connected.
        initial_open: position of the switches in the model's files (SSH, else normalOpen).
        initial_earthing_open: the same of the earthing switches.
        retained: switches that the exchange of bus-branch models shows (``Switch.retained``); they join buses all the same.
        graph: all of it as row numbers.

    Args:
        model: the CIM model.
    """

    def __init__(self, model: CimModel) -> None:
        _Columns(DenseModel(model)).fill(self)

    nodes: list[str]
    switches: list[str]
    earthing: list[str]
    equipment: list[str]
    sources: list[str]
    initial_open: Bool
    initial_earthing_open: Bool
    retained: Bool
    graph: SwitchGraph
    _ends: tuple[list[str], Int32, Int32, Bool]

    def process(
        self, switch_open: Bool | None = None, earthing_open: Bool | None = None, source_live: Bool | None = None
    ) -> TopologyState:
        """Buses, islands and states for the given positions.

        Args:
            switch_open: per ``switches``; None = as in the files. Switches out of service stay open.
            earthing_open: per ``earthing``; None = as in the files.
            source_live: per ``sources``, False for a unit known to stand still; None = every connected source is live.
        """
        return self.graph.process(*self._given(switch_open, earthing_open, source_live))

    def live(
        self, switch_open: Bool | None = None, earthing_open: Bool | None = None, source_live: Bool | None = None
    ) -> LiveBuses:
        """A table of buses that follows single switch operations from these positions on; arguments as for :meth:`process`."""
        return LiveBuses(self.graph, *self._given(switch_open, earthing_open, source_live))

    def uncertain(
        self,
        switch_open: Bool,
        earthing_open: Bool,
        switch_unknown: Bool,
        earthing_unknown: Bool,
        source_live: Bool | None = None,
    ) -> Bool:
        """Per equipment: its state would be another if the switches in unknown position stood otherwise.

        Exact, by two runs: closing a switch only ever adds connections, so all unknown ones open and all closed bound every
        case between.
        """
        least = self.process(switch_open | switch_unknown, earthing_open | earthing_unknown, source_live)
        most = self.process(switch_open & ~switch_unknown, earthing_open & ~earthing_unknown, source_live)
        return np.not_equal(least.equipment, most.equipment)

    def ends(self, equipment: str) -> tuple[int, ...]:
        """Rows in ``nodes`` of the connected terminals of a switch or other equipment."""
        slot = self._slot.get(equipment)
        if slot is None:
            return ()
        _, start, node, connected = self._ends
        part = slice(start[slot], start[slot + 1])
        return tuple(node[part][connected[part]].tolist())

    @cached_property
    def _slot(self) -> dict[str, int]:
        return {mrid: slot for slot, mrid in enumerate(self._ends[0])}

    def _given(self, switch_open: Bool | None, earthing_open: Bool | None, source_live: Bool | None) -> tuple[Bool, Bool, Bool]:
        return (
            self.initial_open if switch_open is None else switch_open,
            self.initial_earthing_open if earthing_open is None else earthing_open,
            np.ones(len(self.sources), np.bool_) if source_live is None else source_live,
        )


class _Columns:
    """Terminals by equipment, and what each equipment is.

    Args:
        dense: the model.
    """

    def __init__(self, dense: DenseModel) -> None:
        self.dense = dense
        terminals = dense.rows("Terminal")
        equipment = dense.ref("Terminal.ConductingEquipment")[terminals]
        node = dense.ref("Terminal.ConnectivityNode")[terminals]
        node_breaker = bool((node >= 0).any())
        node = np.where(node >= 0, node, dense.ref("Terminal.TopologicalNode")[terminals])
        whole = (equipment >= 0) & (node >= 0)
        connected = dense.truth("ACDCTerminal.connected", default=True)[terminals[whole]]
        self.nodes, terminal_node = self._node_rows(
            node[whole], dense.rows("ConnectivityNode" if node_breaker or not len(terminals) else "TopologicalNode")
        )
        # equipment in the order of its first terminal, its terminals in file order
        found, first, of_terminal = np.unique(equipment[whole], return_index=True, return_inverse=True)
        by_first = np.argsort(first, kind="stable")
        self.equipment = found[by_first]
        rank = np.empty(len(found), dtype=np.int64)
        rank[by_first] = np.arange(len(found))
        slot = rank[of_terminal]
        order = np.argsort(slot, kind="stable")
        self.slot, self.node, self.connected = slot[order], terminal_node[order], connected[order]
        self.count = np.bincount(slot, minlength=len(found))
        self.start = np.concatenate([[0], np.cumsum(self.count)]).astype(np.int32)
        self.slot_of = np.full(len(dense.mrids), -1, dtype=np.int32)
        self.slot_of[self.equipment] = np.arange(len(found))
        self.usable = dense.truth("Equipment.inService", default=True)

    def _node_rows(self, node: Int32, known: Int32) -> tuple[Int32, Int32]:
        """Nodes of the graph, and the node of each terminal: the known ones, then others in the order terminals name them."""
        row = np.full(len(self.dense.mrids), -1, dtype=np.int32)
        row[known] = np.arange(len(known))
        others, first = np.unique(node[row[node] < 0], return_index=True)
        others = others[np.argsort(first, kind="stable")]
        row[others] = len(known) + np.arange(len(others))
        return np.concatenate([known, others]), row[node]

    def fill(self, into: Topology) -> None:
        names = self.dense.mrids
        into.nodes = [names[row] for row in self.nodes]
        into._ends = [names[row] for row in self.equipment], self.start, self.node, self.connected  # noqa: SLF001 - it is made here
        switch_rows = self.dense.rows("Switch")
        earthing_class = np.isin(switch_rows, self.dense.rows("GroundDisconnector"))
        earthing = switch_rows[earthing_class]
        slots = self.slot_of[switch_rows]
        two_ended = ~earthing_class & (slots >= 0)
        two_ended[two_ended] = self.count[slots[two_ended]] == 2
        switches = switch_rows[two_ended]
        place = self.start[self.slot_of[switches]]
        normal = self.dense.truth("Switch.normalOpen")
        is_open = np.where(self.dense.given("Switch.open"), self.dense.truth("Switch.open"), normal)
        into.switches, into.initial_open = [names[row] for row in switches], is_open[switches]
        into.earthing, into.initial_earthing_open = [names[row] for row in earthing], is_open[earthing]
        into.retained = self.dense.truth("Switch.retained")[switches]
        earth_row, earth_node = self._earths(earthing)
        place_row, place_node, branches, source_node = self._equipment(into)
        into.graph = SwitchGraph(
            nodes=len(self.nodes),
            switch_from=self.node[place],
            switch_to=self.node[place + 1],
            usable=self.usable[switches] & self.connected[place] & self.connected[place + 1],
            branch_from=branches[0],
            branch_to=branches[1],
            source_node=source_node,
            earth_row=earth_row,
            earth_node=earth_node,
            equipment=len(into.equipment),
            place_row=place_row,
            place_node=place_node,
        )

    def _earths(self, earthing: Int32) -> tuple[Int32, Int32]:
        """Earthing switches in service and the nodes they earth: those of their connected terminals that are not earth itself."""
        ground = np.zeros(len(self.nodes), dtype=np.bool_)
        ground[self.node[np.isin(self.equipment[self.slot], self.dense.rows("Ground"))]] = True
        row = np.full(len(self.dense.mrids), -1, dtype=np.int32)
        row[earthing] = np.arange(len(earthing))
        subject = self.equipment[self.slot]
        used = (row[subject] >= 0) & self.connected & ~ground[self.node] & self.usable[subject]
        by_row = np.argsort(row[subject[used]], kind="stable")
        return row[subject[used]][by_row], self.node[used][by_row]

    def _equipment(self, into: Topology) -> tuple[Int32, Int32, tuple[Int32, Int32], Int32]:
        """Places of the equipment, ends of the branches, nodes of the sources."""
        names = self.dense.mrids
        plain = ~np.isin(self.equipment, np.concatenate([self.dense.rows("Switch"), self.dense.rows("Ground")]))
        into.equipment = [names[row] for row in self.equipment[plain]]
        number = np.cumsum(plain).astype(np.int32) - 1  # by slot
        subject = self.equipment[self.slot]
        placed = plain[self.slot] & self.connected & self.usable[subject]
        slot, node = self.slot[placed], self.node[placed]
        head, first, of_head = np.unique(slot, return_index=True, return_inverse=True)
        series = np.isin(self.equipment[slot], np.concatenate([self.dense.rows(name) for name in _SERIES]))
        further = series & (np.arange(len(slot)) != first[of_head])
        source = np.isin(self.equipment[head], self._source_rows())
        into.sources = [names[row] for row in self.equipment[head[source]]]
        return number[slot], node, (node[first[of_head]][further], node[further]), node[first[source]]

    def _source_rows(self) -> Int32:
        """A rotating machine is a source if it has a generating unit: a condenser or a motor alone holds no island."""
        rows: Int32 = np.concatenate([self.dense.rows(name) for name in _SOURCES])
        machines = np.isin(rows, self.dense.rows("RotatingMachine"))
        driven = self.dense.ref("RotatingMachine.GeneratingUnit")[rows] >= 0
        found: Int32 = rows[~machines | driven]
        return found
