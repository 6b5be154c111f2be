from __future__ import annotations

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.core.clock import NS_PER_S
from scada.security.certificates import (
    CertificateError,
    check_authority,
    check_certificate,
    issue_certificate,
    parse_certificate,
    parse_certificate_pem,
)
from scada.security.sm2 import Sm2Key

NOW = 1_700_000_000 * NS_PER_S
DAY = 86400 * NS_PER_S


@pytest.fixture(scope="module")
def authority():
    key = Sm2Key.generate()
    return key, issue_certificate(
        "root", key.point(), issuer=None, signer=key, not_before_ns=NOW - DAY, not_after_ns=NOW + 365 * DAY
    )


@pytest.fixture(scope="module")
def leaf(authority):
    return make(authority, "operator")


def make(authority, name, roles=("OPERATOR", "GUARDIAN"), signer=None, issuer=None, after=NOW + 30 * DAY):
    key = Sm2Key.generate()
    return issue_certificate(
        name,
        key.point(),
        roles=roles,
        issuer=issuer or authority[1],
        signer=signer or authority[0],
        not_before_ns=NOW - DAY,
        not_after_ns=after,
    )


class Borrowed:
    """Signs with its own key under another's key identifier."""

    def __init__(self, key, point):
        self.sign, self.point = key.sign, lambda: point


def test_fields(leaf, authority):
    assert leaf.name == "operator"
    assert leaf.roles == {"OPERATOR", "GUARDIAN"}
    assert (leaf.not_before_ns, leaf.not_after_ns) == (NOW - DAY, NOW + 30 * DAY)
    assert not leaf.is_authority
    assert leaf.issuer == authority[1].subject
    assert parse_certificate_pem(leaf.pem()) == leaf or parse_certificate_pem(leaf.pem()).encoded == leaf.encoded


def test_chain(leaf, authority):
    check_authority(authority[1])
    check_certificate(leaf, authority[1], NOW)


def test_far_end_of_validity_is_generalized_time(authority):
    far = make(authority, "x", after=2_600_000_000 * NS_PER_S)
    assert far.not_after_ns == 2_600_000_000 * NS_PER_S


@pytest.mark.parametrize(("now", "text"), [(NOW - 2 * DAY, "not valid yet"), (NOW + 31 * DAY, "expired")])
def test_validity(leaf, authority, now, text):
    with pytest.raises(CertificateError, match=text):
        check_certificate(leaf, authority[1], now)


def test_foreign_authority_of_the_same_name(authority):
    foreign = make(authority, "operator", signer=Sm2Key.generate())
    with pytest.raises(CertificateError, match="not issued by the trusted"):
        check_certificate(foreign, authority[1], NOW)
    borrowed = make(authority, "operator", signer=Borrowed(Sm2Key.generate(), authority[0].point()))
    with pytest.raises(CertificateError, match="signature on the certificate"):
        check_certificate(borrowed, authority[1], NOW)


def test_leaf_cannot_issue_and_root_is_no_identity(authority, leaf):
    forged = make(authority, "server", signer=Sm2Key.generate(), issuer=leaf)
    with pytest.raises(CertificateError, match="not issued by the trusted"):
        check_certificate(forged, leaf, NOW)
    with pytest.raises(CertificateError, match="no identity"):
        check_certificate(authority[1], authority[1], NOW)
    with pytest.raises(CertificateError, match="root authority"):
        check_authority(leaf)


def test_every_byte_counts(leaf, authority):
    """No altered copy passes, whichever byte was altered."""
    for position in range(len(leaf.encoded)):
        altered = bytearray(leaf.encoded)
        altered[position] ^= 0x01
        with pytest.raises(CertificateError):
            check_certificate(parse_certificate(bytes(altered)), authority[1], NOW)


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage(data):
    with pytest.raises(CertificateError):
        parse_certificate(data)


@pytest.mark.parametrize("name", ["", "x" * 65, "operator\x1b[2J", "a\nb"])
def test_names_that_cannot_be_shown(authority, name):
    with pytest.raises(CertificateError, match=r"printable|length"):
        make(authority, name)


def test_too_long_and_wrong_kinds(leaf):
    with pytest.raises(CertificateError, match="8192"):
        parse_certificate(leaf.encoded + bytes(9000))
    with pytest.raises(CertificateError, match="PRIVATE KEY"):
        parse_certificate_pem(Sm2Key.generate().private_pem())


@pytest.mark.interop
def test_openssl_accepts_our_chain(tmp_path, openssl, leaf, authority):
    (tmp_path / "ca.pem").write_bytes(authority[1].pem())
    (tmp_path / "leaf.pem").write_bytes(leaf.pem())
    arguments = [
        "-attime",
        str(NOW // NS_PER_S),
        "-x509_strict",
        "-vfyopt",
        "distid:1234567812345678",
        "-CAfile",
        "ca.pem",
        "leaf.pem",
    ]
    run = subprocess.run([openssl, "verify", *arguments], cwd=tmp_path, capture_output=True, check=False)
    assert run.stdout == b"leaf.pem: OK\n", run.stderr


@pytest.mark.interop
def test_we_read_a_certificate_of_openssl(tmp_path, openssl):
    subprocess.run([openssl, "genpkey", "-algorithm", "SM2", "-out", "k.pem"], cwd=tmp_path, capture_output=True, check=True)
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-new",
            "-key",
            "k.pem",
            "-sm3",
            "-sigopt",
            "distid:1234567812345678",
            "-subj",
            "/CN=their root",
            "-out",
            "c.pem",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    check_authority(parse_certificate_pem((tmp_path / "c.pem").read_bytes()))


@pytest.mark.interop
def test_a_certificate_over_another_curve_is_refused(tmp_path, openssl):
    run = subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "k",
            "-subj",
            "/CN=x",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    with pytest.raises(CertificateError):
        parse_certificate_pem(run.stdout)
