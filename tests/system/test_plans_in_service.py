"""Plans of dispatch in a whole server: what was answered is there again after a restart, in every version."""

from __future__ import annotations

import asyncio

from scadapb.v1 import scada_pb2 as pb

from scada.actors.facade import Facade
from scada.apps.dispatch.days import day_of, point_times
from scada.control.records import Principal
from scada.security.roles import Right

DISPATCHER = Principal("dispatcher", frozenset({"dispatcher"}), frozenset(Right), frozenset({"*"}))
LI = Principal("li", frozenset({"operator"}), frozenset(Right), frozenset({"*"}), "desk 1", "5e55")


def evidence(method, request):
    """The envelope as the gate hands it on."""
    header = pb.Header(method=f"/scadapb.v1.Dispatch/{method}", sender="li").SerializeToString()
    return pb.Signed(header=header, body=request.SerializeToString()).SerializeToString()


def test_plans_and_their_versions_are_there_again(run, tmp_path):
    first = run(tmp_path)
    zone = first.system.zone
    unit = next(one for one in first.system.tables.areas[0].units if one.fuel == "hydro")
    tomorrow = day_of(first.clock.now_ns() + 86_400 * 10**9, zone)
    times = point_times(tomorrow, zone, 900)
    plan = pb.Schedule(area="East", unit=unit.mrid, start_ns=times[0], step_s=900, mw=[40.0] * len(times), order_id="p")
    named = {"area": "East", "unit": unit.mrid, "day": f"{tomorrow}", "based_on": 1, "reason": "water is short"}
    edit = pb.ScheduleEdit(order_id="e", points=[pb.SchedulePoint(time_ns=times[5], mw=30.0)], **named)
    wanted = [pb.GetScheduleRequest(target=unit.mrid, day=f"{tomorrow}", version=number) for number in (1, 2)]

    async def order(face):
        sent = await face.dispatch_schedule(plan, DISPATCHER, evidence("SendSchedule", plan))
        changed = await face.edit_schedule(edit, LI, evidence("EditSchedule", edit))
        return sent, changed, [await face.get_schedule(one) for one in wanted]

    async def again(face):
        repeated = await face.dispatch_schedule(plan, DISPATCHER, evidence("SendSchedule", plan))
        return repeated, [await face.get_schedule(one) for one in wanted], await face.list_schedules(pb.ListSchedulesRequest())

    sent, changed, before = asyncio.run(order(Facade(first.system)))
    assert (sent.version, changed.version) == (1, 2)
    first.stop()
    second = run(tmp_path)
    repeated, after, listed = asyncio.run(again(Facade(second.system)))
    assert repeated.code == pb.DISPATCH_CODE_DUPLICATE
    assert [list(one.points) for one in after] == [list(one.points) for one in before]
    assert [(one.info.kind, one.info.sender, one.info.reason) for one in after] == [
        ("schedule", "dispatcher", ""),
        ("edit", "li", "water is short"),
    ]
    assert [(one.name, one.version) for one in listed.schedules] == [(unit.name, 2)]
    rows = [record.row for record in second.system.audit.records() if record.row.kind == "dispatch"]
    steps = [(row.step, row.sequence_id, row.code) for row in rows][:4]
    assert steps == [("order", "p", ""), ("answer", "p", "accepted"), ("edit", "e", ""), ("answer", "e", "accepted")]
