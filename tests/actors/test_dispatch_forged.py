"""Who writes in the store of orders, who decides what is not theirs to decide, and restarts that tell old news."""

from __future__ import annotations

import math

import msgpack
import pytest
from actors.test_dispatch_orders import ACCEPTED, CONTRACTS, REFUSED, Dispatch, S
from scadapb.v1 import scada_pb2 as pb

from scada.actors.dispatch_requests import PastOrder
from scada.actors.order_messages import DispatchAsked, DispatchHeard, ModeChanged
from scada.apps.dispatch.order_store import OrderStore
from scada.control.records import Principal
from scada.core.clock import VirtualClock
from scada.core.dispatch_settings import DispatchContract
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile


@pytest.fixture
def dispatch(demo, tmp_path):
    one = Dispatch(demo[1], tmp_path)
    yield one
    one.store.close()


def _rewrite(folder, change):
    """What somebody does who may write the file and has no key."""
    file = LmdbFile(folder, "dispatch", layout=2, map_mb=16, databases=("orders", "modes", "meta"))
    with file.write() as txn:
        for name, blob in list(txn.ascending("orders")):
            change(txn, bytes(name), bytes(blob))
    file.close()


def _forge(txn, name, blob):
    packed = msgpack.unpackb(blob[32:])
    packed[2] = pb.AreaSetpoint(area="East", interchange_mw=-99, order_id="s").SerializeToString()
    txn.put("orders", name, blob[:32] + msgpack.packb(packed))


def _move(txn, name, blob):
    txn.put("orders", bytes(32), blob)


@pytest.mark.parametrize("change", [_forge, _move])
def test_a_record_that_the_server_did_not_write_is_never_read(demo, tmp_path, change):
    one = Dispatch(demo[1], tmp_path)
    one.ask(one.setpoint("s", 30))
    one.store.close()
    _rewrite(tmp_path, change)
    with pytest.raises(CorruptFileError, match="not sealed"):
        OrderStore(tmp_path, map_mb=16)
    store, said = OrderStore.open_or_quarantine(tmp_path, VirtualClock(), map_mb=16)
    assert ("not sealed" in said, store.is_new, list(store.records())) == (True, True, [])
    store.close()


def test_what_another_key_sealed_is_not_read(demo, tmp_path):
    one = Dispatch(demo[1], tmp_path)
    one.store.write_mode(("agc", "East"), "on")
    one.store.close()
    OrderStore(tmp_path, map_mb=16).close()
    with pytest.raises(CorruptFileError, match="not sealed"):
        OrderStore(tmp_path, key=b"k" * 32, map_mb=16)


def _decide(dispatch, order_id, areas=("*",), name="wang", **more):
    who = Principal(name, frozenset(), frozenset(), frozenset(areas))
    return dispatch.actor.receive(DispatchAsked(pb.OrderDecision(order_id=order_id, accept=True, **more), who))


def test_an_operator_decides_within_the_areas_of_the_order_itself(dispatch):
    before = dispatch.interchange()
    assert dispatch.ask(dispatch.setpoint("a", 30), "asks").code == pb.DISPATCH_CODE_PENDING
    decoy = pb.AreaSetpoint(area="West", interchange_mw=1, order_id="a")
    assert dispatch.ask(decoy, "d").code == REFUSED, "it has the same id and stands first in the list"
    for number in range(250):
        dispatch.ask(pb.AreaSetpoint(area="West", interchange_mw=1, order_id=f"x{number}"), "d")
    assert _decide(dispatch, "a", areas=("West",)).reason_code == "no_area"
    assert dispatch.interchange() == before
    assert _decide(dispatch, "a", areas=(dispatch.area.name,)).code == ACCEPTED
    assert dispatch.interchange() == 30


def test_a_decision_names_the_sender_where_two_use_one_id(demo, tmp_path):
    one = Dispatch(demo[1], tmp_path, contracts=CONTRACTS | {"also": DispatchContract(decide="operator")})
    one.ask(one.setpoint("a", 30), "asks")
    one.ask(one.setpoint("a", 70), "also")
    assert _decide(one, "a").reason_code == "sender_needed"
    assert _decide(one, "a", sender="also").applied_mw == 70
    assert one.interchange() == 70
    assert one.became("a", "asks").code == pb.DISPATCH_CODE_PENDING
    one.live()
    assert one.became("a", "also").decided_by == "wang"
    assert one.became("a", "asks").code == pb.DISPATCH_CODE_PENDING
    one.store.close()


def test_nobody_decides_about_an_order_of_their_own(dispatch):
    before = dispatch.interchange()
    dispatch.ask(dispatch.setpoint("a", 30), "asks")
    assert _decide(dispatch, "a", name="asks").reason_code == "own_order"
    assert dispatch.interchange() == before


@pytest.mark.parametrize("late_s", [0, 1, 86_400])
def test_the_end_of_an_order_is_told_once_over_restarts(dispatch, late_s):
    dispatch.ask(dispatch.setpoint("a", 30, minutes=1))
    dispatch.clock.advance(60 + late_s)
    for _ in range(3):
        dispatch.live()
        dispatch.tick()
    assert dispatch.events.keys().count("dispatch.expired") == 1
    assert dispatch.became("a").code == pb.DISPATCH_CODE_EXPIRED


def test_an_operator_who_changes_a_units_loop_ends_the_order_of_its_mode(dispatch):
    unit = dispatch.unit.mrid
    dispatch.ask(dispatch.mode("m", "SCHE/O", target="unit", unit=unit))
    assert dispatch.agc.units[unit][:2] == ("SCHE", "O")
    loop = pb.SetModeRequest(loop=pb.LoopOrder(mrid=unit, loop="open"))
    dispatch.actor.receive(ModeChanged(loop, "wang"))
    assert dispatch.events.keys()[-1] == "dispatch.overridden"
    assert dispatch.became("m").reason_code == "overridden"
    dispatch.tick(1)
    assert dispatch.agc.units[unit][:2] == ("AUTO", "R"), "the operator chose no mode: what was before is ordered again"


def test_a_master_whose_link_is_down_is_lost_though_its_station_asks_for_its_order(demo, tmp_path):
    master = "upstream:province"
    one = Dispatch(demo[1], tmp_path, hold_s=30)
    one.ask(one.setpoint("s", 30), master)
    one.actor.receive(DispatchHeard(master, gone=True))
    for _ in range(40):
        one.became("s", master)
        one.tick(1)
    told = one.events.keys()
    assert told[told.index("dispatch.lost") :] == ["dispatch.lost", "dispatch.fallback"]
    assert one.interchange() == one.area.scheduled_interchange
    one.store.close()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
def test_a_masters_wild_value_changes_nothing(dispatch, value):
    before = dispatch.interchange()
    assert dispatch.ask(dispatch.setpoint("x", value), "upstream:province").code == REFUSED
    assert dispatch.interchange() == before


def test_an_order_that_had_ended_does_not_stand_again_when_the_orders_come_from_the_audit_log(demo, tmp_path):
    one = Dispatch(demo[1], tmp_path)
    start = one.clock.now_ns()
    older, newer = one.setpoint("older", 50), one.setpoint("newer", 70)
    one.past = [PastOrder(older, "d", start), PastOrder(newer, "d", start + S, start + 10 * S)]
    one.clock.advance(100)
    for _ in range(2):
        one.live()
        assert one.interchange() == one.area.scheduled_interchange, "what it replaced does not come back either"
        assert one.became("newer").code == pb.DISPATCH_CODE_EXPIRED
    one.store.close()
