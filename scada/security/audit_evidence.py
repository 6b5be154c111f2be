"""Signed envelopes that the audit log keeps: who signed what, proven again from the stored bytes alone, whenever that is.

The certificates come with the logins that the log keeps too, and from folders of certificates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from google.protobuf.message import DecodeError
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import NS_PER_S
from scada.core.errors import SecurityError
from scada.security.audit_chain import AuditRow
from scada.security.audit_statements import compare
from scada.security.authorities import Authorities
from scada.security.certificates import Certificate, parse_certificate
from scada.security.envelope import authenticated_bytes

LOGIN_STEP = "login"
"""Step of the ``security`` rows whose evidence is a login: it bears the certificate of the session."""


class Proof(Enum):
    """What a stored envelope is worth."""

    NONE = "none"
    """Nothing is stored: an internal act."""
    PROVEN = "proven"
    NOT_SIGNED = "not_signed"
    """Not an envelope: a telegram of another control centre, kept as it came."""
    UNKNOWN = "unknown"
    """Signed by someone whose certificate was not found."""
    UNTRUSTED = "untrusted"
    """The certificate does not lead to a trusted authority, or was not valid, or revoked, at the time of signing."""
    FALSE = "false"
    """The signature is wrong, or the envelope is of someone else, or says something else, than the row."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stored envelope, looked at again.

    Attributes:
        proof: what it is worth.
        signer: who is said to have signed it.
        method: the call it was signed for.
        why: what is wrong, empty if nothing.
        key_id: names the key.
    """

    proof: Proof
    signer: str = ""
    method: str = ""
    why: str = ""
    key_id: bytes = b""


class EvidenceChecker:
    """Proves stored envelopes.

    Args:
        authorities: who is trusted; None trusts every certificate for what it says of itself.
        certificates: known beforehand.
    """

    def __init__(self, authorities: Authorities | None, certificates: Iterable[Certificate] = ()) -> None:
        self._authorities = authorities
        self._known = {each.public_key.key_id(): each for each in certificates}

    def learn(self, row: AuditRow) -> None:
        """Take the certificate that a row of a login bears."""
        if row.kind == "security" and row.step == LOGIN_STEP and row.evidence:
            try:
                signed = pb.Signed.FromString(row.evidence)
                certificate = parse_certificate(pb.LoginRequest.FromString(signed.body).certificate)
            except (DecodeError, SecurityError):
                return
            self._known.setdefault(certificate.public_key.key_id(), certificate)

    def check(self, row: AuditRow) -> Evidence:
        """Prove the envelope of a row."""
        if not row.evidence:
            return Evidence(Proof.NONE)
        try:
            signed = pb.Signed.FromString(row.evidence)
            header = pb.Header.FromString(signed.header)
        except DecodeError:
            return Evidence(Proof.NOT_SIGNED)
        if not header.key_id or not signed.sig:
            return Evidence(Proof.NOT_SIGNED)
        proof, why = self._judge(row, signed, header)
        return Evidence(proof, header.sender, header.method, why, header.key_id)

    def _judge(self, row: AuditRow, signed: pb.Signed, header: pb.Header) -> tuple[Proof, str]:
        certificate = self._known.get(header.key_id)
        if certificate is None:
            return Proof.UNKNOWN, "no certificate of this key was found"
        if not certificate.public_key.verify(signed.sig, authenticated_bytes(signed.header, signed.body)):
            return Proof.FALSE, "the signature is wrong"
        if certificate.name != header.sender or (row.actor and row.actor != header.sender):
            why = f"the row names {row.actor!r}, the envelope {header.sender!r}, the certificate {certificate.name!r}"
            return Proof.FALSE, why
        try:
            if self._authorities:
                self._authorities.check_then(certificate, header.time_us * (NS_PER_S // 1_000_000))
        except SecurityError as error:
            return Proof.UNTRUSTED, str(error)
        said = compare(row)
        return (Proof.FALSE, said.why) if said and said.why else (Proof.PROVEN, "")
