from __future__ import annotations

import contextlib
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.core.errors import SecurityError
from scada.security import der, sm2, sm2_openssl, sm2_pure
from scada.security.sm2 import Sm2Error, Sm2Key, Sm2PublicKey
from scada.security.sm2_encoding import (
    N,
    cipher_from_der,
    cipher_to_der,
    parse_point,
    public_key_der,
    signature_from_der,
    signature_to_der,
)
from scada.security.sm3 import hkdf_sm3, hmac_sm3, sm3

# GM/T 0003.5-2012: the example on the recommended curve
D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
K = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
X = "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
Y = "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
R = "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
S = "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
C1 = (
    "0404EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73"
    "E858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0"
)
C3 = "59983C18F809E262923C53AEC295D30383B54E39D609D160AFCB1908D0BD8766"
C2 = "21886CA989CA9C7D58087307CA93092D651EFA"
POINT = bytes.fromhex("04" + X + Y)


@pytest.fixture(params=["libcrypto", "pure"])
def backend(request, monkeypatch):
    """Each backend in turn behind the same face."""
    if request.param == "pure":
        monkeypatch.setenv(sm2_openssl.LIBRARY_VARIABLE, "none")
    elif sm2_openssl.load() is None:
        pytest.skip("this system's libcrypto has no SM2")
    sm2._backend.cache_clear()
    yield request.param
    sm2._backend.cache_clear()


@pytest.fixture
def libcrypto():
    loaded = sm2_openssl.load()
    if loaded is None:
        pytest.skip("this system's libcrypto has no SM2")
    return loaded


def test_signature_vector_of_the_standard():
    assert sm2_pure.public_point(D) == POINT
    assert sm2_pure.sign(D, POINT, b"message digest", nonce=K) == bytes.fromhex(R + S)
    assert sm2_pure.verify(POINT, bytes.fromhex(R + S), b"message digest")


def test_encryption_vector_of_the_standard(backend):
    cipher = bytes.fromhex(C1 + C3 + C2)
    assert sm2_pure.encrypt(POINT, b"encryption standard", nonce=K) == cipher
    assert Sm2Key(D).decrypt(cipher) == b"encryption standard"


def test_libcrypto_accepts_the_vector(libcrypto):
    assert libcrypto.verify(POINT, bytes.fromhex(R + S), b"message digest")
    assert not libcrypto.verify(POINT, bytes.fromhex(R + S), b"message digesT")


def test_sm3_and_hmac_vectors(openssl):
    assert sm3(b"abcd" * 16).hex() == "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"  # GB/T 32905 A.2
    run = subprocess.run(
        [openssl, "dgst", "-sm3", "-mac", "HMAC", "-macopt", "hexkey:" + b"key".hex()],
        input=b"data",
        capture_output=True,
        check=True,
    )
    assert run.stdout.decode().split()[-1] == hmac_sm3(b"key", b"data").hex()
    # RFC 5869 by hand
    pseudo_random = hmac_sm3(b"salt", b"secret")
    assert hkdf_sm3(b"secret", salt=b"salt", info=b"info") == hmac_sm3(pseudo_random, b"info\x01")


def test_self_test_names_the_backend(backend):
    assert ("pure" in sm2.self_test()) == (backend == "pure")


def test_a_failing_self_test_refuses_every_key(monkeypatch):
    monkeypatch.setattr(sm2_pure, "verify", lambda *_: False)
    sm2._backend.cache_clear()
    with pytest.raises(Sm2Error, match="verify the signature vector"):
        Sm2Key.generate()
    monkeypatch.undo()
    sm2._backend.cache_clear()


def test_named_library_that_cannot_be_used_is_an_error(monkeypatch):
    monkeypatch.setenv(sm2_openssl.LIBRARY_VARIABLE, "libm.so.6")
    with pytest.raises(Sm2Error, match="SCADA_LIBCRYPTO"):
        sm2_openssl.load()


@given(message=st.binary(max_size=200), plain=st.binary(min_size=1, max_size=100))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_backends_agree(message, plain):
    library = sm2_openssl.load()
    if library is None:
        pytest.skip("this system's libcrypto has no SM2")
    d, point = library.generate()
    held = library.open(d, point)
    assert sm2_pure.public_point(d) == point == library.point_of(d)
    assert sm2_pure.verify(point, held.sign(message), message)
    assert library.verify(point, sm2_pure.sign(d, point, message), message)
    assert sm2_pure.decrypt(d, library.encrypt(point, plain)) == plain
    assert held.decrypt(sm2_pure.encrypt(point, plain)) == plain


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (1, 1),
        (1, N - 1),
        (N - 1, 1),
        (N - 1, N - 1),
        (int(S, 16), int(R, 16)),
        (int(R, 16), N - int(R, 16)),
        (int(R, 16), N),
        (N, 1),
    ],
)
def test_both_backends_refuse_signatures_at_the_edges(libcrypto, r, s):
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert not libcrypto.verify(POINT, raw, b"message digest")
    assert not sm2_pure.verify(POINT, raw, b"message digest")


def test_many_threads_verify_at_once(backend):
    """libcrypto gives up the interpreter lock meanwhile: no call may see what another one has begun."""
    keys = [Sm2Key.generate() for _ in range(4)]
    signed = [(key, key.sign(str(number).encode()), str(number).encode()) for number, key in enumerate(keys)]

    def _told(number: int) -> bool:
        (key, signature, message), other = signed[number % 4], signed[(number + 1) % 4]
        return key.verify(signature, message) and not other[0].verify(signature, message)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(_told, range(200)))


def test_sign_verify_and_reject(backend):
    key, other = Sm2Key.generate(), Sm2Key.generate()
    signature = key.sign(b"open 2211")
    assert key.verify(signature, b"open 2211")
    assert not key.verify(signature, b"open 2212")
    assert not other.verify(signature, b"open 2211")
    for bit in range(0, 512, 7):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not key.verify(bytes(flipped), b"open 2211")
    for wrong in (b"", signature[:-1], signature + b"\0", bytes(64), bytes(32) + signature[32:], signature[:32] + bytes(32)):
        assert not key.verify(wrong, b"open 2211")


def test_out_of_range_twin_of_a_signature_is_refused(backend):
    r, s = int(R, 16), int(S, 16)
    twin = ((r + N) % (1 << 256)).to_bytes(32, "big") + s.to_bytes(32, "big")
    assert not sm2.Sm2PublicKey(POINT).verify(twin, b"message digest")
    with pytest.raises(Sm2Error, match="out of range"):
        signature_from_der(der.tlv(der.SEQUENCE, der.integer(r + N), der.integer(s)))


def test_altered_cipher_text_is_refused(backend):
    key = Sm2Key.generate()
    cipher = key.encrypt(b"secret")
    for position in (1, 40, 70, len(cipher) - 1):
        altered = bytearray(cipher)
        altered[position] ^= 1
        with pytest.raises(SecurityError):
            key.decrypt(bytes(altered))
    with pytest.raises(SecurityError):
        Sm2Key.generate().decrypt(cipher)
    with pytest.raises(Sm2Error, match="nothing"):
        key.encrypt(b"")


def test_ten_thousand_signatures_have_ten_thousand_nonces(backend):
    """r of a message is the nonce's: none may come twice, and Python's random numbers have no part in it."""
    key = Sm2Key.generate()
    seen = set()
    for number in range(10_000):
        if number % 100 == 0:
            random.seed(1)
        seen.add(key.sign(b"same")[:32])
    assert len(seen) == 10_000


def test_seeded_randomness_makes_no_key_twice(backend):
    keys = set()
    for _ in range(20):
        random.seed(1)
        keys.add(Sm2Key.generate().point())
    assert len(keys) == 20


@pytest.mark.parametrize("act", ["sign", "point_of", "crypt", "verify"])
def test_a_backend_that_gives_a_wrong_vector_starts_no_server(libcrypto, monkeypatch, tmp_path, act):
    from scada.cli.server import Server
    from scada.core.settings import parse_settings

    real = getattr(sm2_openssl.OpenSsl, act)

    def wrong(self, *given):
        told = real(self, *given)
        return not told if isinstance(told, bool) else told[:-1] + bytes((told[-1] ^ 1,))

    monkeypatch.setattr(sm2_openssl.OpenSsl, act, wrong)
    sm2._backend.cache_clear()
    ports = {"api": {"port": 0, "control_port": 0}, "metrics": {"port": 0}}
    try:
        with pytest.raises(SecurityError):
            Server(parse_settings(ports, base=tmp_path)).start()
    finally:
        sm2._backend.cache_clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("point", [b"", bytes(65), POINT[:-1], POINT[:-1] + b"\x00", b"\x02" + POINT[1:], b"\x04" + b"\xff" * 64])
def test_bad_points(point):
    with pytest.raises(Sm2Error):
        Sm2PublicKey(point)


def test_raw_and_der_forms():
    raw = bytes.fromhex(R + S)
    assert signature_from_der(signature_to_der(raw)) == raw
    cipher = bytes.fromhex(C1 + C3 + C2)
    assert cipher_from_der(cipher_to_der(cipher)) == cipher
    small = (1).to_bytes(32, "big") + (127).to_bytes(32, "big")
    assert signature_to_der(small).hex() == "300602010102017f"
    for spoiled in (
        signature_to_der(raw) + b"\0",
        der.tlv(der.SEQUENCE, der.integer(1)),
        der.tlv(der.SEQUENCE, der.integer(1), der.integer(2), der.integer(3)),
        bytes.fromhex("30070202000102017f"),
        bytes.fromhex("3081060201010201 7f"),
        bytes.fromhex("3006020101020180"),
    ):
        with pytest.raises(SecurityError):
            signature_from_der(spoiled)


@given(st.binary(max_size=120))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_fuzzed_der_is_refused_or_canonical(data):
    for parse, write in ((signature_from_der, signature_to_der), (cipher_from_der, cipher_to_der)):
        with contextlib.suppress(SecurityError):
            assert write(parse(data)) == data


@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_der_is_refused_or_canonical(data):
    encoded = bytearray(signature_to_der(bytes.fromhex(R + S)))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SecurityError):
        assert signature_to_der(signature_from_der(bytes(encoded))) == encoded


@pytest.mark.interop
def test_openssl_verifies_ours_and_we_verify_openssl(tmp_path, openssl, backend):
    key = Sm2Key.generate()
    (tmp_path / "key.pem").write_bytes(key.private_pem())
    (tmp_path / "message").write_bytes(b"setpoint 10 MW")
    (tmp_path / "ours").write_bytes(signature_to_der(key.sign(b"setpoint 10 MW")))
    distid = ["-sigopt", "distid:1234567812345678"]
    run = lambda *arguments: subprocess.run([openssl, *arguments], cwd=tmp_path, capture_output=True, check=True)  # noqa: E731
    run("pkey", "-in", "key.pem", "-pubout", "-out", "public.pem")
    assert b"Verified OK" in run("dgst", "-sm3", "-verify", "public.pem", *distid, "-signature", "ours", "message").stdout
    run("dgst", "-sm3", "-sign", "key.pem", *distid, "-out", "theirs", "message")
    assert key.verify(signature_from_der((tmp_path / "theirs").read_bytes()), b"setpoint 10 MW")
    # an empty user identity is another signature
    run("dgst", "-sm3", "-sign", "key.pem", "-sigopt", "distid:", "-out", "empty", "message")
    assert not key.verify(signature_from_der((tmp_path / "empty").read_bytes()), b"setpoint 10 MW")


@pytest.mark.interop
def test_openssl_reads_our_public_key_and_cipher_text(tmp_path, openssl):
    key = Sm2Key.generate()
    (tmp_path / "key.pem").write_bytes(key.private_pem())
    (tmp_path / "cipher").write_bytes(cipher_to_der(key.encrypt(b"secret")))
    run = subprocess.run(
        [openssl, "pkeyutl", "-decrypt", "-inkey", "key.pem", "-in", "cipher"], cwd=tmp_path, capture_output=True, check=True
    )
    assert run.stdout == b"secret"
    shown = subprocess.run(
        [openssl, "pkey", "-pubin", "-inform", "DER", "-noout", "-text"],
        input=public_key_der(key.point()),
        capture_output=True,
        check=True,
    )
    assert b"SM2" in shown.stdout
    assert parse_point(key.point())


def test_libcrypto_takes_no_point_that_is_not_on_the_curve():
    backend = sm2_openssl.load()
    if backend is None:
        pytest.skip("this libcrypto has no SM2")
    first, second = (backend.generate() for _ in range(2))
    with pytest.raises(Sm2Error):
        backend.encrypt(first[1][:33] + second[1][33:], b"secret")
    for d, point in (first, second):  # copies of one key do not share their points
        assert sm2_pure.decrypt(d, backend.encrypt(point, b"secret")) == b"secret"
