"""``docs/dispatch-api.md`` is enough to write a client: its example holds, and a client made from it alone is served."""

from __future__ import annotations

import os
import re
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from scadapb.v1 import scada_pb2 as pb

from scada.security.certificates import parse_certificate
from scada.security.sm2 import Sm2Key, Sm2PublicKey

DOC = Path(__file__).resolve().parents[2] / "docs" / "dispatch-api.md"
EXAMPLE_KEY = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8


def sm3(*parts: bytes) -> bytes:
    digest = hashes.Hash(hashes.SM3())
    digest.update(b"".join(parts))
    return digest.finalize()


def pae(header: bytes, body: bytes) -> bytes:
    return b"SCADAv1\0" + len(header).to_bytes(4, "little") + len(body).to_bytes(4, "little") + header + body


def tag(key: bytes, message: bytes) -> bytes:
    code = hmac.HMAC(key, hashes.SM3())
    code.update(message)
    return code.finalize()[:16]


@pytest.fixture(scope="module")
def vector():
    block = re.search(r"```vector\n(.*?)```", DOC.read_text(), re.DOTALL)[1]
    return {name: bytes.fromhex(value) for name, value in (line.split(" = ") for line in block.splitlines())}


def test_the_example_of_the_document(vector):
    assert Sm2Key(EXAMPLE_KEY).point() == vector["point"]
    assert pb.AreaSetpoint.FromString(vector["body"]) == pb.AreaSetpoint(area="East", interchange_mw=40, order_id="A-1")
    header = pb.Header.FromString(vector["header"])
    assert header.key_id == sm3(vector["point"])[:16]
    assert (header.version, header.algorithm, header.method) == (1, 4, "/scadapb.v1.Dispatch/SendSetpoint")
    assert pae(vector["header"], vector["body"]) == vector["PAE"]
    assert Sm2PublicKey(vector["point"]).verify(vector["sig"], vector["PAE"])
    assert tag(vector["session key"], vector["PAE"] + vector["sig"]) == vector["mac"]


class Stranger:
    """A dispatch client written from the document: SM2 itself is the only thing it takes from us."""

    def __init__(self, channel, certificate: bytes, key: Sm2Key, name: str, clock) -> None:
        self.channel, self.certificate, self.key, self.name, self.clock = channel, certificate, key, name, clock
        self.session, self.session_key, self.sequence = b"", b"", 0

    def envelope(self, method: str, body: bytes) -> bytes:
        now = self.clock.now_ns() // 1000
        header = pb.Header(
            version=1,
            algorithm=4,
            key_id=sm3(self.key.point())[:16],
            sender=self.name,
            recipient="demo",
            method=method,
            time_us=now,
            sequence=self.sequence,
            nonce=os.urandom(16),
            session=self.session,
            expires_us=now + 10_000_000,
        ).SerializeToString()
        sig = self.key.sign(pae(header, body))
        mac = tag(self.session_key, pae(header, body) + sig) if self.session else b""
        return pb.Signed(header=header, body=body, sig=sig, mac=mac).SerializeToString()

    async def login(self) -> None:
        fresh = Sm2Key.generate()
        body = pb.LoginRequest(
            certificate=self.certificate, ephemeral_key=fresh.point(), nonce=os.urandom(32), station="elsewhere"
        ).SerializeToString()
        request = self.envelope("/scadapb.v1.Session/Login", body)
        reply = await self.channel.unary_unary("/scadapb.v1.Session/Login")(request)
        signed = pb.Signed.FromString(reply)
        answer = pb.LoginReply.FromString(signed.body)
        server = parse_certificate(answer.certificate)
        assert "SERVER" in server.roles
        assert server.public_key.verify(signed.sig, pae(signed.header, signed.body))
        assert answer.request_digest == sm3(request)
        assert answer.site == "demo"
        secret = fresh.decrypt(answer.sealed_secret)
        salt = sm3(request, reply)
        self.session_key = HKDF(algorithm=hashes.SM3(), length=32, salt=salt, info=b"c2s-mac").derive(secret)
        self.session = answer.session

    async def order(self, method: str, body: bytes) -> pb.DispatchReply:
        self.sequence += 1
        call = self.channel.unary_unary(method)
        return pb.DispatchReply.FromString(
            await call(self.envelope(method, body), metadata=(("session", self.session.hex()),), timeout=5)
        )


async def test_a_client_written_from_the_document(server, backend, key_folder, clock):
    from cryptography import x509

    pem = (key_folder / "dispatcher.cert.pem").read_bytes()
    key = Sm2Key.load_private((key_folder / "dispatcher.key.pem").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(pem).public_bytes(encoding=_der())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.control_port}") as channel:
        client = Stranger(channel, certificate, key, "dispatcher", clock)
        await client.login()
        setpoint = pb.AreaSetpoint(area="East", interchange_mw=40, order_id="A-1").SerializeToString()
        reply = await client.order("/scadapb.v1.Dispatch/SendSetpoint", setpoint)
        assert (reply.code, reply.applied_mw, reply.order_id) == (pb.DISPATCH_CODE_ACCEPTED, 40.0, "A-1")
        schedule = pb.Schedule(area="East", step_s=900, mw=[1, 2], order_id="A-2").SerializeToString()
        assert (await client.order("/scadapb.v1.Dispatch/SendSchedule", schedule)).code == pb.DISPATCH_CODE_ACCEPTED
    assert [(what, sender) for what, _, sender, _ in backend.acted] == [
        ("dispatch_setpoint", "dispatcher"),
        ("dispatch_schedule", "dispatcher"),
    ]


def _der():
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


def test_every_code_of_the_document_exists_and_none_is_missing():
    from scada.security import envelope

    codes = {kind.code for kind in vars(envelope).values() if isinstance(kind, type) and hasattr(kind, "code")} - {"refused"}
    text = DOC.read_text()
    assert not [code for code in sorted(codes) if f"`{code}`" not in text]
