"""The MQTT driver and a real broker: deaths, passwords, STATE, kept sessions, late births."""

import asyncio
import contextlib
import gc
import json
import subprocess

import pytest

from scada.core.batch import RecordFlag
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.model_cim.tables import ChannelSpec, PointKind
from scada.protocols.conformance_rig import Recorder
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.mqtt.driver import MqttDriver
from scada.protocols.mqtt.readings import GONE
from scada.security.tls_authority import issue, make_authority

pytestmark = pytest.mark.interop


@contextlib.asynccontextmanager
async def running(broker, points, controls=(), **params):
    sink = Recorder()
    spec = ChannelSpec(
        3, "m", "broker", "mqtt", "127.0.0.1", broker.port, "S", {"timeout_s": 5, "command_timeout_s": 1, **params}
    )
    driver = MqttDriver(spec, points, controls, sink, SystemClock())
    sink.task = asyncio.create_task(driver.run())
    try:
        yield driver, sink
    finally:
        sink.task.cancel()
        await asyncio.gather(sink.task, return_exceptions=True)


def sparkplug_points(mqtt):
    return (
        mqtt.point(0, "P", "spBv1.0/G/N/D#P"),
        mqtt.point(1, "S", "spBv1.0/G/N/D#S", PointKind.STATUS),
        mqtt.point(2, "P0", "spBv1.0/G/N#P0"),
    )


async def test_an_edge_node_that_dies_makes_its_points_not_topical_and_returns(mqtt, broker):
    edge = await asyncio.to_thread(mqtt.Edge, broker.port, 7)
    async with running(broker, sparkplug_points(mqtt)) as (_, sink):
        await sink.until(lambda: len({one.pid for one in sink.told}) == 3, "births arrive")
        await asyncio.to_thread(edge.close, clean=False)
        await sink.until(lambda: all(sink.of(point)[-1].quality == GONE for point in sparkplug_points(mqtt)), "they are gone")
        assert sink.of(sparkplug_points(mqtt)[0])[-1].value == 12.5, "the last value stays"
        assert not sink.of(sparkplug_points(mqtt)[1])[-1].flags & RecordFlag.EVENT, "a lost node is no change of a breaker"
        assert sink.up, "the broker is there"
        edge = await asyncio.to_thread(mqtt.Edge, broker.port, 8)
        await sink.until(lambda: all(sink.of(point)[-1].quality == 0 for point in sparkplug_points(mqtt)), "they are back")
        await asyncio.to_thread(edge.close)


async def test_a_lost_message_leads_to_a_new_birth(mqtt, broker):
    edge = await asyncio.to_thread(mqtt.Edge, broker.port)
    async with running(broker, sparkplug_points(mqtt)) as (driver, sink):
        await sink.until(lambda: len({one.pid for one in sink.told}) == 3, "births arrive")
        births = edge.births
        edge.seq += 2
        edge.values["P"] = 99.0
        await asyncio.to_thread(edge.say, "DDATA", mqtt.metric("", 50.0, "float", alias=1), device="D")
        await sink.until(lambda: sink.of(sparkplug_points(mqtt)[0])[-1].value == 99.0, "the birth has the value that was lost")
        assert driver.statistics.lost_frames >= 2
        assert edge.births == births + 1
        assert 50.0 not in [one.value for one in sink.told]
    await asyncio.to_thread(edge.close)


async def test_edge_nodes_see_whether_their_primary_host_is_there(mqtt, broker):
    peer = await asyncio.to_thread(mqtt.Peer, broker.port, subscribe=["spBv1.0/STATE/main"])
    async with running(broker, sparkplug_points(mqtt), host_id="main") as (_, sink):
        await sink.until(lambda: sink.up and bool(peer.heard), "STATE is published")
        born = json.loads(peer.heard[-1][1])
        assert born["online"] is True
        # somebody's old will, or our own, says that we are gone: we say again that we are not
        await asyncio.to_thread(peer.say, "spBv1.0/STATE/main", json.dumps({"online": False, "timestamp": 1}))
        await sink.until(lambda: len(peer.heard) >= 3 and json.loads(peer.heard[-1][1]) == born, "it is said again")
    for _ in range(100):
        if json.loads(peer.heard[-1][1])["online"] is False:
            break
        await asyncio.sleep(0.05)
    assert json.loads(peer.heard[-1][1]) == {"online": False, "timestamp": born["timestamp"]}
    await asyncio.to_thread(peer.close)


# paho leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_both_sides_prove_who_they_are_by_tls(mqtt, make_broker, tmp_path):
    now = SystemClock().now_ns()
    make_authority(tmp_path / "pki", now)
    for name in ("broker", "scada"):
        issue(tmp_path / "pki", name, now, hosts=["127.0.0.1"])
    pki = tmp_path / "pki"
    lines = f"cafile {pki}/ca.pem\ncertfile {pki}/broker.pem\nkeyfile {pki}/broker.key\nrequire_certificate true\n"
    broker = make_broker(extra=f"{lines}use_identity_as_username true\nallow_anonymous false\n")
    broker.start()
    files = {"tls": 1, "tls_ca": f"{pki}/ca.pem", "tls_certificate": f"{pki}/scada.pem", "tls_key": f"{pki}/scada.key"}
    points = [mqtt.point(0, "P", "m/P")]
    async with running(broker, points, **files) as (_, sink):
        await sink.until(lambda: sink.up, "connected with TLS")
    async with running(broker, points, **files, tls_peer_name="somebody-else") as (_, sink):
        await sink.until(lambda: any(state is LinkState.DOWN for state, _ in sink.states), "another peer is refused")
        assert not any(state is LinkState.UP for state, _ in sink.states)
    gc.collect()


async def test_user_and_password(mqtt, make_broker, tmp_path):
    passwords = tmp_path / "passwords"
    order = ["mosquitto_passwd", "-b", "-c", str(passwords), "scada", "right"]
    await asyncio.to_thread(subprocess.run, order, check=True, capture_output=True)
    broker = make_broker(extra=f"allow_anonymous false\npassword_file {passwords}\n")
    broker.start()
    points = (mqtt.point(0, "P", "m/P"),)
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("wrong")
    async with running(broker, points, username="scada", password_file=str(secret)) as (driver, sink):
        await sink.until(lambda: any(state is LinkState.DOWN for state, _ in sink.states), "it is refused")
        reason = next(reason for state, reason in sink.states if state is LinkState.DOWN)
        assert "cannot connect" in reason
        assert "uthori" in reason
        secret.write_text("right")
        await sink.until(lambda: sink.up, "the password is read again for each attempt")
        assert driver.statistics.connects == 1


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_the_broker_keeps_changes_while_we_are_away(mqtt, broker, version):
    point = mqtt.point(0, "S", "m/S", PointKind.STATUS)
    kept = {"session": "kept", "client_id": "scada-1", "mqtt_version": version}
    peer = await asyncio.to_thread(mqtt.Peer, broker.port)
    async with running(broker, [point], **kept) as (_, sink):
        await sink.until(lambda: sink.up, "connected")
    for value in (1, 0, 1):
        await asyncio.to_thread(peer.say, "m/S", str(value))
    async with running(broker, [point], **kept) as (_, sink):
        await sink.until(lambda: len(sink.told) == 3, "what was kept arrives")
        assert [(one.value, one.flags) for one in sink.told] == [(value, RecordFlag.EVENT) for value in (1, 0, 1)]
    await asyncio.to_thread(peer.close)


async def test_what_was_not_committed_is_sent_again(mqtt, broker):
    """The acknowledgement of a message waits for ``sink.ready()``: a crash in between loses no event."""
    point = mqtt.point(0, "S", "m/S", PointKind.STATUS)
    kept = {"session": "kept", "client_id": "scada-1"}
    peer = await asyncio.to_thread(mqtt.Peer, broker.port)
    async with running(broker, [point], **kept) as (_, sink):
        await sink.until(lambda: sink.up, "connected")
        sink.keeps_up.clear()
        await asyncio.to_thread(peer.say, "m/S", "1")
        await sink.until(lambda: len(sink.told) == 1, "delivered, not committed")
    async with running(broker, [point], **kept) as (_, sink):
        await sink.until(lambda: len(sink.told) == 1, "the broker sends it again")
    await asyncio.to_thread(peer.close)


async def test_commands_that_cannot_be_are_refused_here(mqtt, broker):
    controls = (mqtt.control(0, "X", "spBv1.0/G/N/D#X"), mqtt.control(1, "SP", "spBv1.0/G/N/D#S"))
    async with running(broker, sparkplug_points(mqtt), controls) as (driver, sink):
        await sink.until(lambda: sink.up, "connected")
        absent = await driver.execute(controls[0], 1.0)
        assert (absent.outcome, absent.reason) == (Outcome.REFUSED, "the edge node or device is not connected")
        edge = await asyncio.to_thread(mqtt.Edge, broker.port)
        await sink.until(lambda: len({one.pid for one in sink.told}) == 3, "births arrive")
        assert "has not told this metric" in (await driver.select(controls[0], 1.0)).reason
        assert "neither true nor false" in (await driver.execute(controls[1], 2.5)).reason
        assert edge.obeyed == []
        await asyncio.to_thread(edge.close)


async def test_confirmed_by_the_broker_alone_where_the_engineer_says_so(mqtt, broker):
    control = mqtt.control(0, "SP", "m/SP")
    peer = await asyncio.to_thread(mqtt.Peer, broker.port, subscribe=["m/SP"])
    async with running(broker, [], [control], confirm="broker") as (driver, sink):
        await sink.until(lambda: sink.up, "connected")
        result = await driver.execute(control, 2.5)
        assert result.outcome is Outcome.CONFIRMED
        assert "the device was not asked" in result.reason
        for _ in range(100):
            if peer.heard:
                break
            await asyncio.sleep(0.02)
        assert peer.heard == [("m/SP", b"2.5", False)], "a command is never retained"
    await asyncio.to_thread(peer.close)


async def test_an_answer_the_broker_kept_confirms_no_command(mqtt, broker):
    """A retained answer is older than every command of this connection, even where its number is the one sent now."""
    device = await asyncio.to_thread(mqtt.Peer, broker.port)
    await asyncio.to_thread(device.say, "c/SP/response", "5", retain=True)
    point, control = mqtt.point(0, "R", "c/SP/response"), mqtt.control(0, "SP", "c/SP")
    async with running(broker, [point], [control]) as (driver, sink):
        await sink.until(lambda: sink.up and bool(sink.of(point)), "the kept answer is there")
        command = asyncio.create_task(driver.execute(control, 5.0))
        asked = asyncio.create_task(driver.interrogate())  # the broker sends what it keeps once more
        assert (await asked).outcome is Outcome.CONFIRMED
        assert (await command).outcome is Outcome.TIMEOUT
    await asyncio.to_thread(device.close)


def test_a_point_cannot_listen_to_our_own_commands(mqtt):
    spec = ChannelSpec(3, "m", "broker", "mqtt", "127.0.0.1", 1883, "S", {})
    point, control = mqtt.point(0, "P", "m/SP#v"), mqtt.control(0, "SP", "m/SP#v")
    with pytest.raises(ConfigError, match=r"S/SP go.*S/P|S/P.*S/SP go"):
        MqttDriver(spec, [point], [control], Recorder(), SystemClock())


@pytest.mark.parametrize("fault", ["password", "host"])
async def test_what_keeps_us_from_connecting_is_told_and_tried_again(mqtt, tmp_path, fault):
    """A file that comes later, or a name that is none: the channel is down with the reason, not ended."""
    host = "127.0.0.1" if fault == "password" else "a" * 70 + ".example"
    params = {"password_file": str(tmp_path / "password")} if fault == "password" else {}
    sink = Recorder()
    driver = MqttDriver(ChannelSpec(3, "m", "broker", "mqtt", host, 1883, "S", params), [], [], sink, SystemClock())
    sink.task = asyncio.create_task(driver.run())
    await sink.until(lambda: LinkState.DOWN in [state for state, _ in sink.states], "it is down")
    assert ("password" if fault == "password" else "cannot connect") in sink.states[-1][1]
    sink.task.cancel()
    await asyncio.gather(sink.task, return_exceptions=True)
