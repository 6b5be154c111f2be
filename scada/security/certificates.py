"""X.509 certificates over SM2 (GM/T 0015): our own writer, because no Python library issues them; read by ``cryptography``.

A certificate proves a name and bounds its roles: common name = identity, one organisational unit per role. Chains and revocation:
``authorities``; certificate requests: ``requests``.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

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

SIGNATURE_ALGORITHM = der.tlv(der.SEQUENCE, der.oid("1.2.156.10197.1.501"))
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
        is_authority: may sign certificates: basic constraints say so, and key usage, if there is one, too.
        signs_lists: may sign revocation lists.
        path_length: authorities that may stand below this one; None is any number.
        key_id: subject key identifier, empty if it has none.
        issuer_key_id: identifier of the issuer's key, empty if it names none.
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
    signs_lists: bool = False
    path_length: int | None = None
    key_id: bytes = b""
    issuer_key_id: bytes = b""

    @property
    def is_root(self) -> bool:
        """Issued in its own name."""
        return self.issuer == self.subject

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
    """Prove that an identity's certificate was issued by this one authority and that both are valid now.

    Chains and revocation are checked by :class:`scada.security.authorities.Authorities`.

    Raises:
        CertificateError: naming what is wrong.
    """
    check_issued(certificate, authority)
    if certificate.is_authority:
        raise CertificateError("an authority's certificate is no identity", where=certificate.name)
    for each in (certificate, authority):
        check_validity(each, now_ns)


def names_as_issuer(certificate: Certificate, authority: Certificate) -> bool:
    """True if a certificate says that this authority issued it: the name, and the key identifiers where both have one."""
    same_key = not certificate.issuer_key_id or not authority.key_id or certificate.issuer_key_id == authority.key_id
    return certificate.issuer == authority.subject and same_key


def check_issued(certificate: Certificate, authority: Certificate) -> None:
    """Prove that an authority issued a certificate, whenever that was.

    Raises:
        CertificateError: it did not, or may not issue certificates, or not those of authorities.
    """
    if not authority.is_authority or not names_as_issuer(certificate, authority):
        raise CertificateError("the certificate is not issued by the trusted authority", where=certificate.name)
    if certificate.is_authority and certificate.encoded != authority.encoded and authority.path_length == 0:
        raise CertificateError("the issuer may have no authority below itself (path length 0)", where=certificate.name)
    read = x509.load_der_x509_certificate(certificate.encoded)
    if not authority.public_key.verify(signature_from_der(read.signature), read.tbs_certificate_bytes):
        raise CertificateError("the signature on the certificate is wrong", where=certificate.name)


def check_validity(certificate: Certificate, now_ns: int) -> None:
    """Prove that a certificate is valid at a time (ns UTC).

    Raises:
        CertificateError: it is not valid yet or has expired.
    """
    if now_ns < certificate.not_before_ns:
        raise CertificateError("the certificate is not valid yet", where=certificate.name, mend="check the clocks")
    if now_ns >= certificate.not_after_ns:
        raise CertificateError("the certificate has expired", where=certificate.name, mend="renew it with `scada keys renew`")


def check_authority(authority: Certificate) -> None:
    """Prove that a root is well-formed: an authority signed by itself.

    Raises:
        CertificateError: it is not.
    """
    if not authority.is_authority or not authority.is_root:
        raise CertificateError("not the certificate of a root authority", where=authority.name)
    check_issued(authority, authority)


def issue_certificate(
    name: str,
    point: bytes,
    *,
    roles: Sequence[str] = (),
    issuer: Certificate | None,
    signer: Signer,
    not_before_ns: int,
    not_after_ns: int,
    authority: bool = False,
    path_length: int | None = None,
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
        authority: the subject may issue certificates and revocation lists; a root always may.
        path_length: of an authority: how many authorities may stand below it.
    """
    subject = name_der(name, roles)
    extensions = _extensions(point, signer.point(), is_authority=authority or issuer is None, path_length=path_length)
    body = der.tlv(
        der.SEQUENCE,
        der.tlv(der.explicit(0), der.integer(2)),
        der.integer(secrets.randbits(126) | 1 << 126),
        SIGNATURE_ALGORITHM,
        issuer.subject if issuer else subject,
        der.tlv(der.SEQUENCE, time_der(not_before_ns), time_der(not_after_ns)),
        subject,
        public_key_der(point),
        der.tlv(der.explicit(3), der.tlv(der.SEQUENCE, *extensions)),
    )
    return parse_certificate(signed_der(body, signer.sign(body)))


def signed_der(body: bytes, signature: bytes) -> bytes:
    """A certificate, list or request from its body and the raw signature on it."""
    bits = der.tlv(der.BIT_STRING, b"\0", signature_to_der(signature))
    return der.tlv(der.SEQUENCE, body, SIGNATURE_ALGORITHM, bits)


def common_name(subject: x509.Name) -> str:
    """The one common name of a subject.

    Raises:
        CertificateError: there is not exactly one that can be shown.
    """
    names = [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(names) != 1 or not names[0].isprintable() or not 1 <= len(names[0]) <= _NAME_MAXIMUM:
        raise CertificateError("the certificate does not have exactly one common name of 1 to 64 printable characters")
    return names[0]


def _read(encoded: bytes) -> Certificate:
    read = x509.load_der_x509_certificate(encoded)
    subject = read.subject
    if encoded != signed_der(read.tbs_certificate_bytes, signature_from_der(read.signature)):
        raise CertificateError("the certificate is not signed by SM2 with SM3, or its encoding is not canonical")
    unknown = [item.oid.dotted_string for item in read.extensions if item.critical and item.oid not in _UNDERSTOOD]
    if unknown:
        raise CertificateError(f"the certificate has the critical extension {unknown[0]}, which is not understood")
    constraints = _extension(read.extensions, x509.BasicConstraints)
    usage = _extension(read.extensions, x509.KeyUsage)
    own, issuer = _extension(read.extensions, x509.SubjectKeyIdentifier), _extension(read.extensions, x509.AuthorityKeyIdentifier)
    authority = constraints is not None and constraints.ca
    if not authority and usage is not None and not usage.digital_signature:
        raise CertificateError("the key usage of the certificate does not allow signatures")
    return Certificate(
        encoded=bytes(encoded),
        name=common_name(subject),
        roles=frozenset(str(unit.value) for unit in subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)),
        issuer=read.issuer.public_bytes(),
        subject=subject.public_bytes(),
        serial=read.serial_number,
        not_before_ns=to_ns(read.not_valid_before_utc),
        not_after_ns=to_ns(read.not_valid_after_utc),
        public_key=Sm2PublicKey(point_of_public_key_der(_public_key_info(read.tbs_certificate_bytes))),
        is_authority=authority and (usage is None or usage.key_cert_sign),
        signs_lists=authority and (usage is None or usage.crl_sign),
        path_length=constraints.path_length if constraints is not None else None,
        key_id=own.digest if own is not None else b"",
        issuer_key_id=(issuer.key_identifier or b"") if issuer is not None else b"",
    )


_UNDERSTOOD = {x509.BasicConstraints.oid, x509.KeyUsage.oid}
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


def _extension(extensions: x509.Extensions, kind: type[_Kind]) -> _Kind | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _public_key_info(body: bytes) -> bytes:
    """SubjectPublicKeyInfo out of a TBSCertificate."""
    fields = der.Reader(body).nested()
    fields.take(der.explicit(0))
    fields.take(der.INTEGER)
    for _ in ("algorithm", "issuer", "validity", "subject"):
        fields.take(der.SEQUENCE)
    return der.tlv(der.SEQUENCE, fields.take(der.SEQUENCE))


def name_der(common: str, units: Sequence[str] = ()) -> bytes:
    """A Name of a common name and organisational units."""
    attributes = [("2.5.4.3", common), *(("2.5.4.11", unit) for unit in units)]
    return der.tlv(
        der.SEQUENCE,
        *(
            der.tlv(der.SET, der.tlv(der.SEQUENCE, der.oid(kind), der.tlv(der.UTF8_STRING, text.encode())))
            for kind, text in attributes
        ),
    )


def extension_der(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    """One Extension."""
    return der.tlv(der.SEQUENCE, der.oid(oid), _TRUE if critical else b"", der.tlv(der.OCTET_STRING, value))


def issuer_key_der(point: bytes) -> bytes:
    """The extension that names the key of an issuer (RFC 5280, 4.2.1.1)."""
    return extension_der("2.5.29.35", der.tlv(der.SEQUENCE, der.tlv(0x80, key_identifier(point))))


def key_identifier(point: bytes) -> bytes:
    """Key identifier of a public point: 20 bytes of its SM3 digest."""
    return sm3(point)[:20]


_TRUE = b"\x01\x01\xff"


def _extensions(point: bytes, issuer_point: bytes, *, is_authority: bool, path_length: int | None) -> list[bytes]:
    """Basic constraints and key usage (critical), subject and authority key identifier."""
    limit = der.integer(path_length) if is_authority and path_length is not None else b""
    constraints = der.tlv(der.SEQUENCE, _TRUE if is_authority else b"", limit)
    usage = b"\x03\x02\x01\x06" if is_authority else b"\x03\x02\x06\xc0"  # certificate and CRL signing; signing, non-repudiation
    return [
        extension_der("2.5.29.19", constraints, critical=True),
        extension_der("2.5.29.15", usage, critical=True),
        extension_der("2.5.29.14", der.tlv(der.OCTET_STRING, key_identifier(point))),
        issuer_key_der(issuer_point),
    ]


def time_der(time_ns: int) -> bytes:
    """UTCTime until 2049, GeneralizedTime after (RFC 5280, 4.1.2.5)."""
    moment = datetime.fromtimestamp(time_ns // NS_PER_S, tz=UTC)
    if moment.year < 2050:
        return der.tlv(der.UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return der.tlv(der.GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())


def to_ns(moment: datetime) -> int:
    """Nanoseconds UTC of a moment with a time zone."""
    return int(moment.timestamp()) * NS_PER_S
