"""What dispatch says of single units: limits that bind for a time, and whose order a base point is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from scada.apps.agc_avc.agc.unit_kernels import BY_DISPATCH, UNDER_CONTROL
from scada.apps.agc_avc.agc.unit_table import UnitState
from scada.apps.agc_avc.explanation import Term


class DispatchWords:
    """Limits and sources by mRID of the unit."""

    def __init__(self) -> None:
        self._limits: dict[str, tuple[float, float, str]] = {}
        self._bases: dict[str, tuple[float, str]] = {}

    def limit(self, mrid: str, low: float, high: float, source: str) -> None:
        """Keep a unit between these; infinite both = no more."""
        if math.isinf(low) and math.isinf(high):
            self._limits.pop(mrid, None)
        else:
            self._limits[mrid] = (low, high, source)

    def base(self, mrid: str, mw: float, source: str) -> None:
        """A base point came; of a plan if it has no source."""
        if source:
            self._bases[mrid] = (mw, source)
        else:
            self._bases.pop(mrid, None)

    def narrow(self, s: UnitState, index: Mapping[str, int]) -> None:
        """Bring the limits into the columns, after the units were judged. They narrow and never widen.

        Where they and what the unit can do now have nothing in common, the unit stays at its end that is nearest to them.
        """
        for mrid, (low, high, _) in self._limits.items():
            i = index.get(mrid, -1)
            if i < 0 or s.reason[i] != UNDER_CONTROL:
                continue
            least = min(max(low, s.low[i]), s.high[i])
            most = max(min(high, s.high[i]), least)
            if least > s.low[i] or most < s.high[i]:
                s.low[i], s.high[i], s.limited[i] = least, most, BY_DISPATCH

    def terms(self, mrid: str) -> Iterable[Term]:
        """What an explanation says of them."""
        if mrid in self._bases:
            mw, source = self._bases[mrid]
            yield Term("dispatch_order", mw, "MW", source)
        if mrid in self._limits:
            low, high, source = self._limits[mrid]
            yield Term("dispatch_minimum", low, "MW", source)
            yield Term("dispatch_maximum", high, "MW", source)

    def state(self) -> dict[str, Any]:
        """What a successor needs."""
        return {
            "limits": {mrid: list(found) for mrid, found in self._limits.items()},
            "bases": {mrid: list(found) for mrid, found in self._bases.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._limits = {mrid: (float(low), float(high), source) for mrid, (low, high, source) in state.get("limits", {}).items()}
        self._bases = {mrid: (float(mw), source) for mrid, (mw, source) in state.get("bases", {}).items()}
