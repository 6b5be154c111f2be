"""A small authority for the certificates of TLS links: for tests, laboratories and first steps.

A plant takes its certificates from its own authority; the files are the same. ECDSA keys on P-256, RFC 5280 certificates.
Files of the folder: ``ca.pem`` and ``ca.key``, ``crl.pem``, and ``NAME.pem`` with ``NAME.key`` of everyone; a :class:`Layout`
gives them other names where they stand beside others.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scada.core.clock import NS_PER_S
from scada.core.errors import SecurityError
from scada.security.key_files import replace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_EARLIER: Final = timedelta(hours=1)
"""For peers whose clocks are behind."""
AUTHORITY: Final = "ca"
_CRL: Final = "crl"


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of the files of one authority.

    Attributes:
        prefix: before the names of the authority's own files.
        suffix: between the name of a holder and the file's extension.
        init: command that makes the authority, for errors.
    """

    prefix: str = ""
    suffix: str = ""
    init: str = "scada keys tls init"

    def authority(self, folder: Path) -> Path:
        """Certificate of the authority."""
        return folder / f"{self.prefix}{AUTHORITY}.pem"

    def authority_key(self, folder: Path) -> Path:
        """Its private key."""
        return folder / f"{self.prefix}{AUTHORITY}.key"

    def crl(self, folder: Path) -> Path:
        """Its revocation list."""
        return folder / f"{self.prefix}{_CRL}.pem"

    def certificate(self, folder: Path, name: str) -> Path:
        """Certificate of a holder."""
        return folder / f"{name}{self.suffix}.pem"

    def key(self, folder: Path, name: str) -> Path:
        """Private key of a holder."""
        return folder / f"{name}{self.suffix}.key"


LINKS: Final = Layout()
"""A folder for telecontrol links only."""


def make_authority(
    folder: Path,
    now_ns: int,
    *,
    name: str = "scada TLS authority",
    days: float = 3650.0,
    list_days: float = 30.0,
    layout: Layout = LINKS,
    password: bytes | None = None,
) -> None:
    """Make an authority and an empty revocation list; what is there stays.

    Args:
        folder: made with mode 0700 if absent.
        now_ns: ns UTC.
        name: common name.
        days: validity.
        list_days: until the next revocation list is due.
        layout: names of the files.
        password: encrypts the private key; None leaves it plain (mode 0600).

    Raises:
        SecurityError: the folder cannot be written.
    """
    if layout.authority(folder).exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = _subject(name), _moment(now_ns)
    builder = _builder(subject, subject, key.public_key(), now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_key(layout.authority_key(folder), key, password)
        _write(layout.authority(folder), certificate.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise SecurityError(f"cannot write the authority: {error.strerror}", where=str(folder)) from error
    revoke(folder, [], now_ns, days=list_days, layout=layout, password=password)


def issue(
    folder: Path,
    name: str,
    now_ns: int,
    *,
    hosts: Sequence[str] = (),
    days: float = 365.0,
    layout: Layout = LINKS,
    password: bytes | None = None,
    authority_password: bytes | None = None,
    request: bytes | None = None,
    new_key: bool = False,
) -> Path:
    """Issue a certificate, good for a client and for a server; an existing key is kept, also one that lies elsewhere.

    Args:
        folder: of the authority.
        name: common name and file name.
        now_ns: ns UTC.
        hosts: DNS names and addresses under which it is called.
        days: validity; negative: expired already (tests).
        layout: names of the files.
        password: of the holder's private key, encrypts a new one; None = it is plain.
        authority_password: of the authority's private key; None = it is plain.
        request: PKCS#10 by the holder's key, see :func:`make_request`; its name and wishes are ignored.
        new_key: an existing key is replaced.

    Returns:
        File of the certificate.

    Raises:
        SecurityError: no such authority, a wrong name, host or validity, or the folder cannot be written.
    """
    path = layout.certificate(folder, name)
    if not _NAME.fullmatch(name) or path in (layout.authority(folder), layout.crl(folder)):
        raise SecurityError(f"{name!r} is no name for a certificate", mend="use letters, digits, point, hyphen and underscore")
    authority, signer = _authority(folder, layout, authority_password)
    key_path = layout.key(folder, name)
    if request is not None:
        public = _asked(request)
    elif path.exists() and not key_path.exists() and not new_key:
        public = _on_p256(_certificate(path).public_key(), path)
    else:
        public = _key(key_path, password, new=new_key).public_key()
    now = _moment(now_ns)
    builder = _builder(_subject(name), authority.subject, public, now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = builder.add_extension(both, critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(issuer, critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in (name, *hosts)]), critical=False)
    _write(path, builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def make_request(folder: Path, name: str, *, layout: Layout = LINKS, password: bytes | None = None) -> bytes:
    """PKCS#10 for the key of a holder, PEM; the key is made where there is none and stays.

    Raises:
        SecurityError: a wrong password, or the folder cannot be written.
    """
    key = _key(layout.key(folder, name), password)
    request = x509.CertificateSigningRequestBuilder().subject_name(_subject(name)).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def revoke(
    folder: Path,
    names: Sequence[str],
    now_ns: int,
    *,
    serials: Iterable[int] = (),
    days: float = 30.0,
    layout: Layout = LINKS,
    password: bytes | None = None,
) -> list[str]:
    """Add certificates to the revocation list and sign it anew; without names only its validity begins again.

    Args:
        folder: of the authority.
        names: whose certificates.
        now_ns: ns UTC.
        serials: serial numbers of further certificates.
        days: until the next list is due; then the old one counts as expired, and nobody is admitted by it.
        layout: names of the files.
        password: of the authority's private key; None = it is plain.

    Returns:
        Serial numbers of all revoked certificates, as hexadecimal text.

    Raises:
        SecurityError: no such authority, no such certificate, or the folder cannot be written.
    """
    authority, signer = _authority(folder, layout, password)
    now, path = _moment(now_ns), layout.crl(folder)
    entries = {entry.serial_number: entry for entry in _list(path)} if path.exists() else {}
    for serial in [*(_certificate(layout.certificate(folder, name)).serial_number for name in names), *serials]:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        entries.setdefault(serial, entry)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    builder = builder.last_update(now - _EARLIER).next_update(_after(now, days))
    number = max(list_number(_list(path)) + 1 if path.exists() else 1, now_ns // NS_PER_S)
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for entry in entries.values():
        builder = builder.add_revoked_certificate(entry)
    _write(path, builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return [f"{serial:x}" for serial in entries]


def _authority(folder: Path, layout: Layout, password: bytes | None) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    path = layout.authority_key(folder)
    if not path.exists():
        raise SecurityError("there is no TLS authority", where=str(folder), mend=f"`{layout.init} FOLDER` makes one")
    return _certificate(layout.authority(folder)), _key(path, password)


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SecurityError(f"no certificate: {error}", where=str(path)) from error


def list_number(one: x509.CertificateRevocationList) -> int:
    """Number of a revocation list; 0 if it has none."""
    try:
        return one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def _list(path: Path) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SecurityError(f"no revocation list: {error}", where=str(path), mend="put the last good one back") from error


def _key(path: Path, password: bytes | None, *, new: bool = False) -> ec.EllipticCurvePrivateKey:
    """The key of a file; a new one in it if there is none, or if it is wanted."""
    if new or not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        _write_key(path, key, password)
        return key
    found = read_key(path, password)
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise SecurityError("not an ECDSA key", where=str(path))
    return found


def _asked(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a request, whose maker has proven to hold it."""
    try:
        read = x509.load_pem_x509_csr(request)
        proven = read.is_signature_valid
        public = read.public_key()
    except (ValueError, TypeError, InvalidSignature) as error:
        raise SecurityError(f"not a readable request for a TLS certificate: {error}") from error
    if not proven:
        raise SecurityError("the signature on the request is wrong: its maker does not hold the key")
    return _on_p256(public, None)


def _on_p256(public: object, where: Path | None) -> ec.EllipticCurvePublicKey:
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise SecurityError("not an ECDSA key on P-256", where=str(where or "request"))
    return public


def read_key(path: Path, password: bytes | None) -> object:
    """The private key of a PEM file, whether it is encrypted or not.

    Raises:
        SecurityError: there is none, or the password does not open it.
    """
    try:
        data = path.read_bytes()
        return serialization.load_pem_private_key(data, password if b"ENCRYPTED" in data else None)
    except TypeError as error:
        raise SecurityError("the private key is encrypted", where=str(path), mend="give its password") from error
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise SecurityError(f"no private key for TLS: {error}", where=str(path)) from error


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: float
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    until = _after(now, days)
    return builder.not_valid_before(min(now, until) - _EARLIER).not_valid_after(until)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise SecurityError(f"{host!r} is no host", mend="write an international name in its ASCII form, xn--...") from error


def _after(now: datetime, days: float) -> datetime:
    try:
        return now + timedelta(days=days)
    except (ValueError, OverflowError) as error:
        raise SecurityError(f"{days:g} days are no time of validity", mend="give a number of days") from error


def _moment(now_ns: int) -> datetime:
    return datetime.fromtimestamp(now_ns // NS_PER_S, tz=UTC)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey, password: bytes | None) -> None:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    _write(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, for a listener may be reading it; mode 0600."""
    try:
        replace(path, data, 0o600)
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(path)) from error
