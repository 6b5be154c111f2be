from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.security import der
from scada.security.certificates import SIGNATURE_ALGORITHM as SM2_SM3
from scada.security.certificates import extension_der, issuer_key_der, signed_der, time_der
from scada.security.revocation import REASONS, RevocationError, Revoked, check_list, issue_list, parse_list
from scada.security.sm2 import Sm2Key
from tests.security.authority_rig import DAY, NOW, Made


@pytest.fixture(scope="module")
def root():
    return Made("root")


@pytest.fixture(scope="module")
def issued(root):
    return root.revocations(Made("wang", root)).encoded


def test_a_list_reads_as_it_was_written(root):
    entries = [Revoked(number + 1, NOW + number * DAY, reason) for number, reason in enumerate(REASONS)]
    made = issue_list(root.certificate, root.key, entries, number=77, now_ns=NOW, due_ns=NOW + 7 * DAY)
    for data in (made.encoded, made.pem()):
        read = parse_list(data)
        assert read == made
        assert (read.number, read.issued_ns, read.due_ns) == (77, NOW, NOW + 7 * DAY)
        assert list(read.revoked.values()) == entries
        check_list(read, root.certificate)


def test_an_empty_list(root):
    check_list(root.revocations(), root.certificate)
    assert root.revocations().revoked == {}


def test_a_list_of_another_authority_of_the_same_name(root):
    other = Made("root")
    with pytest.raises(RevocationError, match="another authority"):
        check_list(other.revocations(), root.certificate)
    stolen_name = Made("x", root)
    with pytest.raises(RevocationError):
        check_list(root.revocations(signer=stolen_name.key), root.certificate)


class Borrowed:
    """Another's key identifier, its own signature."""

    def __init__(self, point):
        self.sign, self.point = Sm2Key.generate().sign, lambda: point


def test_a_forged_signature(root):
    with pytest.raises(RevocationError, match="signature on the revocation list"):
        check_list(root.revocations(signer=Borrowed(root.key.point())), root.certificate)


def test_every_byte_of_a_list_counts(root):
    encoded = root.revocations(Made("wang", root)).encoded
    for position in range(len(encoded)):
        altered = bytearray(encoded)
        altered[position] ^= 0x01
        with pytest.raises(RevocationError):
            check_list(parse_list(bytes(altered)), root.certificate)


NUMBER = extension_der("2.5.29.20", der.integer(1))


def raw(root, *, entries=(), due=True, extensions=None):
    """A signed list of odd parts."""
    own = [issuer_key_der(root.key.point()), NUMBER] if extensions is None else extensions
    body = der.tlv(
        der.SEQUENCE,
        der.integer(1),
        SM2_SM3,
        root.certificate.subject,
        time_der(NOW),
        time_der(NOW + DAY) if due else b"",
        der.tlv(der.SEQUENCE, *entries) if entries else b"",
        der.tlv(der.explicit(0), der.tlv(der.SEQUENCE, *own)),
    )
    return signed_der(body, root.key.sign(body))


def entry(serial, *extensions):
    return der.tlv(der.SEQUENCE, der.integer(serial), time_der(NOW), der.tlv(der.SEQUENCE, *extensions) if extensions else b"")


def test_what_is_not_whole_is_refused(root):
    key = issuer_key_der(root.key.point())
    parse_list(raw(root, entries=[entry(1), entry(2)]))
    for text, data in {
        "twice": raw(root, entries=[entry(1), entry(1)]),
        "next one is due": raw(root, due=False),
        "no number": raw(root, extensions=[key]),
        "does not name the key": raw(root, extensions=[NUMBER]),
        "partial": raw(root, extensions=[key, NUMBER, extension_der("2.5.29.27", der.integer(1), critical=True)]),
        "not understood": raw(root, entries=[entry(1, extension_der("1.2.3.4", der.integer(1), critical=True))]),
        "delta": raw(root, entries=[entry(1, extension_der("2.5.29.21", der.tlv(der.ENUMERATED, b"\x08")))]),
    }.items():
        with pytest.raises(RevocationError, match=text):
            parse_list(data)


def test_a_certificate_is_no_list(root):
    for data in (root.certificate.encoded, root.certificate.pem(), b"", b"-----BEGIN", bytes(5 << 20)):
        with pytest.raises(RevocationError):
            parse_list(data)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_mutated_lists_are_refused(root, issued, data):
    encoded = bytearray(issued)
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    if bytes(encoded) == issued:
        return
    with pytest.raises(RevocationError):
        check_list(parse_list(bytes(encoded)), root.certificate)
