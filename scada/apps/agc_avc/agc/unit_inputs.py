"""Measurements of all units of an area as columns, by the points the model names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from scada.apps.agc_avc.agc.unit_table import UnitInputs
from scada.apps.agc_avc.agc.water_filling import F8, I8
from scada.apps.agc_avc.inputs import Measurements
from scada.core.ids import PointId
from scada.model_cim.regulation import AgcUnit

_SINGLE: tuple[tuple[str, Callable[[AgcUnit], PointId | None]], ...] = (
    ("remote status", lambda unit: unit.remote),
    ("available power", lambda unit: unit.available),
    ("state of charge", lambda unit: unit.state_of_charge),
    ("base point", lambda unit: unit.telemetered_base),
    ("raise block", lambda unit: unit.raise_blocked),
    ("lower block", lambda unit: unit.lower_blocked),
)
"""Measurements of which a unit has one, with the words for people, in the order of the columns of :class:`UnitInputs`."""


class InputColumns:
    """Reads the measurements of units.

    Args:
        units: of the model.
    """

    def __init__(self, units: Sequence[AgcUnit]) -> None:
        self._count = len(units)
        sources = max((len(unit.power) for unit in units), default=0)
        rows = [[int(unit.power[k]) if k < len(unit.power) else -1 for unit in units] for k in range(sources)]
        self._sources = sources
        for _, point in _SINGLE:
            rows.append([-1 if (pid := point(unit)) is None else int(pid) for unit in units])
        self._rows = len(rows)
        self._points = np.array(rows, np.int64).reshape(len(rows) * self._count)
        self._controls: dict[int, int] = {cid: i for i, unit in enumerate(units) for cid in _own_controls(unit)}
        self._pids: np.ndarray | None = None
        self._places: I8 = np.empty(0, np.int64)

    def read(self, inputs: Measurements) -> tuple[UnitInputs, dict[int, str], dict[int, str]]:
        """Columns of this cycle; the tags on units and the names of held measurements, both by index of the unit."""
        if self._pids is None or (self._pids is not inputs.pids and not np.array_equal(self._pids, inputs.pids)):
            self._places = inputs.places(self._points)
        self._pids = inputs.pids
        values = inputs.at(self._places).reshape(self._rows, self._count)
        power: F8 = np.full(self._count, np.nan)
        used = np.zeros(self._count, np.int64)
        for k in range(self._sources - 1, -1, -1):
            good = ~np.isnan(values[k])
            power[good] = values[k][good]
            used[good] = k
        tagged = np.zeros(self._count, np.bool_)
        tags = {self._controls[cid]: f"tagged: {text}" for cid, text in inputs.tags.items() if text and cid in self._controls}
        tagged[list(tags)] = True
        held = self._held(inputs, used) if inputs.any_held else {}
        remote, available, charge, telemetered, raise_blocked, lower_blocked = values[self._sources :]
        found = UnitInputs(power, remote, available, charge, telemetered, raise_blocked, lower_blocked, tagged)
        return found, tags, held

    def _held(self, inputs: Measurements, used: I8) -> dict[int, str]:
        """What units rest on that an operator entered, for people."""
        marks = inputs.held_at(self._places).reshape(self._rows, self._count)
        names: dict[int, list[str]] = {}
        if self._sources:
            for i in np.flatnonzero(marks[used, np.arange(self._count)]).tolist():
                names.setdefault(i, []).append("output")
        for (name, _), row in zip(_SINGLE, marks[self._sources :], strict=True):
            for i in np.flatnonzero(row).tolist():
                names.setdefault(i, []).append(name)
        return {i: ", ".join(found) for i, found in names.items()}


def _own_controls(unit: AgcUnit) -> list[int]:
    """Controls whose tag takes the whole unit off control; those of members concern the plant."""
    return [cid for cid in (unit.setpoint, unit.raise_lower) if cid >= 0]
