"""Base points that units share: economic dispatch (CECO), in proportion (PROP)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scada.apps.agc_avc.agc.allocation import CostCurves, allocate, economic_dispatch
from scada.apps.agc_avc.agc.modes import CECO, CLOSED, PROP
from scada.apps.agc_avc.agc.unit_kernels import UNDER_CONTROL
from scada.apps.agc_avc.agc.unit_table import UnitState, UnitTable
from scada.apps.agc_avc.agc.water_filling import F8, I8
from scada.apps.agc_avc.agc.zones import ZoneTable
from scada.core.agc_settings import AgcTuning
from scada.model_cim.regulation import AgcUnit


class SharedBases:
    """Keeps the shared base points of an area's units.

    They are computed again after ``economic_cycles`` cycles and when the units of a mode change. What is
    shared is what the units are told to generate together, so that a new share asks nothing of the other units.

    Args:
        units: of the model.
        table: the same as columns.
        zones: their forbidden zones.
        tuning: parameters.

    Attributes:
        price: incremental cost of the last economic dispatch, NaN = none.
    """

    def __init__(self, units: Sequence[AgcUnit], table: UnitTable, zones: ZoneTable, tuning: AgcTuning) -> None:
        self.price = math.nan
        self._table = table
        self._zones = zones
        self._cycles = tuning.economic_cycles
        self._b = np.nan_to_num(np.array([unit.cost_b for unit in units], np.float64), posinf=0.0, neginf=0.0)
        cost_c = np.array([unit.cost_c for unit in units], np.float64)
        self._c = np.where(np.isfinite(cost_c) & (cost_c > 0), cost_c, 0.0)
        self._curves = [unit.cost_curve if len(unit.cost_curve) > 1 else () for unit in units]
        self._low = np.nan_to_num(np.array([unit.economic_minimum for unit in units], np.float64), nan=-np.inf)
        self._high = np.nan_to_num(np.array([unit.economic_maximum for unit in units], np.float64), nan=np.inf)
        self._age = 0
        self._shared: list[list[int]] = [[], []]

    def update(self, s: UnitState, *, emergency: bool) -> None:
        """Compute again what is due; in the emergency zone economy rests."""
        mode = s.base_mode
        if not ((mode == CECO) | (mode == PROP)).any():
            return
        able = (s.reason == UNDER_CONTROL) & (s.loop == CLOSED)
        sets = [np.flatnonzero(able & (mode == code)) for code in (CECO, PROP)]
        now = [found.tolist() for found in sets]
        self._age += 1
        if self._age < self._cycles and now == self._shared:
            return
        economic, proportional = sets
        if len(economic) and not emergency:
            self._dispatch(s, economic)
        if len(proportional):
            total = float(s.target[proportional].sum())
            s.shared_base[proportional] = self._fill(s, proportional, self._table.rated, total)
        self._age, self._shared = 0, now

    def _dispatch(self, s: UnitState, who: I8) -> None:
        low = np.minimum(np.maximum(s.low[who], self._low[who]), s.high[who])
        high = np.maximum(np.minimum(s.high[who], self._high[who]), low)
        costs = CostCurves(self._b[who], self._c[who], [self._curves[i] for i in who.tolist()])
        found = economic_dispatch(costs, low, high, float(s.target[who].sum()), self._zones_of(who))
        s.shared_base[who] = found.power
        self.price = found.lam

    def _fill(self, s: UnitState, who: I8, weight: F8, total: float) -> F8:
        zeros = np.zeros(len(who))
        alpha = np.maximum(weight[who], 1e-9)
        return allocate(zeros, alpha, s.low[who], s.high[who], total, self._zones_of(who)).power

    def _zones_of(self, who: I8) -> ZoneTable:
        place = np.full(len(self._table.minimum), -1, np.int64)
        place[who] = np.arange(len(who))
        here = place[self._zones.unit] >= 0
        return ZoneTable(place[self._zones.unit][here], self._zones.lo[here], self._zones.hi[here])

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on."""
        return {"price": self.price, "age": self._age, "shared": self._shared}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; if the units are others now, everything is computed again at the next cycle."""
        self.price, self._age = float(state["price"]), int(state["age"])
        self._shared = [[int(i) for i in found] for found in state["shared"]]
