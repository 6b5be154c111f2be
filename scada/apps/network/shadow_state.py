"""What one model makes of values: positions, energised state of its equipment, islands. One half of a shadow run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scada.core.quality import Quality, is_good
from scada.model_cim.cim import CimModel
from scada.model_cim.tables import ModelTables, Point
from scada.model_cim.topology import Energised, Topology
from scada.rtdb.changes import Snapshot

Bool = npt.NDArray[np.bool_]
F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

OPEN, CLOSED = 1.0, 2.0
STATES = {Energised.DEAD: "dead", Energised.ENERGISED: "energised", Energised.EARTHED: "earthed"}
UNKNOWN = "unknown"
"""A switch in unknown position could make the state another."""


@dataclass(frozen=True, slots=True)
class Side:
    """A model version and its points: the running one, or the candidate."""

    model: CimModel
    tables: ModelTables


class Readings:
    """Values of a side's points by the running server's snapshot.

    Points are the same where their mRID is; a candidate's new points have no value.

    Args:
        side: whose points.
        running: the tables the snapshot's pids are of.
        snapshot: values; None = there is no server, nothing is measured.
    """

    def __init__(self, side: Side, running: ModelTables, snapshot: Snapshot | None) -> None:
        points = side.tables.points
        self.value: F8 = np.full(len(points), np.nan)
        quality = np.full(len(points), int(Quality.NEVER_RECEIVED), dtype=np.uint32)
        if snapshot is not None:
            place = {int(pid): row for row, pid in enumerate(snapshot.pid.tolist())}
            there = {point.mrid: place.get(int(point.pid), -1) for point in running.points if not point.removed}
            rows = np.array([-1 if point.removed else there.get(point.mrid, -1) for point in points], dtype=np.int64)
            found = rows >= 0
            self.value[found], quality[found] = snapshot.value[rows[found]], snapshot.quality[rows[found]]
        self.good: Bool = is_good(quality) & np.isfinite(self.value)
        """Values that can be relied on."""

    def of(self, point: Point | None) -> float | None:
        """Value of a point that can be relied on, else None."""
        return float(self.value[point.pid]) if point is not None and self.good[point.pid] else None


class Sight:
    """Topology of a side at the readings.

    A switch without a good position stands as last reported, else as in the files, and counts as unknown. Without a server all
    stands as in the files (SSH) and counts as known.

    Args:
        side: model and points.
        readings: values of its points.
        live: whether there are live values at all.
    """

    def __init__(self, side: Side, readings: Readings, *, live: bool) -> None:
        self.side = side
        self.readings = readings
        self.live = live
        self.topology = Topology(side.model)
        topology = self.topology
        by_equipment = {(p.equipment, p.measurement_type): p for p in side.tables.points if not p.removed}
        self.point_of = by_equipment
        self.switch_open, self.switch_known = self._positions(topology.switches, topology.initial_open)
        self.earthing_open, earthing_known = self._positions(topology.earthing, topology.initial_earthing_open)
        self.earthing_known = earthing_known
        running = self._running()
        self.state = topology.process(self.switch_open, self.earthing_open, running)
        self.uncertain = topology.uncertain(self.switch_open, self.earthing_open, ~self.switch_known, ~earthing_known, running)

    def _positions(self, switches: list[str], initial: Bool) -> tuple[Bool, Bool]:
        open_ = initial.copy()
        known = np.full(len(switches), not self.live)
        if not self.live:
            return open_, known
        for row, mrid in enumerate(switches):
            point = self.point_of.get((mrid, "SwitchPosition"))
            if point is not None and (value := float(self.readings.value[point.pid])) in (OPEN, CLOSED):
                open_[row] = value == OPEN
                known[row] = self.readings.good[point.pid]
        return open_, known

    def _running(self) -> Bool:
        """A source counts unless it is known to stand still."""
        model = self.side.model
        units = [model.ref(source, "RotatingMachine.GeneratingUnit") or source for source in self.topology.sources]
        still = [self.readings.of(self.point_of.get((unit, "UnitRunning"))) == 0 for unit in units]
        return ~np.array(still, dtype=np.bool_)

    @cached_property
    def states(self) -> dict[str, str]:
        """State of each equipment: ``energised``, ``dead``, ``earthed`` or ``unknown``."""
        words = [STATES[Energised(state)] for state in self.state.equipment.tolist()]
        return {
            mrid: UNKNOWN if doubtful else word
            for mrid, word, doubtful in zip(self.topology.equipment, words, self.uncertain.tolist(), strict=True)
        }

    @cached_property
    def live_island(self) -> dict[str, int]:
        """Island of each energised equipment (that of its first connected terminal)."""
        graph, state = self.topology.graph, self.state
        rows, first = np.unique(graph.place_row, return_index=True)
        island = state.island_of_bus[state.bus_of_node[graph.place_node[first]]]
        energised = state.equipment[rows] == Energised.ENERGISED
        names = self.topology.equipment
        return {names[row]: number for row, number in zip(rows[energised].tolist(), island[energised].tolist(), strict=True)}

    @property
    def live_islands(self) -> int:
        """Number of islands with a source."""
        return len(np.unique(self.state.island_of_bus[self.state.energised]))

    def path(self, mrid: str) -> str:
        """Name of an object for people."""
        return self.side.model.path(mrid)
