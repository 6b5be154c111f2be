from __future__ import annotations

import contextlib
import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.core.errors import SecurityError
from scada.security import der, pkcs8
from scada.security.sm2 import Sm2Key
from scada.security.sm2_encoding import ALGORITHM, scalar_of_private_key_der


@pytest.fixture(scope="module")
def key():
    return Sm2Key.generate()


@pytest.fixture(scope="module")
def sealed(key):
    return key.private_pem(b"correct")


def test_round_trip(key, sealed):
    assert Sm2Key.load_private(key.private_pem()).point() == key.point()
    assert Sm2Key.load_private(sealed, b"correct").point() == key.point()


def test_wrong_or_missing_password(sealed):
    with pytest.raises(SecurityError, match="wrong password"):
        Sm2Key.load_private(sealed, b"incorrect")
    with pytest.raises(SecurityError, match="is encrypted"):
        Sm2Key.load_private(sealed)


@pytest.mark.interop
def test_openssl_reads_ours(tmp_path, openssl, sealed, key):
    (tmp_path / "key.pem").write_bytes(sealed)
    run = subprocess.run(
        [openssl, "pkey", "-in", tmp_path / "key.pem", "-passin", "pass:correct", "-noout", "-text_pub"],
        capture_output=True,
        check=True,
    )
    assert key.point()[:15].hex(":") in run.stdout.decode()


@pytest.mark.interop
@pytest.mark.parametrize("cipher", [[], ["-v2", "sm4-cbc", "-v2prf", "hmacWithSHA256", "-iter", "3000"]])
def test_we_read_openssl(tmp_path, openssl, cipher, key):
    plain = tmp_path / "plain.pem"
    subprocess.run([openssl, "genpkey", "-algorithm", "SM2", "-out", plain], capture_output=True, check=True)
    how = [*cipher, "-passout", "pass:pw"] if cipher else ["-nocrypt"]
    run = subprocess.run([openssl, "pkcs8", "-topk8", "-in", plain, *how], capture_output=True, check=True)
    theirs = Sm2Key.load_private(run.stdout, b"pw" if cipher else None)
    assert theirs.verify(theirs.sign(b"x"), b"x")


@pytest.mark.interop
def test_another_curve_is_named(tmp_path, openssl):
    run = subprocess.run(
        [openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], capture_output=True, check=True
    )
    with pytest.raises(SecurityError, match="not an SM2 key"):
        Sm2Key.load_private(run.stdout)


@pytest.mark.parametrize(
    "spoiled",
    [
        b"",
        b"\xff\xfe\x00",
        b"-----BEGIN PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    ],
)
def test_corrupt_files(spoiled):
    with pytest.raises(SecurityError):
        Sm2Key.load_private(spoiled, b"pw")


def test_scalar_out_of_range():
    from scada.security import der

    for d in (0, 2**256 - 1):
        inner = der.tlv(der.SEQUENCE, der.integer(1), der.tlv(der.OCTET_STRING, d.to_bytes(32, "big")))
        data = der.tlv(der.SEQUENCE, der.integer(0), ALGORITHM, der.tlv(der.OCTET_STRING, inner))
        with pytest.raises(SecurityError, match="out of range"):
            scalar_of_private_key_der(data)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_files_are_refused_or_the_same_key(data):
    key = Sm2Key(0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8)
    label, body = pkcs8.from_pem(key.private_pem())
    spoiled = bytearray(body)
    spoiled[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(SecurityError):
        Sm2Key.load_private(pkcs8.to_pem(label, bytes(spoiled)))


@pytest.mark.parametrize("null", [b"", b"\x05\x00"])
def test_a_file_whose_password_goes_through_sm3_is_read(null, monkeypatch):
    """GmSSL derives by HMAC-SM3; here PBKDF2 is done by hashlib, which is not ours."""
    try:
        known = hashlib.pbkdf2_hmac("sm3", b"pw", bytes(16), 1000, 16)
    except ValueError:
        pytest.skip("this Python's hashlib has no SM3")
    key = Sm2Key.generate()
    plain = pkcs8.open_pem(key.private_pem(), None)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(SM4(known), modes.CBC(bytes(16))).encryptor()
    cipher = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    function = der.tlv(der.SEQUENCE, der.oid("1.2.156.10197.1.401.2"), null)
    derivation = der.tlv(der.SEQUENCE, der.tlv(der.OCTET_STRING, bytes(16)), der.integer(1000), function)
    scheme = der.tlv(
        der.SEQUENCE,
        der.tlv(der.SEQUENCE, der.oid("1.2.840.113549.1.5.12"), derivation),
        der.tlv(der.SEQUENCE, der.oid("1.2.156.10197.1.104.2"), der.tlv(der.OCTET_STRING, bytes(16))),
    )
    algorithm = der.tlv(der.SEQUENCE, der.oid("1.2.840.113549.1.5.13"), scheme)
    pem = pkcs8.to_pem("ENCRYPTED PRIVATE KEY", der.tlv(der.SEQUENCE, algorithm, der.tlv(der.OCTET_STRING, cipher)))
    assert Sm2Key.load_private(pem, b"pw").point() == key.point()
    with pytest.raises(SecurityError, match="wrong password"):
        Sm2Key.load_private(pem, b"no")
