"""Controls and channels: what operators can do, over which connections, and which connections are made anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from scada.model_cim.cim import CimModel
from scada.model_cim.effects.kinds import Effect, EffectKind
from scada.model_cim.effects.points import moved, names_taken, slots, source_text, states_moved, taken
from scada.model_cim.effects.values import Names, other_fields, scaling, shown
from scada.model_cim.tables import ChannelSpec, Control, ModelTables, Point

_PLAIN: Final = (
    "control_type", "unit", "device_number", "minimum", "maximum", "states", "feedback_timeout_s", "feedback_tolerance",
)  # fmt: skip


def control_effects(old: ModelTables, new: ModelTables, models: tuple[CimModel, CimModel]) -> Iterator[Effect]:
    """What becomes of the controls."""
    before = {control.mrid: control for control in old.controls if not control.removed}
    after = {control.mrid: control for control in new.controls if not control.removed}
    names = Names(old), Names(new)
    for mrid, control in before.items():
        if mrid not in after:
            yield Effect(EffectKind.CONTROL_LOST, mrid, control.path, control.station, old=source_text(control, old))
    for mrid, control in after.items():
        was = before.get(mrid)
        if was is None:
            yield Effect(EffectKind.CONTROL_GAINED, mrid, control.path, control.station, new=source_text(control, new))
        else:
            yield from _changed(was, control, names, (old, new), models)
    yield from taken(slots(old, before.values()), slots(new, after.values()), EffectKind.ADDRESS_TAKEN)
    yield from names_taken(before, after, "control")
    yield from _numbers_taken(before, after)


def _changed(
    old: Control,
    new: Control,
    names: tuple[Names, Names],
    tables: tuple[ModelTables, ModelTables],
    models: tuple[CimModel, CimModel],
) -> Iterator[Effect]:
    def effect(kind: EffectKind, before: str = "", after: str = "", field: str = "") -> Effect:
        return Effect(kind, new.mrid, new.path, new.station, field, before, after)

    if old.path != new.path:
        yield effect(EffectKind.CONTROL_RENAMED, old.path, new.path)
    if moved(old, new, names):
        yield effect(EffectKind.CONTROL_READDRESSED, source_text(old, tables[0]), source_text(new, tables[1]))
    if old.equipment != new.equipment:
        yield effect(EffectKind.CONTROL_MOVED, models[0].path(old.equipment), models[1].path(new.equipment))
    if old.kind != new.kind:
        yield effect(EffectKind.CONTROL_KIND, old.kind.name, new.kind.name)
    if (old.scale, old.offset) != (new.scale, new.offset):
        yield effect(EffectKind.CONTROL_RESCALED, scaling(old.scale, old.offset), scaling(new.scale, new.offset))
    if old.select != new.select:
        yield effect(EffectKind.SELECT_ON if new.select else EffectKind.SELECT_OFF, shown(old.select), shown(new.select))
    if names[0].point_mrid(old.feedback) != names[1].point_mrid(new.feedback):
        kind = EffectKind.FEEDBACK_LOST if new.feedback is None else EffectKind.FEEDBACK_CHANGED
        yield effect(kind, names[0].point(old.feedback), names[1].point(new.feedback))
    was, now = (dict(_interlocks(control)) for control in (old, new))
    for key in sorted(was.keys() - now.keys()):
        yield effect(EffectKind.INTERLOCK_REMOVED, was[key], field=" ".join(key))
    for key in sorted(now.keys() - was.keys()):
        yield effect(EffectKind.INTERLOCK_ADDED, after=now[key], field=" ".join(key))
    if states_moved(old.states, new.states):
        yield effect(EffectKind.STATES_MOVED, shown(old.states), shown(new.states))
    for field, before, after in other_fields(old, new, _PLAIN):
        yield effect(EffectKind.CONTROL_CHANGED, before, after, field)


def _numbers_taken(before: Mapping[str, Control], after: Mapping[str, Control]) -> Iterator[Effect]:
    """Controls that come to be called, by name or device number, as another device of their station was."""
    known = {(row.station, row.device_number): row for row in before.values() if row.device_number}
    for mrid, row in after.items():
        was = before.get(mrid)
        for said in sorted({row.name, row.device_number} - ({was.name, was.device_number} if was else set())):
            other = known.get((row.station, said))
            if was is not None and other is not None and other.mrid in after and other.equipment != row.equipment:
                yield Effect(
                    EffectKind.NAME_TAKEN, mrid, f"{row.path} ({said})", row.station, "device_number", after[other.mrid].path
                )


def _interlocks(control: Control) -> Iterator[tuple[tuple[str, str], str]]:
    """The interlocks of a control, each direction for itself: the point or condition, and how it is shown."""
    for enabling in control.enabled_by:
        for direction in (name for name, asked in (("open", enabling.opens), ("close", enabling.closes)) if asked):
            yield (direction, enabling.mrid), f"{direction}: {enabling.path}"
    for permission in control.permitted_when:
        for direction in (name for name, asked in (("open", permission.opens), ("close", permission.closes)) if asked):
            yield (direction, permission.text), f"{direction}: {permission.text}"


def channel_effects(old: ModelTables, new: ModelTables) -> Iterator[Effect]:
    """What becomes of the channels; a channel that is not named here is not touched."""
    before = {channel.mrid: channel for channel in old.channels if not channel.removed}
    after = {channel.mrid: channel for channel in new.channels if not channel.removed}
    rebound = _rebound(old, new)
    reached = {_endpoint(channel): channel for channel in before.values()}
    for mrid, channel in before.items():
        if mrid not in after:
            yield Effect(EffectKind.CHANNEL_LOST, mrid, channel.name, channel.station, old=_endpoint(channel))
    for mrid, channel in after.items():
        was = before.get(mrid)
        if was is None:
            yield Effect(EffectKind.CHANNEL_GAINED, mrid, channel.name, channel.station, new=_endpoint(channel))
            continue
        if was.name != channel.name:
            yield Effect(EffectKind.CHANNEL_RENAMED, mrid, channel.name, channel.station, old=was.name, new=channel.name)
        names = ("protocol", "host", "port", "station")
        params = {name: (shown(was.params.get(name)), shown(channel.params.get(name))) for name in {*was.params, *channel.params}}
        changes = [
            *other_fields(was, channel, names),
            *((name, *texts) for name, texts in params.items() if texts[0] != texts[1]),
        ]
        for field, was_text, text in changes:
            yield Effect(EffectKind.CHANNEL_CHANGED, mrid, channel.name, channel.station, field, was_text, text)
        other = reached.get(_endpoint(channel), channel)
        if other.mrid != mrid and _endpoint(was) != _endpoint(channel):
            yield Effect(EffectKind.CHANNEL_TAKEN, mrid, channel.name, channel.station, "", other.name, _endpoint(channel))
        if restarts(was, channel):
            yield Effect(EffectKind.CHANNEL_RESTARTS, mrid, channel.name, channel.station)
        elif rebound[mrid]:
            yield Effect(EffectKind.CHANNEL_REBOUND, mrid, channel.name, channel.station, new=str(rebound[mrid]))


def restarts(old: ChannelSpec, new: ChannelSpec) -> bool:
    """True if where or how a channel is reached differs, or its name, by which the configuration knows it: it connects anew."""
    return any(getattr(old, name) != getattr(new, name) for name in ("name", "protocol", "host", "port", "params"))


def _endpoint(channel: ChannelSpec) -> str:
    return f"{channel.protocol} {channel.host}:{channel.port}"


def _rebound(old: ModelTables, new: ModelTables) -> Counter[str]:
    """Points and controls that the wire has to know anew, by mRID of the channel that feeds them or fed them."""
    bound: list[dict[str, tuple[str, object]]] = []
    for tables in (old, new):
        rows: list[Point | Control] = [*tables.points, *tables.controls]
        bound.append({row.mrid: _binding(tables, row) for row in rows if not row.removed and row.channel >= 0})
    found: Counter[str] = Counter()
    for mrid in {*bound[0], *bound[1]}:
        before, after = bound[0].get(mrid), bound[1].get(mrid)
        if before != after:
            found.update({binding[0] for binding in (before, after) if binding is not None})
    return found


def _binding(tables: ModelTables, row: Point | Control) -> tuple[str, object]:
    deadband = row.deadband if isinstance(row, Point) else 0.0
    return tables.channels[row.channel].mrid, (row.address, row.scale, row.offset, row.kind, deadband)
