"""Operator data in a whole server: held against a station that goes on sending, tagged against the desk, kept over a restart."""

import asyncio

import pytest
from scadapb.v1 import scada_pb2 as pb
from system.conftest import BAD, plain
from system.raw_rtu import RawRtu

from scada.actors.facade import Facade
from scada.control.operator_data import MarkKind
from scada.control.records import Principal, SequenceState
from scada.core.quality import Quality
from scada.events.records import EventKind
from scada.security.audit import read_audit
from scada.security.roles import Right

WANG = Principal("wang", frozenset(), frozenset(Right), frozenset({"*"}), "desk-1")
SUBSTITUTED = int(Quality.MANUAL | Quality.SUBSTITUTED)


def ask(order):
    return asyncio.run(order)


def test_held_tagged_and_noted_in_service_and_after_a_restart(tmp_path, run, tables):
    rtu = RawRtu(5)
    plant = run(rtus={BAD: rtu})
    plant.until(lambda: plant.log.lines(BAD, "state=up"), seconds=30, what="the station is up")
    point = plain(tables, BAD, 13)[0]
    control = next(one for one in tables.controls if one.path == "Longtan/110kV/Beishan 1/1110")
    shown = [value * point.scale + point.offset for value in (3.0, 4.0)]
    rtu.analog(point.address.ioa, 3.0)
    plant.until(lambda: plant.value(point.pid)[0] == pytest.approx(shown[0]), 30)
    facade = Facade(plant.system)

    held = ask(facade.hold_point(pb.HoldRequest(point=point.mrid, block=True, reason="jumps"), WANG, b"e1"))
    assert held.accepted
    rtu.analog(point.address.ioa, 4.0)

    def behind():
        (mark,) = facade.operator_marks()
        return mark.field_value

    plant.until(lambda: behind() == pytest.approx(shown[1]), seconds=30, what="the source is seen behind the block")
    assert plant.value(point.pid) == (pytest.approx(shown[0]), int(Quality.OPERATOR_BLOCKED))

    tagged = ask(facade.place_tag(pb.TagRequest(object=control.equipment, type="do_not_operate", reason="crew"), WANG, b"e2"))
    request = pb.SelectRequest(control=control.mrid, value=1, device_number=control.device_number)
    refused = ask(facade.select(request, WANG, b"e3"))
    assert (refused.state, refused.code) == (SequenceState.REFUSED, "tagged")
    assert "wang: crew" in refused.reason
    ask(facade.add_note(pb.NoteRequest(object=control.equipment, text="permit 114"), WANG, b"e4"))
    interrogations = len([asked for asked in rtu.received if asked[0] == 100])
    plant.stop()

    again = run(rtus={BAD: RawRtu(5)})
    facade = Facade(again.system)
    kinds = [(mark.mark.mark_id, mark.mark.kind, mark.pid) for mark in facade.operator_marks()]
    assert kinds == [(1, MarkKind.BLOCK, point.pid), (2, MarkKind.TAG, -1), (3, MarkKind.NOTE, -1)]
    assert again.value(point.pid)[0] == pytest.approx(shown[0])
    assert again.value(point.pid)[1] & Quality.OPERATOR_BLOCKED
    assert ask(facade.select(request, WANG, b"e5")).code == "tagged"
    again.until(lambda: again.log.lines(BAD, "state=up"), seconds=30, what="the station is up again")
    rtu = again.rtus[BAD]
    rtu.wait_started()
    again.until(lambda: len([asked for asked in rtu.received if asked[0] == 100]) >= min(interrogations, 1), 30)
    # one that is asked for while another one runs is answered by that one
    ended = pb.SetModeRequest(channel=pb.ChannelCommand(channel=BAD, action="interrogate"))
    assert ask(facade.set_mode(ended, WANG, b"e")).accepted
    before = len([asked for asked in rtu.received if asked[0] == 100])
    assert ask(facade.release_point(pb.ReleaseRequest(point=point.mrid, reason="repaired"), WANG, b"e6")).accepted
    again.until(
        lambda: len([asked for asked in rtu.received if asked[0] == 100]) > before, seconds=30, what="asked for a fresh value"
    )
    rtu.analog(point.address.ioa, 5.0)
    again.until(lambda: again.value(point.pid) == (pytest.approx(5.0 * point.scale + point.offset), 0), 30)
    assert ask(facade.remove_mark(pb.RemoveRequest(mark_id=tagged.mark_id, reason="free"), WANG, b"e7")).accepted
    assert ask(facade.select(request, WANG, b"e8")).code != "tagged"
    keys = [event.key for event in again.system.log.query(limit=1000, kinds=[EventKind.OPERATOR])][::-1]
    assert keys == [f"operator.{done}" for done in ("blocked", "tagged", "noted", "released", "untagged")]
    again.stop()
    rows = [row.row for row in read_audit(tmp_path / "audit") if row.row.kind == "operator"]
    assert [(row.step, row.evidence) for row in rows] == [
        ("block", b"e1"),
        ("tag", b"e2"),
        ("note", b"e4"),
        ("release", b"e6"),
        ("remove", b"e7"),
    ]


def test_lost_marks_are_rebuilt_from_the_audit_log(tmp_path, run, tables):
    plant = run()
    facade = Facade(plant.system)
    point = plain(tables, BAD, 13)[0]
    ask(facade.hold_point(pb.HoldRequest(point=point.mrid, value=1.0, reason="x"), WANG, b"e"))
    ask(facade.place_tag(pb.TagRequest(object=tables.stations[0].mrid, type="maintenance", reason="outage"), WANG, b"e"))
    before = [mark.mark for mark in facade.operator_marks()]
    plant.stop()
    path = tmp_path / "var" / "operator" / "operator.lmdb"
    path.write_bytes(path.read_bytes()[:5000])
    again = run()
    found = [mark.mark for mark in Facade(again.system).operator_marks()]
    assert [(m.mark_id, m.mrid, m.kind, m.path, m.station, m.tag_type, m.reason, m.user) for m in found] == [
        (m.mark_id, m.mrid, m.kind, m.path, m.station, m.tag_type, m.reason, m.user) for m in before
    ]
    again.until(lambda: again.events("operator.rebuilt", count="2"), 30)
    assert again.value(point.pid) == (1.0, SUBSTITUTED)
    assert ask(Facade(again.system).add_note(pb.NoteRequest(object=point.mrid, text="x"), WANG, b"e")).mark_id > 2
    again.stop()
    assert list((tmp_path / "var" / "operator").glob("*.corrupt-*"))


def test_agc_and_avc_leave_tagged_units_and_devices_alone(run, tables):
    plant = run(agc={"cycle_s": 0.2}, avc={"cycle_s": 0.2})
    facade = Facade(plant.system)
    unit = next(unit for area in tables.areas if area.controlled for unit in area.units)
    zone = next(zone for zone in tables.zones if zone.devices)
    device = zone.devices[0]
    for mrid in (unit.mrid, tables.controls[device.control].equipment):
        assert ask(facade.place_tag(pb.TagRequest(object=mrid, type="do_not_operate", reason="crew"), WANG, b"e")).accepted

    def reasons():
        units = {one.mrid: one.reason for one in facade.agc().units}
        locks = {one.mrid: one.lock for shown in facade.avc().zones for one in shown.devices}
        return units.get(unit.mrid, ""), locks.get(device.mrid, "")

    tagged = "tagged: do_not_operate on "
    plant.until(
        lambda: all(reason.startswith(tagged) for reason in reasons()), seconds=30, what="both are left alone and say why"
    )
    for mark in facade.operator_marks():
        assert ask(facade.remove_mark(pb.RemoveRequest(mark_id=mark.mark.mark_id, reason="free"), WANG, b"e")).accepted
    plant.until(lambda: not any(tagged in reason for reason in reasons()), seconds=30, what="and are taken back")
