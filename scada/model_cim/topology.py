"""Node-breaker topology: which nodes are one bus, which buses one island, what is dead, energised or earthed.

``effective_open = Switch.open OR NOT Equipment.inService OR any Terminal.connected = false``. An island is energised when a
generating unit or an external injection in service is connected to it. A bus is earthed by a closed earthing switch. A bus
that is energised and earthed at once is reported energised, never safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numba
import numpy as np
import numpy.typing as npt

from scada.model_cim.cim import CimModel

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]
_SOURCES = ("ExternalNetworkInjection", "EnergySource", "EquivalentInjection", "PowerElectronicsConnection", "RotatingMachine")
_SERIES = ("ACLineSegment", "PowerTransformer", "SeriesCompensator", "EquivalentBranch")


class Energised(IntEnum):
    """State of a bus or of equipment; the value of ``EnergisedState`` points."""

    DEAD = 0
    ENERGISED = 1
    EARTHED = 2


@dataclass(frozen=True, slots=True)
class TopologyState:
    """Result for one set of switch positions. Rows follow ``Topology.nodes`` and ``Topology.equipment``."""

    bus_of_node: Int32
    """Bus number of each node."""
    island_of_bus: Int32
    """Island number of each bus."""
    energised: Bool
    """Per bus."""
    earthed: Bool
    """Per bus."""
    equipment: npt.NDArray[np.int8]
    """:class:`Energised` of each equipment."""

    @property
    def buses(self) -> int:
        """Number of buses."""
        return len(self.island_of_bus)

    @property
    def islands(self) -> int:
        """Number of islands."""
        return int(self.island_of_bus.max()) + 1 if self.buses else 0


@numba.njit(cache=True, nogil=True)
def _root(parent: Int32, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True, nogil=True)
def _components(count: int, one: Int32, two: Int32, joined: Bool) -> Int32:
    """Numbers of the connected components of ``count`` nodes by the edges that are ``joined``; union-find, in node order."""
    parent = np.arange(count, dtype=np.int32)
    for edge in range(len(one)):
        if joined[edge]:
            a, b = _root(parent, one[edge]), _root(parent, two[edge])
            if a < b:
                parent[b] = a
            elif b < a:
                parent[a] = b
    number = np.empty(count, dtype=np.int32)
    found = 0
    for node in range(count):
        root = _root(parent, node)
        if root == node:
            number[node] = found
            found += 1
        else:
            number[node] = number[root]
    return number


class Topology:
    """The switching graph of a model.

    Attributes:
        nodes: mRID of each ConnectivityNode (TopologicalNode where a model has no connectivity nodes).
        switches: mRID of each switch that joins two nodes.
        earthing: mRID of each earthing switch.
        equipment: mRID of each other conducting equipment.
        initial_open: position of the switches in the model's files (SSH, else normalOpen).
        initial_earthing_open: the same of the earthing switches.

    Args:
        model: the CIM model.
    """

    def __init__(self, model: CimModel) -> None:
        self._model = model
        self.nodes: list[str] = []
        self._node_row: dict[str, int] = {}
        self._terminals: dict[str, list[tuple[int, bool]]] = {}
        self._read_terminals()
        self._read_switches()
        self._read_equipment()

    def process(
        self, switch_open: Bool | None = None, earthing_open: Bool | None = None, source_live: Bool | None = None
    ) -> TopologyState:
        """Buses, islands and states for the given positions.

        Args:
            switch_open: per ``switches``; None = as in the files. Switches out of service stay open.
            earthing_open: per ``earthing``; None = as in the files.
            source_live: per ``sources``, False for a unit known to stand still; None = every connected source is live.
        """
        closed = self._in_service & ~(self.initial_open if switch_open is None else switch_open)
        bus_of_node = _components(len(self.nodes), self._from, self._to, closed)
        buses = int(bus_of_node.max()) + 1 if len(self.nodes) else 0
        island_of_bus = _components(
            buses, bus_of_node[self._branch_from], bus_of_node[self._branch_to], np.ones(len(self._branch_from), np.bool_)
        )
        live = np.zeros(buses, np.bool_)
        sources = self._source_node if source_live is None else self._source_node[source_live]
        live[island_of_bus[bus_of_node[sources]]] = True
        energised = live[island_of_bus]
        earthed = np.zeros(buses, np.bool_)
        open_ = self.initial_earthing_open if earthing_open is None else earthing_open
        earthed[bus_of_node[self._earth_node[~open_[self._earth_row]]]] = True
        return TopologyState(bus_of_node, island_of_bus, energised, earthed, self._states(bus_of_node, energised, earthed))

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

    def ends(self, switch: str) -> tuple[int, ...]:
        """Rows in ``nodes`` of the connected terminals of a switch."""
        return tuple(row for row, connected in self._terminals.get(switch, ()) if connected)

    def _states(self, bus_of_node: Int32, energised: Bool, earthed: Bool) -> npt.NDArray[np.int8]:
        bus = bus_of_node[self._equipment_node]
        states = np.zeros(len(self.equipment), np.int8)
        states[self._equipment_row[earthed[bus]]] = Energised.EARTHED
        states[self._equipment_row[energised[bus]]] = Energised.ENERGISED
        return states

    def _read_terminals(self) -> None:
        model = self._model
        for connectivity_node in model.ids("ConnectivityNode"):
            self._add_node(connectivity_node)
        for terminal in model.ids("Terminal"):
            equipment = model.ref(terminal, "Terminal.ConductingEquipment")
            node = model.ref(terminal, "Terminal.ConnectivityNode") or model.ref(terminal, "Terminal.TopologicalNode")
            if equipment is None or node is None:
                continue
            connected = model.truth(terminal, "ACDCTerminal.connected", default=True)
            self._terminals.setdefault(equipment, []).append((self._add_node(node), connected))

    def _add_node(self, node: str) -> int:
        row = self._node_row.get(node)
        if row is None:
            row = self._node_row[node] = len(self.nodes)
            self.nodes.append(node)
        return row

    def _open(self, switch: str) -> bool:
        normal = self._model.truth(switch, "Switch.normalOpen")
        return self._model.truth(switch, "Switch.open", default=normal)

    def _usable(self, equipment: str) -> bool:
        return self._model.truth(equipment, "Equipment.inService", default=True)

    def _read_switches(self) -> None:
        self.switches: list[str] = []
        self.earthing: list[str] = []
        ends: list[tuple[int, int]] = []
        usable: list[bool] = []
        earths: list[tuple[int, int]] = []
        grounds = {row for ground in self._model.ids("Ground") for row, _ in self._terminals.get(ground, ())}
        for switch in self._model.ids("Switch"):
            terminals = self._terminals.get(switch, [])
            if self._model.class_of(switch) == "GroundDisconnector":
                rows = [row for row, connected in terminals if connected and row not in grounds]
                earths.extend((len(self.earthing), row) for row in rows if self._usable(switch))
                self.earthing.append(switch)
            elif len(terminals) == 2:
                ends.append((terminals[0][0], terminals[1][0]))
                usable.append(self._usable(switch) and terminals[0][1] and terminals[1][1])
                self.switches.append(switch)
        self._from, self._to = _columns(ends)
        self._in_service = np.array(usable, np.bool_)
        self._earth_row, self._earth_node = _columns(earths)
        self.initial_open = np.array([self._open(switch) for switch in self.switches], np.bool_)
        self.initial_earthing_open = np.array([self._open(switch) for switch in self.earthing], np.bool_)

    def _read_equipment(self) -> None:
        self.equipment: list[str] = []
        self.sources: list[str] = []
        places: list[tuple[int, int]] = []
        branches: list[tuple[int, int]] = []
        source_nodes: list[int] = []
        series = {mrid for name in _SERIES for mrid in self._model.ids(name)}
        sources = {mrid for name in _SOURCES for mrid in self._model.ids(name) if self._generates(mrid)}
        skipped = {*self._model.ids("Switch"), *self._model.ids("Ground")}
        for mrid, terminals in self._terminals.items():
            if mrid in skipped:
                continue
            rows = [row for row, connected in terminals if connected] if self._usable(mrid) else []
            places.extend((len(self.equipment), row) for row in rows)
            self.equipment.append(mrid)
            if mrid in series:
                branches.extend((rows[0], row) for row in rows[1:])
            elif mrid in sources and rows:
                source_nodes.append(rows[0])
                self.sources.append(mrid)
        self._equipment_row, self._equipment_node = _columns(places)
        self._branch_from, self._branch_to = _columns(branches)
        self._source_node = np.array(source_nodes, np.int32)

    def _generates(self, mrid: str) -> bool:
        """A rotating machine is a source if it has a generating unit: a condenser or a motor alone holds no island."""
        if self._model.class_of(mrid) in ("SynchronousMachine", "AsynchronousMachine"):
            return self._model.ref(mrid, "RotatingMachine.GeneratingUnit") is not None
        return True


def _columns(pairs: list[tuple[int, int]]) -> tuple[Int32, Int32]:
    table = np.array(pairs, np.int32).reshape(-1, 2)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    none = np.empty(0, dtype=np.int32)
    _components(0, none, none, np.empty(0, dtype=np.bool_))
