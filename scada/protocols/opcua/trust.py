"""Trust list of OPC UA application certificates in a folder, and the checks of OPC 10000-4, 6.1.3.

::

    trusted/certs   certificates trusted themselves: of one application, or of an authority
    trusted/crl     revocation lists of the authorities there
    issuers/certs   authorities between, not trusted by themselves
    issuers/crl     their revocation lists
    rejected        what came and was refused, for an engineer to look at

Files are DER or PEM. They are read anew at each check, so that what an engineer changes counts at once.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from scada.core.clock import NS_PER_S
from scada.core.errors import SecurityError

_TRUSTED, _ISSUERS, _REJECTED = "trusted/certs", "issuers/certs", "rejected"
_CRLS: Final = ("trusted/crl", "issuers/crl")
_REJECTED_MAXIMUM: Final = 100
"""A flood of strangers must not fill a disk."""
_LONGEST_CHAIN: Final = 8
_KEY_BITS: Final = (2048, 4096)
_WEAK: Final = (hashes.MD5, hashes.SHA1)

Read = TypeVar("Read")


class CertificateRefusedError(SecurityError):
    """An application certificate that is not accepted.

    Args:
        status: name of the OPC UA status code that says the same.
        what: the reason in one sentence.
        where: subject and thumbprint.
        mend: what an engineer can do.
    """

    def __init__(self, status: str, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(f"{what} ({status})", where=where, mend=mend)
        self.status = status


@dataclass(frozen=True, slots=True)
class Peer:
    """What a certificate must prove.

    Attributes:
        application_uri: what the other side says it is.
        server: True if it must be a server's certificate, else a client's.
        host: name or address we connected to; asked only of a certificate that is trusted by its authority, because then any
            other application of that authority would be accepted; empty = not asked.
    """

    application_uri: str
    server: bool
    host: str = ""


def parse_der(data: bytes) -> x509.Certificate:
    """First certificate of a DER chain.

    Raises:
        CertificateRefusedError: not a readable X.509 certificate.
    """
    try:
        length = 4 + int.from_bytes(data[2:4], "big") if data[1:2] == b"\x82" else len(data)
        return x509.load_der_x509_certificate(data[:length])
    except (ValueError, TypeError) as error:
        raise CertificateRefusedError("BadCertificateInvalid", "the certificate cannot be read") from error


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate from a DER or PEM file.

    Raises:
        SecurityError: it cannot be read.
    """
    try:
        data = path.read_bytes()
        is_pem = data.lstrip().startswith(b"-----")
        return x509.load_pem_x509_certificate(data) if is_pem else x509.load_der_x509_certificate(data)
    except OSError as error:
        raise SecurityError(f"cannot read the certificate: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise SecurityError(f"the certificate cannot be used: {error}", where=str(path)) from error


def application_uri(certificate: x509.Certificate) -> str:
    """The application URI in the subject alternative name; empty if there is none."""
    found = _alternative_names(certificate, x509.UniformResourceIdentifier)
    return found[0] if found else ""


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the certificate, as OPC UA names it; hexadecimal."""
    return certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - a name, no proof


def common_name(certificate: x509.Certificate) -> str:
    """Common name of the subject, or the whole subject, printable: a stranger chose it, and it is shown on terminals."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return printable(str(names[0].value) if names else certificate.subject.rfc4514_string())


def printable(text: str) -> str:
    r"""A text without control characters.

    >>> printable("a\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(sign if sign.isprintable() else "?" for sign in text)


class TrustList:
    """The trust list of one folder.

    Args:
        folder: made with its parts where it does not exist.
        allow_deprecated: certificates signed with SHA-1 may be used.
    """

    def __init__(self, folder: Path, *, allow_deprecated: bool = False) -> None:
        self.folder = folder
        self._allow_deprecated = allow_deprecated

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            SecurityError: they cannot be made.
        """
        try:
            for part in (_TRUSTED, _ISSUERS, *_CRLS, _REJECTED):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SecurityError(f"cannot make the trust list: {error.strerror}", where=str(self.folder)) from error

    # ------------------------------------------------------------ checking

    def check(self, certificate: x509.Certificate, peer: Peer, now_ns: int) -> None:
        """Accept a certificate, or keep it among the rejected and say why.

        Raises:
            CertificateRefusedError: the reason.
            SecurityError: a file of the trust list cannot be read.
        """
        self.prepare()
        try:
            self._check(certificate, peer, datetime.fromtimestamp(now_ns / NS_PER_S, UTC))
        except CertificateRefusedError as error:
            self._reject(certificate)
            raise CertificateRefusedError(
                error.status,
                error.what.removesuffix(f" ({error.status})"),
                where=f"{common_name(certificate)} {thumbprint(certificate)}",
                mend=error.mend or f"look at it in {self.folder / _REJECTED}",
            ) from error

    def _check(self, certificate: x509.Certificate, peer: Peer, now: datetime) -> None:
        self._check_strength(certificate)
        trusted = self._certificates(_TRUSTED)
        pinned = any(each == certificate for each in trusted)
        chain = self._chain(certificate, [*trusted, *self._certificates(_ISSUERS)])
        if not pinned and not any(each in trusted for each in chain):
            raise CertificateRefusedError(
                "BadCertificateUntrusted",
                "the certificate is not trusted",
                mend=f"if it is the right one: scada opcua trust --trust {self.folder} {thumbprint(certificate)}",
            )
        for each in (certificate, *chain):
            if not each.not_valid_before_utc <= now < each.not_valid_after_utc:
                until = f"valid from {each.not_valid_before_utc:%Y-%m-%d} to {each.not_valid_after_utc:%Y-%m-%d}"
                raise CertificateRefusedError("BadCertificateTimeInvalid", f"{common_name(each)}: {until}")
        if not pinned and peer.host:
            _check_host(certificate, peer.host)
        if peer.application_uri != application_uri(certificate) or not peer.application_uri:
            raise CertificateRefusedError(
                "BadCertificateUriInvalid",
                f"the certificate is of {application_uri(certificate)!r}, the other side says {peer.application_uri!r}",
            )
        _check_usage(certificate, server=peer.server)
        self._check_revocation(certificate, chain, now, pinned=pinned)

    def _check_strength(self, certificate: x509.Certificate) -> None:
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey) or not _KEY_BITS[0] <= key.key_size <= _KEY_BITS[1]:
            raise CertificateRefusedError("BadCertificatePolicyCheckFailed", "its key is no RSA key of 2048 to 4096 bits")
        if isinstance(certificate.signature_hash_algorithm, _WEAK) and not self._allow_deprecated:
            raise CertificateRefusedError("BadCertificatePolicyCheckFailed", "it is signed with SHA-1 or MD5")

    def _chain(self, certificate: x509.Certificate, known: Sequence[x509.Certificate]) -> list[x509.Certificate]:
        """Authorities above a certificate, as far as they are known; each signature is proven."""
        chain: list[x509.Certificate] = []
        below = certificate
        while below.issuer != below.subject and len(chain) < _LONGEST_CHAIN:
            above = next((each for each in known if _issued(below, each)), None)
            if above is None:
                break
            chain.append(above)
            below = above
        if certificate.issuer == certificate.subject and not _signed_by(certificate, certificate):
            raise CertificateRefusedError("BadSecurityChecksFailed", "its own signature on it is wrong")
        return chain if chain and chain[-1].issuer == chain[-1].subject else []

    def _check_revocation(
        self, certificate: x509.Certificate, chain: Sequence[x509.Certificate], now: datetime, *, pinned: bool
    ) -> None:
        lists = [each for part in _CRLS for each in self._read(part, _load_crl)]
        issued = [certificate, *chain[:-1]]
        for each in issued:
            if any(
                crl.issuer == each.issuer and crl.get_revoked_certificate_by_serial_number(each.serial_number) for crl in lists
            ):
                raise CertificateRefusedError("BadCertificateRevoked", f"{common_name(each)} is revoked")
        for each, authority in zip(issued, chain, strict=False):
            mine = [crl for crl in lists if crl.issuer == authority.subject and _crl_signed_by(crl, authority)]
            current = [crl for crl in mine if crl.next_update_utc is None or now < crl.next_update_utc]
            if not current and not pinned:
                text = f"there is no current revocation list of {common_name(authority)}, who issued {common_name(each)}"
                raise CertificateRefusedError(
                    "BadCertificateRevocationUnknown", text, mend=f"put it into {self.folder / _CRLS[0]}"
                )

    # ------------------------------------------------------------ the folder

    def rejected(self) -> list[x509.Certificate]:
        """Certificates that were refused."""
        return self._certificates(_REJECTED)

    def trusted(self) -> list[x509.Certificate]:
        """Certificates that are trusted themselves."""
        return self._certificates(_TRUSTED)

    def trust(self, beginning: str) -> x509.Certificate:
        """Move a rejected certificate to the trusted ones.

        Args:
            beginning: of its thumbprint.

        Raises:
            SecurityError: none or several are meant.
        """
        wanted = beginning.lower().replace(":", "")
        found = [each for each in self.rejected() if wanted and thumbprint(each).startswith(wanted)]
        if len(found) != 1:
            text = f"{len(found) or 'no'} rejected certificates begin with {beginning!r}"
            raise SecurityError(
                text, where=str(self.folder), mend="list them with `scada opcua trust`, give more of the thumbprint"
            )
        self.add(found[0])
        (self.folder / _REJECTED / _file_name(found[0])).unlink(missing_ok=True)
        return found[0]

    def add(self, certificate: x509.Certificate) -> None:
        """Trust a certificate.

        Raises:
            SecurityError: it cannot be written.
        """
        self.prepare()
        self._write(_TRUSTED, certificate)

    def _reject(self, certificate: x509.Certificate) -> None:
        kept = list((self.folder / _REJECTED).glob("*"))
        if len(kept) < _REJECTED_MAXIMUM:
            self._write(_REJECTED, certificate)

    def _write(self, part: str, certificate: x509.Certificate) -> None:
        path = self.folder / part / _file_name(certificate)
        try:
            aside = self.folder / f".{os.getpid()}-{path.name}"  # another process reads the folder, and never half a file
            aside.write_bytes(certificate.public_bytes(Encoding.DER))
            aside.replace(path)
        except OSError as error:
            raise SecurityError(f"cannot write the certificate: {error.strerror}", where=str(path)) from error

    def _certificates(self, part: str) -> list[x509.Certificate]:
        return self._read(part, read_certificate)

    def _read(self, part: str, load: Callable[[Path], Read]) -> list[Read]:
        folder = self.folder / part
        return [load(path) for path in sorted(folder.glob("*")) if path.is_file()] if folder.is_dir() else []


def _load_crl(path: Path) -> x509.CertificateRevocationList:
    try:
        data = path.read_bytes()
        return x509.load_pem_x509_crl(data) if data.lstrip().startswith(b"-----") else x509.load_der_x509_crl(data)
    except (OSError, ValueError) as error:
        raise SecurityError(f"the revocation list cannot be read: {error}", where=str(path), mend="replace it") from error


def _file_name(certificate: x509.Certificate) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", common_name(certificate)).strip("._")[:40] or "unnamed"
    return f"{name}-{thumbprint(certificate)}.der"


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    """True if ``above`` is an authority and signed ``below``."""
    try:
        is_authority = above.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        usage = above.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return is_authority and usage.key_cert_sign and _signed_by(below, above)


def _signed_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _crl_signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    return isinstance(key, RSAPublicKey) and crl.is_signature_valid(key)


def _check_usage(certificate: x509.Certificate, *, server: bool) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateRefusedError("BadCertificateUseNotAllowed", "it has no key usage") from error
    if not (usage.digital_signature and usage.key_encipherment and usage.data_encipherment):
        text = "its key is not for digital signature, key encipherment and data encipherment"
        raise CertificateRefusedError("BadCertificateUseNotAllowed", text)
    wanted = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if wanted not in purposes:
        raise CertificateRefusedError(
            "BadCertificateUseNotAllowed", f"it is not a certificate of a {'server' if server else 'client'}"
        )


def _check_host(certificate: x509.Certificate, host: str) -> None:
    names = {name.lower() for name in _alternative_names(certificate, x509.DNSName)}
    addresses = {str(address) for address in _alternative_names(certificate, x509.IPAddress)}
    try:
        known = str(ipaddress.ip_address(host)) in addresses
    except ValueError:
        known = host.lower() in names
    if not known:
        raise CertificateRefusedError("BadCertificateHostNameInvalid", f"it is of {sorted(names | addresses)}, not of {host}")


def _alternative_names(certificate: x509.Certificate, kind: type[x509.GeneralName]) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(each.value) for each in extension.value if isinstance(each, kind)]
