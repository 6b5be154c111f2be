"""Certificate revocation lists over SM2 (RFC 5280, 5; version 2): our own writer and a strict reader.

A list is whole (no deltas, no partitions), numbered, says when the next one is due and names each certificate once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from scada.core.clock import NS_PER_S
from scada.security import der, pkcs8
from scada.security.certificates import (
    SIGNATURE_ALGORITHM,
    Certificate,
    CertificateError,
    extension_der,
    issuer_key_der,
    signed_der,
    time_der,
    to_ns,
)
from scada.security.sm2 import Signer
from scada.security.sm2_encoding import signature_from_der

MAXIMUM_LIST_SIZE: Final = 4 << 20
"""Bytes; a longer list is refused unread."""

WARNING_NS: Final = 7 * 86_400 * NS_PER_S
"""So long before a list is overdue the operator is told."""

REASONS: Final[Mapping[str, int]] = {
    "unspecified": 0,
    "keyCompromise": 1,
    "cACompromise": 2,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "certificateHold": 6,
    "privilegeWithdrawn": 9,
    "aACompromise": 10,
}
"""Why a certificate is revoked, by its name in RFC 5280, 5.3.1."""

_LABEL = "X509 CRL"


class RevocationError(CertificateError):
    """A revocation list is malformed, not by a trusted authority, or older than what is known."""


class RevokedError(CertificateError):
    """A certificate was revoked by its authority."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """One entry of a list.

    Attributes:
        serial: of the certificate.
        when_ns: ns UTC.
        reason: a name of :data:`REASONS`.
    """

    serial: int
    when_ns: int
    reason: str


@dataclass(frozen=True, slots=True, order=True)
class ListTerm:
    """A list that is overdue, or soon will be.

    Attributes:
        authority: whose list it is.
        due_ns: when the next one is due, ns UTC; 0 = there is none, but one is demanded.
        overdue: who was revoked since is not known; nothing that acts is allowed.
    """

    authority: str
    due_ns: int
    overdue: bool

    @classmethod
    def of(cls, authority: str, issued_ns: int, due_ns: int, now_ns: int) -> ListTerm | None:
        """Of a list; None while there is time: more than a week, of short-lived lists a quarter of their time."""
        soon_ns = min(WARNING_NS, (due_ns - issued_ns) // 4)
        return cls(authority, due_ns, now_ns >= due_ns) if now_ns >= due_ns - soon_ns else None


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A parsed list; parsing proves nothing, see :func:`check_list`.

    Attributes:
        encoded: DER.
        issuer: DER of the authority's name.
        issuer_key_id: identifier of the authority's key.
        number: grows with every list of the authority.
        issued_ns: ns UTC.
        due_ns: when the next list is due (nextUpdate), ns UTC.
        revoked: entries by serial number.
    """

    encoded: bytes
    issuer: bytes
    issuer_key_id: bytes
    number: int
    issued_ns: int
    due_ns: int
    revoked: Mapping[int, Revoked]

    def pem(self) -> bytes:
        """PEM text."""
        return pkcs8.to_pem(_LABEL, self.encoded)


def parse_list(data: bytes) -> RevocationList:
    """Read a list, DER or PEM.

    Raises:
        RevocationError: malformed, too long, partial, without number or next update, or not signed by SM2 with SM3.
    """
    if len(data) > MAXIMUM_LIST_SIZE:
        raise RevocationError(f"the revocation list has more than {MAXIMUM_LIST_SIZE} bytes")
    try:
        return _read(pkcs8.unwrap(data, _LABEL))
    except RevocationError:
        raise
    except Exception as error:  # the parser raises many kinds for hostile bytes
        raise RevocationError(f"not a readable SM2 revocation list: {error}") from error


def check_list(revocations: RevocationList, authority: Certificate) -> None:
    """Prove that an authority signed a list, whenever that was.

    Raises:
        RevocationError: it did not, or may not.
    """
    same_key = not authority.key_id or revocations.issuer_key_id == authority.key_id
    if revocations.issuer != authority.subject or not same_key:
        raise RevocationError("the revocation list is of another authority", where=authority.name)
    if not authority.signs_lists:
        raise RevocationError("the authority may not sign revocation lists", where=authority.name)
    read = x509.load_der_x509_crl(revocations.encoded)
    if not authority.public_key.verify(signature_from_der(read.signature), read.tbs_certlist_bytes):
        raise RevocationError("the signature on the revocation list is wrong", where=authority.name)


def issue_list(
    authority: Certificate, signer: Signer, revoked: Iterable[Revoked], *, number: int, now_ns: int, due_ns: int
) -> RevocationList:
    """Issue a list.

    Args:
        authority: whose list it is.
        signer: its key.
        revoked: all its revoked certificates.
        number: greater than that of the list before.
        now_ns: ns UTC.
        due_ns: until when the next list will be there, ns UTC.
    """
    entries = [
        der.tlv(
            der.SEQUENCE,
            der.integer(each.serial),
            time_der(each.when_ns),
            der.tlv(der.SEQUENCE, extension_der("2.5.29.21", der.tlv(der.ENUMERATED, bytes((REASONS[each.reason],))))),
        )
        for each in sorted(revoked, key=lambda each: each.serial)
    ]
    extensions = der.tlv(der.SEQUENCE, issuer_key_der(signer.point()), extension_der("2.5.29.20", der.integer(number)))
    body = der.tlv(
        der.SEQUENCE,
        der.integer(1),
        SIGNATURE_ALGORITHM,
        authority.subject,
        time_der(now_ns),
        time_der(due_ns),
        der.tlv(der.SEQUENCE, *entries) if entries else b"",
        der.tlv(der.explicit(0), extensions),
    )
    return parse_list(signed_der(body, signer.sign(body)))


def day_text(time_ns: int) -> str:
    """A time (ns UTC) as people read it."""
    return datetime.fromtimestamp(time_ns // NS_PER_S, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _read(encoded: bytes) -> RevocationList:
    read = x509.load_der_x509_crl(encoded)
    if encoded != signed_der(read.tbs_certlist_bytes, signature_from_der(read.signature)):
        raise RevocationError("the revocation list is not signed by SM2 with SM3, or its encoding is not canonical")
    if unknown := [item.oid.dotted_string for item in read.extensions if item.critical]:
        raise RevocationError(f"the revocation list has the critical extension {unknown[0]}: it is partial or not understood")
    if read.next_update_utc is None:
        raise RevocationError("the revocation list does not say when the next one is due")
    revoked: dict[int, Revoked] = {}
    for entry in read:
        if entry.serial_number in revoked:
            raise RevocationError(f"the revocation list names the certificate {entry.serial_number:x} twice")
        revoked[entry.serial_number] = Revoked(entry.serial_number, to_ns(entry.revocation_date_utc), _reason(entry))
    try:
        number = read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        key_id = read.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    except x509.ExtensionNotFound as error:
        raise RevocationError("the revocation list has no number or does not name the key of its authority") from error
    issued_ns, due_ns = to_ns(read.last_update_utc), to_ns(read.next_update_utc)
    if due_ns <= issued_ns:
        raise RevocationError("the next revocation list is due before this one was issued")
    return RevocationList(encoded, read.issuer.public_bytes(), key_id, number, issued_ns, due_ns, revoked)


def _reason(entry: x509.RevokedCertificate) -> str:
    reason = "unspecified"
    for extension in entry.extensions:
        if isinstance(extension.value, x509.CRLReason):
            reason = extension.value.reason.value
        elif extension.critical:
            raise RevocationError(f"an entry has the critical extension {extension.oid.dotted_string}, which is not understood")
    if reason not in REASONS:
        raise RevocationError(f"an entry has the reason {reason}, which belongs in a delta list")
    return reason
