"""The whole way, with the real processes and through gRPC alone: field to operator, operator to field, AGC, dispatch, kill -9."""

import math
import socket
import ssl
import time
import uuid

import numpy as np
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.cli.demo import HOST
from scada.core.quality import Quality
from scada.model_cim.topology import Energised
from scada.security.tls_trust import ClientTls

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

C104_RTU = "Longtan RTU"
AREA = "East"


def area_of(status, name=AREA):
    return next(area for area in status.areas if area.name == name)


def breaker(rig):
    """The breaker of the line Longtan - Beishan, on the station that runs on c104."""
    control = next(one for one in rig.tables.controls if one.path == "Longtan/110kV/Beishan 1/1110")
    assert rig.tables.channels[control.channel].name == C104_RTU
    return control


async def collect(parts):
    return [part async for part in parts]


def test_99_percent_of_the_points_are_good_within_20_s(rig):
    status = rig.until(
        lambda: (s := rig.status()) and s.points_good >= 0.99 * s.points_total and s, 20 - time.monotonic() + rig.started
    )
    assert status.channels_up == status.channels_total == 8
    assert status.points_total > 2000
    assert area_of(status).frequency_hz == pytest.approx(50.0, abs=0.3)


def test_a_breaker_on_the_c104_station_opens_and_closes_and_everything_follows(rig):
    control = breaker(rig)
    line = control.path.rsplit("/", 1)[0]
    flow = rig.point(f"{line}/P")
    assert abs(rig.good(flow.pid)) > 1.0
    selected, done = rig.operate(control, 1)
    assert selected.state == pb.CONTROL_STATE_SELECTED
    assert selected.present == 2
    assert done.state == pb.CONTROL_STATE_SUCCESS, done
    assert rig.good(control.feedback) == 1
    rig.until(lambda: abs(rig.good(flow.pid)) < 0.01, 10, "the flow on the open line")
    # the other end still holds the line under voltage; the colour goes when that end opens too
    far = next(one for one in rig.tables.controls if one.path == "Beishan/110kV/Longtan 1/1130")
    assert rig.operate(far, 1)[1].state == pb.CONTROL_STATE_SUCCESS
    segment = flow.equipment
    colour = rig.find(equipment=segment, measurement_type="EnergisedState")[0]
    rig.until(lambda: rig.good(colour.pid) == Energised.DEAD, 5, "the colour of the dead line")
    assert rig.operate(far, 2)[1].state == pb.CONTROL_STATE_SUCCESS
    rig.until(lambda: rig.good(colour.pid) == Energised.ENERGISED, 5, "the colour of the live line")
    assert rig.operate(control, 2)[1].state == pb.CONTROL_STATE_SUCCESS
    rig.until(lambda: abs(rig.good(flow.pid)) > 1.0, 10, "the flow on the closed line")


def test_what_must_not_be_done_is_refused_with_a_reason(rig):
    control = breaker(rig)
    wrong = rig.signed("Control/Select", pb.SelectRequest(control=control.mrid, value=1, device_number="0000"))
    assert (wrong.state, wrong.code) == (pb.CONTROL_STATE_REFUSED, "device_number")
    disconnector = next(one for one in rig.tables.controls if one.path == "Longtan/110kV/Beishan 1/1111")
    refused, _ = rig.operate(disconnector, 1)
    assert (refused.state, refused.code) == (pb.CONTROL_STATE_REFUSED, "interlock")
    assert rig.good(disconnector.feedback) == 2


def test_avc_brings_a_voltage_back_that_an_operator_spoilt(rig):
    zone = next(one for one in rig.tables.zones if one.name == "Nanping")
    device = next(one for one in zone.devices if one.kind == "tap")
    pilot = next(one for one in zone.pilots if one.mrid == device.pilot)
    assert rig.signed("Control/SetMode", pb.SetModeRequest(avc="off")).accepted
    tap = rig.tables.controls[device.control]
    lowering = 1 if device.raise_increases_voltage else 2
    steps = 0
    while rig.good(pilot.voltage[0]) > pilot.target - 1.5 * pilot.deadband:
        assert steps < 6
        before = rig.good(pilot.voltage[0])
        assert rig.operate(tap, lowering)[1].state == pb.CONTROL_STATE_SUCCESS
        rig.until(lambda last=before: rig.good(pilot.voltage[0]) < last - 0.02, 10, "the voltage after a tap step")
        steps += 1

    def operations():
        shown = next(one for one in rig.call("Regulation/GetAvc", pb.GetAvcRequest()).zones if one.name == zone.name)
        return sum(one.operations_today for one in shown.devices)

    counted = operations()
    assert rig.signed("Control/SetMode", pb.SetModeRequest(avc="on")).accepted

    def back():
        return abs(rig.good(pilot.voltage[0]) - pilot.target) <= 1.2 * pilot.deadband

    rig.until(back, 120, "the voltage back in its band")
    rig.until(lambda: operations() > counted, 30, "the operation of AVC is counted")
    acted = [event for event in rig.events(limit=2000) if event.actor == "system:avc"]
    assert not [event for event in acted if event.key in {"control.refused", "control.exec_failed", "control.timed_out"}]


def test_ace_returns_to_the_dead_band_after_the_largest_unit_tripped(rig):
    area = next(one for one in rig.tables.areas if one.name == AREA)
    rig.until(lambda: rig.status().agc_state == "on", 30, "AGC on")
    rig.until(lambda: abs(area_of(rig.status()).ace_mw) < area.deadband, 60, "a quiet area")
    largest = max(area.units, key=lambda unit: rig.good(unit.power[0]))
    before = rig.good(largest.power[0])
    assert before > 100
    rig.fault("trip", largest.name)
    tripped = rig.status().time_ns
    rig.until(lambda: rig.good(largest.power[0]) is not None and abs(rig.good(largest.power[0])) < 1, 10, "the trip")
    worst = rig.until(lambda: (ace := area_of(rig.status()).ace_mw) < -0.5 * before and ace, 20, "the ACE after the trip")
    assert worst < -0.5 * before

    def quiet():
        ace = area_of(rig.status()).ace_mw
        return not math.isnan(ace) and abs(ace) <= area.deadband

    rig.until(quiet, 600 / rig.rate, "ACE back in the dead band")
    assert rig.sim_seconds(tripped) <= 600
    units = {unit.name: unit for unit in rig.call("Regulation/GetAgc", pb.GetAgcRequest()).units}
    assert not units[largest.name].available
    assert all(
        not lo < units[unit.name].setpoint_mw < hi
        for unit in area.units
        for lo, hi, _ in unit.forbidden
        if not math.isnan(units[unit.name].setpoint_mw)
    )


def test_a_dispatch_set_point_moves_the_units(rig):
    area = next(one for one in rig.tables.areas if one.name == AREA)
    before = area_of(rig.status())
    wanted = round(before.interchange_mw - 40)  # well above what the noise of the load does
    order = pb.AreaSetpoint(area=AREA, interchange_mw=wanted, order_id=str(uuid.uuid4()))
    reply = rig.signed("Dispatch/SendSetpoint", order, "dispatcher")
    assert (reply.code, reply.applied_mw) == (pb.DISPATCH_CODE_ACCEPTED, wanted)
    assert rig.signed("Dispatch/SendSetpoint", order, "dispatcher").code == pb.DISPATCH_CODE_DUPLICATE
    rig.until(lambda: abs(area_of(rig.status()).interchange_mw - wanted) < 2 * area.deadband, 120, "the interchange follows")
    after = area_of(rig.status())
    assert after.generation_mw < before.generation_mw - 10
    shown = rig.call("Dispatch/GetDispatch", pb.GetDispatchRequest())
    assert shown.interchange_setpoint_mw == wanted
    assert {one.order_id for one in shown.orders} == {order.order_id}


def test_an_outstation_that_dies_is_seen_alarmed_and_recovers_with_an_interrogation(rig):
    name = "Nanping RTU"
    channel = next(one for one in rig.tables.channels if one.name == name)
    pids = [point.pid for point in rig.tables.points_of_channel(channel.index)]
    rig.fault("kill", name)
    lost = np.uint32(Quality.COMM_LOST)
    rig.until(lambda: (rig.read_many(pids)[1].astype(np.uint32) & lost).all(), 10, "every point says that the channel is lost")
    alarm = rig.until(lambda: next((a for a in rig.alarms() if a.key == "channel.down" and a.path == name), None), 5, "the alarm")
    assert alarm.phase == 1
    rig.fault("restore", name)
    rig.until(lambda: not (rig.read_many(pids)[1].astype(np.uint32) & lost).any(), 40, "every point is good again")
    returned = rig.until(lambda: next((a for a in rig.alarms() if a.alarm_id == alarm.alarm_id and a.phase == 3), None), 5)
    reply = rig.signed("Events/Acknowledge", pb.AcknowledgeRequest(alarm_ids=[returned.alarm_id, 10**15]))
    assert list(reply.acknowledged) == [returned.alarm_id]
    assert list(reply.unknown) == [10**15]
    assert returned.alarm_id not in {a.alarm_id for a in rig.alarms()}


def test_a_tag_keeps_everybody_from_the_breaker(rig):
    control = breaker(rig)
    tag = pb.TagRequest(object=control.equipment, type="maintenance", reason="permit 118")
    placed = rig.signed("OperatorData/PlaceTag", tag)
    assert placed.accepted, placed
    refused, _ = rig.operate(control, 1)
    assert (refused.state, refused.code) == (pb.CONTROL_STATE_REFUSED, "tagged")
    assert "permit 118" in refused.reason
    with pytest.raises(Exception, match="right"):
        rig.signed("OperatorData/Remove", pb.RemoveRequest(mark_id=placed.mark_id, reason="mine"), "viewer")
    assert rig.signed("OperatorData/Remove", pb.RemoveRequest(mark_id=placed.mark_id, reason="work done")).accepted
    assert rig.operate(control, 1)[1].state == pb.CONTROL_STATE_SUCCESS
    assert rig.operate(control, 2)[1].state == pb.CONTROL_STATE_SUCCESS


def test_a_shelved_alarm_stands_apart_until_it_is_put_back(rig):
    point = next(one for one in rig.tables.points if not math.isnan(one.limits.hihi))  # what a point cannot have is unknown
    name = pb.AlarmName(mrid=point.mrid, key="limit.hihi")
    reply = rig.signed("Events/Shelve", pb.ShelveRequest(alarms=[name], duration_s=8 * 3600 + 1, reason="too long"))
    assert not reply.accepted
    assert rig.signed("Events/Shelve", pb.ShelveRequest(alarms=[name], duration_s=600, reason="test of the CT")).accepted

    def shelved():
        found = rig.call("Events/ListSuppressed", pb.ListSuppressedRequest()).suppressions
        return [one.reason for one in found if one.mrid == point.mrid]

    assert shelved() == ["test of the CT"]
    assert rig.signed("Events/Unshelve", pb.UnshelveRequest(alarms=[name])).accepted
    assert shelved() == []
    kpi = rig.call("Events/GetAlarmKpi", pb.AlarmKpiRequest(from_ns=1, to_ns=rig.status().time_ns))
    assert kpi.alarms >= 2


def test_what_happened_around_the_last_switching_can_be_recalled(rig):
    control = breaker(rig)
    pid = int(control.feedback)
    lines = [event for event in rig.events(kinds=[1], limit=2000) if event.pid == pid]
    assert lines, "the switchings of the tests before"
    at = lines[0].source_time_ns or lines[0].time_ns
    request = pb.RecallRequest(at_ns=at, before_s=30, after_s=1, station=rig.tables.points[pid].station)
    parts = rig.run(collect(rig.client().recall(request)))
    head = parts[0].head
    assert head.source == "journal"
    assert head.complete, head.reason
    events = [event.event_id for part in parts for event in part.events.events]
    assert lines[0].event_id in events
    moved = [(p, v) for part in parts for p, v in zip(part.changes.pid, part.changes.value, strict=True)]
    assert (pid, lines[0].value) in moved
    stamps = [time for part in parts for time in part.changes.time_ns]
    assert stamps == sorted(stamps)


def test_minutes_are_kept_of_every_value(rig):
    unit = next(unit for unit in rig.tables.areas[0].units if unit.fuel == "hydro")
    now = rig.status().time_ns
    span = {"from_ns": now - int(300e9), "to_ns": now - int(60e9)}
    minutes = rig.call("History/Query", pb.HistoryRequest(pids=[unit.power[0]], period_s=60, **span)).series[0]
    assert 2 <= len(minutes.time_ns) <= 5
    assert all(time % int(60e9) == 0 for time in minutes.time_ns)
    for low, mean, high in zip(minutes.minimum, minutes.time_weighted, minutes.maximum, strict=True):
        assert low <= mean <= high
    assert all(0 < good <= 60 for good in minutes.good_s)


def test_a_viewer_may_look_but_not_touch(rig):
    assert rig.call("Realtime/GetStatus", pb.GetStatusRequest(), "viewer").points_total > 2000
    control = breaker(rig)
    request = pb.SelectRequest(control=control.mrid, value=1, device_number=control.device_number)
    with pytest.raises(Exception, match="right"):
        rig.signed("Control/Select", request, "viewer")
    assert any(event.key.startswith("security.") for event in rig.events(limit=50))


def test_after_kill_9_every_acknowledged_event_and_order_is_there_again(rig):
    before = {event.event_id: event.SerializeToString(deterministic=True) for event in rig.events(limit=100_000)}
    alarms = {alarm.alarm_id for alarm in rig.alarms()}
    orders = [one.order_id for one in rig.call("Dispatch/GetDispatch", pb.GetDispatchRequest()).orders]
    ordered = rig.call("Dispatch/GetDispatch", pb.GetDispatchRequest()).interchange_setpoint_mw
    assert rig.signed("Control/SetMode", pb.SetModeRequest(agc="off")).accepted
    unit = next(unit for unit in rig.tables.areas[0].units if unit.fuel == "hydro")
    mode = pb.UnitMode(unit=unit.mrid, base_mode="BASE", reg_mode="A", base_point_mw=40)
    assert rig.signed("Control/SetMode", pb.SetModeRequest(unit=mode)).accepted
    flow = rig.point("Longtan/110kV/Beishan 1/P")
    held = rig.signed("OperatorData/Hold", pb.HoldRequest(point=flow.mrid, value=33.25, reason="transducer out for calibration"))
    assert held.accepted, held
    rig.until(lambda: rig.read(flow.pid)[0] == 33.25, 5, "the substituted value")
    seq = rig.status().seq
    rig.kill_server()
    rig.restart_server()
    status = rig.until(lambda: (s := rig.status()) and s.points_good >= 0.99 * s.points_total and s, 40, "back after kill -9")
    assert status.seq > seq
    after = {event.event_id: event.SerializeToString(deterministic=True) for event in rig.events(limit=100_000)}
    assert {number: after.get(number) for number in before} == before
    assert alarms <= {alarm.alarm_id for alarm in rig.alarms()} | {
        event.alarm_id for number, event in ((e.event_id, e) for e in rig.events(limit=1000)) if number not in before
    }
    # what people ordered holds: AGC stays off, the unit keeps its mode, the set-point of dispatch is in force
    agc = rig.call("Regulation/GetAgc", pb.GetAgcRequest())
    assert agc.state == "off"
    assert next((u.base_mode, u.reg_mode) for u in agc.units if u.mrid == unit.mrid) == ("BASE", "A")
    assert rig.call("Dispatch/GetDispatch", pb.GetDispatchRequest()).interchange_setpoint_mw == ordered
    again = pb.AreaSetpoint(area=AREA, interchange_mw=ordered, order_id=orders[0])
    assert rig.signed("Dispatch/SendSetpoint", again, "dispatcher").code == pb.DISPATCH_CODE_DUPLICATE
    other = pb.AreaSetpoint(area=AREA, interchange_mw=ordered + 1, order_id=orders[0])
    refused = rig.signed("Dispatch/SendSetpoint", other, "dispatcher")
    assert (refused.code, refused.reason_code) == (pb.DISPATCH_CODE_REFUSED, "order_id_reused")
    value, quality = rig.read(flow.pid)
    assert value == 33.25
    assert quality & int(Quality.MANUAL)
    marks = rig.call("OperatorData/List", pb.ListOperatorDataRequest()).marks
    assert [(one.reason, one.user, one.value) for one in marks] == [("transducer out for calibration", "operator", 33.25)]
    assert rig.signed("OperatorData/Release", pb.ReleaseRequest(point=flow.mrid, reason="back in place")).accepted
    rig.until(lambda: rig.good(flow.pid) not in {None, 33.25}, 10, "the value of the field again")
    history = rig.call(
        "History/Query",
        pb.HistoryRequest(
            pids=[next(unit for unit in rig.tables.areas[0].units if unit.fuel == "hydro").power[0]],
            from_ns=status.time_ns - int(600e9),
            to_ns=status.time_ns,
            buckets=100,
        ),
    )
    assert len(history.series[0].time_ns) > 10


@pytest.mark.parametrize("port", ["api", "control"])
@pytest.mark.parametrize(("version", "agreed"), [("TLSv1_2", False), ("TLSv1_3", True)])
def test_only_tls_1_3_is_agreed_in_the_handshake(rig, port, version, agreed):
    context = ClientTls(rig.demo.keys, "operator").context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with socket.create_connection((HOST, getattr(rig.demo.ports, port)), timeout=10) as plain:
        if agreed:
            with context.wrap_socket(plain, server_hostname="server") as secured:
                assert secured.version() == "TLSv1.3"
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain, server_hostname="server")
