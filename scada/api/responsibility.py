"""Right and area of responsibility of orders that name no control: modes, dispatch, acknowledgement.

Controls are judged by the control desk, which knows their equipment, and operator data by its ledger, which knows every object;
these are judged here, before they reach an application.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.actors.dispatch_requests import places_of, places_of_avc
from scada.actors.mode_orders import mode_rights
from scada.api.faults import CallError
from scada.control.records import Principal
from scada.events.records import Alarm
from scada.model_cim.tables import ModelTables, Point
from scada.security.areas import AreaTree, Places, responsible_for_all
from scada.security.roles import Right


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
    tree = AreaTree.of(tables)
    mrid = request.unit.unit or request.loop.mrid or request.benchmarks.unit or request.unlock
    if mrid:
        chains = tree.of_unit(mrid)
    elif target == "avc":
        # one order for all zones, whatever area it names
        chains = places_of_avc(tables)
    else:
        chains = tuple(tree.of_area(area.name) for area in tables.areas if area.controlled and request.area in {"", area.name})
    _check(principal, mrid or target.upper(), *chains)


def check_channel(name: str, principal: Principal, tables: ModelTables) -> None:
    """Every station of a channel is within the sender's areas.

    Raises:
        CallError: ``no_area``.
    """
    for channel in tables.live_channels:
        if channel.name == name:
            _check(principal, name, *AreaTree.of(tables).of_channel(channel))


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


def check_dispatch(
    request: pb.AreaSetpoint | pb.Schedule | pb.ScheduleEdit | pb.ModeOrder, principal: Principal, tables: ModelTables
) -> None:
    """An order is within the sender's areas (:func:`~scada.actors.dispatch_requests.places_of`).

    Raises:
        CallError: ``no_area``.
    """
    _check(principal, request.unit or request.area, *places_of(request, tables))


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
            _check(principal, alarm.path, *_of_alarm(alarm, backend.tables))
    return [alarm.alarm_id for alarm in shown]


def check_alarms(names: Sequence[pb.AlarmName], principal: Principal, tables: ModelTables) -> None:
    """Alarms to be shelved or taken out of service are of points, equipment or channels within the sender's areas.

    What the model does not have is not judged here: the alarm engine answers that it is unknown.

    Raises:
        CallError: ``no_area``, and none is touched.
    """
    tree = AreaTree.of(tables)
    channels = {channel.mrid: channel for channel in tables.live_channels}
    others = set()
    for name in names:
        point, channel = tables.by_mrid.get(name.mrid), channels.get(name.mrid)
        if point is not None:
            _check(principal, point.path, *_of_point(tree, point))
        elif channel is not None:
            if channel.station:
                _check(principal, channel.name, *tree.of_channel(channel))
        else:
            others.add(name.mrid)
    owned = [point for point in tables.points if point.equipment in others] if others else []
    for point in owned:
        _check(principal, point.equipment, *_of_point(tree, point))


def check_points(pids: Sequence[int], principal: Principal, tables: ModelTables) -> None:
    """Late values are of points within the sender's areas.

    Raises:
        CallError: ``no_area``, and none is stored.
    """
    tree = AreaTree.of(tables)
    for pid in pids:
        point = tables.points[pid]
        _check(principal, point.path, *_of_point(tree, point))


def _of_point(tree: AreaTree, point: Point) -> tuple[Places, ...]:
    """A point of no station, as the calculated ones of the whole network, is everyone's."""
    return (tree.of_point(point),) if point.station else ()


def _of_alarm(alarm: Alarm, tables: ModelTables) -> tuple[Places, ...]:
    """What an alarm is of: its point, else the stations that it names, joined by commas as those of a channel are."""
    tree, point = AreaTree.of(tables), tables.by_mrid.get(alarm.mrid)
    if point is not None and point.station == alarm.station:
        return (tree.of_point(point),)
    known = any(one.name == alarm.station for one in tables.stations)
    return tuple(tree.of_station(name) for name in ([alarm.station] if known else alarm.station.split(", ")))


def _check(principal: Principal, what: str, *chains: Places) -> None:
    """The sender is responsible for each of these; what the model does not have has none: the desk says that it is unknown."""
    if not responsible_for_all(principal, chains):
        raise CallError(
            grpc.StatusCode.PERMISSION_DENIED, "no_area", f"{what} is outside {principal.name}'s areas of responsibility"
        )
