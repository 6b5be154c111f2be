"""One measured figure and its JSON form."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of output.

    Attributes:
        name: dotted, first part the group.
        value: what was measured; None = it could not be, and ``note`` says why.
        unit: of ``value`` and of every peer's.
        aim: what we want to reach; None = shown only.
        at_least: True if more is better.
        beside: what peers reached at the same work; None = not measured.
        note: what a reader must know to use the figure.
    """

    name: str
    value: float | None
    unit: str
    aim: float | None = None
    at_least: bool = False
    beside: dict[str, float | None] = field(default_factory=dict)
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the aim is reached; None without an aim."""
        if self.aim is None:
            return None
        if self.value is None:
            return False
        return self.value >= self.aim if self.at_least else self.value <= self.aim

    @property
    def ratio(self) -> float | None:
        """How many times better than the best peer (above 1 = better); None without one."""
        peers = [value for value in self.beside.values() if value]
        if not peers or not self.value:
            return None
        return self.value / max(peers) if self.at_least else min(peers) / self.value

    def line(self) -> str:
        """The figure as one line of JSON; ``note`` only where there is one."""
        shown = {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "aim": self.aim,
            "ok": self.ok,
            "beside": {peer: _rounded(value) for peer, value in self.beside.items()},
            "ratio": _rounded(self.ratio),
        }
        return json.dumps(shown | {"note": self.note} if self.note else shown)


def _rounded(value: float | None) -> float | None:
    """Four significant digits: more would pretend a precision that a shared machine does not have."""
    return None if value is None else float(f"{value:.4g}")
