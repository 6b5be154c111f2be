"""The calculated ``topology`` points: energised state of equipment from the live positions of its switches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scada.core.quality import BAD_MASK, Quality
from scada.model_cim.tables import ModelTables, PointKind
from scada.model_cim.topology import Topology, TopologyState

_OFF, _ON = 1.0, 2.0


class EnergisedPoints:
    """Follows the switch positions of a running system and says the state of everything they feed.

    A position that is intermediate, faulty, bad or never received is *unknown*: the last known one is kept (at the start: the
    model's own). A state that would differ if the unknown switches stood otherwise carries ``QUESTIONABLE``.

    Attributes:
        switch_pids: position points that matter; rows of these arrive in :meth:`update`.
        state_pids: pids of the points with expression ``topology``.

    Args:
        topology: the switching graph.
        tables: the same model's tables.
    """

    def __init__(self, topology: Topology, tables: ModelTables) -> None:
        self._topology = topology
        switch_row = {mrid: row for row, mrid in enumerate((*topology.switches, *topology.earthing))}
        equipment_row = {mrid: row for row, mrid in enumerate(topology.equipment)}
        positions = [p for p in tables.points if p.measurement_type == "SwitchPosition" and p.equipment in switch_row]
        states = [p for p in tables.points if p.expression == "topology" and p.equipment in equipment_row]
        self.switch_pids = np.array([p.pid for p in positions], np.uint32)
        self.state_pids = np.array([p.pid for p in states], np.uint32)
        self._row_of_pid = {int(p.pid): switch_row[p.equipment] for p in positions}
        self._double = {int(p.pid): p.kind is PointKind.DOUBLE for p in positions}
        self._state_rows = np.array([equipment_row[p.equipment] for p in states], np.int64)
        self._open = np.concatenate((topology.initial_open, topology.initial_earthing_open))
        self._unknown = np.zeros(len(self._open), np.bool_)
        self._unknown[list(self._row_of_pid.values())] = True

    @property
    def unknown(self) -> int:
        """Number of telemetered switches whose position is not known now."""
        return int(self._unknown.sum())

    def update(self, pids: npt.NDArray[np.uint32], values: npt.NDArray[np.float64], quality: npt.NDArray[np.uint32]) -> bool:
        """Take new positions (other points are ignored); True if anything changed and :meth:`states` should be asked."""
        changed = False
        for pid, value, word in zip(pids.tolist(), values.tolist(), quality.tolist(), strict=True):
            row = self._row_of_pid.get(pid)
            if row is None:
                continue
            off, on = (_OFF, _ON) if self._double[pid] else (0.0, 1.0)
            known = not word & BAD_MASK and value in (off, on)
            open_ = value == off if known else bool(self._open[row])
            changed |= bool(self._unknown[row] == known) or open_ != bool(self._open[row])
            self._open[row] = open_
            self._unknown[row] = not known
        return changed

    def topology(self) -> TopologyState:
        """Buses and islands for the positions as last known."""
        return self._process(self._open)

    def states(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64], npt.NDArray[np.uint32]]:
        """(pids, values, quality words) of all state points, to be written as calculated values."""
        state = self._process(self._open).equipment[self._state_rows]
        quality = np.full(len(state), int(Quality.CALCULATED), np.uint32)
        if self._unknown.any():
            # closing a switch only ever adds connections, so the two extremes bound every case between
            for otherwise in (self._open | self._unknown, self._open & ~self._unknown):
                differs = self._process(otherwise).equipment[self._state_rows] != state
                quality[differs] |= np.uint32(Quality.QUESTIONABLE)
        return self.state_pids, state.astype(np.float64), quality

    def _process(self, open_: npt.NDArray[np.bool_]) -> TopologyState:
        count = len(self._topology.switches)
        return self._topology.process(open_[:count], open_[count:])
