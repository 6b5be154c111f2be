"""TLS of telecontrol links, with the openssl command line as the other side."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from scada.core.clock import NS_PER_S, SystemClock
from scada.core.errors import SecurityError
from scada.security.tls import TlsFiles, client_context, handshake_fault, server_context
from scada.security.tls_authority import issue, make_authority, revoke

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command"),
]

NOW_NS = SystemClock().now_ns()  # OpenSSL looks at the host's clock


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An authority with `server`, `client`, `other` and the expired `old`; beside it one that nobody knows."""
    base = tmp_path_factory.mktemp("tls")
    for folder in ("pki", "stranger"):
        make_authority(base / folder, NOW_NS)
        for name in ("server", "client", "other"):
            issue(base / folder, name, NOW_NS, hosts=["127.0.0.1"] if name == "server" else [])
        issue(base / folder, "old", NOW_NS, hosts=["127.0.0.1"], days=-1)
    return base


@pytest.fixture
def pki(made, tmp_path):
    return shutil.copytree(made, tmp_path / "made") / "pki"


def files(folder, name="server", **more):
    return TlsFiles(
        folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key", folder / "crl.pem", where="channel north", **more
    )


def named(*arguments):
    return [str(argument) for argument in arguments]


class Listener:
    """Our end that listens: greets, echoes, and remembers who came in."""

    def __init__(self, context):
        self.context = context
        self.greeted = 0
        self.refused = []
        context.refused = self.refused.append

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def serve(self, reader, writer):
        self.greeted += 1
        with contextlib.suppress(OSError):
            writer.write(b"hello\n")
            while data := await reader.read(100):
                writer.write(data.upper())
            writer.close()

    async def called(self, folder, name="client", *options, say=b"", until=b""):
        """What `openssl s_client` says, called with a certificate."""
        proof = named("-cert", folder / f"{name}.pem", "-key", folder / f"{name}.key") if name else []
        process = await asyncio.create_subprocess_exec(
            "openssl",
            "s_client",
            *named("-connect", f"127.0.0.1:{self.port}", "-CAfile", folder / "ca.pem"),
            *proof,
            *options,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said = b""
        async with asyncio.timeout(20):
            if say:
                said = await process.stdout.readuntil(b"hello\n")
                for line in say.splitlines(keepends=True):
                    process.stdin.write(line)
                    await process.stdin.drain()
                    await asyncio.sleep(0.1)  # a command of s_client is one only at the beginning of a read
                said += await process.stdout.readuntil(until) if until else b""
            else:
                # it ends by itself when it is refused; who is admitted is greeted, and then hangs up
                while line := await process.stdout.readline():
                    said += line
                    if line.endswith(b"hello\n"):
                        break
            process.stdin.close()
            said += await process.stdout.read()
            await process.wait()
        return said.decode(errors="replace")


async def test_a_client_of_our_authority_is_admitted_by_tls_1_3_and_1_2(pki):
    async with Listener(server_context(files(pki))) as listener:
        assert "TLSv1.3" in await listener.called(pki)
        said = await listener.called(pki, "client", "-tls1_2")
        assert "TLSv1.2" in said
        assert "ECDHE" in said
        assert "Secure Renegotiation IS supported" in said
        assert listener.greeted == 2


async def test_strangers_are_refused(pki):
    stranger = pki.parent / "stranger"
    async with Listener(server_context(files(pki))) as listener:
        await listener.called(stranger)
        await listener.called(pki, "old")
        await listener.called(pki, "")
        await listener.called(pki, "", "-tls1_2")
        assert listener.greeted == 0
        assert listener.refused == [
            "TLS: the root of the peer's certificate is not in tls_ca",
            "TLS: the peer's certificate has expired",
            "TLS: the peer showed no certificate",
            "TLS: the peer showed no certificate",
        ]


async def test_old_versions_and_weak_suites_are_refused(pki):
    async with Listener(server_context(files(pki))) as listener:
        await listener.called(pki, "client", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
        await listener.called(pki, "client", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA@SECLEVEL=0")
        assert listener.greeted == 0
        assert listener.refused == [
            "TLS: the peer does not speak TLS of our tls_minimum",
            "TLS: the peer and we have no cipher suite in common",
        ]
    async with Listener(server_context(files(pki, minimum="1.3"))) as listener:
        await listener.called(pki, "client", "-tls1_2")
        assert listener.refused == ["TLS: the peer does not speak TLS of our tls_minimum"]


async def test_a_revocation_counts_at_the_next_handshake_of_a_listener_that_runs(pki):
    context = server_context(files(pki))
    async with Listener(context) as listener:
        await listener.called(pki, "client")
        assert listener.greeted == 1
        peer = ssl.PEM_cert_to_DER_cert((pki / "client.pem").read_text())
        assert context.refusal(peer, NOW_NS) == ""
        revoke(pki, ["client"], NOW_NS)
        await listener.called(pki, "client")
        assert listener.refused == ["TLS: the peer's certificate was revoked"]
        assert context.refusal(peer, NOW_NS) == "the certificate of 'client' was revoked"
        await listener.called(pki, "other")
        assert listener.greeted == 2


async def test_an_expired_revocation_list_admits_nobody(pki):
    revoke(pki, [], NOW_NS, days=-0.01)
    async with Listener(server_context(files(pki))) as listener:
        await listener.called(pki)
        assert listener.greeted == 0
        assert listener.refused == ["TLS: the revocation list has expired; fetch the new one into tls_crl"]


async def test_files_that_are_half_written_leave_the_ones_before_in_force(pki):
    revoke(pki, ["other"], NOW_NS)
    context = server_context(files(pki))
    async with Listener(context) as listener:
        (pki / "crl.pem").write_text("-----BEGIN X509 CRL-----\nMIIB")
        await listener.called(pki, "other")
        assert listener.refused == ["TLS: the peer's certificate was revoked"]
        assert "crl.pem: the file is no revocation list" in context.fault
        await listener.called(pki, "client")
        assert listener.greeted == 1
        (pki / "crl.pem").unlink()
        revoke(pki, ["client"], NOW_NS)
        await listener.called(pki, "other")
        assert context.fault == ""
        assert listener.greeted == 2


async def test_a_listener_admits_only_the_names_it_is_given(pki):
    context = server_context(files(pki, peer_names=frozenset({"client", "10.1.1.1"})))
    async with Listener(context) as listener:
        await listener.called(pki, "client")
        assert listener.greeted == 1
        await listener.called(pki, "other")
        assert listener.greeted == 1
        assert listener.refused == ["TLS: the peer is 'other', not 10.1.1.1 or client (tls_peer_name)"]


async def test_no_renegotiation_and_no_tickets(pki):
    async with Listener(server_context(files(pki))) as listener:
        assert "no renegotiation" in await listener.called(pki, "client", "-tls1_2", say=b"R\n")
        said = await listener.called(pki, "client", say=b"Q\n")
        assert "New Session Ticket" not in said


async def test_a_key_update_of_the_peer_is_taken(pki):
    async with Listener(server_context(files(pki))) as listener:
        said = await listener.called(pki, "client", say=b"K\nafterwards\n", until=b"AFTERWARDS")
        assert "KEYUPDATE" in said


# ---------------------------------------------------------------- our end that connects


@contextlib.asynccontextmanager
async def openssl_server(folder, name="server", *options):
    process = await asyncio.create_subprocess_exec(
        "openssl",
        "s_server",
        *named("-accept", "127.0.0.1:0", "-cert", folder / f"{name}.pem", "-key", folder / f"{name}.key"),
        *named("-CAfile", folder / "ca.pem", "-Verify", "1", "-verify_return_error", *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(10):
            while not (line := await process.stdout.readline()).startswith(b"ACCEPT"):
                pass
        yield int(line.decode().rpartition(":")[2])
    finally:
        process.terminate()
        await process.communicate()


async def call(context, port, host="127.0.0.1"):
    """The version agreed on, or the fault in our words."""
    try:
        async with asyncio.timeout(10):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, ssl.SSLError) as error:
        return handshake_fault(error)
    version = writer.get_extra_info("ssl_object").version()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return version


async def test_we_connect_to_a_server_that_proves_itself(pki):
    async with openssl_server(pki) as port:
        assert await call(client_context(files(pki, "client")), port) == "TLSv1.3"
    async with openssl_server(pki, "server", "-tls1_2") as port:
        assert await call(client_context(files(pki, "client")), port) == "TLSv1.2"


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("stranger/server", "TLS: the root of the peer's certificate is not in tls_ca|TLS: .* authority that is not in tls_ca"),
        ("pki/old", "TLS: the peer's certificate has expired"),
        ("pki/other", "TLS: the peer's certificate names another address"),
    ],
)
async def test_a_server_that_is_not_the_one_meant_is_refused(pki, server, said):
    folder, _, name = server.partition("/")
    async with openssl_server(pki.parent / folder, name) as port:
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(await call(client_context(files(pki, "client")), port))


async def test_a_revoked_server_is_refused_and_the_context_need_not_be_made_anew(pki):
    context = client_context(files(pki, "client"))
    async with openssl_server(pki) as port:
        assert await call(context, port) == "TLSv1.3"
        revoke(pki, ["server"], NOW_NS)
        assert await call(context, port) == "TLS: the peer's certificate was revoked"


async def test_the_name_in_the_certificate_may_be_given(pki):
    async with openssl_server(pki, "other") as port:
        assert await call(client_context(files(pki, "client", peer_names=frozenset({"other"}))), port) == "TLSv1.3"
        fault = await call(client_context(files(pki, "client", peer_names=frozenset({"server"}))), port)
        assert fault == "TLS: the peer is 'other', not server (tls_peer_name)"


def odd_certificate(folder):
    """`odd`: the DNS name in its alternative names is not ASCII, which OpenSSL takes."""
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    like = x509.load_pem_x509_certificate(issue(folder, "odd", NOW_NS).read_bytes())
    builder = x509.CertificateBuilder(like.issuer, like.subject, like.public_key(), like.serial_number)
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(like.not_valid_after_utc)
    name = x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, b"\x30\x08\x82\x06r\xe9seau")
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    builder = builder.add_extension(name, critical=False).add_extension(issuer, critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    (folder / "odd.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


async def test_a_certificate_whose_names_cannot_be_read_is_refused_with_the_reason(pki):
    odd_certificate(pki)
    said = "TLS: the certificate of the peer cannot be read: "
    async with openssl_server(pki, "odd") as port:
        context = client_context(files(pki, "client", peer_names=frozenset({"odd"})))
        assert (await call(context, port)).startswith(said)
    async with Listener(server_context(files(pki, peer_names=frozenset({"odd"})))) as listener:
        await call(client_context(files(pki, "odd")), listener.port)
        assert [text.startswith(said) for text in listener.refused] == [True]
    assert context.refusal(b"no certificate", NOW_NS).startswith("the certificate of the peer cannot be read: ")


async def test_an_old_server_and_one_without_tls_are_told_apart(pki):
    async with openssl_server(pki, "server", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0") as port:
        assert "does not speak" in await call(client_context(files(pki, "client")), port)

    async def plain(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.0 400 Bad request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    assert (
        await call(client_context(files(pki, "client")), server.sockets[0].getsockname()[1]) == "TLS: the peer does not speak TLS"
    )
    server.close()
    await server.wait_closed()


def test_the_same_on_uvloop(pki):
    uvloop = pytest.importorskip("uvloop")

    async def both():
        async with Listener(server_context(files(pki, peer_names=frozenset({"client"})))) as listener:
            first = await call(client_context(files(pki, "client")), listener.port)
            revoke(pki, ["server"], NOW_NS)
            return first, await call(client_context(files(pki, "client")), listener.port)

    assert uvloop.run(both()) == ("TLSv1.3", "TLS: the peer's certificate was revoked")


def test_a_certificate_that_ends_while_the_link_stands(pki):
    context = client_context(files(pki, "client"))
    peer = ssl.PEM_cert_to_DER_cert((pki / "server.pem").read_text())
    assert context.refusal(peer, NOW_NS + 364 * 86_400 * NS_PER_S) == ""
    assert context.refusal(peer, NOW_NS + 366 * 86_400 * NS_PER_S) == "the certificate of 'server' has expired"
    assert context.refusal(None, NOW_NS) == "the peer has no certificate"


# ---------------------------------------------------------------- files and parameters


def spoil(path):
    path.write_text("no PEM")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda pki: (pki / "ca.pem").unlink(), r"channel north: .*ca.pem: cannot read tls_ca: No such file"),
        (lambda pki: spoil(pki / "ca.pem"), r"ca.pem: the file holds no certificate of an authority"),
        (lambda pki: spoil(pki / "server.pem"), r"server.key: the file or the certificate beside it is no PEM file"),
        (lambda pki: spoil(pki / "crl.pem"), r"crl.pem: the file is no revocation list"),
        (lambda pki: shutil.copy(pki / "other.key", pki / "server.key"), r"server.pem: the file does not belong to the key"),
        (lambda pki: (pki / "server.key").chmod(0o644), r"others can read the private key \(chmod 600 it\)"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_mend(pki, break_it, said):
    break_it(pki)
    with pytest.raises(SecurityError, match=said):
        server_context(files(pki))


def test_an_encrypted_key_does_not_ask_at_the_terminal(pki):
    key = pki / "server.key"
    made = ["openssl", "ec", "-in", key, "-aes128", "-passout", "pass:secret", "-out", pki / "locked.key"]
    subprocess.run(made, check=True, capture_output=True)
    (pki / "locked.key").replace(key)
    with pytest.raises(SecurityError, match="or the key is encrypted"):
        server_context(files(pki))


FULL = {"tls": 1.0, "tls_ca": "ca.pem", "tls_certificate": "/keys/c.pem", "tls_key": "c.key"}


def test_parameters_of_a_channel(tmp_path):
    assert TlsFiles.of({"k": 12.0}, tmp_path, "channel north") is None
    assert TlsFiles.of({"tls": 0}, tmp_path, "channel north") is None
    made = TlsFiles.of({**FULL, "tls_minimum": 1.3, "tls_peer_name": "RTU-1, 10.0.0.1"}, tmp_path, "channel north")
    assert made.ca == tmp_path / "ca.pem"
    assert str(made.certificate) == "/keys/c.pem"
    assert made.crl is None
    assert made.minimum == "1.3"
    assert made.peer_names == {"rtu-1", "10.0.0.1"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tls": "yes"}, "channel north: tls is 0 or 1, not 'yes'"),
        ({"tls": 0.0}, "tls_ca, tls_certificate, tls_key without tls = 1"),
        ({"tls_ca": "", "tls_key": ""}, "tls = 1 without tls_ca and tls_key"),
        ({"tls_minimum": 1.1}, "tls_minimum is 1.2 or 1.3, not '1.1'"),
        ({"tls_clr": "crl.pem"}, "there is no parameter tls_clr"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path, change, said):
    with pytest.raises(SecurityError, match=said):
        TlsFiles.of({**FULL, **change}, tmp_path, "channel north")


def test_names_of_an_authority(tmp_path):
    with pytest.raises(SecurityError, match="no TLS authority"):
        issue(tmp_path, "a", NOW_NS)
    make_authority(tmp_path / "pki", NOW_NS)
    before = (tmp_path / "pki" / "ca.pem").read_bytes()
    make_authority(tmp_path / "pki", NOW_NS)
    assert (tmp_path / "pki" / "ca.pem").read_bytes() == before
    with pytest.raises(SecurityError, match="is no name"):
        issue(tmp_path / "pki", "../a", NOW_NS)
    with pytest.raises(SecurityError, match="no certificate"):
        revoke(tmp_path / "pki", ["nobody"], NOW_NS)


def test_what_an_authority_cannot_do_is_said_and_spoils_nothing(tmp_path):
    make_authority(tmp_path, NOW_NS)
    crl, before = tmp_path / "crl.pem", (tmp_path / "crl.pem").read_bytes()
    with pytest.raises(SecurityError, match="'crl' is no name"):
        issue(tmp_path, "crl", NOW_NS)
    with pytest.raises(SecurityError, match="'réseau' is no host"):
        issue(tmp_path, "a", NOW_NS, hosts=["réseau"])
    for days in (float("nan"), 1e9, 5e6):
        with pytest.raises(SecurityError, match="no time of validity"):
            issue(tmp_path, "a", NOW_NS, days=days)
        with pytest.raises(SecurityError, match="no time of validity"):
            revoke(tmp_path, [], NOW_NS, days=days)
    assert crl.read_bytes() == before
    crl.write_bytes(b"half a li")
    with pytest.raises(SecurityError, match="no revocation list"):
        revoke(tmp_path, [], NOW_NS)
    assert crl.read_bytes() == b"half a li"
