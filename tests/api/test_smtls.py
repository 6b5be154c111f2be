"""SM TLS: both ends against each other, and against OpenSSL used by hand; what must not get through does not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket

import pytest
from cryptography import x509

from scada.core.clock import SystemClock
from scada.core.errors import PortInUseError, SecurityError
from scada.security import smtls as module
from scada.security.certificates import parse_certificate_pem
from scada.security.identities import init_identities, issue_identity, load_identity
from scada.security.issuing import revoke
from scada.security.renewable_identity import RenewableIdentity
from scada.security.smtls import SUITE, SmTls, SmTlsError, smtls_check
from scada.security.trust import Trust

SSL = pytest.importorskip("OpenSSL.SSL")
crypto = pytest.importorskip("OpenSSL.crypto")
from scada.api.smtls import Relay, Way  # noqa: E402

CLOCK = SystemClock()
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smtls") / "keys"
    init_identities(folder, CLOCK)
    return folder


@pytest.fixture
def keys(made, tmp_path):
    shutil.copytree(made, tmp_path / "keys")
    return tmp_path / "keys"


def ends(keys, client="operator", server="server"):
    trust = Trust(keys)
    return (
        SmTls(load_identity(keys, client, CLOCK), trust, CLOCK, server=False),
        SmTls(load_identity(keys, server, CLOCK), trust, CLOCK, server=True),
    )


def talk(client, server):
    """Until nothing more is to be said; what each got for its user."""
    got = {client: client.receive(b""), server: b""}
    for _ in range(10):
        for one, other in ((client, server), (server, client)):
            if octets := one.outgoing():
                got[other] += other.receive(octets)
    return got[client], got[server]


def test_both_ends_prove_each_other_and_carry_data(keys):
    client, server = ends(keys)
    talk(client, server)
    assert client.peer.name == "server"
    assert server.peer.name == "operator"
    assert client._connection.get_cipher_name() == SUITE == server._connection.get_cipher_name()
    client.send(b"x" * 100_000)
    server.send(b"y")
    assert talk(client, server) == (b"y", b"x" * 100_000)


def test_a_flipped_bit_ends_the_connection(keys):
    client, server = ends(keys)
    talk(client, server)
    client.send(b"close the breaker")
    octets = bytearray(client.outgoing())
    octets[-3] ^= 1
    with pytest.raises(SmTlsError):
        server.receive(bytes(octets))


def test_the_self_test_says_which_library_it_is(keys):
    assert "OpenSSL" in smtls_check(load_identity(keys, "server", CLOCK))


def test_the_self_test_fails_closed(keys, monkeypatch):
    identity = load_identity(keys, "server", CLOCK)
    monkeypatch.setattr(module, "_CURVE", b"no-such-curve")
    with pytest.raises(SecurityError, match="SSL_CTX_set1_curves_list no-such-curve"):
        smtls_check(identity)


def test_the_self_test_finds_a_call_that_is_gone(keys, monkeypatch):
    from OpenSSL import _util

    identity = load_identity(keys, "server", CLOCK)
    monkeypatch.setattr(_util, "lib", object())
    with pytest.raises((SecurityError, AttributeError)):
        smtls_check(identity)


def test_a_foreign_authority_is_refused_by_either_end(keys, tmp_path):
    init_identities(tmp_path / "foreign", CLOCK)
    client, _ = ends(tmp_path / "foreign")
    _, server = ends(keys)
    with pytest.raises(SmTlsError):
        talk(client, server)
    _, false = ends(tmp_path / "foreign")
    client, _ = ends(keys)
    with pytest.raises(SmTlsError):
        talk(client, false)


def test_another_identity_is_no_server(keys):
    client, false = ends(keys, server="operator")
    with pytest.raises(SmTlsError, match="no server"):
        talk(client, false)


def test_a_revoked_certificate_is_refused_and_ends_what_stands(keys):
    client, server = ends(keys)
    later = ends(keys)
    talk(client, server)
    certificate = parse_certificate_pem((keys / "operator.cert.pem").read_bytes())
    revoke(keys, [certificate], "keyCompromise", CLOCK)
    server._trust.refresh()
    with pytest.raises(SmTlsError, match="revoked"):
        server.check()
    later[1]._trust.refresh()
    with pytest.raises(SmTlsError, match="revoked"):
        talk(*later)


def foreign(*, suites=SUITE, curve=b"curveSM2", signature=b"sm2sig_sm3", identity=None, version=None):
    """A client made by hand of pyOpenSSL, which trusts anybody."""
    from OpenSSL import _util

    context = SSL.Context(SSL.TLS_METHOD)
    if version:
        context.set_max_proto_version(version)
    else:
        context.set_tls13_ciphersuites(suites.encode())
    if curve:
        assert _util.lib.SSL_CTX_set1_curves_list(context._context, curve) == 1
    if signature:
        assert _util.lib.SSL_CTX_set1_sigalgs_list(context._context, signature) == 1
    if identity:
        context.use_certificate(x509.load_pem_x509_certificate(identity.certificate.pem()))
        with pytest.deprecated_call():
            context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, identity.signer.private_pem()))
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    return connection


def shake(connection, server):
    for _ in range(10):
        with contextlib.suppress(SSL.WantReadError):
            connection.do_handshake()
        with contextlib.suppress(SSL.WantReadError):
            server.receive(connection.bio_read(1 << 17))
        if octets := server.outgoing():
            connection.bio_write(octets)


@pytest.mark.interop
def test_a_client_made_by_hand_gets_in(keys):
    _, server = ends(keys)
    connection = foreign(identity=load_identity(keys, "viewer", CLOCK))
    shake(connection, server)
    assert server.peer.name == "viewer"
    connection.sendall(b"hello")
    assert server.receive(connection.bio_read(1 << 17)) == b"hello"


@pytest.mark.interop
@pytest.mark.parametrize(
    "wrong",
    [
        {"suites": "TLS_AES_256_GCM_SHA384", "curve": b"P-256", "signature": None},
        {"suites": "TLS_AES_128_GCM_SHA256"},
        {"curve": b"P-256", "signature": None},
        {"version": SSL.TLS1_2_VERSION, "curve": None, "signature": None},
    ],
    ids=["aes", "aes over sm2", "p256", "tls 1.2"],
)
def test_other_ciphers_and_versions_are_refused(keys, wrong):
    _, server = ends(keys)
    with pytest.raises((SmTlsError, SSL.Error)):
        shake(foreign(identity=load_identity(keys, "viewer", CLOCK), **wrong), server)
    assert server.peer is None


@pytest.mark.interop
def test_no_certificate_no_connection(keys):
    _, server = ends(keys)
    with pytest.raises((SmTlsError, SSL.Error)):
        shake(foreign(), server)
    assert server.peer is None


# ---------------------------------------------------------------- relays


class Pair:
    """Echo server <- relay <= SM TLS = relay <- user."""

    def __init__(self, keys, client="operator"):
        self.keys, self.client = keys, client
        self.reached = 0

    async def _echo(self, reader, writer):
        self.reached += 1
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def __aenter__(self):
        self.echo = await asyncio.start_server(self._echo, HOST, 0)
        port = self.echo.sockets[0].getsockname()[1]
        self.far = self._relay("server", Way(HOST, 0, HOST, port), server=True)
        await self.far.start()
        self.near = self._relay(self.client, Way(HOST, 0, HOST, self.far.ports[0]), server=False)
        await self.near.start()
        return self

    def _relay(self, name, way, *, server):
        return Relay((way,), RenewableIdentity(self.keys, name, CLOCK), Trust(self.keys), CLOCK, server=server)

    async def __aexit__(self, *exc):
        await self.near.stop()
        await self.far.stop()
        self.echo.close()

    async def user(self, port=0):
        return await asyncio.open_connection(HOST, port or self.near.ports[0])


async def test_relays_carry_a_megabyte_there_and_back(keys):
    async with Pair(keys) as pair:
        reader, writer = await pair.user()
        data = bytes(range(256)) * 4096
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(len(data)), 20) == data
        writer.close()


async def test_plain_octets_do_not_reach_the_server(keys):
    async with Pair(keys) as pair:
        reader, writer = await pair.user(pair.far.ports[0])
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert not (await asyncio.wait_for(reader.read(), 5)).startswith(b"PRI")
        assert pair.reached == 0
        writer.close()


async def test_a_revocation_ends_a_standing_connection(keys):
    async with Pair(keys) as pair:
        reader, writer = await pair.user()
        writer.write(b"1")
        assert await asyncio.wait_for(reader.readexactly(1), 5) == b"1"
        revoke(keys, [parse_certificate_pem((keys / "operator.cert.pem").read_bytes())], "keyCompromise", CLOCK)
        pair.far.check()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_relay_takes_its_renewed_identity_for_the_next_connections(keys):
    """Else nobody could connect any more once the certificate that it began with has ended."""
    async with Pair(keys) as pair:
        reader, writer = await pair.user()
        writer.write(b"1")
        assert await asyncio.wait_for(reader.readexactly(1), 5) == b"1"
        old = parse_certificate_pem((keys / "server.cert.pem").read_bytes())
        issue_identity(keys, "server", ["SERVER"], CLOCK, new_key=True)
        pair.far.check()
        revoke(keys, [old], "superseded", CLOCK)
        pair.near._trust.refresh()  # the client's end refuses the old certificate from now on
        again, other = await pair.user()
        other.write(b"2")
        assert await asyncio.wait_for(again.readexactly(1), 5) == b"2"
        other.close()
        writer.close()


async def test_a_busy_port_of_a_relay_is_named(keys):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        identity = load_identity(keys, "server", CLOCK)
        relay = Relay((Way(HOST, port, HOST, 1),), identity, Trust(keys), CLOCK, server=True)
        with pytest.raises(PortInUseError, match=str(port)):
            await relay.start()
