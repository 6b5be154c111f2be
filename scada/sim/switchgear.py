"""Switches, tap changers and set-points as the plant obeys them: operating times, local interlocks, refusals.

A command is answered at once and carried out in its time. The bay's own interlocks refuse what would be an accident whoever asks:
a disconnector under load, a live part onto earth. Positions are IEC double points: 0 travelling, 1 open, 2 closed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.model_cim.tables import Control, ControlKind
from scada.sim.plant import Plant

TRAVELLING, OPEN, CLOSED = 0, 1, 2
_LOAD_MVA = 0.5
"""A disconnector may not interrupt more."""


class RefusedError(ScadaError):
    """The plant does not do what it was told; the reason is what the station would say."""


@dataclass(order=True)
class _Operation:
    due_ns: int
    number: int
    act: Callable[[int], None] = field(compare=False)


class Switchgear:
    """Operates the plant's devices.

    Args:
        plant: what is operated.
        unit_index: machine row by mRID of its generating unit or machine.
        tap_index: tap changer row by its mRID or that of its transformer.
    """

    def __init__(self, plant: Plant, unit_index: dict[str, int], tap_index: dict[str, int]) -> None:
        equipment = plant.equipment
        self.plant = plant
        self.unit_index = unit_index
        self.tap_index = tap_index
        self.switch_index = {mrid: row for row, mrid in enumerate(equipment.grid.switch_ids)}
        self.shunt_index = {mrid: row for row, mrid in enumerate(equipment.grid.shunt_ids)}
        self.position = np.where(plant.switch_open, OPEN, CLOSED).astype(np.int8)
        self.local: set[int] = set()
        """Channels whose station is switched to local: it refuses every remote command."""
        self.unit_remote = np.ones(len(equipment.machines), dtype=bool)
        """Units that accept set-points from remote."""
        self.tripped = np.zeros(len(self.position), dtype=bool)
        """Breakers that protection opened; the signal stands until the breaker is closed again."""
        self.moves: list[tuple[int, int, int]] = []
        """(time, switch, position) since the last :meth:`take_moves`."""
        self._operations: list[_Operation] = []
        self._number = 0
        self._busy: set[tuple[str, int]] = set()
        self._dirty = False

    # ------------------------------------------------------------------ time

    def next_due(self) -> int | None:
        """Time of the next operation, ns UTC."""
        return self._operations[0].due_ns if self._operations else None

    def run(self, now_ns: int) -> None:
        """Carry out what is due; the network follows once for all of it."""
        while self._operations and self._operations[0].due_ns <= now_ns:
            operation = heapq.heappop(self._operations)
            operation.act(operation.due_ns)
        if self._dirty:
            self._dirty = False
            self.plant.switched()

    def set_time(self, shift_ns: int) -> None:
        """The clock was set by ``shift_ns``: what is under way takes as long as before."""
        for operation in self._operations:
            operation.due_ns += shift_ns

    def take_moves(self) -> list[tuple[int, int, int]]:
        """Changes of position in order, since the last call."""
        moves, self.moves = self.moves, []
        return moves

    def _later(self, due_ns: int, act: Callable[[int], None]) -> None:
        self._number += 1
        heapq.heappush(self._operations, _Operation(due_ns, self._number, act))

    # ------------------------------------------------------------------ commands

    def command(self, control: Control, value: float, *, select: bool) -> None:
        """Check a remote command and, unless it is only a selection, begin to carry it out.

        Raises:
            RefusedError: with the station's reason.
        """
        if control.channel in self.local:
            raise RefusedError("station is switched to local", where=control.path)
        if not math.isfinite(value):
            raise RefusedError("value is not a number", where=control.path)
        act = self._action(control, value)
        if not select:
            act()

    def _action(self, control: Control, value: float) -> Callable[[], None]:
        """What a command would do, after every check."""
        if control.kind is ControlKind.SETPOINT:
            return self._setpoint(control, value)
        if control.equipment in self.switch_index:
            closed_value = 2 if control.kind is ControlKind.DOUBLE else 1
            open_value = closed_value - 1
            if value not in (open_value, closed_value):
                raise RefusedError(f"{value:g} is not a switch command", where=control.path)
            switch = self.switch_index[control.equipment]
            close = value == closed_value
            self.check_switch(switch, close=close, where=control.path)
            return lambda: self.operate(switch, close=close)
        if control.equipment in self.tap_index:
            return self._tap(control, value)
        raise RefusedError("no such device", where=control.path)

    def check_switch(self, switch: int, *, close: bool, where: str = "") -> None:
        """The bay's interlocks.

        Raises:
            RefusedError: the device is moving, or the operation would be an accident.
        """
        plant = self.plant
        kind = plant.equipment.switch_class[switch]
        if ("switch", switch) in self._busy:
            raise RefusedError("device is in operation", where=where)
        if (self.position[switch] == CLOSED) == close:
            return
        if close and plant.would_earth(switch):
            raise RefusedError("interlocked: would earth a live part", where=where)
        loaded = abs(plant.switch_power([switch])[0]) > _LOAD_MVA
        if kind == "Disconnector" and not close and loaded and not self._bypassed(switch):
            raise RefusedError("interlocked: disconnector carries load", where=where)
        if kind == "Disconnector" and close and self._would_energise(switch):
            raise RefusedError("interlocked: disconnector would take up load", where=where)

    def _bypassed(self, switch: int) -> bool:
        """Whether other closed switches join its ends (bus transfer): then it breaks no load, only a parallel way."""
        plant, grid = self.plant, self.plant.equipment.grid
        closed = ~plant.switch_open
        closed[switch] = False
        reached, edge = {int(grid.switch_from[switch])}, -1
        ways = np.stack([grid.switch_from[closed], grid.switch_to[closed]], axis=1).tolist()
        while len(reached) != edge:
            edge = len(reached)
            for one, other in ways:
                if one in reached or other in reached:
                    reached |= {one, other}
        return int(grid.switch_to[switch]) in reached

    def _would_energise(self, switch: int) -> bool:
        """Whether closing joins a live bus to another one that has equipment on it."""
        plant, grid = self.plant, self.plant.equipment.grid
        bus = plant.network.bus_of_node
        sides = {int(bus[grid.switch_from[switch]]), int(bus[grid.switch_to[switch]])}
        if len(sides) == 1 or not any(plant.solution.live[side] for side in sides):
            return False
        attached = np.concatenate([grid.branch_from, grid.branch_to, grid.load_node, grid.machine_node, grid.shunt_node])
        return sides <= set(bus[attached].tolist())

    def operate(self, switch: int, *, close: bool) -> None:
        """Start the drive of a switch; it reaches its position after its operating time."""
        target = CLOSED if close else OPEN
        if self.position[switch] == target:
            return
        network = self.plant.settings.network
        breaker = self.plant.equipment.switch_class[switch] in ("Breaker", "LoadBreakSwitch", "Recloser")
        now = self.plant.now_ns
        self._busy.add(("switch", switch))
        if not breaker:
            self._move(switch, TRAVELLING, now)
        seconds = network.breaker_s if breaker else network.disconnector_s
        self._later(now + round(seconds * NS_PER_S), partial(self._arrive, switch, target))

    def _move(self, switch: int, position: int, at_ns: int) -> None:
        self.position[switch] = position
        self.moves.append((at_ns, switch, position))

    def _arrive(self, switch: int, position: int, at_ns: int) -> None:
        self._busy.discard(("switch", switch))
        self._move(switch, position, at_ns)
        self.plant.switch_open[switch] = position == OPEN
        if position == CLOSED:
            self.tripped[switch] = False
        self._dirty = True

    def _tap(self, control: Control, value: float) -> Callable[[], None]:
        plant = self.plant
        tap = self.tap_index[control.equipment]
        if value not in (1, 2):
            raise RefusedError(f"{value:g} is not a step command", where=control.path)
        if ("tap", tap) in self._busy:
            raise RefusedError("tap changer is in operation", where=control.path)
        step = plant.tap_step[tap] + (1 if value == 2 else -1)
        if not plant.equipment.tap_low[tap] <= step <= plant.equipment.tap_high[tap]:
            raise RefusedError("tap changer is at its end position", where=control.path)

        def begin() -> None:
            self._busy.add(("tap", tap))
            self._later(plant.now_ns + round(plant.settings.network.tap_s * NS_PER_S), arrive)

        def arrive(_: int) -> None:
            self._busy.discard(("tap", tap))
            plant.tap_step[tap] = step
            self._dirty = True

        return begin

    def _setpoint(self, control: Control, value: float) -> Callable[[], None]:
        plant = self.plant
        low = control.minimum if math.isfinite(control.minimum) else -math.inf
        high = control.maximum if math.isfinite(control.maximum) else math.inf
        if not low - 1e-6 <= value <= high + 1e-6:
            raise RefusedError(f"set-point {value:g} is outside {low:g} .. {high:g}", where=control.path)
        unit = self.unit_index.get(control.equipment)
        if unit is None:
            raise RefusedError("no such unit", where=control.path)
        if not self.unit_remote[unit]:
            raise RefusedError("unit is under local control", where=control.path)
        node_kv = plant.equipment.grid.node_kv[plant.equipment.grid.machine_node[unit]]
        kind = control.control_type

        def apply() -> None:
            if kind == "ActivePower":
                plant.dynamics.target[unit] = value
            elif kind == "ReactivePower":
                plant.q_target[unit] = value
            else:
                plant.q_target[unit] = math.nan
                plant.v_set[unit] = value / node_kv

        if kind not in ("ActivePower", "ReactivePower", "Voltage"):
            raise RefusedError(f"a set-point of {kind} is not known here", where=control.path)
        return apply

    # ------------------------------------------------------------------ accidents

    def breakers_of(self, unit: int) -> list[int]:
        """The circuit-breakers that disconnect a unit: the first met on every way from its terminal.

        Where none stands before the unit's transformer, those behind it.
        """
        plant = self.plant
        grid = plant.equipment.grid
        start = {int(grid.machine_node[unit])}
        for _ in range(3):
            nodes, breakers = self._reach(start)
            if breakers:
                return sorted(breakers)
            beyond = [(grid.branch_from, grid.branch_to), (grid.branch_to, grid.branch_from)]
            start = nodes | {int(n) for near, far in beyond for n in far[np.isin(near, list(nodes))]}
        return []

    def _reach(self, start: set[int]) -> tuple[set[int], set[int]]:
        grid, kinds = self.plant.equipment.grid, self.plant.equipment.switch_class
        nodes, breakers, open_ends = set(start), set(), list(start)
        while open_ends:
            node = open_ends.pop()
            for switch in np.flatnonzero((grid.switch_from == node) | (grid.switch_to == node)).tolist():
                if kinds[switch] == "Breaker":
                    breakers.add(switch)
                    continue
                other = int(grid.switch_to[switch] if grid.switch_from[switch] == node else grid.switch_from[switch])
                if other not in nodes:
                    nodes.add(other)
                    open_ends.append(other)
        return nodes, breakers

    def trip(self, switches: Sequence[int]) -> None:
        """Protection opens breakers, whatever else they were told."""
        for switch in switches:
            if self.position[switch] == OPEN:
                continue
            self._busy.add(("switch", switch))
            self.tripped[switch] = True
            due = self.plant.now_ns + round(self.plant.settings.network.breaker_s * NS_PER_S)
            self._later(due, partial(self._arrive, switch, OPEN))
