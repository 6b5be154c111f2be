"""X.509 certificates over SM2 (GM/T 0015): our own writer, because no Python library issues them; read by ``cryptography``.

A certificate proves a name and bounds its roles: common name = identity, one organisational unit per role.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from scada.core.clock import NS_PER_S
from scada.core.errors import SecurityError
from scada.security import der, pkcs8
from scada.security.sm2 import Signer, Sm2PublicKey
from scada.security.sm2_encoding import point_of_public_key_der, public_key_der, signature_from_der, signature_to_der
from scada.security.sm3 import sm3

MAXIMUM_SIZE = 8192
"""Bytes; a longer certificate is refused unread."""

_SIGNATURE_ALGORITHM = der.tlv(der.SEQUENCE, der.oid("1.2.156.10197.1.501"))
"""SM2 with SM3."""
_NAME_MAXIMUM = 64
"""Characters of a common name (RFC 5280, ub-common-name); it is shown and logged."""

_LABEL = "CERTIFICATE"


class CertificateError(SecurityError):
    """A certificate is malformed, not of our kind, not by the trusted authority or not valid now."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A parsed certificate; parsing proves nothing, see :func:`check_certificate`.

    Attributes:
        encoded: DER.
        name: common name.
        roles: organisational units.
        issuer: DER of the issuer's name.
        subject: DER of the subject's name.
        serial: serial number.
        not_before_ns: ns UTC.
        not_after_ns: ns UTC.
        public_key: the subject's key.
        is_authority: may sign certificates.
    """

    encoded: bytes
    name: str
    roles: frozenset[str]
    issuer: bytes
    subject: bytes
    serial: int
    not_before_ns: int
    not_after_ns: int
    public_key: Sm2PublicKey
    is_authority: bool

    def pem(self) -> bytes:
        """PEM text."""
        return pkcs8.to_pem(_LABEL, self.encoded)


def parse_certificate(encoded: bytes) -> Certificate:
    """Read a DER certificate.

    Raises:
        CertificateError: malformed, too long, not over SM2 with SM3, or without exactly one common name that can be shown.
    """
    if len(encoded) > MAXIMUM_SIZE:
        raise CertificateError(f"the certificate has more than {MAXIMUM_SIZE} bytes")
    try:
        return _read(encoded)
    except CertificateError:
        raise
    except Exception as error:  # the parser raises many kinds for hostile bytes
        raise CertificateError(f"not a readable SM2 certificate: {error}") from error


def parse_certificate_pem(pem: bytes) -> Certificate:
    """Read a PEM certificate.

    Raises:
        SecurityError: not a PEM file of a certificate.
    """
    label, data = pkcs8.from_pem(pem)
    if label != _LABEL:
        raise CertificateError(f"a PEM file of {label!r} where a certificate belongs")
    return parse_certificate(data)


def check_certificate(certificate: Certificate, authority: Certificate, now_ns: int) -> None:
    """Prove that a certificate was issued by the trusted authority and is valid now.

    Raises:
        CertificateError: naming what is wrong.
    """
    if not authority.is_authority or certificate.issuer != authority.subject:
        raise CertificateError("the certificate is not issued by the trusted authority", where=certificate.name)
    if certificate.is_authority:
        raise CertificateError("an authority's certificate is no identity", where=certificate.name)
    _check_signature(certificate, authority.public_key)
    for each in (certificate, authority):
        if now_ns < each.not_before_ns:
            raise CertificateError("the certificate is not valid yet", where=each.name, mend="check the clocks")
        if now_ns >= each.not_after_ns:
            raise CertificateError("the certificate has expired", where=each.name, mend="issue it again with `scada keys issue`")


def check_authority(authority: Certificate) -> None:
    """Prove that a root is well-formed: an authority signed by itself.

    Raises:
        CertificateError: it is not.
    """
    if not authority.is_authority or authority.issuer != authority.subject:
        raise CertificateError("not the certificate of a root authority", where=authority.name)
    _check_signature(authority, authority.public_key)


def issue_certificate(
    name: str,
    point: bytes,
    *,
    roles: Sequence[str] = (),
    issuer: Certificate | None,
    signer: Signer,
    not_before_ns: int,
    not_after_ns: int,
) -> Certificate:
    """Issue a certificate, or a self-signed root if ``issuer`` is None.

    Args:
        name: common name.
        point: the subject's public point.
        roles: roles it bounds.
        issuer: certificate of the authority.
        signer: the authority's key.
        not_before_ns: ns UTC.
        not_after_ns: ns UTC.
    """
    subject = _name(name, roles)
    body = der.tlv(
        der.SEQUENCE,
        der.tlv(der.explicit(0), der.integer(2)),
        der.integer(secrets.randbits(126) | 1 << 126),
        _SIGNATURE_ALGORITHM,
        issuer.subject if issuer else subject,
        der.tlv(der.SEQUENCE, _time(not_before_ns), _time(not_after_ns)),
        subject,
        public_key_der(point),
        der.tlv(der.explicit(3), der.tlv(der.SEQUENCE, *_extensions(point, signer.point(), is_authority=issuer is None))),
    )
    return parse_certificate(_signed(body, signer.sign(body)))


def _signed(body: bytes, signature: bytes) -> bytes:
    """A certificate from its body and the raw signature on it."""
    bits = der.tlv(der.BIT_STRING, b"\0", signature_to_der(signature))
    return der.tlv(der.SEQUENCE, body, _SIGNATURE_ALGORITHM, bits)


def _read(encoded: bytes) -> Certificate:
    read = x509.load_der_x509_certificate(encoded)
    subject = read.subject
    names = [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if encoded != _signed(read.tbs_certificate_bytes, signature_from_der(read.signature)):
        raise CertificateError("the certificate is not signed by SM2 with SM3, or its encoding is not canonical")
    if len(names) != 1 or not names[0].isprintable() or not 1 <= len(names[0]) <= _NAME_MAXIMUM:
        raise CertificateError("the certificate does not have exactly one common name of 1 to 64 printable characters")
    return Certificate(
        encoded=bytes(encoded),
        name=names[0],
        roles=frozenset(str(unit.value) for unit in subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)),
        issuer=read.issuer.public_bytes(),
        subject=subject.public_bytes(),
        serial=read.serial_number,
        not_before_ns=_to_ns(read.not_valid_before_utc),
        not_after_ns=_to_ns(read.not_valid_after_utc),
        public_key=Sm2PublicKey(point_of_public_key_der(_public_key_info(read.tbs_certificate_bytes))),
        is_authority=_is_authority(read.extensions),
    )


def _check_signature(certificate: Certificate, key: Sm2PublicKey) -> None:
    read = x509.load_der_x509_certificate(certificate.encoded)
    if not key.verify(signature_from_der(read.signature), read.tbs_certificate_bytes):
        raise CertificateError("the signature on the certificate is wrong", where=certificate.name)


def _is_authority(extensions: x509.Extensions) -> bool:
    try:
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _public_key_info(body: bytes) -> bytes:
    """SubjectPublicKeyInfo out of a TBSCertificate."""
    fields = der.Reader(body).nested()
    fields.take(der.explicit(0))
    fields.take(der.INTEGER)
    for _ in ("algorithm", "issuer", "validity", "subject"):
        fields.take(der.SEQUENCE)
    return der.tlv(der.SEQUENCE, fields.take(der.SEQUENCE))


def _name(common_name: str, units: Sequence[str]) -> bytes:
    attributes = [("2.5.4.3", common_name), *(("2.5.4.11", unit) for unit in units)]
    return der.tlv(
        der.SEQUENCE,
        *(
            der.tlv(der.SET, der.tlv(der.SEQUENCE, der.oid(kind), der.tlv(der.UTF8_STRING, text.encode())))
            for kind, text in attributes
        ),
    )


def _extensions(point: bytes, issuer_point: bytes, *, is_authority: bool) -> list[bytes]:
    """Basic constraints and key usage (critical), subject and authority key identifier."""
    true = b"\x01\x01\xff"
    constraints = der.tlv(der.SEQUENCE, true if is_authority else b"")
    usage = b"\x03\x02\x01\x06" if is_authority else b"\x03\x02\x06\xc0"  # certificate and CRL signing; signing, non-repudiation
    subject_id = der.tlv(der.OCTET_STRING, sm3(point)[:20])
    issuer_id = der.tlv(der.SEQUENCE, der.tlv(0x80, sm3(issuer_point)[:20]))
    return [
        der.tlv(der.SEQUENCE, der.oid(oid), true if critical else b"", der.tlv(der.OCTET_STRING, value))
        for oid, critical, value in (
            ("2.5.29.19", True, constraints),
            ("2.5.29.15", True, usage),
            ("2.5.29.14", False, subject_id),
            ("2.5.29.35", False, issuer_id),
        )
    ]


def _time(time_ns: int) -> bytes:
    """UTCTime until 2049, GeneralizedTime after (RFC 5280, 4.1.2.5)."""
    moment = datetime.fromtimestamp(time_ns // NS_PER_S, tz=UTC)
    if moment.year < 2050:
        return der.tlv(der.UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return der.tlv(der.GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())


def _to_ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NS_PER_S
