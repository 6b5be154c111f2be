"""Against the npm packages sm-crypto and sm-crypto-v2, run by Node, and against Node's own crypto."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4

from scada.core.errors import SecurityError
from scada.security import sm2, sm2_openssl
from scada.security.sm2 import Sm2Key, Sm2PublicKey
from scada.security.sm2_encoding import signature_from_der, signature_to_der
from scada.security.sm3 import hmac_sm3, sm3

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
MESSAGES = [b"", b"open 2211", "断路器 2211 分闸".encode(), bytes(range(256)) * 17]


class Peer:
    """The script, running."""

    def __init__(self, process):
        self._process = process
        self.name = ""

    def ask(self, act, **given):
        request = {"peer": self.name, "act": act} | {
            name: value.hex() if isinstance(value, bytes) else value for name, value in given.items()
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        assert "error" not in told, told
        return told["answer"]


@pytest.fixture(scope="module")
def process(npm_client):
    script = ["node", str(HERE / "sm_crypto_peer.cjs"), str(npm_client)]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.stdin.close()


@pytest.fixture(params=["sm-crypto", "sm-crypto-v2"])
def peer(request, process):
    made = Peer(process)
    assert request.param in made.ask("peers"), "the locked packages hold it"
    made.name = request.param
    return made


@pytest.fixture(params=["libcrypto", "pure"])
def backend(request, monkeypatch):
    """Each of our own backends in turn."""
    if request.param == "pure":
        monkeypatch.setenv(sm2_openssl.LIBRARY_VARIABLE, "none")
    elif sm2_openssl.load() is None:
        pytest.skip("this system's libcrypto has no SM2")
    sm2._backend.cache_clear()
    yield
    sm2._backend.cache_clear()


@pytest.fixture
def key(backend):
    return Sm2Key.generate()


def scalar(key):
    return f"{key._d:064x}"


@pytest.mark.parametrize("message", MESSAGES[1:])
def test_they_verify_ours(peer, key, message):
    raw = key.sign(message)
    assert peer.ask("verify", message=message, signature=raw, point=key.point(), der=False) is True
    assert peer.ask("verify", message=message, signature=signature_to_der(raw), point=key.point(), der=True) is True
    assert peer.ask("verify", message=message + b".", signature=raw, point=key.point(), der=False) is False


@pytest.mark.parametrize("message", MESSAGES[1:])
def test_we_verify_theirs(peer, key, message):
    raw = bytes.fromhex(peer.ask("sign", message=message, key=scalar(key), point=key.point(), der=False))
    assert key.verify(raw, message)
    assert not key.verify(raw, message + b".")
    encoded = bytes.fromhex(peer.ask("sign", message=message, key=scalar(key), point=key.point(), der=True))
    assert key.verify(signature_from_der(encoded), message)


def test_their_keys_are_ours(peer, backend):
    pair = peer.ask("keys")
    ours = Sm2Key(int(pair["privateKey"], 16))
    assert ours.point().hex() == pair["publicKey"]
    assert Sm2PublicKey(ours.point()).verify(ours.sign(b"x"), b"x")


def test_encryption_both_ways(peer, key):
    for plain in (b"k", bytes(32), "口令".encode() * 30):
        assert peer.ask("decrypt", cipher=key.encrypt(plain), key=scalar(key)) == plain.hex()
        assert key.decrypt(bytes.fromhex(peer.ask("encrypt", message=plain, point=key.point()))) == plain


@pytest.mark.parametrize("message", MESSAGES)
def test_digests(peer, message):
    assert peer.ask("sm3", message=message) == sm3(message).hex()
    assert peer.ask("hmac", message=message, key=b"key of a session") == hmac_sm3(b"key of a session", message).hex()


@pytest.mark.parametrize("message", MESSAGES)
def test_the_block_cipher(peer, message):
    key, iv = bytes(range(16)), bytes(range(16, 32))
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(SM4(key), modes.CBC(iv)).encryptor()
    ours = encryptor.update(padder.update(message) + padder.finalize()) + encryptor.finalize()
    assert peer.ask("sm4-encrypt", message=message, key=key, iv=iv) == ours.hex()
    assert bytes(peer.ask("sm4-decrypt", cipher=ours, key=key, iv=iv)) == message


def test_a_signature_under_the_empty_user_identity_is_refused(process, key):
    """Node's own crypto signs with an empty identity where it rests on OpenSSL 3."""
    node = Peer(process)
    pem = key.private_pem().decode()
    raw = signature_from_der(bytes.fromhex(node.ask("node-sign", message=b"open 2211", key=pem)))
    if verifies_under(key, b"", raw):
        assert not key.verify(raw, b"open 2211")
    else:
        assert key.verify(raw, b"open 2211")  # a Node on OpenSSL 4 takes the default identity


def verifies_under(key, identity, raw):
    """Whether libcrypto accepts the signature under a user identity of our choice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(sm2_openssl.LIBRARY_VARIABLE, raising=False)
        library = sm2_openssl.load()
        if library is None:
            pytest.skip("this system's libcrypto has no SM2")
        patch.setattr(sm2_openssl, "USER_ID", identity)
        try:
            return library.verify(key.point(), raw, b"open 2211")
        except SecurityError:
            return False
