"""Ports, thread, stop, health, and that viewers cannot starve control."""

from __future__ import annotations

import asyncio
import socket
import time

import grpc
import pytest
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from scadapb.v1 import scada_pb2 as pb

from scada.api import server as server_module
from scada.api.client import ScadaClient
from scada.api.faults import CallError
from scada.api.server import ApiServer, ApiThread
from scada.core.errors import PortInUseError
from scada.core.settings import ApiSettings
from scada.security.identities import load_authority, load_identity
from scada.security.tls_trust import TlsTrust


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_thread_starts_on_free_ports_serves_and_stops_quickly(backend, sessions, new_loop):
    thread = ApiThread(backend, sessions, ApiSettings(port=0, control_port=0, tls=False), new_loop)
    thread.start()
    assert thread.server.port
    assert thread.server.control_port
    with grpc.insecure_channel(f"127.0.0.1:{thread.server.control_port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        assert health.Check(health_pb2.HealthCheckRequest(service="scadapb.v1.Control")).status == 1
    started = time.monotonic()
    thread.stop()
    thread.stop()
    assert time.monotonic() - started < 5.0, "an open stream or a second stop would hold it for ever"


@pytest.mark.parametrize("taken", ["port", "control_port"])
def test_a_busy_port_is_named(backend, sessions, taken):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        thread = ApiThread(backend, sessions, ApiSettings(**{"port": 0, "control_port": 0, "tls": False, taken: port}))
        with pytest.raises(PortInUseError, match=f"port {port} for .* is in use by another process"):
            thread.start()


def test_an_address_that_is_not_ours(backend, sessions, present_keys):
    tls = TlsTrust(present_keys)
    thread = ApiThread(backend, sessions, ApiSettings(host="192.0.2.1", port=50999), tls=tls)
    with pytest.raises(PortInUseError, match=r"192\.0\.2\.1: port 50999 for views cannot be used"):
        thread.start()


async def test_open_streams_do_not_delay_the_stop(backend, sessions, key_folder, clock):
    server = ApiServer(backend, sessions, ApiSettings(port=0, control_port=0, tls=False))
    await server.start()
    targets = f"127.0.0.1:{server.port}", f"127.0.0.1:{server.control_port}"
    client = ScadaClient(*targets, load_identity(key_folder, "viewer", clock), load_authority(key_folder), clock)
    await client.connect()
    frames, events = client.frames(), client.relay_stream("Events/Subscribe", _one(pb.EventsSubscribeRequest()))
    await anext(frames)
    await anext(events)
    started = time.monotonic()
    await server.stop()
    assert time.monotonic() - started < 5.0, "an open stream or a second stop would hold it for ever"
    for stream in (frames, events):
        with pytest.raises(CallError) as caught:
            async for _ in stream:
                pass
        assert caught.value.status is grpc.StatusCode.UNAVAILABLE
    await client.close()


async def _one(message):
    yield message.SerializeToString()


async def test_viewers_at_their_limit_leave_control_alone(backend, sessions, key_folder, clock, monkeypatch):
    monkeypatch.setattr(server_module, "CALLS", 3)
    server = ApiServer(backend, sessions, ApiSettings(port=0, control_port=0, tls=False))
    await server.start()
    targets = f"127.0.0.1:{server.port}", f"127.0.0.1:{server.control_port}"
    client = ScadaClient(*targets, load_identity(key_folder, "operator", clock), load_authority(key_folder), clock)
    await client.connect()
    streams = [client.frames() for _ in range(3)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(CallError) as caught:
        await client.call("Realtime/GetStatus", pb.GetStatusRequest())
    assert caught.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    reply = await asyncio.wait_for(client.signed("Control/SetMode", pb.SetModeRequest(agc="off")), 2.0)
    assert reply.accepted
    for stream in streams:
        await stream.aclose()
    await client.close()
    await server.stop()


async def test_viewers_that_never_read_do_not_hold_up_control(operator, connect, backend, server):
    idle = await connect("viewer")
    streams = [idle.frames(period_ms=10, credit=16) for _ in range(8)]
    for stream in streams:
        await anext(stream)
    slowest = 0.0
    for step in range(30):
        backend.apply([0, 1, 2], [step] * 3)
        backend.switch(8, 1 + step % 2)
        started = time.monotonic()
        assert (await operator.signed("Control/SetMode", pb.SetModeRequest(agc="on"))).accepted
        slowest = max(slowest, time.monotonic() - started)
        await asyncio.sleep(0.01)
    assert slowest < 0.5
    for stream in streams:
        await stream.aclose()


async def test_no_server_is_one_sentence(key_folder, clock):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    target = f"127.0.0.1:{port}"
    client = ScadaClient(target, target, load_identity(key_folder, "viewer", clock), load_authority(key_folder), clock)
    with pytest.raises(CallError, match=f"the server {target} does not answer"):
        await client.connect()
    await client.close()
