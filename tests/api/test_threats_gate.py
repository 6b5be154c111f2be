"""Threat table at the gate: garbage on every call, sealed replies over the wire, sessions that end, clocks that differ."""

from __future__ import annotations

import asyncio

import grpc
import pytest
import structlog
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CallError
from scada.api.gate import SESSION_KEY
from scada.security.roles import METHOD_RIGHTS

REQUESTS = {
    f"/scadapb.v1.{service.name}/{method.name}": method
    for service in pb.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ORDERS = sorted(path for path, method in REQUESTS.items() if method.input_type.name == "Signed")
READS = sorted(set(METHOD_RIGHTS) & set(REQUESTS) - set(ORDERS))
NAMES = ("operator", "engineer", "viewer", "dispatcher")
SELECT = pb.SelectRequest(control="breaker", value=1, device_number="2211")

NESTED = b"\x0b" * 100_000
"""Groups in groups: what exhausts a parser's stack."""

BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"", NESTED[:400], b"\xff" * 12, b"\x0a\xff\xff\xff\xff\x0f", b"\x08" + b"\xff" * 9 + b"\x01"]),
)


async def end_of(client, target: str, path: str, raw: bytes, session: str) -> grpc.aio.AioRpcError | None:
    """How a call with these bytes ends; None if it is answered or goes on as a stream."""
    channel = await client._connections.channel(target)
    call = channel.unary_stream(path)(raw, metadata=((SESSION_KEY, session),), timeout=2.0)
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        return error
    finally:
        call.cancel()
    return None


def clean(error: grpc.aio.AioRpcError | None, logged=()) -> bool:
    """Answered, not served on this port, or refused with a code that is none of ours to be ashamed of.

    What only the double of the system lacks is no fault of the server.
    """
    if any("TableBackend" in repr(entry.get("exc_info")) for entry in logged):
        return True
    if error is None or error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.DEADLINE_EXCEEDED):
        return True
    code = dict(error.trailing_metadata() or ()).get("scada-code", "")
    text = error.details() or ""
    return bool(code) and code != "internal" and "Traceback" not in text and "/" + "work" not in text


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00garbage", NESTED, b"\x0a\xff\xff\xff\xff\x0f"], ids=["garbage", "nested", "length"]
)
async def test_garbage_on_every_call_is_refused_cleanly(connect, body):
    clients = [await connect(name) for name in NAMES]
    for path in sorted(REQUESTS):
        kind = GetMessageClass(REQUESTS[path].input_type)
        for client in clients[:2] if path in ORDERS else clients[:1]:
            for target in (client.server, client.control):
                error = await end_of(client, target, path, body, client.session.session)
                assert clean(error), (path, kind, error)
                if error is not None and error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                    assert dict(error.trailing_metadata())["scada-code"] == "malformed"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(ORDERS), body=BODIES, name=st.sampled_from(NAMES))
def test_a_properly_signed_body_of_garbage_is_refused_cleanly(fuzzed, path, body, name):
    """Whoever has a key may still send nonsense: it reaches the parser of each order, and nothing behind it may break."""
    loop, clients, _ = fuzzed
    client = clients[name]

    async def send():
        envelope = client.session.seal(path, Bytes(body))
        return [
            await end_of(client, target, path, envelope, client.session.session) for target in (client.control, client.server)
        ]

    with structlog.testing.capture_logs() as logged:
        errors = loop.run(send())
    for error in errors:
        assert clean(error, logged), (path, body, error, logged)


class Bytes:
    """A message that is these bytes."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def SerializeToString(self) -> bytes:
        return self.body


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(READS), body=BODIES)
def test_reads_of_garbage_are_refused_cleanly(fuzzed, path, body):
    loop, clients, _ = fuzzed
    client = clients["operator"]
    if path == "/scadapb.v1.Session/Logout":
        return
    for target in (client.server, client.control):
        with structlog.testing.capture_logs() as logged:
            error = loop.run(end_of(client, target, path, body, client.session.session))
        assert clean(error, logged), (path, body, error, logged)


@pytest.fixture
def fuzzed(make_backend, sessions, key_folder, clock):
    """A server and clients on a loop of their own, for hypothesis, which knows no coroutines."""
    from scada.api.client import ScadaClient
    from scada.api.server import ApiServer
    from scada.core.settings import ApiSettings
    from scada.security.identities import load_authority, load_identity

    with asyncio.Runner() as loop:
        backend = make_backend(clock)

        async def start():
            server = ApiServer(backend, sessions, ApiSettings(port=0, control_port=0, tls=False))
            await server.start()
            clients = {}
            for name in NAMES:
                targets = f"127.0.0.1:{server.port}", f"127.0.0.1:{server.control_port}"
                identity = load_identity(key_folder, name, clock)
                clients[name] = ScadaClient(*targets, identity, load_authority(key_folder), clock, station="test")
                await clients[name].connect()
            return server, clients

        server, clients = loop.run(start())
        yield loop, clients, backend
        for client in clients.values():
            loop.run(client.close())
        loop.run(server.stop(0.1))


# ---------------------------------------------------------------- seals over the wire


async def test_every_reply_is_sealed_and_a_changed_one_refused(operator, monkeypatch):
    raw = await operator._unary(operator.server, "Realtime/GetStatus", b"", 5.0)
    assert b"\xfa\x7f" in raw[-27:]
    assert (await operator.call("Realtime/GetStatus", pb.GetStatusRequest())).site == "demo"
    bare = operator._calls.bare

    async def spoil(*arguments, **more):
        reply = await bare(*arguments, **more)
        return reply[:-30] + bytes((reply[-30] ^ 1,)) + reply[-29:]

    monkeypatch.setattr(operator._calls, "bare", spoil)
    with pytest.raises(CallError) as caught:
        await operator.call("Realtime/GetStatus", pb.GetStatusRequest())
    assert caught.value.code == "bad_seal"
    monkeypatch.undo()


async def test_a_reply_to_an_order_is_signed_by_the_server(operator, sessions):
    envelope = operator.session.seal("/scadapb.v1.Control/Select", SELECT)
    raw = await operator._unary(operator.control, "Control/Select", envelope, 5.0)
    assert raw[-91:-88] == b"\xfa\x7f\x58"
    reply = await operator.signed("Control/Select", SELECT)
    assert isinstance(reply, pb.ControlReply)
    assert b"\xfa\x7f" not in reply.SerializeToString()  # the seal stays with the client


async def test_a_reply_to_another_request_is_refused(operator, monkeypatch):
    bare = operator._calls.bare

    async def other(target, method, request, *arguments, **more):
        return await bare(target, method, pb.ListPointsRequest(limit=1).SerializeToString(), *arguments, **more)

    monkeypatch.setattr(operator._calls, "bare", other)
    with pytest.raises(CallError, match="wrong seal"):
        await operator.call("Model/ListPoints", pb.ListPointsRequest(limit=2))
    monkeypatch.undo()


async def test_streams_end_with_their_session_at_once_and_with_the_reason(operator, sessions, backend):
    frames = operator.frames()
    events = operator.relay_stream("Events/Subscribe", _one(pb.EventsSubscribeRequest()))
    await anext(frames)
    await anext(events)
    sessions.end(bytes.fromhex(operator.session.session), "the certificate is revoked")
    for stream in (frames, events):
        with pytest.raises(CallError) as caught:
            await asyncio.wait_for(_to_its_end(stream), 5)
        if caught.value.code == "broken":  # a credit crossed with the end, and grpc lost the reason
            assert stream is frames
            continue
        assert (caught.value.status, caught.value.code) == (grpc.StatusCode.UNAUTHENTICATED, "session_ended")
        assert "the certificate is revoked" in str(caught.value)


async def _to_its_end(stream):
    async for _ in stream:
        pass


async def _one(message):
    yield message.SerializeToString()


# ---------------------------------------------------------------- what the client does by itself


async def test_the_client_renews_its_keys_beside_a_stream(operator, sessions, backend, clock):
    frames = operator.frames(period_ms=10)
    await anext(frames)
    clock.advance(3600)
    session = sessions.find(operator.session.session)
    async with asyncio.timeout(10):
        while session.ring.epoch == 0:
            backend.apply([0], [1.0])
            await anext(frames)
    for step in (3.0, 30.0):  # over the switch of the replies' keys
        clock.advance(step)
        backend.apply([0], [step])
        await anext(frames)
    assert (await operator.signed("Control/SetMode", pb.SetModeRequest(agc="on"))).accepted
    assert sessions.find(operator.session.session) is session
    await frames.aclose()


async def test_a_client_whose_clock_is_off_acts_with_challenges(operator, sessions, backend, clock):
    from scada.core.clock import VirtualClock

    wrong = VirtualClock(clock.now_ns() - 3600 * 10**9)
    operator.session._clock = operator._calls._clock = wrong
    for _ in range(2):
        assert (await operator.signed("Control/SetMode", pb.SetModeRequest(agc="on"))).accepted
    assert operator._calls.clocks_differ
    refused = [event for event in backend.stored if event.key == "security.refused"]
    assert [event.parameters["code"] for event in refused] == ["time_window"]  # once: then it knows
    sessions.logout(operator.session.session)
    assert (await operator.signed("Control/SetMode", pb.SetModeRequest(agc="off"))).accepted  # logs in with a challenge


@pytest.mark.parametrize("jump", [-3600, 3600])
async def test_the_servers_clock_jumps_under_a_client(operator, sessions, backend, clock, jump):
    """Both ends read one clock here: after the jump only the keys are of an earlier era."""
    sessions.revalidate()
    clock.jump(jump)
    for _ in range(2):
        assert (await operator.signed("Control/SetMode", pb.SetModeRequest(agc="on"))).accepted
    assert sessions.find(operator.session.session).ring.epoch == 1


async def test_a_slow_order_is_not_sent_again(operator, backend, monkeypatch):
    seal = operator.session.seal

    def late(*arguments, **more):
        return seal(*arguments, valid_s=-1.0, **more)

    monkeypatch.setattr(operator.session, "seal", late)
    with pytest.raises(CallError) as caught:
        await operator.signed("Control/Select", SELECT)
    assert caught.value.code == "expired"
    assert backend.acted == []
    monkeypatch.undo()


@pytest.mark.parametrize("unheard", ["answer", "request"])
async def test_a_renewal_whose_answer_was_lost_leaves_nobody_blind(operator, backend, clock, monkeypatch, unheard):
    """The server may have renewed its keys: a viewer that waits for its next renewal would see nothing for an hour."""
    bare = operator._calls.bare

    async def broken(target, method, *arguments, **more):
        if method != "Session/Rekey":
            return await bare(target, method, *arguments, **more)
        monkeypatch.setattr(operator._calls, "bare", bare)
        if unheard == "answer":
            await bare(target, method, *arguments, **more)
        raise CallError(grpc.StatusCode.UNAVAILABLE, "unavailable", "the connection broke")

    monkeypatch.setattr(operator._calls, "bare", broken)
    clock.advance(3600)
    await operator.call("Realtime/GetStatus", pb.GetStatusRequest())
    clock.advance(3)  # replies come under the new keys
    assert (await operator.call("Realtime/GetStatus", pb.GetStatusRequest())).site == "demo"
    clock.advance(60)
    assert (await operator.signed("Control/SetMode", pb.SetModeRequest(agc="on"))).accepted
