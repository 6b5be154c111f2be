"""What differs between two model versions, for each part of a running server: what is alike is not touched."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from scada.core.settings import CHANNEL_FILES
from scada.model_cim.tables import ChannelSpec, Control, ModelTables, Point, UpstreamStation

_SOURCE: Final = ("channel", "kind", "address", "scale", "offset")
"""Fields of a point that say where its value comes from and how it is read."""
_READ: Final = (*_SOURCE, "deadband", "states")
"""Those that a driver uses."""
_USED: Final = ("kind", "unit", "deadband", "minimum", "maximum", "equipment", "measurement_type", "expression", "removed")
"""Fields of a point that matter to who uses its value."""
_DONE: Final = ("kind", "select", "minimum", "maximum", "equipment", "station", "feedback", "removed")
"""Fields of a control that matter to who orders it."""


def alike(one: Any, other: Any) -> bool:
    """Whether two records say the same; NaN is like NaN.

    >>> alike((1.0, float("nan")), (1.0, float("nan"))), alike([1], [2])
    (True, False)
    """
    if one is other:
        return True
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other)  # noqa: PLR0124 - NaN
    if is_dataclass(one) and type(one) is type(other):
        return all(alike(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(value, other[key]) for key, value in one.items())
    rows = isinstance(one, (list, tuple)) and isinstance(other, (list, tuple))
    return len(one) == len(other) and all(map(alike, one, other)) if rows else bool(one == other)


def alike_in(names: Iterable[str], one: object, other: object) -> bool:
    """:func:`alike` in these attributes."""
    return one is other or all(alike(getattr(one, name), getattr(other, name)) for name in names)


@dataclass(frozen=True, slots=True)
class ModelChange:
    """What differs between the version that runs and the next one.

    Attributes:
        before, after: their tables.
        added: pids that are new, or tombstones no longer.
        removed: pids that become tombstones.
        moved: pids whose value comes from another source, or is read otherwise.
        controls: cids that are new, removed, or reach another thing or the same one in another way, and those whose feedback
            comes from another source.
        started: indices of channels that are new, or have another name.
        stopped: of those that are gone, or have another name.
        restarted: of those that are elsewhere, or are reached in another way.
        rebound: of those whose points or controls changed and nothing else.
    """

    before: ModelTables
    after: ModelTables
    added: tuple[int, ...]
    removed: tuple[int, ...]
    moved: tuple[int, ...]
    controls: frozenset[int]
    started: tuple[int, ...]
    stopped: tuple[int, ...]
    restarted: tuple[int, ...]
    rebound: tuple[int, ...]

    def uses(self, pids: Iterable[int], cids: Iterable[int] = ()) -> bool:
        """Whether something is other than before for who reads these points and orders these controls."""
        before, after = self.before, self.after
        return any(
            max(pid, 0) >= min(len(before.points), len(after.points))
            or not alike_in(_USED, before.points[pid], after.points[pid])
            for pid in pids
        ) or any(
            cid >= min(len(before.controls), len(after.controls))
            or not alike_in(_DONE, before.controls[cid], after.controls[cid])
            for cid in cids
            if cid >= 0
        )


def compare(
    before: ModelTables, after: ModelTables, specs: Mapping[int, ChannelSpec], next_specs: Mapping[int, ChannelSpec]
) -> ModelChange:
    """What differs.

    Args:
        before: tables that run.
        after: tables that shall run; every number of ``before`` stands for the same thing in them.
        specs: channels of the first, as configured.
        next_specs: those of the second.
    """
    known = min(len(before.points), len(after.points))
    pairs = list(zip(before.points[:known], after.points[:known], strict=True))
    added = [now.pid for then, now in pairs if then.removed and not now.removed]
    added += [point.pid for point in after.points[known:] if not point.removed]
    removed = [now.pid for then, now in pairs if now.removed and not then.removed]
    stay = [(then, now) for then, now in pairs if not then.removed and not now.removed]
    moved = [now.pid for then, now in stay if not alike_in(_SOURCE, then, now)]
    controls = _changed_controls(before, after)
    touched = _touched_channels(before, after, [*pairs, *((None, point) for point in after.points[known:])], controls)
    both = {index for index in specs.keys() & next_specs.keys() if specs[index].name == next_specs[index].name}
    restarted = {index for index in both if not same_channel(specs[index], next_specs[index])}
    controls |= _reached_otherwise(after, (specs.keys() ^ both) | (next_specs.keys() ^ both) | restarted, set(moved))
    return ModelChange(
        before,
        after,
        tuple(map(int, added)),
        tuple(map(int, removed)),
        tuple(map(int, moved)),
        frozenset(controls),
        tuple(sorted(next_specs.keys() - both)),
        tuple(sorted(specs.keys() - both)),
        tuple(sorted(restarted)),
        tuple(sorted((touched & both) - restarted)),
    )


def used_by_area(tables: ModelTables) -> tuple[set[int], set[int]]:
    """Points and controls of the controlled areas, those where results are shown included."""
    areas = [area for area in tables.areas if area.controlled]
    pids = {pid for area in areas for pid in area.points}
    mrids = {area.mrid for area in areas}
    pids |= {point.pid for point in tables.points if point.equipment in mrids}
    return {int(pid) for pid in pids}, {cid for area in areas for cid in area.controls}


def used_by_zones(tables: ModelTables) -> tuple[set[int], set[int]]:
    """Points and controls of the zones of AVC."""
    zones = tables.zones
    return {int(pid) for zone in zones for pid in zone.points}, {cid for zone in zones for cid in zone.controls}


def same_stations(before: Iterable[UpstreamStation], after: Iterable[UpstreamStation], change: ModelChange) -> frozenset[str]:
    """MRIDs of the upstream stations that forward the same in both versions, as configured."""
    known = {station.mrid: station for station in before}
    return frozenset(
        station.mrid
        for station in after
        if alike(known.get(station.mrid), station)
        and not change.uses((row.pid for row in station.points), (row.cid for row in station.controls))
    )


def same_channel(one: ChannelSpec, other: ChannelSpec) -> bool:
    """Whether a channel is where it was and is reached as it was; files count by what they hold, not by where they lie."""
    if not alike_in(("protocol", "name", "host", "port"), one, other) or one.params.keys() != other.params.keys():
        return False
    return all(
        alike(value, other.params[name]) or (name in CHANNEL_FILES and _content(value) == _content(other.params[name]) != b"")
        for name, value in one.params.items()
    )


def _content(path: float | str) -> bytes:
    try:
        return blake2b(Path(str(path)).read_bytes()).digest()
    except OSError:
        return b""


def _changed_controls(before: ModelTables, after: ModelTables) -> set[int]:
    known = min(len(before.controls), len(after.controls))
    pairs = zip(before.controls[:known], after.controls[:known], strict=True)
    changed = {now.cid for then, now in pairs if not _same_control(then, now)}
    return changed | {control.cid for control in (*before.controls[known:], *after.controls[known:]) if not control.removed}


def _reached_otherwise(tables: ModelTables, channels: Container[int], feedbacks: Container[int]) -> set[int]:
    """Controls that are the same themselves, over channels that change, or proved by points that moved."""
    return {
        control.cid
        for control in tables.controls
        if not control.removed
        and (control.channel in channels or (control.feedback is not None and control.feedback in feedbacks))
    }


def _same_control(one: Control, other: Control) -> bool:
    names = (each.name for each in fields(one) if each.name not in {"path", "name"})
    return alike_in(names, one, other)


def _touched_channels(
    before: ModelTables, after: ModelTables, pairs: Iterable[tuple[Point | None, Point]], controls: Iterable[int]
) -> set[int]:
    """Channels that read other points, or the same ones otherwise, or carry other controls."""
    touched: set[int] = set()
    for then, now in pairs:
        if then is None:
            touched.add(now.channel)
        elif then is not now and not alike_in(_READ, then, now):
            touched |= {then.channel, now.channel}
    for cid in controls:
        touched |= {tables.controls[cid].channel for tables in (before, after) if cid < len(tables.controls)}
    return touched - {-1}
