"""Topology actor: follows switch positions, publishes what is energised, answers the interlocks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from scada.actors.base import Actor, Address
from scada.actors.messages import ApplyDerived, Changed, ModelChanged, ShowAgain
from scada.actors.mirror import Mirror
from scada.control.plant import SwitchKind
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import Clock
from scada.core.quality import BAD_MASK, HELD_MASK, Quality
from scada.model_cim.cim import CimModel
from scada.model_cim.tables import ModelTables
from scada.model_cim.topology import Topology, TopologyState
from scada.rtdb.changes import Snapshot

Bool = npt.NDArray[np.bool_]

_KINDS = {
    "Breaker": SwitchKind.BREAKER,
    "LoadBreakSwitch": SwitchKind.LOAD_BREAK,
    "Disconnector": SwitchKind.DISCONNECTOR,
    "GroundDisconnector": SwitchKind.EARTHING,
}
OPEN, CLOSED = 1.0, 2.0
CALCULATED = int(Quality.CALCULATED)
UNCERTAIN = int(Quality.QUESTIONABLE | Quality.OLD_DATA)
"""Quality of a state that rests on the last known position of a switch and would be another if the switch stood otherwise."""


class LiveTopology:
    """Switch positions as measured and what follows from them. One thread updates, others may ask.

    A position that is missing, bad, intermediate or faulty is *unknown*: the last known one (at first the model's) is used, and
    whatever it could make otherwise is answered as unknown.

    Args:
        model: the CIM model.
        tables: its points, for the positions.
        earthed: mRIDs of what carries a portable earth, as tagged; asked at every question.
    """

    def __init__(self, model: CimModel, tables: ModelTables, earthed: Callable[[], Sequence[str]] = tuple) -> None:
        self._topology = Topology(model)
        self._portable = earthed
        self._model = model
        positions = {p.equipment: int(p.pid) for p in tables.points if p.measurement_type == "SwitchPosition" and not p.removed}
        topology = self._topology
        self._switch_pid = np.array([positions.get(mrid, -1) for mrid in topology.switches], dtype=np.int64)
        self._earth_pid = np.array([positions.get(mrid, -1) for mrid in topology.earthing], dtype=np.int64)
        running = {p.equipment: int(p.pid) for p in tables.points if p.measurement_type == "UnitRunning" and not p.removed}
        units = [model.ref(source, "RotatingMachine.GeneratingUnit") or source for source in topology.sources]
        self._running_pid = np.array([running.get(unit, -1) for unit in units], dtype=np.int64)
        self._live = np.ones(len(units), dtype=np.bool_)
        self.pids = {int(pid) for pid in (*self._switch_pid, *self._earth_pid, *self._running_pid) if pid >= 0}
        self._row = {mrid: row for row, mrid in enumerate(topology.switches)}
        self._earth_row = {mrid: row for row, mrid in enumerate(topology.earthing)}
        self._open = topology.initial_open.copy()
        self._earth_open = topology.initial_earthing_open.copy()
        self._unknown = np.ones(len(self._open), dtype=np.bool_)
        self._earth_unknown = np.ones(len(self._earth_open), dtype=np.bool_)
        self._held, self._earth_held = np.zeros(len(self._open), np.bool_), np.zeros(len(self._earth_open), np.bool_)
        # the same buses in three sights, each following its own positions: as known, with every doubted switch open, and closed
        self._buses, self._least, self._most = (topology.live() for _ in range(3))
        self._lock = threading.Lock()
        self._bays = self._breakers_by_bay()

    def _breakers_by_bay(self) -> dict[str, list[str]]:
        bays: dict[str, list[str]] = {}
        for breaker in self._model.ids("Breaker"):
            bay = self._model.ref(breaker, "Equipment.EquipmentContainer")
            if bay is not None:
                bays.setdefault(bay, []).append(breaker)
        return bays

    # ---------------------------------------------------------------- positions

    def update(self, value: npt.NDArray[np.float64], quality: npt.NDArray[np.uint32]) -> None:
        """Take the positions from the columns of all points."""
        with self._lock:
            self._held = _take(self._switch_pid, value, quality, self._open, self._unknown)
            self._earth_held = _take(self._earth_pid, value, quality, self._earth_open, self._earth_unknown)
            # a unit counts as live unless it is known to stand still: what may be live is treated as live
            known = (quality[self._running_pid] & np.uint32(BAD_MASK)) == 0
            self._live = ~((self._running_pid >= 0) & known & (value[self._running_pid] == 0))

    def succeed(self, before: LiveTopology) -> None:
        """Go on with the last known positions of the switches that another model version had too."""
        own, known = (self._row, self._earth_row), (before._row, before._earth_row)
        with self._lock:
            for mine, theirs, rows, others in zip((self._open, self._earth_open), before.positions(), own, known, strict=True):
                both = [(row, others[mrid]) for mrid, row in rows.items() if mrid in others]
                if both:
                    here, there = np.array(both).T
                    mine[here] = theirs[there]

    def positions(self) -> tuple[Bool, Bool]:
        """Copies of the open positions of the switches and of the earthing switches."""
        with self._lock:
            return self._open.copy(), self._earth_open.copy()

    def state(self) -> tuple[TopologyState, Bool, Bool]:
        """Present state and, per equipment, whether an unknown position, and whether a substituted one, could make it another.

        Costs microseconds for every switch that moved since, and one pass over the islands if a bus changed.
        """
        with self._lock:
            self._buses.move(self._open, self._earth_open, self._live)
            state = self._buses.state()
            uncertain = self._could_differ(self._unknown, self._earth_unknown)
            if not (self._held.any() or self._earth_held.any()):
                return state, uncertain, np.zeros(len(uncertain), np.bool_)
            return state, uncertain, self._could_differ(self._held, self._earth_held)

    def _could_differ(self, doubted: Bool, earth_doubted: Bool) -> Bool:
        """Equipment whose state would be another if the doubted switches stood otherwise; see :meth:`Topology.uncertain`."""
        self._least.move(self._open | doubted, self._earth_open | earth_doubted, self._live)
        self._most.move(self._open & ~doubted, self._earth_open & ~earth_doubted, self._live)
        return np.not_equal(self._least.state().equipment, self._most.state().equipment)

    def _bounds(self, without: str) -> tuple[TopologyState, TopologyState]:
        """The states with every unknown switch open and with every unknown switch closed, one switch left out (open in both).

        Closing a switch only ever joins, so all cases between lie between these two. For an interlock every connected unit is a
        source, also one that stands still: it may be started.
        """
        with self._lock:
            least, most = self._open | self._unknown, self._open & ~self._unknown
            earth_least, earth_most = self._earth_open | self._earth_unknown, self._earth_open & ~self._earth_unknown
        if without in self._row:
            least[self._row[without]] = most[self._row[without]] = True
        if without in self._earth_row:
            earth_least[self._earth_row[without]] = earth_most[self._earth_row[without]] = True
        states = self._topology.process(least, earth_least), self._topology.process(most, earth_most)
        # a switch has two sides and the tag does not say which of them is earthed: it forbids its own closing only
        tagged = [mrid for mrid in self._portable() if mrid not in self._row and mrid not in self._earth_row]
        for state in states:
            for mrid in tagged:
                state.earthed[state.bus_of_node[list(self._topology.ends(mrid))]] = True
        return states

    def equipment(self) -> Sequence[str]:
        """MRIDs of the rows of :attr:`TopologyState.equipment`."""
        return self._topology.equipment

    def _certain(self, equipment: str, ask: Callable[[TopologyState, npt.NDArray[np.int32]], bool]) -> bool | None:
        """Answer of ``ask`` for the buses at the ends of a switch left out; None if unknown positions leave it open."""
        ends = list(self._topology.ends(equipment))
        answers = {bool(ask(state, state.bus_of_node[ends])) for state in self._bounds(equipment)}
        return answers.pop() if len(answers) == 1 else None

    # ---------------------------------------------------------------- interlocks (scada.control.plant.SwitchgearTopology)

    def switch_kind(self, equipment: str) -> SwitchKind | None:
        """What kind of switch it is; None if it is no switch."""
        return _KINDS.get(self._model.class_of(equipment) or "")

    def is_closed(self, equipment: str) -> bool | None:
        """Position; None if not known for sure."""
        with self._lock:
            if equipment in self._row:
                row = self._row[equipment]
                return None if self._unknown[row] else not self._open[row]
            if equipment in self._earth_row:
                row = self._earth_row[equipment]
                return None if self._earth_unknown[row] else not self._earth_open[row]
        return None

    def bay_breakers(self, equipment: str) -> Sequence[str]:
        """Breakers of the bay it is in."""
        bay = self._model.ref(equipment, "Equipment.EquipmentContainer")
        return self._bays.get(bay or "", [])

    def is_bypassed(self, equipment: str) -> bool | None:
        """True if both its ends are joined by another closed path."""
        return self._certain(equipment, lambda _, buses: len(buses) == 2 and buses[0] == buses[1])

    def is_energised(self, equipment: str) -> bool | None:
        """True if any of its ends is connected to a source, leaving the switch itself out."""
        return self._certain(equipment, lambda state, buses: bool(state.energised[buses].any()))

    def is_earthed(self, equipment: str) -> bool | None:
        """True if any of its ends is earthed, by a closed earthing switch or a portable earth, leaving the switch itself out."""
        return self._certain(equipment, lambda state, buses: bool(state.earthed[buses].any()))

    def substituted(self) -> Sequence[str]:
        """Paths of the switches whose position an operator entered or blocked."""
        with self._lock:
            rows = [(self._topology.switches, self._held), (self._topology.earthing, self._earth_held)]
        return [self._model.path(names[row]) for names, held in rows for row in np.flatnonzero(held).tolist()]

    def without_substituted(self) -> LiveTopology:
        """A copy that takes those positions as unknown."""
        with self._lock:
            return self._doubting(self._unknown | self._held, self._earth_unknown | self._earth_held)

    def without(self, switches: Collection[str]) -> LiveTopology:
        """A copy that takes the positions of these as unknown."""
        with self._lock:
            doubted, earth_doubted = self._unknown.copy(), self._earth_unknown.copy()
            doubted[[self._row[mrid] for mrid in switches if mrid in self._row]] = True
            earth_doubted[[self._earth_row[mrid] for mrid in switches if mrid in self._earth_row]] = True
            return self._doubting(doubted, earth_doubted)

    def _doubting(self, unknown: Bool, earth_unknown: Bool) -> LiveTopology:
        twin = copy(self)
        twin._unknown, twin._earth_unknown = unknown, earth_unknown  # noqa: SLF001 - our own
        return twin


def _take(
    pids: npt.NDArray[np.int64], value: npt.NDArray[np.float64], quality: npt.NDArray[np.uint32], open_: Bool, unknown: Bool
) -> Bool:
    """Write positions and doubts; a switch without a point stays as the model has it, and in doubt.

    Returns:
        The switches that stand as an operator says.
    """
    measured = pids >= 0
    read = value[pids]
    known = ((quality[pids] & np.uint32(BAD_MASK)) == 0) & ((read == OPEN) | (read == CLOSED))
    unknown[:] = ~(measured & known)
    fresh = measured & known
    open_[fresh] = read[fresh] == OPEN
    entered: Bool = fresh & ((quality[pids] & np.uint32(HELD_MASK)) != 0)
    return entered


class TopologyActor(Actor):
    """Keeps :class:`LiveTopology` current and writes the calculated points with expression ``topology``.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        live: shared with the interlocks.
        snapshot: reads the database once at start.
        rtdb: gets the states as points.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        live: LiveTopology,
        snapshot: Callable[[], Snapshot],
        rtdb: Address,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._mirror = Mirror(len(tables.points))
        self._snapshot = snapshot
        self._rtdb = rtdb
        self._clock = clock
        self._before: LiveTopology | None = None
        """That of the model version before: kept current, because the interlocks ask it until the controls are changed too."""
        self._take(tables, live)

    def _take(self, tables: ModelTables, live: LiveTopology) -> None:
        self._live = live
        row = {mrid: index for index, mrid in enumerate(live.equipment())}
        wanted = [(int(p.pid), row[p.equipment]) for p in tables.points if p.expression == "topology" and p.equipment in row]
        self._pids = np.array([pid for pid, _ in wanted], dtype=np.uint32)
        self._rows = np.array([index for _, index in wanted], dtype=np.int64)
        self._positions = np.zeros(len(tables.points), dtype=np.bool_)
        followed = live.pids if self._before is None else live.pids | self._before.pids
        self._positions[list(followed)] = True

    def started(self) -> None:
        """Process the present positions."""
        self._mirror.load(self._snapshot())
        self._process()

    def receive(self, message: Any) -> Any:
        """Follow the database."""
        match message:
            case Changed(changes):
                pids = self._mirror.follow(changes)
                for more in self._mailbox.drain(Changed, 64):
                    pids = np.concatenate([pids, self._mirror.follow(more.changes)])
                if self._positions[pids[pids < len(self._positions)]].any():
                    self._process()
            case ModelChanged(generation):
                self._mirror.grow(len(generation.tables.points))
                if generation.topology is not self._live:
                    generation.topology.succeed(self._live)
                    self._before = self._live
                self._take(generation.tables, generation.topology)
                self._process()
            case ShowAgain(pids):
                if np.isin(self._pids, np.array(pids, dtype=np.uint32)).any():
                    self._process()
            case _:
                return super().receive(message)
        return None

    def _process(self) -> None:
        for live in (self._live, self._before):
            if live is not None:
                live.update(self._mirror.value, self._mirror.quality)
        if not len(self._pids):
            return
        state, uncertain, substituted = self._live.state()
        quality = np.where(uncertain[self._rows], CALCULATED | UNCERTAIN, CALCULATED)
        quality |= np.where(substituted[self._rows], int(Quality.SUBSTITUTED), 0)
        values = state.equipment[self._rows].astype(np.float64)
        now = self._clock.now_ns()
        batch = PointBatch.of(self._pids, values, quality=quality, received_at=now, flags=RecordFlag.REFRESH, source="topology")
        self._rtdb.tell(ApplyDerived(batch))
