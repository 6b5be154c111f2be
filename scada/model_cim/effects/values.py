"""Values and tables as texts that can be compared and shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from typing import Any

from scada.model_cim.tables import ModelTables


def shown(value: object) -> str:  # noqa: PLR0911 - one way for each type
    """A value of a table as a text; empty for none and NaN.

    >>> shown(float("nan")), shown(0.1), shown(True), shown({1: "open"})
    ('', '0.1', 'true', '1 = open')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {shown(one)}" for key, one in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(shown(one) for one in value)
    return str(value)


def scaling(scale: float, offset: float) -> str:
    """``x * scale + offset`` in short.

    >>> scaling(0.1, 0.0), scaling(1.0, -40.0)
    ('x 0.1', 'x 1 - 40')
    """
    return f"x {scale:.12g}" + (f" {'+' if offset > 0 else '-'} {abs(offset):.12g}" if offset else "")


class Names:
    """What numbers of points and controls mean in one version; two versions need not number alike.

    Args:
        tables: of the version.
    """

    def __init__(self, tables: ModelTables) -> None:
        self._tables = tables

    def point(self, pid: int | None) -> str:
        """Path of a point by pid, empty for none."""
        return "" if pid is None else self._tables.points[pid].path

    def point_mrid(self, pid: int | None) -> str:
        """MRID of a point by pid, empty for none."""
        return "" if pid is None else self._tables.points[pid].mrid

    def control(self, cid: int | None) -> str:
        """Path of a control by cid, empty for none."""
        return "" if cid is None or cid < 0 else self._tables.controls[cid].path

    def control_mrid(self, cid: int | None) -> str:
        """MRID of a control by cid, empty for none."""
        return "" if cid is None or cid < 0 else self._tables.controls[cid].mrid

    def channel(self, index: int) -> str:
        """MRID of a channel by index, empty for calculated here."""
        return "" if index < 0 else self._tables.channels[index].mrid

    def path(self, mrid: str) -> str:
        """Path of a point by mRID, the mRID if there is none."""
        found = self._tables.by_mrid.get(mrid)
        return found.path if found else mrid


def other_fields(old: Any, new: Any, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Fields of two rows that differ: (field, old, new)."""
    found = []
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if before != after and shown(before) != shown(after):
            found.append((name, shown(before), shown(after)))
    return found


def flat(row: Any, leave: frozenset[str], resolve: Mapping[str, Callable[[Any], object]]) -> dict[str, str]:
    """Fields of a row as texts.

    Args:
        row: a dataclass.
        leave: fields to leave out.
        resolve: by field, what a value (or each of a sequence of values) means.
    """
    found: dict[str, str] = {}
    for one in fields(row):
        value = getattr(row, one.name)
        if one.name in leave:
            continue
        meaning = resolve.get(one.name)
        if meaning is not None:
            value = [meaning(each) for each in value] if isinstance(value, list | tuple) else meaning(value)
        found[one.name] = shown(value)
    return found
