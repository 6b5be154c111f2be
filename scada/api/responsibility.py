"""Right and area of responsibility of orders that name no control: modes, dispatch, acknowledgement.

Controls are judged by the control desk, which knows their equipment, and operator data by its ledger, which knows every object;
these are judged here, before they reach an application.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.actors.mode_orders import mode_rights
from scada.api.faults import CallError
from scada.control.records import Principal
from scada.model_cim.tables import ModelTables
from scada.security.roles import Right, is_responsible


def check_mode(request: pb.SetModeRequest, principal: Principal, tables: ModelTables) -> None:
    """The sender has every right that the order needs, within all areas and stations that it acts on.

    Raises:
        CallError: ``unauthorised`` or ``no_area``.
    """
    target = request.WhichOneof("target") or ""
    if missing := mode_rights(request, tables) - principal.rights:
        what = f"channel order {request.channel.action!r}" if target == "channel" else target
        names = ", ".join(sorted(missing))
        raise CallError(grpc.StatusCode.PERMISSION_DENIED, "unauthorised", f"{principal.name} has no right {names} ({what})")
    if target == "channel":
        check_channel(request.channel.channel, principal, tables)
        return
    mrid = request.unit.unit or request.loop.mrid or request.benchmarks.unit or request.unlock
    if mrid:
        places = {*_areas_of_unit(tables, mrid), *_stations_of_device(tables, mrid)}
    elif target == "avc":
        # one order for all zones, whatever area it names
        places = _stations_of_avc(tables)
    else:
        places = {area.name for area in tables.areas if area.controlled and request.area in {"", area.name}}
    for place in sorted(places):
        _check(principal, tables, mrid or target.upper(), [place])


def check_channel(name: str, principal: Principal, tables: ModelTables) -> None:
    """Every station of a channel is within the sender's areas.

    Raises:
        CallError: ``no_area``.
    """
    for channel in tables.live_channels:
        if channel.name == name:
            _check_stations(principal, tables, name, channel.station)


def check_edit(request: pb.ScheduleEdit, principal: Principal, tables: ModelTables) -> None:
    """An edit of a plan needs the rights to change modes and to send set-points, within the sender's areas.

    Raises:
        CallError: ``unauthorised`` or ``no_area``.
    """
    if missing := {Right.SETPOINT, Right.MODE} - principal.rights:
        names = ", ".join(sorted(missing))
        what = f"{principal.name} has no right {names} (edit of a plan)"
        raise CallError(grpc.StatusCode.PERMISSION_DENIED, "unauthorised", what)
    check_dispatch(request, principal, tables)


def check_dispatch(request: pb.AreaSetpoint | pb.Schedule | pb.ScheduleEdit, principal: Principal, tables: ModelTables) -> None:
    """An order is within the sender's areas: the named one, and that of the unit if it is for a unit.

    Raises:
        CallError: ``no_area``.
    """
    if not isinstance(request, pb.AreaSetpoint) and request.unit:
        _check(principal, tables, request.unit, _areas_of_unit(tables, request.unit))
    else:
        _check(principal, tables, request.area, [request.area])


def check_acknowledge(request: pb.AcknowledgeRequest, principal: Principal, backend: Backend) -> list[int]:
    """Alarms of a station are within the sender's areas; those of no station belong to everyone.

    Returns:
        Those of the ids that were judged: an alarm that is not shown yet has no area, and nobody can have seen it.

    Raises:
        CallError: ``no_area``, and none is acknowledged.
    """
    asked = frozenset(request.alarm_ids)
    shown = [alarm for alarm in backend.alarms()[0] if alarm.alarm_id in asked]
    for alarm in shown:
        if alarm.station:
            _check_stations(principal, backend.tables, alarm.path, alarm.station)
    return [alarm.alarm_id for alarm in shown]


def check_alarms(names: Sequence[pb.AlarmName], principal: Principal, tables: ModelTables) -> None:
    """Alarms to be shelved or taken out of service are of points, equipment or channels within the sender's areas.

    What the model does not have is not judged here: the alarm engine answers that it is unknown.

    Raises:
        CallError: ``no_area``, and none is touched.
    """
    channels = {channel.mrid: channel for channel in tables.live_channels}
    others = set()
    for name in names:
        point, channel = tables.by_mrid.get(name.mrid), channels.get(name.mrid)
        if point is not None:
            _check(principal, tables, point.path, [point.station] if point.station else [])
        elif channel is not None:
            if channel.station:
                _check_stations(principal, tables, channel.name, channel.station)
        else:
            others.add(name.mrid)
    owned = {(point.equipment, point.station) for point in tables.points if point.equipment in others} if others else set()
    for equipment, station in sorted(owned):
        _check(principal, tables, equipment, [station] if station else [])


def check_points(pids: Sequence[int], principal: Principal, tables: ModelTables) -> None:
    """Late values are of points within the sender's areas.

    Raises:
        CallError: ``no_area``, and none is stored.
    """
    for pid in pids:
        point = tables.points[pid]
        _check(principal, tables, point.path, [point.station] if point.station else [])


def _areas_of_unit(tables: ModelTables, mrid: str) -> list[str]:
    return [area.name for area in tables.areas if any(unit.mrid == mrid for unit in area.units)]


def _stations_of_device(tables: ModelTables, mrid: str) -> set[str]:
    """Stations of what AVC sends to a source or device."""
    cids = [source.setpoint for zone in tables.zones for source in zone.sources if source.mrid == mrid]
    cids += [device.control for zone in tables.zones for device in zone.devices if device.mrid == mrid]
    return {tables.controls[cid].station for cid in cids if cid >= 0}


def _stations_of_avc(tables: ModelTables) -> set[str]:
    """Stations of all that AVC sends; the controlled areas where it sends nothing."""
    stations = {tables.controls[cid].station for zone in tables.zones for cid in zone.controls if cid >= 0}
    return stations or {area.name for area in tables.areas if area.controlled}


def _check_stations(principal: Principal, tables: ModelTables, what: str, station: str) -> None:
    """A channel of several stations has their names joined by commas; each must be the sender's."""
    known = any(one.name == station for one in tables.stations)
    for name in [station] if known else station.split(", "):
        _check(principal, tables, what, [name])


def _check(principal: Principal, tables: ModelTables, what: str, places: list[str]) -> None:
    """Places are names of areas or stations; a station also counts as its area. An unknown object has none: the desk says so."""
    if not places:
        return
    areas = [station.area for station in tables.stations if station.name in places]
    if not is_responsible(principal, *places, *areas):
        raise CallError(
            grpc.StatusCode.PERMISSION_DENIED, "no_area", f"{what} is outside {principal.name}'s areas of responsibility"
        )
