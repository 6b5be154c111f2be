"""AGC, AVC and what upstream control centres get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from scada.model_cim.address_text import address_text
from scada.model_cim.effects.kinds import Effect, EffectKind
from scada.model_cim.effects.values import Names, flat
from scada.model_cim.regulation import VoltageZone
from scada.model_cim.tables import ForwardedControl, ForwardedPoint, ModelTables, UpstreamStation

_POINTS: Final = (
    *("power", "remote", "available", "state_of_charge", "position", "voltage", "frequency", "flow", "active", "running"),
    *(
        "telemetered_base",
        "raise_blocked",
        "lower_blocked",
        "irradiance",
        "interchange_meter",
        "time_error",
        "tripped",
        "blocked",
    ),
)
_CONTROLS: Final = ("setpoint", "control", "raise_lower")
_ACTS: Final = (*_CONTROLS, "sign", "raise_increases_voltage")
"""Fields by which regulation acts on something else, or the other way round."""
Parts = dict[str, dict[str, str]]
"""Fields by the name of the part (a unit, a tie line, a pilot node; the whole itself has none)."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """An area, a zone or a station with its parts."""

    name: str
    parts: Parts


def area_effects(old: ModelTables, new: ModelTables) -> Iterator[Effect]:
    """What becomes of the control areas, their units and tie lines."""
    kinds = (EffectKind.AGC_GAINED, EffectKind.AGC_LOST, EffectKind.AGC_CHANGED)
    yield from _wholes(_areas(old), _areas(new), kinds)


def zone_effects(old: ModelTables, new: ModelTables) -> Iterator[Effect]:
    """What becomes of the AVC zones, their pilot nodes, sources and devices."""
    kinds = (EffectKind.AVC_GAINED, EffectKind.AVC_LOST, EffectKind.AVC_CHANGED)
    yield from _wholes(_zones(old), _zones(new), kinds)


def upstream_effects(old: ModelTables, new: ModelTables) -> Iterator[Effect]:
    """What upstream control centres get to see and may ask for."""
    kinds = (EffectKind.FORWARD_GAINED, EffectKind.FORWARD_LOST, EffectKind.FORWARD_CHANGED)
    yield from _wholes(_stations(old), _stations(new), kinds)
    before, after = ({one.mrid: one for one in tables.upstream} for tables in (old, new))
    for mrid in before.keys() & after.keys():
        yield from _rows(after[mrid], _forwarded(before[mrid], Names(old)), _forwarded(after[mrid], Names(new)))


def _wholes(
    old: Mapping[str, _Whole], new: Mapping[str, _Whole], kinds: tuple[EffectKind, EffectKind, EffectKind]
) -> Iterator[Effect]:
    gained, lost, changed = kinds
    for mrid, whole in old.items():
        if mrid not in new:
            yield Effect(lost, mrid, whole.name, old=whole.name)
    for mrid, whole in new.items():
        was = old.get(mrid)
        if was is None:
            yield Effect(gained, mrid, whole.name, new=whole.name)
            continue
        for part in dict.fromkeys([*was.parts, *whole.parts]):
            before, after = was.parts.get(part), whole.parts.get(part)
            if before is None or after is None:
                kind, text = (gained, {"new": part}) if before is None else (lost, {"old": part})
                yield Effect(kind, f"{mrid}/{part}", whole.name, **text)
                continue
            for field in dict.fromkeys([*before, *after]):
                if before.get(field, "") != after.get(field, ""):
                    name = f"{part}: {field}" if part else field
                    kind = EffectKind.REGULATION_MOVED if part and field in _ACTS else changed
                    yield Effect(kind, mrid, whole.name, "", name, before.get(field, ""), after.get(field, ""))


def _meaning(tables: ModelTables) -> dict[str, Callable[[Any], object]]:
    names = Names(tables)
    return {**dict.fromkeys(_POINTS, names.point), **dict.fromkeys(_CONTROLS, names.control)}


def _parts(whole: Any, tables: ModelTables, leave: str, *groups: Sequence[Any]) -> Parts:
    meaning = _meaning(tables)
    parts = {"": flat(whole, frozenset(leave.split()), meaning)}
    for group in groups:
        for part in group:
            name = part.name if part.name not in parts else f"{part.name} #{len(parts)}"
            parts[name] = flat(part, frozenset({"mrid", "name"}), meaning)
    return parts


def _areas(tables: ModelTables) -> dict[str, _Whole]:
    found = {}
    for one in tables.areas:
        names = {group.mrid: group.name for group in one.groups}
        units = [replace(unit, group=names.get(unit.group, unit.group), members=()) for unit in one.units]
        groups = [replace(group, parent=names.get(group.parent, group.parent)) for group in one.groups]
        members = [replace(member, name=f"{unit.name}/{member.name}") for unit in one.units for member in unit.members]
        found[one.mrid] = _Whole(one.name, _parts(one, tables, "mrid ties units groups", one.ties, units, groups, members))
    return found


def _zones(tables: ModelTables) -> dict[str, _Whole]:
    """By name: a zone is no object of its own."""
    return {one.name: _Whole(one.name, _zone_parts(one, tables)) for one in tables.zones}


def _zone_parts(zone: VoltageZone, tables: ModelTables) -> Parts:
    names = {plant.mrid: plant.name for plant in zone.plants}
    sources = [replace(source, plant=names.get(source.plant, source.plant)) for source in zone.sources]
    return _parts(zone, tables, "name pilots sources devices plants", zone.pilots, sources, zone.devices, zone.plants)


def _stations(tables: ModelTables) -> dict[str, _Whole]:
    found = {}
    for one in tables.upstream:
        parts = {"": {**flat(one, frozenset({"mrid", "points", "controls", "groups", "params"}), {}), **_texts(one.params)}}
        parts |= {f"group {group.name}": {"masters": ", ".join(group.masters)} for group in one.groups}
        found[one.mrid] = _Whole(one.name, parts)
    return found


def _texts(params: Mapping[str, float | str]) -> dict[str, str]:
    return {name: f"{value:.12g}" if isinstance(value, float) else str(value) for name, value in params.items()}


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a forwarding table; ``subject`` is the mRID of the point or control, ``path`` its name."""

    direction: str
    subject: str
    path: str
    address: str
    key: tuple[str, int, int]
    fields: dict[str, str]


def _forwarded(station: UpstreamStation, names: Names) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    pairs: list[tuple[ForwardedPoint | ForwardedControl, str, str, str]] = [
        *((row, "point", names.point_mrid(row.pid), names.point(row.pid)) for row in station.points),
        *((row, "control", names.control_mrid(row.cid), names.control(row.cid)) for row in station.controls),
    ]
    for row, direction, subject, path in pairs:
        key = (direction, row.address.common_address, row.address.ioa)
        fields = flat(row, frozenset({"mrid", "pid", "cid", "address"}), {})
        rows[row.mrid] = _Row(direction, subject, path, address_text(row.address), key, fields)
    return rows


def _rows(station: UpstreamStation, old: Mapping[str, _Row], new: Mapping[str, _Row]) -> Iterator[Effect]:
    name = station.name
    for mrid, row in old.items():
        if mrid not in new:
            yield Effect(EffectKind.FORWARD_LOST, mrid, name, "", row.direction, f"{row.path} {row.address}")
    for mrid, row in new.items():
        was = old.get(mrid)
        if was is None:
            yield Effect(EffectKind.FORWARD_GAINED, mrid, name, "", row.direction, new=f"{row.path} {row.address}")
            continue
        if was.address != row.address:
            yield Effect(EffectKind.FORWARD_READDRESSED, mrid, name, "", row.path, was.address, row.address)
        for field in dict.fromkeys([*was.fields, *row.fields]):
            texts = was.fields.get(field, ""), row.fields.get(field, "")
            if texts[0] != texts[1]:
                off = field == "select" and texts[1] == "false"
                kind = EffectKind.FORWARD_SELECT_OFF if off else EffectKind.FORWARD_CHANGED
                yield Effect(kind, mrid, name, "", f"{row.path}: {field}", *texts)
    known = {row.key: row for row in old.values()}
    for mrid, row in new.items():
        before = known.get(row.key)
        if before is not None and before.subject != row.subject:
            yield Effect(EffectKind.FORWARD_TAKEN, mrid, name, "", row.address, before.path, row.path)
