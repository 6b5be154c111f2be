"""Points: gained, lost, renamed, with another address, scaling, limits, alarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from scada.model_cim.address_text import address_text
from scada.model_cim.channels import address_key
from scada.model_cim.cim import CimModel
from scada.model_cim.effects.kinds import Effect, EffectKind
from scada.model_cim.effects.values import Names, other_fields, scaling, shown
from scada.model_cim.tables import Control, ModelTables, Point

_PLAIN: Final = (
    "unit", "measurement_type", "terminal", "deadband", "compression", "sample_s", "minimum", "maximum", "states",
)  # fmt: skip
_CLEANING: Final = ("rate_per_s", "frozen_s", "period_s")
_CONDITIONS: Final = ("lolo", "lo", "hi", "hihi", "deviation", "rate")
_SETTINGS: Final = ("hysteresis", "delay_s", "off_delay_s", "reference", "rate_window_s")
Slot = tuple[str, tuple[int | str, ...]]
"""Channel mRID and address within it."""


def point_effects(old: ModelTables, new: ModelTables, models: tuple[CimModel, CimModel]) -> Iterator[Effect]:
    """What becomes of the points."""
    before = {point.mrid: point for point in old.points if not point.removed}
    after = {point.mrid: point for point in new.points if not point.removed}
    names = Names(old), Names(new)
    for mrid, point in before.items():
        if mrid not in after:
            yield Effect(EffectKind.POINT_LOST, mrid, point.path, point.station, old=source_text(point, old))
    for mrid, point in after.items():
        was = before.get(mrid)
        if was is None:
            yield Effect(EffectKind.POINT_GAINED, mrid, point.path, point.station, new=source_text(point, new))
        elif was is not point:
            yield from _changed(was, point, names, (old, new), models)
    yield from taken(slots(old, before.values()), slots(new, after.values()), EffectKind.ADDRESS_TAKEN)
    yield from names_taken(before, after, "point")


def source_text(row: Point | Control, tables: ModelTables) -> str:
    """Where a value comes from or a command goes to: channel and address, or the calculation."""
    if row.channel >= 0:
        return f"{tables.channels[row.channel].name} {address_text(row.address)}"
    return row.expression if isinstance(row, Point) else ""


def slots(tables: ModelTables, rows: Iterable[Point | Control]) -> dict[Slot, tuple[str, Point | Control]]:
    """Row by address, with the address as people read it."""
    return {
        (tables.channels[row.channel].mrid, address_key(row.address)): (source_text(row, tables), row)
        for row in rows
        if row.channel >= 0 and row.address is not None
    }


def taken(
    before: dict[Slot, tuple[str, Point | Control]], after: dict[Slot, tuple[str, Point | Control]], kind: EffectKind
) -> Iterator[Effect]:
    """Addresses that stand for something else now."""
    for slot, (text, row) in after.items():
        was = before.get(slot)
        if was is not None and was[1].mrid != row.mrid:
            yield Effect(kind, row.mrid, row.path, row.station, field=text, old=was[1].path)


def names_taken(before: Mapping[str, Point | Control], after: Mapping[str, Point | Control], what: str) -> Iterator[Effect]:
    """Names that stand for something else now, while what bore them is there under another one.

    Args:
        before: rows by mRID.
        after: the same of the new version.
        what: ``point`` or ``control``.
    """
    known = {row.path: mrid for mrid, row in before.items()}
    for mrid, row in after.items():
        other = known.get(row.path, mrid)
        if other != mrid and other in after:
            yield Effect(EffectKind.NAME_TAKEN, mrid, row.path, row.station, field=what, old=after[other].path)


def states_moved(old: Mapping[int, str], new: Mapping[int, str]) -> bool:
    """True if a label stands for another value than before.

    >>> states_moved({0: "open", 1: "closed"}, {0: "closed", 1: "open"}), states_moved({0: "off"}, {0: "off", 1: "on"})
    (True, False)
    """
    return any(label != new.get(value, label) and label in new.values() for value, label in old.items())


def moved(old: Point | Control, new: Point | Control, names: tuple[Names, Names]) -> bool:
    """True if channel or address differ; indices of channels are compared by what they stand for."""
    return (names[0].channel(old.channel), old.address) != (names[1].channel(new.channel), new.address)


def _changed(
    old: Point, new: Point, names: tuple[Names, Names], tables: tuple[ModelTables, ModelTables], models: tuple[CimModel, CimModel]
) -> Iterator[Effect]:
    def effect(kind: EffectKind, before: str = "", after: str = "", field: str = "") -> Effect:
        return Effect(kind, new.mrid, new.path, new.station, field, before, after)

    if old.path != new.path:
        yield effect(EffectKind.POINT_RENAMED, old.path, new.path)
    if new.channel < 0 and not new.expression and (old.channel >= 0 or old.expression):
        yield effect(EffectKind.SOURCE_LOST, source_text(old, tables[0]))
    elif moved(old, new, names):
        yield effect(EffectKind.POINT_READDRESSED, source_text(old, tables[0]), source_text(new, tables[1]))
    elif old.expression != new.expression:
        yield effect(EffectKind.POINT_CALCULATION, old.expression, new.expression)
    if (old.scale, old.offset) != (new.scale, new.offset):
        kind = EffectKind.POINT_INVERTED if old.scale * new.scale < 0 else EffectKind.POINT_RESCALED
        yield effect(kind, scaling(old.scale, old.offset), scaling(new.scale, new.offset))
    if old.kind != new.kind:
        yield effect(EffectKind.POINT_KIND, old.kind.name, new.kind.name)
    if old.equipment != new.equipment:
        yield effect(EffectKind.POINT_MOVED, models[0].path(old.equipment), models[1].path(new.equipment))
    if states_moved(old.states, new.states):
        yield effect(EffectKind.STATES_MOVED, shown(old.states), shown(new.states))
    for field, before, after in (*other_fields(old, new, _PLAIN), *other_fields(old.cleaning, new.cleaning, _CLEANING)):
        yield effect(EffectKind.POINT_CHANGED, before, after, field)
    yield from _alarms(old, new, names, effect)


def _alarms(old: Point, new: Point, names: tuple[Names, Names], effect: _Maker) -> Iterator[Effect]:
    for field, before, after in other_fields(old.limits, new.limits, _CONDITIONS):
        kind = EffectKind.LIMIT_CHANGED
        if not before or not after:
            kind = EffectKind.LIMIT_REMOVED if before else EffectKind.LIMIT_ADDED
        yield effect(kind, before, after, field)
    for field, before, after in other_fields(old.limits, new.limits, _SETTINGS):
        yield effect(EffectKind.ALARM_CHANGED, before, after, field)
    for field in ("alarm_class", "priority"):
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            kind = EffectKind.ALARM_DOWNGRADED if after > before else EffectKind.ALARM_CHANGED
            yield effect(kind, shown(before), shown(after), field)
    normal = shown(old.normal_value), shown(new.normal_value)
    if normal[0] != normal[1]:
        kind = EffectKind.ALARM_INVERTED if normal[0] else EffectKind.ALARM_CHANGED
        yield effect(kind if normal[1] else EffectKind.ALARM_REMOVED, *normal, "normal_value")
    if old.suppressed_by != new.suppressed_by:
        kind = EffectKind.ALARM_SUPPRESSED if new.suppressed_by else EffectKind.ALARM_CHANGED
        yield effect(kind, names[0].path(old.suppressed_by), names[1].path(new.suppressed_by), "suppressed_by")


class _Maker(Protocol):
    """Makes an effect of the point at hand."""

    def __call__(self, kind: EffectKind, before: str = "", after: str = "", field: str = "") -> Effect: ...
