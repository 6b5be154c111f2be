"""What must be refused is refused, says why, is stored as a SECURITY event, and never reaches the backend."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scadapb.v1 import scada_pb2 as pb

from scada.api import refusals
from scada.api.admission import TOLD_SINGLY
from scada.api.faults import CallError
from scada.events.records import EventKind
from scada.security.client import SessionClient
from scada.security.identities import load_authority, load_identity

SELECT = "/scadapb.v1.Control/Select"
BODY = pb.SelectRequest(control="breaker", value=1, device_number="2211")


async def send(client, envelope: bytes, method: str = "Control/Select"):
    return await client._unary(client.control, method, envelope, 5.0)


async def refused(client, backend, envelope: bytes, method: str = "Control/Select") -> CallError:
    """Send an envelope that must be refused; checks the event and that nothing acted."""
    before = len(backend.stored)
    with pytest.raises(CallError) as caught:
        await send(client, envelope, method)
    assert backend.acted == []
    (event,) = backend.stored[before:]
    assert (event.kind, event.key) == (EventKind.SECURITY, "security.refused")
    assert event.parameters["code"] == caught.value.code
    assert event.parameters["method"] == f"/scadapb.v1.{method}"
    assert event.actor == "operator"
    assert str(caught.value).count("\n") == 0
    return caught.value


async def test_unsigned(operator, backend):
    signed = pb.Signed.FromString(operator.session.seal(SELECT, BODY))
    for bare in (
        pb.Signed(header=signed.header, body=signed.body),
        pb.Signed(header=signed.header, body=signed.body, sig=signed.sig),
    ):
        error = await refused(operator, backend, bare.SerializeToString())
        assert (error.status, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "unsigned")


async def test_a_plain_request_instead_of_an_envelope(operator, backend):
    error = await refused(operator, backend, BODY.SerializeToString())
    assert error.status in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED)


async def test_altered(operator, backend):
    signed = pb.Signed.FromString(operator.session.seal(SELECT, BODY))
    other = pb.SelectRequest(control="breaker", value=2, device_number="2211").SerializeToString()
    altered = pb.Signed(header=signed.header, body=other, sig=signed.sig, mac=signed.mac)
    error = await refused(operator, backend, altered.SerializeToString())
    assert (error.status, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "bad_mac")


async def test_replayed(operator, backend):
    envelope = operator.session.seal(SELECT, BODY)
    await send(operator, envelope)
    assert len(backend.acted) == 1
    backend.acted.clear()
    error = await refused(operator, backend, envelope)
    assert (error.status, error.code) == (grpc.StatusCode.ABORTED, "replayed")


async def test_expired_and_out_of_the_time_window(operator, backend, clock):
    envelope = operator.session.seal(SELECT, BODY, valid_s=0.5)
    clock.advance(1.0)
    error = await refused(operator, backend, envelope)
    assert (error.status, error.code) == (grpc.StatusCode.ABORTED, "expired")
    envelope = operator.session.seal(SELECT, BODY, valid_s=60)
    clock.advance(5.0)
    error = await refused(operator, backend, envelope)
    assert (error.status, error.code) == (grpc.StatusCode.ABORTED, "time_window")


async def test_signed_for_another_method_or_site(operator, backend, key_folder, clock):
    envelope = operator.session.seal("/scadapb.v1.Control/Cancel", pb.CancelRequest(sequence_id="1"))
    error = await refused(operator, backend, envelope)
    assert (error.status, error.code) == (grpc.StatusCode.INVALID_ARGUMENT, "wrong_method")


async def test_unauthorised(connect, backend):
    viewer = await connect("viewer")
    before = len(backend.stored)
    with pytest.raises(CallError) as caught:
        await viewer.signed("Control/Select", BODY)
    assert (caught.value.status, caught.value.code) == (grpc.StatusCode.PERMISSION_DENIED, "unauthorised")
    assert backend.acted == []
    assert [(event.key, event.actor) for event in backend.stored[before:]] == [("security.refused", "viewer")]


async def test_a_session_of_someone_else(connect, operator, backend):
    dispatcher = await connect("dispatcher")
    envelope = dispatcher.session.seal(SELECT, BODY)
    error = await refused(operator, backend, envelope)
    assert (error.status, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "wrong_sender")


async def test_without_a_session(operator, backend):
    channel = grpc.aio.insecure_channel(operator.control)
    before = len(backend.stored)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(SELECT)(operator.session.seal(SELECT, BODY))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert dict(caught.value.trailing_metadata())["scada-code"] == "no_session"
    assert len(backend.stored) == before + 1
    await channel.close()
    view = grpc.aio.insecure_channel(operator.server)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await view.unary_unary("/scadapb.v1.Realtime/GetStatus")(b"", metadata=(("session", "zz"),))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    await view.close()


async def test_logged_out_session_is_dead(operator, backend):
    session = operator.session.session
    await operator._unary(operator.control, "Session/Logout", b"", 2.0)
    channel = grpc.aio.insecure_channel(operator.server)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/scadapb.v1.Realtime/GetStatus")(b"", metadata=(("session", session),))
    assert dict(caught.value.trailing_metadata())["scada-code"] == "unknown_session"
    await channel.close()
    # the client itself notices and logs in again
    assert (await operator.call("Realtime/GetStatus", pb.GetStatusRequest())).site == "demo"
    assert operator.session.session != session


async def test_a_signed_call_after_a_lost_session_acts_once(operator, backend):
    await operator._unary(operator.control, "Session/Logout", b"", 2.0)
    await operator.signed("Control/Select", BODY)
    assert [what for what, *_ in backend.acted] == ["select"]


async def test_login_for_another_site_or_with_a_changed_byte(operator, backend, key_folder, clock):
    identity, authority = load_identity(key_folder, "operator", clock), load_authority(key_folder)
    with pytest.raises(CallError) as caught:
        await send(operator, SessionClient(identity, "elsewhere", authority, clock).login_request(), "Session/Login")
    assert caught.value.code == "wrong_recipient"
    request = bytearray(SessionClient(identity, "demo", authority, clock).login_request())
    request[-1] ^= 1
    with pytest.raises(CallError) as caught:
        await send(operator, bytes(request), "Session/Login")
    assert caught.value.code == "bad_signature"
    assert backend.stored[-1].key == "security.refused"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=300))
def test_garbage_instead_of_an_envelope(sessions, garbage):
    from scada.core.errors import SecurityError

    with pytest.raises(SecurityError):
        sessions.open(garbage, SELECT, "00")


async def test_garbage_bytes_on_every_call(operator, backend):
    garbage = b"\xff\xfe\x00garbage"
    for method in ("Model/ListPoints", "Realtime/Read", "History/Query"):
        with pytest.raises(CallError) as caught:
            await operator.relay(method, garbage)
        assert (caught.value.status, caught.value.code) == (grpc.StatusCode.INVALID_ARGUMENT, "malformed")
    error = await refused(operator, backend, garbage)
    assert error.status is grpc.StatusCode.INVALID_ARGUMENT

    async def once():
        yield garbage

    for method in ("Realtime/Subscribe", "Events/Subscribe"):
        with pytest.raises(CallError, match="the bytes are not a"):
            async for _ in operator.relay_stream(method, once()):
                pass


async def test_a_signed_body_that_is_not_the_request(operator, backend):
    error = await refused(operator, backend, operator.session.seal(SELECT, pb.Signed(header=b"\xff\xff")))
    assert error.code == "malformed"


async def test_oversized_message(operator, backend):
    with pytest.raises(CallError) as caught:
        await send(operator, b"\x00" * (2 << 20))
    assert caught.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert backend.acted == []


async def test_unknown_method(operator):
    with pytest.raises(CallError) as caught:
        await operator._unary(operator.control, "Control/Erase", b"", 2.0)
    assert caught.value.status is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(CallError):
        # controls are not served on the view port
        await operator._unary(operator.server, "Control/Select", operator.session.seal(SELECT, BODY), 2.0)


async def test_a_flood_of_refusals_does_not_flood_the_event_log(operator, backend, server):
    before = len(backend.stored)
    for _ in range(refusals.BURST + 20):
        with pytest.raises(CallError):
            await send(operator, b"")
    server._controls.admission.report()
    server._controls.reporter.close()
    stored = backend.stored[before:]
    counted = [event for event in stored if event.key in ("security.flood", "security.rate_limited")]
    single = [event for event in stored if event.key == "security.refused"]
    assert len(single) + sum(int(event.parameters["count"]) for event in counted) == refusals.BURST + 20
    assert len(single) <= TOLD_SINGLY


async def test_refusals_of_many_reasons_are_stored_up_to_a_rate_and_counted(backend):
    reporter = refusals.SecurityReporter(backend)
    for _ in range(refusals.BURST + 20):
        reporter.refused(method=SELECT, code="unauthorised", reason="no right", peer="p", sender="operator")
    reporter.close()
    assert [event.key for event in backend.stored].count("security.refused") == refusals.BURST
    assert backend.stored[-1].parameters == {"count": "20"}
