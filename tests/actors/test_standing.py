"""Orders that hold over a restart, read from the audit log: the last one counts, refused ones change nothing."""

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.actors.dispatch_requests import past_orders
from scada.actors.standing import standing_orders
from scada.core.clock import VirtualClock
from scada.security.audit import AuditLog, AuditRow


@pytest.fixture
def audit(tmp_path):
    with AuditLog(tmp_path, VirtualClock()) as log:
        yield log


def signed(body, method=""):
    header = pb.Header(method=f"/scadapb.v1.{method}").SerializeToString()
    return pb.Signed(header=header, body=body.SerializeToString()).SerializeToString()


def ordered(audit, user="operator", **target):
    audit.append(AuditRow("mode", "x", user, evidence=signed(pb.SetModeRequest(**target), "Control/SetMode")))


def test_the_last_order_of_each_kind_holds(audit):
    assert standing_orders(audit.records()) == standing_orders([])
    ordered(audit, agc="on")
    ordered(audit, avc="on")
    ordered(audit, agc="off")
    ordered(audit, unit=pb.UnitMode(unit="u1", base_mode="BASE", reg_mode="O", base_point_mw=50))
    ordered(audit, unit=pb.UnitMode(unit="u1", base_mode="AUTO", reg_mode="R"))
    ordered(audit, user="li", channel=pb.ChannelCommand(channel="A", action="quarantine"))
    ordered(audit, channel=pb.ChannelCommand(channel="B", action="quarantine"))
    ordered(audit, channel=pb.ChannelCommand(channel="B", action="release"))
    ordered(audit, channel=pb.ChannelCommand(channel="A", action="interrogate"))
    audit.append(AuditRow("control", "select", "operator", evidence=b"not a mode"))
    orders = standing_orders(audit.records())
    assert [one.WhichOneof("target") for one in orders.modes] == ["avc", "agc", "unit"]
    assert (orders.modes[1].agc, orders.modes[0].avc) == ("off", "on")
    assert orders.modes[2].unit.base_mode == "AUTO"
    assert orders.quarantined == {"A": "li"}


def test_areas_units_and_loops_stand_apart(audit):
    ordered(audit, agc="on", area="East")
    ordered(audit, agc="monitor", area="West")
    ordered(audit, control_mode="CFC", area="East")
    ordered(audit, loop=pb.LoopOrder(mrid="u1", loop="closed"))
    ordered(audit, loop=pb.LoopOrder(mrid="u2", loop="open"))
    ordered(audit, agc="off", area="East")
    ordered(audit, unlock="u1")
    ordered(audit, benchmarks=pb.BenchmarkOrder(unit="p1", members=["m1"]))
    ordered(audit, benchmarks=pb.BenchmarkOrder(unit="p1", members=["m2"]))
    found = [(one.WhichOneof("target"), one.area, one.loop.mrid) for one in standing_orders(audit.records()).modes]
    loops = [("loop", "", "u1"), ("loop", "", "u2")]
    last = [("agc", "East", ""), ("benchmarks", "", "")]
    assert found == [("agc", "West", ""), ("control_mode", "East", ""), *loops, *last]
    assert standing_orders(audit.records()).modes[-1].benchmarks.members == ["m2"]


def test_a_test_does_not_outlive_its_server(audit):
    ordered(audit, loop=pb.LoopOrder(mrid="u1", loop="closed"))
    ordered(audit, loop=pb.LoopOrder(mrid="u1", loop="test", test_value=80.0))
    (order,) = standing_orders(audit.records()).modes
    assert (order.loop.mrid, order.loop.loop) == ("u1", "open")


def test_only_accepted_orders_of_dispatch_are_taken_up_again(audit):
    def order(body, method):
        audit.append(AuditRow("dispatch", "order", "dispatcher", "", "", body.order_id, evidence=signed(body, method)))

    order(pb.AreaSetpoint(area="East", interchange_mw=10, order_id="a"), "Dispatch/SendSetpoint")
    order(pb.AreaSetpoint(area="East", interchange_mw=1e9, order_id="refused"), "Dispatch/SendSetpoint")
    order(pb.Schedule(area="East", order_id="s", mw=[1, 2]), "Dispatch/SendSchedule")
    found = past_orders(audit.records(), {"a", "s"})
    assert [(type(one.request), one.request.order_id, one.sender) for one in found] == [
        (pb.AreaSetpoint, "a", "dispatcher"),
        (pb.Schedule, "s", "dispatcher"),
    ]
