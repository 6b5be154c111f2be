"""Whose TLS certificates are in force: the server's files and lists, read again when they change, and the client's.

TLS says which connection, the SM2 signature of the login says who; a session is good only on connections with the certificate it
was opened with. Revocation is checked here and not by the TLS library, which knows no lists: at every call and, for what lasts,
several times a second.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from scada.core.clock import NS_PER_S
from scada.core.errors import SecurityError
from scada.security.certificates import to_ns
from scada.security.key_files import read, read_secret, trusted
from scada.security.revocation import ListTerm, Revoked
from scada.security.revocation_memory import NEWER, RevocationMemory, owner_of
from scada.security.sm3 import sm3
from scada.security.tls_authority import list_number, read_key
from scada.security.tls_identities import FILES, SERVER_NAME, password_of

_MEND: Final = "`scada keys init FOLDER` makes what is missing"


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What matters of a TLS certificate.

    Attributes:
        digest: SM3 of its DER.
        name: common name.
        key: issuer and serial number, as revocation lists name it.
        not_after_ns: end of validity, ns UTC.
    """

    digest: bytes
    name: str
    key: tuple[bytes, int]
    not_after_ns: int


@lru_cache(maxsize=4096)
def peer_certificate(pem: bytes) -> PeerCertificate:
    """Read a certificate; of a chain the first one.

    Raises:
        SecurityError: it cannot be read.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return PeerCertificate(
            digest=sm3(certificate.public_bytes(serialization.Encoding.DER)),
            name=str(names[0].value) if names else "",
            key=(certificate.issuer.public_bytes(), certificate.serial_number),
            not_after_ns=int(certificate.not_valid_after_utc.timestamp()) * NS_PER_S,
        )
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise SecurityError(f"the TLS certificate cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class TlsList:
    """The revocation list of an authority.

    Attributes:
        issuer: DER of its authority's name.
        title: the same for people.
        number: grows with every list; 0 = the authority counts none; None = there is no list of this authority.
        entries: what it revokes.
    """

    issuer: bytes
    title: str
    number: int | None
    entries: tuple[Revoked, ...]

    @property
    def owner(self) -> str:
        """Names the authority in the memory."""
        return owner_of("TLS", self.issuer)


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """Files of one end as they were read; all PEM.

    Attributes:
        authority: certificates of the authorities that issue peers' certificates.
        certificate: ours, followed by those between it and the root.
        key: private key of it, not encrypted.
        own: ours.
        revoked: issuer and serial number of every certificate on the list.
        list_until_ns: when the next list is due, ns UTC; None without a list.
        lists: one of each authority.
    """

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    own: PeerCertificate
    revoked: frozenset[tuple[bytes, int]]
    list_until_ns: int | None
    lists: tuple[TlsList, ...] = ()


def read_material(folder: Path, name: str, *, password: bytes | None = None, need_list: bool = False) -> TlsMaterial:
    """Read and prove one end's files.

    Args:
        folder: of the identities.
        name: identity.
        password: of the private key; None takes the environment's ``SCADA_KEY_PASSWORD`` if set.
        need_list: True for servers, which must be able to refuse.

    Raises:
        SecurityError: a file is missing, corrupt or readable by others, or they do not belong together.
    """
    authority = read(trusted(FILES.authority(folder)))
    path, key_path = FILES.certificate(folder, name), FILES.key(folder, name)
    certificate, key = read(path), _secret(key_path, password)
    try:
        ours = x509.load_pem_x509_certificate(certificate)
        roots = x509.load_pem_x509_certificates(authority)
    except ValueError as error:
        raise SecurityError(f"no certificate: {error}", where=str(folder), mend=_MEND) from error
    if not _belong(ours, key):
        raise SecurityError(
            "the TLS key does not belong to the certificate", where=str(key_path), mend="issue the identity again"
        )
    list_path = FILES.crl(folder)
    lists, until = _lists(list_path, roots) if need_list or list_path.exists() else ((), None)
    revoked = frozenset((one.issuer, entry.serial) for one in lists for entry in one.entries)
    return TlsMaterial(authority, certificate, key, peer_certificate(_first(certificate)), revoked, until, lists)


class TlsTrust:
    """The server's TLS files, read again when they change. Safe to call from several threads.

    Args:
        folder: of the identities.
        name: of the server's identity.
        password: of its private key; None takes the environment's.
        memory: what was ever revoked; None remembers while this object lives.

    Attributes:
        fault: why files that changed could not be taken, empty if they could; those read last go on to serve.

    Raises:
        SecurityError: a file is missing or cannot be used.
    """

    def __init__(
        self, folder: Path, name: str = SERVER_NAME, *, password: bytes | None = None, memory: RevocationMemory | None = None
    ) -> None:
        self.folder = folder
        self._name = name
        self._password = password
        self._lock = Lock()
        self._memory = memory or RevocationMemory()
        self._stamp = self._now()
        found = read_material(folder, name, password=password, need_list=True)
        self._unread = False
        self._behind = self._memory.damage or self._older(found)
        self.fault = self._behind and f"{self._behind} ({NEWER})"
        self._material = self._with_remembered(found)
        self._served = {self._material.own.digest: self._material.own}
        self._met: dict[bytes, PeerCertificate] = {}

    @property
    def material(self) -> TlsMaterial:
        """As read last."""
        return self._material

    def refresh(self) -> bool:
        """Take files that have changed; True if anything was taken. Costs four ``stat`` calls."""
        stamp = self._now()
        with self._lock:
            if stamp == self._stamp and not self._unread:
                return False
            try:
                self._material = self._with_remembered(self._read_forward())
            except SecurityError as error:  # half written, perhaps: what was read last still refuses what it refused
                self.fault, self._unread = str(error), True
                return False
            self._stamp, self._unread = stamp, False
            self._behind = self.fault = self._memory.damage
            self._served[self._material.own.digest] = self._material.own
            return True

    def digests(self) -> frozenset[bytes]:
        """SM3 of the DER of each certificate that connections made until now may have seen, but for revoked ones."""
        with self._lock:
            return frozenset(d for d, certificate in self._served.items() if certificate.key not in self._material.revoked)

    def refusal(self, peer: PeerCertificate, now_ns: int) -> str:
        """Why a certificate that the handshake took must not go on, empty if it may."""
        if peer.key in self._material.revoked:
            return f"the TLS certificate of {peer.name!r} was revoked"
        if now_ns >= peer.not_after_ns:
            return f"the TLS certificate of {peer.name!r} has expired"
        return ""

    def meet(self, peer: PeerCertificate, now_ns: int) -> str:
        """As :meth:`refusal`, and remember the certificate for :meth:`refusal_of`."""
        if peer.digest not in self._met:
            with self._lock:
                self._met[peer.digest] = peer
        return self.refusal(peer, now_ns)

    def refusal_of(self, digest: bytes, now_ns: int) -> str:
        """As :meth:`refusal`, of a certificate that was met, by its SM3 digest; empty for others."""
        peer = self._met.get(digest)
        return "" if peer is None else self.refusal(peer, now_ns)

    def is_list_stale(self, now_ns: int) -> bool:
        """True if the next revocation list is overdue, or ours is older than what was in force: who is revoked is not known."""
        until = self._material.list_until_ns
        return bool(self._behind) or until is None or now_ns >= until

    def list_terms(self, now_ns: int) -> list[ListTerm]:
        """The revocation list if it is overdue or soon will be."""
        until = self._material.list_until_ns or 0
        term = ListTerm.of("TLS", 0, until, now_ns)
        return [term] if term else []

    def _read_forward(self) -> TlsMaterial:
        """The files as they are now, unless a list goes back."""
        found = read_material(self.folder, self._name, password=self._password, need_list=True)
        if why := self._older(found):
            raise SecurityError(why, where=str(FILES.crl(self.folder)), mend=NEWER)
        return found

    def _older(self, found: TlsMaterial) -> str:
        """Which lists are older than what was in force; empty if none."""
        return "; ".join(filter(None, (self._memory.older(one.owner, one.number) for one in found.lists)))

    def _with_remembered(self, found: TlsMaterial) -> TlsMaterial:
        """What was read, and what was ever revoked besides: an older list put back brings nobody back."""
        remembered = {(one.issuer, serial) for one in found.lists for serial in self._memory.revoked(one.owner, one.number)}
        for one in found.lists:
            if one.number is not None:
                self._memory.learn(one.owner, one.title, one.number, one.entries)
        self._memory.save()
        return replace(found, revoked=found.revoked | remembered)

    def _now(self) -> tuple[tuple[int, int, int], ...]:
        folder, name = self.folder, self._name
        return tuple(
            _stamp(path)
            for path in (FILES.authority(folder), FILES.crl(folder), FILES.certificate(folder, name), FILES.key(folder, name))
        )


class ClientTls:
    """What a client proves itself by, and how it proves the server.

    Args:
        folder: of the identities: ``tls-ca.pem``, ``NAME.tls.pem``, ``NAME.tls.key``, and ``tls-crl.pem`` if it is there.
        name: our identity.
        server_name: name the server's certificate must bear.
        password: of the private key; None takes the environment's.

    Raises:
        SecurityError: a file is missing or cannot be used.
    """

    def __init__(self, folder: Path, name: str, *, server_name: str = SERVER_NAME, password: bytes | None = None) -> None:
        self._folder = folder
        self._name = name
        self._password = password
        self.server_name = server_name
        self.material = read_material(folder, name, password=password)

    def renew(self) -> None:
        """Read the files again; what cannot be read leaves what was read before."""
        try:
            self.material = read_material(self._folder, self._name, password=self._password)
        except SecurityError:
            return

    def context(self) -> ssl.SSLContext:
        """For a handshake of our own, in which the server shows its certificate: TLS 1.3, its authority and its name checked."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=self.material.authority.decode())
        context.load_cert_chain(
            FILES.certificate(self._folder, self._name),
            FILES.key(self._folder, self._name),
            password=lambda: password_of(self._password) or b"",
        )
        context.set_alpn_protocols(["h2"])
        return context

    def server_certificate(self, der: bytes) -> tuple[bytes, bytes]:
        """The server's certificate of such a handshake as PEM, and its SM3 digest.

        Raises:
            SecurityError: it was revoked, or cannot be read.
        """
        pem = ssl.DER_cert_to_PEM_cert(der).encode()
        certificate = peer_certificate(pem)
        if certificate.key in self.material.revoked:
            raise SecurityError("the server's TLS certificate was revoked", where=certificate.name)
        return pem, certificate.digest


def _secret(path: Path, password: bytes | None) -> bytes:
    read_secret(path)
    key = read_key(path, password_of(password))
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)  # type: ignore[attr-defined,no-any-return]


def _belong(certificate: x509.Certificate, key: bytes) -> bool:
    public = serialization.load_pem_private_key(key, None).public_key()
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form) == public.public_bytes(*form)


def _lists(path: Path, roots: Sequence[x509.Certificate]) -> tuple[tuple[TlsList, ...], int]:
    """The lists in a file, and when the first of the next lists is due, ns UTC."""
    end = b"-----END X509 CRL-----\n"
    parts = [part + end for part in read(trusted(path)).replace(b"\r", b"").split(end) if b"BEGIN X509 CRL" in part]
    found, until = [], []
    try:
        lists = [x509.load_pem_x509_crl(part) for part in parts]
    except ValueError as error:
        raise SecurityError(f"no revocation list: {error}", where=str(path), mend="put the last good one back") from error
    if not lists:
        raise SecurityError("no revocation list", where=str(path), mend="put the last good one back")
    for one in lists:
        if not any(one.issuer == root.subject and _signed(one, root) for root in roots):
            raise SecurityError("the revocation list is not by an authority of tls-ca.pem", where=str(path))
        entries = tuple(Revoked(each.serial_number, to_ns(each.revocation_date_utc), _reason(each)) for each in one)
        found.append(TlsList(one.issuer.public_bytes(), one.issuer.rfc4514_string(), list_number(one), entries))
        due = one.next_update_utc or datetime.fromtimestamp(0, tz=UTC)
        until.append(int(due.timestamp()) * NS_PER_S)
    without = {root.subject.public_bytes(): root for root in roots if root.subject not in {one.issuer for one in lists}}
    found += [TlsList(issuer, root.subject.rfc4514_string(), None, ()) for issuer, root in without.items()]
    return tuple(found), min(until)


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except x509.ExtensionNotFound:
        return "unspecified"


def _signed(one: x509.CertificateRevocationList, root: x509.Certificate) -> bool:
    try:
        return one.is_signature_valid(root.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _first(chain: bytes) -> bytes:
    end = b"-----END CERTIFICATE-----"
    return chain[: chain.index(end) + len(end)] + b"\n"


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
