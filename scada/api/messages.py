"""Records of the house to messages of the wire, one function a kind."""

from __future__ import annotations

from collections.abc import Iterable

from scadapb.v1 import scada_pb2 as pb

from scada.control.interlocks import Finding
from scada.control.operator_data import MarkReading, MarkReply
from scada.control.records import ControlReply, ModeReply, SequenceState, SequenceView
from scada.control.tags import TAG_TYPES
from scada.core.batch import NO_PID
from scada.events.recall import RecallInfo
from scada.events.records import Alarm, Event, Suppression
from scada.model_cim.address_text import address_text
from scada.model_cim.regulation import ControlArea
from scada.model_cim.tables import ChannelSpec, Control, ModelTables, Point, Station

_STATES = {
    SequenceState.REFUSED: pb.CONTROL_STATE_REFUSED,
    SequenceState.SELECTED: pb.CONTROL_STATE_SELECTED,
    SequenceState.CHECK_FAILED: pb.CONTROL_STATE_CHECK_FAILED,
    SequenceState.EXECUTING: pb.CONTROL_STATE_EXECUTING,
    SequenceState.SUCCESS: pb.CONTROL_STATE_SUCCESS,
    SequenceState.EXEC_FAILED: pb.CONTROL_STATE_EXEC_FAILED,
    SequenceState.CANCELLED: pb.CONTROL_STATE_CANCELLED,
    SequenceState.TIMED_OUT: pb.CONTROL_STATE_TIMED_OUT,
    SequenceState.CONFIRMED: pb.CONTROL_STATE_CONFIRMED,
}


def event_info(event: Event) -> pb.EventInfo:
    """One line of the event log."""
    return pb.EventInfo(
        event_id=event.event_id,
        time_ns=event.time_ns,
        source_time_ns=event.source_time_ns,
        kind=int(event.kind),
        alarm_class=int(event.alarm_class),
        priority=event.priority,
        key=event.key,
        parameters=event.parameters,
        pid=event.pid,
        mrid=event.mrid,
        station=event.station,
        path=event.path,
        value=event.value,
        alarm_id=event.alarm_id,
        seq=event.seq,
        actor=event.actor,
    )


def alarm_info(alarm: Alarm) -> pb.AlarmInfo:
    """One present alarm."""
    return pb.AlarmInfo(
        alarm_id=alarm.alarm_id,
        phase=int(alarm.phase),
        alarm_class=int(alarm.alarm_class),
        priority=alarm.priority,
        key=alarm.key,
        parameters=alarm.parameters,
        pid=alarm.pid,
        mrid=alarm.mrid,
        station=alarm.station,
        path=alarm.path,
        value=alarm.value,
        limit=alarm.limit,
        raised_ns=alarm.raised_ns,
        returned_ns=alarm.returned_ns,
        acknowledged_ns=alarm.acknowledged_ns,
        acknowledged_by=alarm.acknowledged_by,
        bay=alarm.bay,
        group=alarm.group,
        chattering=alarm.chattering,
        occurrences=alarm.occurrences,
    )


def recall_info(info: RecallInfo) -> pb.RecallInfo:
    """A captured disturbance."""
    return pb.RecallInfo(
        at_ns=info.at_ns,
        from_ns=info.from_ns,
        to_ns=info.to_ns,
        reason=info.reason,
        event_id=info.event_id,
        complete=info.complete,
    )


def suppression_info(suppression: Suppression) -> pb.Suppression:
    """What hides alarms, and since when."""
    return pb.Suppression(
        mrid=suppression.mrid,
        key=suppression.key,
        kind=int(suppression.kind),  # type: ignore[arg-type]  # same numbers, held by a test
        path=suppression.path,
        station=suppression.station,
        since_ns=suppression.since_ns,
        until_ns=suppression.until_ns,
        user=suppression.user,
        reason=suppression.reason,
        active=suppression.active,
    )


def point_info(point: Point, tables: ModelTables) -> pb.PointInfo:
    """A point with its limits, states and where it comes from."""
    limits = point.limits
    return pb.PointInfo(
        pid=point.pid,
        mrid=point.mrid,
        path=point.path,
        name=point.name,
        kind=int(point.kind),  # type: ignore[arg-type]  # same numbers, held by a test
        measurement_type=point.measurement_type,
        unit=point.unit,
        equipment=point.equipment,
        station=point.station,
        bay=point.bay,
        channel=tables.channels[point.channel].name if point.channel >= 0 else "",
        address=address_text(point.address),
        limits=pb.LimitInfo(lolo=limits.lolo, lo=limits.lo, hi=limits.hi, hihi=limits.hihi, hysteresis=limits.hysteresis),
        states=point.states,
        normal_value=point.normal_value,
        expression=point.expression,
        terminal=point.terminal,
        minimum=point.minimum,
        maximum=point.maximum,
    )


def control_info(control: Control, tables: ModelTables) -> pb.ControlInfo:
    """A command or set-point."""
    return pb.ControlInfo(
        cid=control.cid,
        mrid=control.mrid,
        path=control.path,
        name=control.name,
        kind=int(control.kind),
        control_type=control.control_type,
        unit=control.unit,
        equipment=control.equipment,
        station=control.station,
        channel=tables.channels[control.channel].name,
        feedback_pid=-1 if control.feedback is None else control.feedback,
        device_number=control.device_number,
        select=control.select,
        minimum=control.minimum,
        maximum=control.maximum,
        states=control.states,
    )


def model_info(tables: ModelTables, site: str) -> pb.ModelInfo:
    """What a client needs to know of the model before it asks for points."""
    return pb.ModelInfo(
        version=tables.version,
        name=tables.name,
        stations=[_station(station) for station in tables.stations],
        areas=[_area(area) for area in tables.areas],
        channels=[_channel(channel) for channel in tables.live_channels],
        points=len(tables.points),
        controls=len(tables.live_controls),
        site=site,
        area_diagrams=[pb.AreaDiagramInfo(key=one.key, name=one.name, stale=one.diagram_stale) for one in tables.area_diagrams],
    )


def control_reply(reply: ControlReply) -> pb.ControlReply:
    """Where a control sequence stands."""
    return pb.ControlReply(
        sequence_id=reply.sequence_id,
        state=_STATES[reply.state],
        code=reply.code,
        reason=reply.reason,
        valid_until_ns=reply.valid_until_ns,
        value=reply.value,
        present=reply.present,
        elapsed_s=reply.elapsed_s,
        needs_guardian=reply.needs_guardian,
        guardian=reply.guardian,
        select_digest=reply.select_digest,
        confirm_digest=reply.confirm_digest,
        findings=[interlock_finding(finding) for finding in reply.findings],
    )


def interlock_finding(finding: Finding) -> pb.InterlockFinding:
    """One thing that forbids a control, and why."""
    return pb.InterlockFinding(
        rule=finding.rule,
        key=finding.key,
        parameters=finding.parameters,
        text=finding.text,
        unknown=finding.unknown,
        bypassable=finding.bypassable,
        because=finding.because,
    )


def sequence_info(view: SequenceView) -> pb.SequenceInfo:
    """A control sequence as everyone may see it; its device number is not told, because who acts must type it."""
    return pb.SequenceInfo(
        reply=control_reply(view.reply),
        control=view.control,
        path=view.path,
        station=view.station,
        equipment=view.equipment,
        operator=view.operator,
        workstation=view.workstation,
        started_ns=view.started_ns,
        emergency=view.emergency,
        bypass=view.bypass,
        why=view.why,
        programme=view.programme,
        kind=view.kind,
    )


def mode_reply(reply: ModeReply) -> pb.ModeReply:
    """Answer to a mode change."""
    return pb.ModeReply(accepted=reply.accepted, code=reply.code, reason=reply.reason)


def operator_reply(reply: MarkReply) -> pb.OperatorReply:
    """Answer to an order on operator data."""
    return pb.OperatorReply(accepted=reply.accepted, code=reply.code, reason=reply.reason, mark_id=reply.mark_id)


def operator_marks(readings: Iterable[MarkReading]) -> pb.OperatorMarks:
    """Marks, and what each type of tag inhibits."""
    types = [
        pb.TagType(key=each.key, inhibits_control=each.control.value, inhibits_alarms=each.alarms) for each in TAG_TYPES.values()
    ]
    return pb.OperatorMarks(marks=[_mark(reading) for reading in readings], tag_types=types)


def _mark(reading: MarkReading) -> pb.OperatorMark:
    mark = reading.mark
    return pb.OperatorMark(
        mark_id=mark.mark_id,
        kind=int(mark.kind),  # type: ignore[arg-type]  # same numbers, held by a test
        mrid=mark.mrid,
        path=mark.path,
        station=mark.station,
        pid=reading.pid,
        value=reading.value,
        tag_type=mark.tag_type,
        reason=mark.reason,
        user=mark.user,
        workstation=mark.workstation,
        placed_ns=mark.placed_ns,
        field_value=reading.field_value,
        field_quality=reading.field_quality,
    )


def _station(station: Station) -> pb.StationInfo:
    return pb.StationInfo(
        mrid=station.mrid,
        name=station.name,
        area=station.area,
        voltage_levels=[
            pb.VoltageLevelInfo(mrid=mrid, name=name, nominal_kv=nominal) for mrid, name, nominal in station.voltage_levels
        ],
        has_diagram=bool(station.diagram),
        diagram_stale=station.diagram_stale,
    )


def _area(area: ControlArea) -> pb.AreaInfo:
    return pb.AreaInfo(
        mrid=area.mrid,
        name=area.name,
        controlled=area.controlled,
        bias_mw_per_decihertz=area.bias,
        frequency_pid=area.frequency[0] if area.frequency else NO_PID,
        tie_pids=[tie.flow[0] for tie in area.ties if tie.flow],
        nominal_hz=area.nominal_hz,
    )


def _channel(channel: ChannelSpec) -> pb.ChannelInfo:
    return pb.ChannelInfo(
        index=channel.index,
        name=channel.name,
        protocol=channel.protocol,
        endpoint=f"{channel.host}:{channel.port}",
        station=channel.station,
    )
