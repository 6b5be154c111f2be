"""Lost connections, lost messages, lost servers: nothing of a status is lost that the server still holds, and gaps are said."""

import asyncio
import os
import signal
import sys
from datetime import timedelta

import pytest
from asyncua import ua
from protocols.opcua.rig import POINTS, STAMP, Proxy, Station, control, free_port, point, running, up

from scada.core.batch import RecordFlag
from scada.core.quality import Quality
from scada.model_cim.tables import PointKind
from scada.protocols.driver import LinkState, Outcome

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore::ResourceWarning")]

ALARM = 2


@pytest.fixture
async def station():
    one = Station()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def proxy(station):
    one = Proxy(station.port)
    await one.start()
    yield one
    await one.stop()


async def toggle(station, count, start=0):
    for number in range(start, start + count):
        await station.write("Alarm", number % 2 == 0, ua.VariantType.Boolean, stamp=STAMP + timedelta(seconds=number))


def subscription(station):
    (one,) = station.server.iserver.subscription_service.subscriptions.values()
    return one


async def test_nothing_is_lost_while_the_connection_is_away(station, proxy):
    async with running(station, port=proxy.port) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        before = subscription(station).data.SubscriptionId
        sink.records.clear()
        await toggle(station, 4)
        proxy.cut()
        await toggle(station, 6, start=4)
        events = lambda: [row for row in sink.records if row[0] == ALARM and row[3] == RecordFlag.EVENT]  # noqa: E731
        await sink.until(lambda: len(events()) >= 10 and sink.states[-1][0] is LinkState.UP)
        assert [row[1] for row in events()] == [1.0, 0.0] * 5
        times = [row[4] for row in events()]
        assert times == sorted(times)
        assert len(set(times)) == 10
        assert subscription(station).data.SubscriptionId == before
        assert driver.statistics.lost_frames == 0
        assert any("connection lost" in reason for _, reason in driver.statistics.disconnects)


async def test_messages_swallowed_on_the_way_are_asked_for_again(station, proxy):
    """The server believes that it told; the connection is cut before the client heard it."""
    async with running(station, port=proxy.port) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        sink.records.clear()
        proxy.deaf = True
        await toggle(station, 5)
        await asyncio.sleep(0.3)  # some publishing intervals
        assert subscription(station)._not_acknowledged_results
        proxy.deaf = False
        proxy.cut()
        await sink.until(lambda: len([row for row in sink.records if row[0] == ALARM and row[3] == RecordFlag.EVENT]) >= 5)
        assert [row[1] for row in sink.records if row[0] == ALARM and row[3] == RecordFlag.EVENT] == [1.0, 0.0, 1.0, 0.0, 1.0]
        assert driver.statistics.lost_frames == 0


async def test_a_gap_on_a_standing_connection_is_filled_or_said(station):
    async with running(station) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        await asyncio.sleep(0.2)
        sink.records.clear()
        inside = subscription(station)
        # one message gets lost inside the server, which still holds it; another one, which it does not
        number = inside._notification_seq
        item = next(each for each in inside.monitored_item_srv._monitored_items.values() if each.client_handle == 2)
        held = ua.DataChangeNotification(
            MonitoredItems=[
                ua.MonitoredItemNotification(item.client_handle, ua.DataValue(ua.Variant(True), SourceTimestamp=STAMP))
            ]
        )
        kept = ua.PublishResult()
        kept.NotificationMessage.SequenceNumber = number
        kept.NotificationMessage.NotificationData = [held]
        inside._not_acknowledged_results[number] = kept
        inside._notification_seq += 2
        await station.write("P", 99.0, ua.VariantType.Double)
        await sink.until(
            lambda: driver.statistics.lost_frames == 1 and sink.values[0] == (99.0, 0) and sink.of(ALARM)[-1:] == [0.0]
        )
        assert [row[1] for row in sink.records if row[0] == ALARM and row[3] == RecordFlag.EVENT] == [1.0]
        assert any(kind == "lost_notifications" and "1 messages" in text for kind, text in sink.notices)
        marked = [row for row in sink.records if row[2] & Quality.NOT_TOPICAL]
        assert {row[0] for row in marked} == {0, 1, 2, 3}
        assert {row[3] for row in marked} == {RecordFlag.REFRESH}
        assert all(quality == 0 for _, quality in sink.values.values())
        assert sink.states[-1][0] is LinkState.UP


async def test_silence_is_a_lost_connection(station, proxy):
    async with running(station, port=proxy.port, keepalive_s=0.1, timeout_s=0.5) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        proxy.deaf = True
        await sink.until(lambda: sink.states[-1][0] is LinkState.DOWN)
        assert "no keep-alive" in sink.states[-1][1]
        assert (await driver.execute(control(0, "Setpoint"), 1.0)).outcome is Outcome.LINK_DOWN
        proxy.deaf = False
        proxy.cut()
        await sink.until(lambda: sink.states[-1][0] is LinkState.UP)


async def test_a_session_that_the_server_gave_up_is_made_anew(station, proxy):
    async with running(station, port=proxy.port) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        first = subscription(station).data.SubscriptionId
        proxy.cut()
        for session in list(station.server.iserver._external_sessions.values()):
            await session.close_session(True)
        sink.values.clear()
        await sink.until(lambda: len(sink.values) == 4 and sink.states[-1][0] is LinkState.UP)
        assert subscription(station).data.SubscriptionId != first
        assert any("no longer has our session" in reason for _, reason in driver.statistics.disconnects)
        sink.records.clear()
        await toggle(station, 1)
        await sink.until(lambda: sink.of(ALARM) == [1.0])
        assert sink.records[-1][3] == RecordFlag.EVENT


async def test_a_subscription_that_the_server_gave_up_is_made_anew_in_the_same_session(station):
    async with running(station) as (_, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        sessions = list(station.server.iserver._external_sessions)
        service = station.server.iserver.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))
        sink.values.clear()
        await sink.until(lambda: len(sink.values) == 4 and sink.states[-1][0] is LinkState.UP, seconds=30)
        assert list(station.server.iserver._external_sessions) == sessions


async def test_another_servers_session_of_the_same_number_is_not_taken_over(station, proxy):
    """A restarted server numbers from the beginning; our old token would open another client's session."""
    async with running(station, port=proxy.port) as (_, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        first = subscription(station).data.SubscriptionId
        proxy.cut()
        node = station.server.get_node(ua.NodeId(ua.ObjectIds.Server_ServerStatus_StartTime))
        await node.write_value(STAMP)
        ids = lambda: set(station.server.iserver.subscription_service.subscriptions)  # noqa: E731
        await sink.until(lambda: sink.states[-1][0] is LinkState.UP and bool(ids() - {first}))


async def test_a_database_that_is_behind_holds_the_server_back(station):
    async with running(station) as (_, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        sink.behind = asyncio.Event()
        await toggle(station, 1)
        await sink.until(lambda: sink.of(ALARM)[-1] == 1.0)
        await toggle(station, 5, start=1)
        await asyncio.sleep(0.1)
        assert subscription(station)._not_acknowledged_results, "acknowledged before the database had it"
        assert sink.of(ALARM)[-1] == 1.0
        sink.behind.set()
        await sink.until(lambda: sink.of(ALARM)[-6:] == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0])


async def test_elements_of_an_array_and_values_that_are_none(station):
    points = (
        point(0, "Array", index=1, scale=2.0),
        point(1, "Array"),
        point(2, "Array", index=7),
        point(3, "Flags", PointKind.STATUS, index=0),
        point(4, "Flags", PointKind.STATUS, index=1),
        point(5, "Breaker", PointKind.STATUS),
    )
    async with running(station, points) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 6 and up(sink)())
        assert sink.values[0] == (5.0, 0)
        assert sink.values[3] == (0.0, 0)
        assert sink.values[4] == (1.0, 0)
        for pid in (1, 2, 5):
            assert sink.values[pid][1] & Quality.INVALID
        sink.records.clear()
        await station.write("Flags", [True, True], ua.VariantType.Boolean)
        await sink.until(lambda: sink.values[3] == (1.0, 0))
        assert [row[:2] for row in sink.records] == [(3, 1.0)], "the other element did not change"
        refused = await driver.execute(control(0, "Array", index=1), 1.0)
        assert refused.outcome is Outcome.REFUSED
        read = await driver.order("read", {"node": "ns=2;s=P"})
        assert read.outcome is Outcome.CONFIRMED
        assert "12.5 Double, Good" in read.reason
        assert (await driver.order("read", {"node": "what"})).outcome is Outcome.REFUSED


async def test_a_variable_that_comes_later_is_found(station):
    points = (point(0, "P"), point(1, "Later"))
    async with running(station, points, retry_s=0.2, keepalive_s=0.1) as (_, sink):
        await sink.until(lambda: len(sink.values) == 2 and up(sink)())
        assert sink.values[1][1] & Quality.BAD_REFERENCE
        await station.server.nodes.objects.add_variable(ua.NodeId("Later", 2), "Later", 7.0)
        await sink.until(lambda: sink.values[1] == (7.0, 0))


async def test_a_dead_band_is_kept_by_the_server(station):
    points = (point(0, "P", deadband=1.0), point(1, "Alarm", PointKind.STATUS))
    async with running(station, points, deadband=1) as (_, sink):
        await sink.until(lambda: len(sink.values) == 2 and up(sink)())
        for value in (12.6, 13.0, 15.0):
            await station.write("P", value, ua.VariantType.Double)
        await sink.until(lambda: sink.of(0)[-1] == 15.0)
        assert sink.of(0) == [12.5, 15.0]


SERVER = """
import asyncio, sys
from asyncua import Server, ua
async def main():
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:%s/" % sys.argv[1])
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:test")
    for name, value in (("P", 12.5), ("Breaker", 2), ("Alarm", False)):
        await server.nodes.objects.add_variable(ua.NodeId(name, index), name, value)
    await server.start()
    print("up", flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


async def start_process(port):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(port), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.stdout.readline() == b"up\n"
    return process


@pytest.mark.e2e
async def test_a_server_process_that_is_killed_and_started_again():
    class There:
        port = free_port()

    process = await start_process(There.port)
    async with running(There, POINTS) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        await sink.until(lambda: sink.states[-1][0] is LinkState.DOWN)
        sink.values.clear()
        process = await start_process(There.port)
        await sink.until(lambda: len(sink.values) == 4 and sink.states[-1][0] is LinkState.UP, seconds=60)
        assert sink.values[0] == (12.5, 0)
        assert driver.statistics.connects == 2
    process.kill()
    await process.wait()
