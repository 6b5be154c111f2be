"""Mutual TLS 1.3: who is let in, what ends when a certificate falls, and that a renewed one needs no restart."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time

import grpc
import pytest
from api.tls_rig import CLOCK, TlsRig
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from scadapb.v1 import scada_pb2 as pb

from scada.api import server as server_module
from scada.api.client import ScadaClient
from scada.api.faults import CallError
from scada.api.server import ApiServer
from scada.core.errors import ConfigError
from scada.core.settings import ApiSettings, parse_settings
from scada.security.identities import init_identities, load_authority, load_identity
from scada.security.tls_identities import FILES, issue_tls, revoke_tls
from scada.security.tls_trust import ClientTls

YEAR_NS = 365 * 86_400 * 10**9
STATUS = ("Realtime/GetStatus", pb.GetStatusRequest())
MODE = ("Control/SetMode", pb.SetModeRequest(agc="off"))


@pytest.fixture
async def rig(tmp_path, make_backend, monkeypatch):
    """Housekeeping is done by the test."""
    monkeypatch.setattr(server_module, "LOOK_S", 3600.0)
    async with TlsRig(tmp_path / "keys", make_backend(CLOCK)) as rig:
        yield rig


async def refusal(work) -> CallError:
    with pytest.raises(CallError) as caught:
        await work
    return caught.value


async def test_calls_orders_and_streams_over_tls(rig):
    operator = await rig.connect()
    assert (await operator.call(*STATUS)).site == "demo"
    assert (await operator.signed(*MODE)).accepted
    assert (await anext(operator.frames())).full
    (session,) = rig.sessions.sessions()
    assert session.peer.name == "operator"
    assert session.peer.certificate == ClientTls(rig.keys, "operator").material.own.digest


def test_tls_needs_certificates(sessions, backend):
    with pytest.raises(ConfigError, match="no certificates are given"):
        ApiServer(backend, sessions, ApiSettings(port=0, control_port=0))


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.1.5", "::"])
def test_without_tls_only_on_loopback(host, tmp_path):
    with pytest.raises(ConfigError, match="tls = false on"):
        parse_settings({"api": {"tls": False, "host": host}}, base=tmp_path)
    assert not parse_settings({"api": {"tls": False, "host": "127.0.0.1"}}, base=tmp_path).api.tls


async def test_a_client_without_tls_calls_this_machine_only(key_folder, clock):
    identity = load_identity(key_folder, "operator", clock)
    client = ScadaClient("10.1.1.5:50051", "10.1.1.5:50052", identity, load_authority(key_folder), clock)
    assert (await refusal(client.connect())).code == "no_tls"


async def test_no_tls_no_answer(rig):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{rig.server.control_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/scadapb.v1.Session/Login")(b"", timeout=2)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("certificate", ["none", "foreign"])
async def test_a_client_certificate_is_demanded(rig, tmp_path, certificate):
    own = None
    if certificate == "foreign":
        init_identities(tmp_path / "foreign", CLOCK)
        own = ClientTls(tmp_path / "foreign", "operator").material
    root = FILES.authority(rig.keys).read_bytes()
    credentials = grpc.ssl_channel_credentials(root, own and own.key, own and own.certificate)
    options = [("grpc.ssl_target_name_override", "server")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{rig.server.control_port}", credentials, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/scadapb.v1.Session/Login")(b"", timeout=2)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_false_server_is_found_out_before_a_word(rig, tmp_path):
    init_identities(tmp_path / "foreign", CLOCK)
    error = await refusal(rig.connect(keys=tmp_path / "foreign"))
    assert error.code == "server_untrusted"
    assert not rig.sessions.sessions()


async def test_another_identity_of_the_authority_is_no_server(rig, tmp_path):
    """Who holds an operator's certificate cannot stand in for the server."""
    shutil.copytree(rig.keys, tmp_path / "false")
    for kind in (FILES.certificate, FILES.key):
        shutil.copy(kind(rig.keys, "operator"), kind(tmp_path / "false", "server"))
    async with TlsRig(tmp_path / "false", rig.backend) as false:
        assert (await refusal(false.connect())).code == "server_untrusted"


async def test_an_identity_over_the_tls_certificate_of_another(rig):
    error = await refusal(rig.connect("operator", tls_name="viewer"))
    assert error.status is grpc.StatusCode.UNAUTHENTICATED
    assert not rig.sessions.sessions()
    assert rig.events("security.refused")
    assert not rig.backend.acted


async def test_a_stolen_session_is_worth_nothing_on_another_certificate(rig):
    operator, viewer = await rig.connect("operator"), await rig.connect("viewer")
    metadata = (("session", operator.session.session),)
    channel = await viewer._connections.channel(viewer.server)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/scadapb.v1.Realtime/GetStatus")(b"", metadata=metadata, timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_revoked_certificate_ends_streams_calls_and_session(rig):
    operator, viewer = await rig.connect("operator"), await rig.connect("viewer")
    frames, other = operator.frames(), viewer.frames()
    await anext(frames)
    await anext(other)
    revoke_tls(rig.keys, ["operator"], CLOCK.now_ns())
    await rig.server.look()

    async def rest():
        async for _ in frames:
            pass

    error = await refusal(asyncio.wait_for(rest(), 5))
    assert error.status is grpc.StatusCode.UNAUTHENTICATED
    assert "revoked" in str(error)
    assert [session.principal.name for session in rig.sessions.sessions()] == ["viewer"]
    assert (await refusal(operator.call(*STATUS))).code == "tls_refused"
    assert (await refusal(operator.signed(*MODE))).code == "tls_refused"
    assert (await refusal(rig.connect("operator"))).code == "tls_refused"
    assert not rig.backend.acted
    await rig.until(lambda: rig.events("security.session_ended"))
    assert rig.events("security.session_ended")[0].parameters["name"] == "operator"
    rig.backend.apply([0], [5.0])
    assert list((await asyncio.wait_for(anext(other), 5)).value) == [5.0]


async def test_an_expired_certificate_ends_what_stands(rig, monkeypatch):
    operator = await rig.connect("operator")
    frames = operator.frames()
    await anext(frames)
    late = CLOCK.now_ns() + 3 * YEAR_NS
    monkeypatch.setattr(rig.server._views.admission._clock.__class__, "now_ns", lambda self: late)
    await rig.server.look()
    with pytest.raises(CallError, match="TLS certificate of 'operator' has expired"):
        async for _ in frames:
            pass


async def test_a_revoked_certificate_ends_a_watch_of_health(rig):
    operator = await rig.connect()
    health = health_pb2_grpc.HealthStub(await operator._connections.channel(operator.control))
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    revoke_tls(rig.keys, ["operator"], CLOCK.now_ns())
    await rig.server.look()
    with pytest.raises(grpc.aio.AioRpcError, match="revoked"):
        await watch.read()


async def test_a_renewed_server_certificate_needs_no_restart(rig):
    before = await rig.connect("operator")
    old = rig.tls.material.own.digest
    issue_tls(rig.keys, "server", CLOCK.now_ns())
    await rig.server.look()
    (row,) = [row for row in rig.backend.audit.told if row.step == "tls_changed"]
    assert rig.tls.material.own.digest.hex() in row.reason
    assert (await before.call(*STATUS)).site == "demo", "connections that stand go on"
    after = await rig.connect("viewer")
    assert await after._connections.digest(after.control) == rig.tls.material.own.digest != old
    await before._connections.close()  # the connection breaks
    before._connections.doubt(before.server)
    assert (await before.call(*STATUS)).site == "demo"


async def test_files_half_written_change_nothing(rig):
    operator = await rig.connect()
    FILES.crl(rig.keys).write_text("-----BEGIN X509 CRL-----\nMII")
    await rig.server.look()
    assert (await operator.call(*STATUS)).site == "demo"
    (event,) = rig.events("security.tls_files")
    assert "revocation list" in event.parameters["reason"]
    await rig.server.look()
    assert len(rig.events("security.tls_files")) == 1, "told once"
    (row,) = [row for row in rig.backend.audit.told if row.step == "tls_refused"]
    assert row.reason == event.parameters["reason"]


async def test_a_list_by_somebody_else_is_not_taken(rig, tmp_path):
    """Else who can write the list alone could take a revocation back."""
    init_identities(tmp_path / "foreign", CLOCK)
    operator = await rig.connect()
    revoke_tls(rig.keys, ["operator"], CLOCK.now_ns())
    await rig.server.look()
    shutil.copy(FILES.crl(tmp_path / "foreign"), FILES.crl(rig.keys))
    await rig.server.look()
    assert (await refusal(operator.call(*STATUS))).code == "tls_refused"
    assert "not by an authority" in rig.events("security.tls_files")[0].parameters["reason"]


async def test_an_overdue_list_stops_controls_and_not_views(rig):
    operator = await rig.connect("operator")
    revoke_tls(rig.keys, [], CLOCK.now_ns() - 2 * YEAR_NS)
    await rig.server.look()
    assert (await operator.call(*STATUS)).site == "demo"
    error = await refusal(operator.signed(*MODE))
    assert (error.status, error.code) == (grpc.StatusCode.FAILED_PRECONDITION, "tls_list_stale")
    assert not rig.backend.acted
    (event,) = rig.events("security.list_overdue")
    assert (event.parameters["authority"], event.priority) == ("TLS", 1)
    revoke_tls(rig.keys, [], CLOCK.now_ns())
    await rig.server.look()
    assert (await operator.signed(*MODE)).accepted
    assert len(rig.events("security.list_renewed")) == 1


async def test_an_older_list_brings_nobody_back(rig):
    """A backup of the folder is put back while the server runs."""
    operator = await rig.connect("operator")
    older = FILES.crl(rig.keys).read_bytes()
    revoke_tls(rig.keys, ["operator"], CLOCK.now_ns())
    await rig.server.look()
    FILES.crl(rig.keys).write_bytes(older)
    await rig.server.look()
    assert "older than" in rig.tls.fault
    assert (await refusal(operator.call(*STATUS))).code == "tls_refused"


async def test_health_says_what_is(rig):
    operator = await rig.connect()
    health = health_pb2_grpc.HealthStub(await operator._connections.channel(operator.control))

    async def state(service):
        return (await health.Check(health_pb2.HealthCheckRequest(service=service))).status

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert await state("scadapb.v1.Control") == serving
    rig.works = False
    await rig.server.look()
    assert await state("scadapb.v1.Control") == not_serving
    assert await state("") == not_serving
    assert await state("scadapb.v1.OperatorData") == serving
    rig.works = True
    await rig.server.look()
    assert await state("") == serving


async def test_reflection_is_not_there(rig):
    operator = await rig.connect()
    channel = await operator._connections.channel(operator.server)
    for version in ("v1", "v1alpha"):
        call = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")(iter([b""]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_tells_what_a_port_serves_to_who_has_a_certificate(tmp_path, make_backend):
    def named(port):
        """Asked by the library's own client, in a thread of its own."""
        material = ClientTls(rig.keys, "viewer").material
        credentials = grpc.ssl_channel_credentials(material.authority, material.key, material.certificate)
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, [("grpc.ssl_target_name_override", "server")]) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            messages = DescriptorPool(database)
            return set(database.get_services()), messages.FindMessageTypeByName("scadapb.v1.SelectRequest").fields_by_name.keys()

    async with TlsRig(tmp_path / "keys", make_backend(CLOCK), reflection=True) as rig:
        views, fields = await asyncio.to_thread(named, rig.server.port)
        controls, _ = await asyncio.to_thread(named, rig.server.control_port)
        assert {"control", "value"} <= set(fields)
        assert "scadapb.v1.Realtime" in views - controls
        assert "scadapb.v1.Control" in controls
        revoke_tls(rig.keys, ["viewer"], CLOCK.now_ns())
        await rig.server.look()
        with pytest.raises(grpc.RpcError, match="revoked"):
            await asyncio.to_thread(named, rig.server.port)


async def test_a_revocation_ends_a_stream_of_reflection(tmp_path, make_backend):
    async with TlsRig(tmp_path / "keys", make_backend(CLOCK), reflection=True) as rig:
        operator = await rig.connect()
        channel = await operator._connections.channel(operator.server)
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        assert (await call.read()).list_services_response.service
        revoke_tls(rig.keys, ["operator"], CLOCK.now_ns())
        await rig.server.look()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert dict(caught.value.trailing_metadata())["scada-code"] == "tls_refused"


@pytest.mark.e2e
async def test_a_revocation_reaches_a_live_stream_in_a_second(tmp_path, make_backend):
    async with TlsRig(tmp_path / "keys", make_backend(CLOCK)) as rig:
        operator = await rig.connect()
        frames = operator.frames()
        await anext(frames)
        revoke_tls(rig.keys, ["operator"], CLOCK.now_ns())
        began = time.monotonic()
        with pytest.raises(CallError, match="revoked"):
            async for _ in frames:
                pass
        assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_handshake_of_our_clients_is_tls_1_3(rig, version):
    context = ClientTls(rig.keys, "operator").context()
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, version
    _, writer = await asyncio.open_connection("127.0.0.1", rig.server.port, ssl=context, server_hostname="server")
    assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".").replace("v1", "v1")
    writer.close()
    assert ClientTls(rig.keys, "operator").context().minimum_version is ssl.TLSVersion.TLSv1_3
