"""The switching graph in arrays, its full processing, and the bus table that follows single switch operations.

A *yard* is a set of nodes that switches could join at all: a voltage level of a substation, as a rule. No switch operation
changes a bus outside its yard, so one operation costs the size of a yard, not of the grid. Islands and what is energised are
computed once for any number of operations, when they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numba
import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int8 = npt.NDArray[np.int8]
Bool = npt.NDArray[np.bool_]


class Energised(IntEnum):
    """State of a bus or of equipment; the value of ``EnergisedState`` points."""

    DEAD = 0
    ENERGISED = 1
    EARTHED = 2


@dataclass(frozen=True, slots=True)
class TopologyState:
    """Result for one set of switch positions. Rows follow ``Topology.nodes`` and ``Topology.equipment``."""

    bus_of_node: Int32
    """Bus number of each node; buses are numbered in the order of their first node."""
    island_of_bus: Int32
    """Island number of each bus."""
    energised: Bool
    """Per bus."""
    earthed: Bool
    """Per bus."""
    equipment: Int8
    """:class:`Energised` of each equipment."""

    @property
    def buses(self) -> int:
        """Number of buses."""
        return len(self.island_of_bus)

    @property
    def islands(self) -> int:
        """Number of islands."""
        return int(self.island_of_bus.max()) + 1 if self.buses else 0


@dataclass(frozen=True, slots=True, eq=False)
class SwitchGraph:
    """Nodes, switches and what hangs on the nodes; all columns hold row numbers.

    Attributes:
        nodes: number of nodes.
        switch_from, switch_to: nodes of each switch.
        usable: per switch, False if it is out of service or a terminal of it is disconnected: never closed.
        branch_from, branch_to: nodes that lines, transformers and the like connect electrically.
        source_node: node of each source.
        earth_row, earth_node: earthing switch and the node it earths.
        equipment: number of equipment.
        place_row, place_node: equipment and a node it is connected to.
    """

    nodes: int
    switch_from: Int32
    switch_to: Int32
    usable: Bool
    branch_from: Int32
    branch_to: Int32
    source_node: Int32
    earth_row: Int32
    earth_node: Int32
    equipment: int
    place_row: Int32
    place_node: Int32

    def process(self, switch_open: Bool, earthing_open: Bool, source_live: Bool) -> TopologyState:
        """Buses, islands and states from scratch."""
        label = _components(self.nodes, self.switch_from, self.switch_to, switch_open | ~self.usable)
        return self.state(label, earthing_open, source_live)

    def state(self, label: Int32, earthing_open: Bool, source_live: Bool) -> TopologyState:
        """Islands and states for buses labelled by their first node."""
        return TopologyState(
            *_state(
                label,
                self.branch_from,
                self.branch_to,
                self.source_node[source_live],
                self.earth_node[~earthing_open[self.earth_row]],
                self.equipment,
                self.place_row,
                self.place_node,
            )
        )


class LiveBuses:
    """Buses that follow single switch operations; :meth:`state` equals :meth:`SwitchGraph.process` at any time.

    For one thread.

    Args:
        graph: the switching graph.
        switch_open: positions to start from.
        earthing_open: the same of the earthing switches.
        source_live: sources that count.
    """

    def __init__(self, graph: SwitchGraph, switch_open: Bool, earthing_open: Bool, source_live: Bool) -> None:
        self._graph = graph
        self._open = switch_open.copy()
        self._earthing_open = earthing_open.copy()
        self._source_live = source_live.copy()
        self._label = _components(graph.nodes, graph.switch_from, graph.switch_to, self._open | ~graph.usable)
        yard = _numbers(_components(graph.nodes, graph.switch_from, graph.switch_to, np.zeros(len(self._open), np.bool_)))
        yard_of_switch = yard[graph.switch_from]
        node_order, node_start = _grouped(yard)
        switch_order, switch_start = _grouped(yard_of_switch, len(node_start) - 1)
        self._ends = np.ascontiguousarray(np.stack([graph.switch_from, graph.switch_to, yard_of_switch], axis=1))
        self._start = np.ascontiguousarray(np.stack([node_start, switch_start], axis=1))
        self._members = node_order, switch_order
        self._parent = np.zeros(graph.nodes, dtype=np.int32)
        self._state: TopologyState | None = None

    def switch(self, row: int, is_open: bool) -> bool:
        """Move one switch; True if a bus was split or two were joined. Microseconds, whatever the size of the grid."""
        nodes, switches = self._members
        if _move(
            row, is_open, self._open, self._graph.usable, self._label, self._ends, self._start, nodes, switches, self._parent
        ):
            self._state = None
            return True
        return False

    def earthing(self, row: int, is_open: bool) -> bool:
        """Move one earthing switch; True if it moved."""
        if bool(self._earthing_open[row]) == is_open:
            return False
        self._earthing_open[row] = is_open
        self._state = None
        return True

    def move(self, switch_open: Bool, earthing_open: Bool, source_live: Bool) -> bool:
        """Take a burst of operations, given as the positions after it; True if :meth:`state` is another than before."""
        nodes, switches = self._members
        graph = self._graph
        changed = bool(
            _move_all(switch_open, self._open, graph.usable, self._label, self._ends, self._start, nodes, switches, self._parent)
        )
        if not (np.array_equal(self._earthing_open, earthing_open) and np.array_equal(self._source_live, source_live)):
            self._earthing_open[:], self._source_live[:] = earthing_open, source_live
            changed = True
        if changed:
            self._state = None
        return changed

    def state(self) -> TopologyState:
        """Islands and states as of now; computed once after any number of operations. Not to be written to."""
        if self._state is None:
            self._state = self._graph.state(self._label, self._earthing_open, self._source_live)
        return self._state


def _grouped(group: Int32, count: int | None = None) -> tuple[Int32, Int32]:
    """Rows by group, and where each group starts."""
    sizes = np.bincount(group, minlength=count or 0)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return np.argsort(group, kind="stable").astype(np.int32), start


@numba.njit(cache=True, nogil=True)
def _root(parent: Int32, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True, nogil=True)
def _join(parent: Int32, one: int, two: int) -> None:
    """Union by the smaller number, so that a root is the first node of its set."""
    a, b = _root(parent, one), _root(parent, two)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@numba.njit(cache=True, nogil=True)
def _components(count: int, one: Int32, two: Int32, left_out: Bool) -> Int32:
    """First node of the connected component of each node, by the edges that are not left out.

    Union-find as Rem does it (Dijkstra 1976, with splicing). Unsigned row numbers spare the test for negative ones.
    """
    parent = np.empty(count, dtype=np.uint32)
    for node in range(count):
        parent[node] = node
    ends_one, ends_two = one.view(np.uint32), two.view(np.uint32)
    for edge in range(len(one)):
        if left_out[edge]:
            continue
        a, b = ends_one[edge], ends_two[edge]
        above_a, above_b = parent[a], parent[b]
        while above_a != above_b:
            if above_a < above_b:
                parent[b] = above_a
                if b == above_b:
                    break
                b = above_b
                above_b = parent[b]
            else:
                parent[a] = above_b
                if a == above_a:
                    break
                a = above_a
                above_a = parent[a]
    for node in range(count):
        parent[node] = parent[parent[node]]  # a parent is never the later node
    return parent.view(np.int32)


@numba.njit(cache=True, nogil=True)
def _numbers(label: Int32) -> Int32:
    """Dense numbers of labels, in the order of the first nodes."""
    number = np.empty(len(label), dtype=np.int32)
    first = label.view(np.uint32)
    found = 0
    for node in range(len(label)):
        if first[node] == node:
            number[node] = found
            found += 1
        else:
            number[node] = number[first[node]]
    return number


@numba.njit(cache=True, nogil=True)
def _state(
    label: Int32,
    branch_from: Int32,
    branch_to: Int32,
    sources: Int32,
    earths: Int32,
    equipment: int,
    place_row: Int32,
    place_node: Int32,
) -> tuple[Int32, Int32, Bool, Bool, Int8]:
    bus_of_node = _numbers(label)
    bus = bus_of_node.view(np.uint32)
    buses = 0
    for node in range(len(label)):
        buses += label[node] == node
    one, two = np.empty(len(branch_from), dtype=np.int32), np.empty(len(branch_from), dtype=np.int32)
    for branch in range(len(branch_from)):
        one[branch], two[branch] = bus[branch_from[branch]], bus[branch_to[branch]]
    first = _components(buses, one, two, np.zeros(len(one), dtype=np.bool_))
    live = np.zeros(buses, dtype=np.bool_)
    for node in sources:
        live[first[bus[node]]] = True
    energised, earthed = np.empty(buses, dtype=np.bool_), np.zeros(buses, dtype=np.bool_)
    for row in range(buses):
        energised[row] = live[first[row]]
    for node in earths:
        earthed[bus[node]] = True
    states = np.zeros(equipment, dtype=np.int8)
    rows, nodes = place_row.view(np.uint32), place_node.view(np.uint32)
    for place in range(len(rows)):
        at = bus[nodes[place]]
        if energised[at]:
            states[rows[place]] = 1
        elif earthed[at] and states[rows[place]] == 0:
            states[rows[place]] = 2
    return bus_of_node, _numbers(first), energised, earthed, states


@numba.njit(cache=True, nogil=True)
def _move(
    row: int,
    is_open: bool,
    open_: Bool,
    usable: Bool,
    label: Int32,
    ends: Int32,
    start: Int32,
    nodes: Int32,
    switches: Int32,
    parent: Int32,
) -> bool:
    """Set the position of a switch and mend the labels of its yard; True if any label changed."""
    if open_[row] == is_open:
        return False
    open_[row] = is_open
    one, two, yard = ends[row, 0], ends[row, 1], ends[row, 2]
    a, b = label[one], label[two]
    if not usable[row] or one == two:
        return False
    if not is_open:
        if a == b:
            return False
        low, high = min(a, b), max(a, b)
        for place in range(start[yard, 0], start[yard + 1, 0]):
            if label[nodes[place]] == high:
                label[nodes[place]] = low
        return True
    for place in range(start[yard, 0], start[yard + 1, 0]):
        parent[nodes[place]] = nodes[place]
    for place in range(start[yard, 1], start[yard + 1, 1]):
        other = switches[place]
        if usable[other] and not open_[other] and label[ends[other, 0]] == a:
            _join(parent, ends[other, 0], ends[other, 1])
    if _root(parent, one) == _root(parent, two):
        return False
    for place in range(start[yard, 0], start[yard + 1, 0]):
        node = nodes[place]
        if label[node] == a:
            label[node] = _root(parent, node)
    return True


@numba.njit(cache=True, nogil=True)
def _move_all(
    wanted: Bool,
    open_: Bool,
    usable: Bool,
    label: Int32,
    ends: Int32,
    start: Int32,
    nodes: Int32,
    switches: Int32,
    parent: Int32,
) -> int:
    """:func:`_move` for every switch that stands otherwise than wanted; number of those that changed a bus."""
    changed = 0
    for row in range(len(wanted)):
        if wanted[row] != open_[row] and _move(row, wanted[row], open_, usable, label, ends, start, nodes, switches, parent):
            changed += 1
    return changed


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    rows, flags = np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.bool_)
    graph = SwitchGraph(1, rows, rows, flags, rows, rows, rows, rows, rows, 1, rows, rows)
    live = LiveBuses(graph, flags, flags, flags)
    live.switch(0, is_open=True)
    live.move(flags, flags, flags)
    live.state()
