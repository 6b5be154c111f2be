"""TLS of telecontrol links after IEC 62351-3: both sides prove who they are, revoked and expired peers are refused.

A :class:`TlsContext` is an ``ssl.SSLContext`` for any library that takes one (asyncio, uvloop, pymodbus). It looks at its files
before every handshake and takes what has changed, so that a new revocation list or a renewed certificate needs no restart; files
that cannot be used are told in :attr:`TlsContext.fault`, and those read last go on to serve.
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509
from cryptography.x509.oid import NameOID

from scada.core.clock import NS_PER_S
from scada.core.errors import SecurityError

SECURE_PORT: Final = 19998
"""Port of IEC 60870-5-104 over TLS, as registered for it; a convention, any port may be used."""

_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!eNULL:!PSK:!SHA1:!DSS:@SECLEVEL=2"
"""Of TLS 1.2: forward secrecy and authenticated encryption only, as TLS 1.3 always has; level 2 refuses keys below RSA 2048."""

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_HINT: Final = "see docs/protocols/tls.md"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What one end of a connection proves itself and checks its peer by. All files are PEM.

    Attributes:
        ca: certificates of the authorities that issue peers' certificates.
        certificate: ours, followed by those between it and the root.
        key: private key of it, readable by its owner only, not encrypted.
        crl: revocation lists, one of every authority in a peer's chain; None = revocation is not checked.
        peer_names: who may answer or call: common name, or DNS name or address in the subject's alternative names; exact. Empty:
            a server admits everyone with a certificate of ``ca``, a client wants the host that it calls.
        minimum: lowest version, ``1.2`` or ``1.3``.
        where: channel or listener, named in errors.
    """

    ca: Path
    certificate: Path
    key: Path
    crl: Path | None = None
    peer_names: frozenset[str] = frozenset()
    minimum: str = "1.2"
    where: str = "TLS"

    @classmethod
    def of(cls, params: Mapping[str, float | str], base: Path, where: str) -> TlsFiles | None:
        """From the parameters of a channel.

        They are ``tls`` (0 or 1), ``tls_ca``, ``tls_certificate``, ``tls_key``, ``tls_crl``, ``tls_peer_name`` (several with
        commas between) and ``tls_minimum``.

        Args:
            params: by name.
            base: folder that relative paths start from.
            where: channel or listener, named in errors.

        Returns:
            None without ``tls``.

        Raises:
            SecurityError: a file is not named, or a value is none of those that may be; also ``tls_...`` without ``tls``, because
                a link that was meant to be secured must not run open.
        """
        given = {name: _text(value) for name, value in params.items() if name.startswith("tls")}
        switch = given.pop("tls", "0")
        if switch not in {"0", "1"}:
            raise SecurityError(f"tls is 0 or 1, not {switch!r}", where=where, mend=_HINT)
        if switch == "0":
            if given:
                names = ", ".join(sorted(given))
                raise SecurityError(f"{names} without tls = 1", where=where, mend="set tls = 1, or take them away")
            return None
        known = {"tls_ca", "tls_certificate", "tls_key", "tls_crl", "tls_peer_name", "tls_minimum"}
        if unknown := given.keys() - known:
            raise SecurityError(f"there is no parameter {min(unknown)}", where=where, mend=f"use {', '.join(sorted(known))}")
        if missing := [name for name in ("tls_ca", "tls_certificate", "tls_key") if not given.get(name)]:
            raise SecurityError(f"tls = 1 without {' and '.join(missing)}", where=where, mend=_HINT)
        minimum = given.get("tls_minimum", "1.2")
        if minimum not in _VERSIONS:
            raise SecurityError(f"tls_minimum is 1.2 or 1.3, not {minimum!r}", where=where, mend=_HINT)
        peers = frozenset(name.strip().lower() for name in given.get("tls_peer_name", "").split(",") if name.strip())
        crl = base / given["tls_crl"] if given.get("tls_crl") else None
        ca, certificate, key = (base / given[name] for name in ("tls_ca", "tls_certificate", "tls_key"))
        return cls(ca, certificate, key, crl, peers, minimum, where)

    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return (self.ca, self.certificate, self.key, *([self.crl] if self.crl else []))


def client_context(files: TlsFiles) -> TlsContext:
    """Context of the end that connects.

    Raises:
        SecurityError: a file cannot be used; it is named, with the mend.
    """
    return TlsContext(files, server_side=False)


def server_context(files: TlsFiles) -> TlsContext:
    """Context of the end that listens; it wants a certificate of every client.

    Raises:
        SecurityError: a file cannot be used; it is named, with the mend.
    """
    return TlsContext(files, server_side=True)


class TlsContext(ssl.SSLContext):
    """Gives each connection the context that is right at its handshake.

    Args:
        files: what to prove and to check.
        server_side: the end that listens.

    Raises:
        SecurityError: a file cannot be used.
    """

    files: TlsFiles
    fault: str
    """What keeps changed files from being taken; empty while there is nothing."""
    refused: Callable[[str], None]
    """Told in one sentence why a handshake failed; a listener of asyncio is not told otherwise. Set it after construction."""

    def __new__(cls, files: TlsFiles, *, server_side: bool) -> Self:  # noqa: D102 - the class says it
        del files
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, files: TlsFiles, *, server_side: bool) -> None:
        self.files = files
        self.fault = ""
        self._server_side = server_side
        self._stamp = _stamp(files)
        self.refused = _nobody
        self._inner, self._revoked = self._read()

    def wrap_bio(self, *args: Any, **named: Any) -> ssl.SSLObject:
        """As of ``ssl.SSLContext``, by the files as they are now."""
        return self._renewed().wrap_bio(*args, **named)

    def wrap_socket(self, *args: Any, **named: Any) -> ssl.SSLSocket:
        """As of ``ssl.SSLContext``, by the files as they are now."""
        return self._renewed().wrap_socket(*args, **named)

    def refusal(self, peer: bytes | None, now_ns: int) -> str:
        """Why the peer of a running connection is not to be trusted any more; empty if it is.

        The handshake checks more, but only once; call this from time to time, for links stand for months.

        Args:
            peer: DER of its certificate (``getpeercert(True)``).
            now_ns: ns UTC.
        """
        self._renewed()
        if peer is None:
            return "the peer has no certificate"
        now = datetime.fromtimestamp(now_ns / NS_PER_S, tz=UTC)
        try:
            certificate = x509.load_der_x509_certificate(peer)
            if (certificate.issuer.public_bytes(), certificate.serial_number) in self._revoked:
                return f"the certificate of {_shown(certificate)} was revoked"
            return f"the certificate of {_shown(certificate)} has expired" if certificate.not_valid_after_utc <= now else ""
        except _UNREADABLE as error:
            return f"{_CANNOT_READ}: {error}"

    def _tell(self, text: str) -> None:
        self.refused(text)

    def _read(self) -> tuple[ssl.SSLContext, frozenset[tuple[bytes, int]]]:
        context = _context(self.files, self._tell, server_side=self._server_side)
        return context, _revoked(self.files)

    def _renewed(self) -> ssl.SSLContext:
        stamp = _stamp(self.files)
        if stamp != self._stamp:
            try:
                self._inner, self._revoked = self._read()
                self._stamp, self.fault = stamp, ""
            except SecurityError as error:  # half written, perhaps: what was read last still refuses what it refused
                self.fault = str(error)
        return self._inner


_UNREADABLE: Final = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_CANNOT_READ: Final = "the certificate of the peer cannot be read"


def _nobody(text: str) -> None:
    """Nobody listens."""
    del text


def handshake_fault(error: Exception) -> str:
    """What a failed handshake means, in one sentence with its mend; for others than TLS faults the error's own text."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = getattr(error, "verify_code", 0)
        return f"TLS: {_VERIFY.get(code) or getattr(error, 'verify_message', '') or error.strerror or error}"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        return f"TLS: {_ALERTS.get(reason) or reason.replace('_', ' ').lower() or error.strerror or error}"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


_VERIFY: Final = {
    2: "the peer's certificate is by an authority that is not in tls_ca",
    3: "there is no revocation list of the authority of the peer's certificate; add it to tls_crl",
    9: "the peer's certificate is not valid yet; check the clocks",
    10: "the peer's certificate has expired",
    11: "the revocation list is not valid yet; check the clocks",
    12: "the revocation list has expired; fetch the new one into tls_crl",
    18: "the peer's certificate is signed by itself and not in tls_ca",
    19: "the root of the peer's certificate is not in tls_ca",
    20: "the peer's certificate is by an authority that is not in tls_ca",
    21: "the peer's certificate is by an authority that is not in tls_ca",
    23: "the peer's certificate was revoked",
    62: "the peer's certificate names another host; set tls_peer_name to the name in it if that is the right one",
    64: "the peer's certificate names another address; set tls_peer_name to the name in it if that is the right one",
}
"""By OpenSSL's X509_V_ERR codes."""

_ALERTS: Final = {
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not know the authority of our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer says that our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the peer says that our certificate was revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer does not accept our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer does not accept our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer wants a certificate and got none",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer showed no certificate",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer does not speak our version of TLS; compare tls_minimum",
    "UNSUPPORTED_PROTOCOL": "the peer does not speak TLS of our tls_minimum",
    "NO_SHARED_CIPHER": "the peer and we have no cipher suite in common",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the peer refused the handshake; it may want other cipher suites or a certificate",
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS",
    "HTTP_REQUEST": "the peer does not speak TLS",
}


# ---------------------------------------------------------------- one context


class _Checked:
    """A connection whose peer must bear one of the names that may, and whose refusal is told."""

    names: frozenset[str]
    refused: Callable[[str], None]

    def shake_hands(self, proceed: Callable[[], None], peer: Callable[[], bytes | None]) -> None:
        try:
            proceed()
            self._check(peer())
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.refused(handshake_fault(error))
            raise

    def _check(self, peer: bytes | None) -> None:
        try:
            certificate = x509.load_der_x509_certificate(peer) if peer else None
            wrong = self.names and (certificate is None or not self.names & _names(certificate))
            shown = _shown(certificate) if wrong and certificate else "nobody"
        except _UNREADABLE as error:  # OpenSSL takes what is not quite by the rules
            raise ssl.SSLCertVerificationError(1, f"{_CANNOT_READ}: {error}") from error
        if wrong:
            raise ssl.SSLCertVerificationError(1, f"the peer is {shown}, not {' or '.join(sorted(self.names))} (tls_peer_name)")


def _context(files: TlsFiles, told: Callable[[str], None], *, server_side: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[files.minimum]
    context.set_ciphers(_CIPHERS)
    # A ticket would outlive a revocation. What TLS 1.2 resumes by session id ends with this context, at the latest in two hours.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if server_side:
        context.num_tickets = 0
    context.check_hostname = not server_side and not files.peer_names
    context.verify_mode = ssl.CERT_REQUIRED
    _load(files, context)

    class CheckedObject(ssl.SSLObject, _Checked):
        names = files.peer_names
        refused = staticmethod(told)

        def do_handshake(self) -> None:
            self.shake_hands(super().do_handshake, lambda: self.getpeercert(True))

    class CheckedSocket(ssl.SSLSocket, _Checked):
        names = files.peer_names
        refused = staticmethod(told)

        def do_handshake(self, block: bool = False) -> None:
            proceed = super().do_handshake
            self.shake_hands(lambda: proceed(block), lambda: self.getpeercert(True))

    context.sslobject_class = CheckedObject
    context.sslsocket_class = CheckedSocket
    return context


def _load(files: TlsFiles, context: ssl.SSLContext) -> None:
    for name, path in zip(("tls_ca", "tls_certificate", "tls_key", "tls_crl"), files.all(), strict=False):
        _readable(path, name, files.where)
    if files.key.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise SecurityError("others can read the private key", where=f"{files.where}: {files.key}", mend="chmod 600 it")
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError as error:
        raise _unusable(files, files.ca, "holds no certificate of an authority", error) from error
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        what = {"KEY_VALUES_MISMATCH": "does not belong to the key"}.get(getattr(error, "reason", None) or "", "")
        if what:
            raise _unusable(files, files.certificate, f"{what} {files.key}", error) from error
        raise _unusable(
            files, files.key, "or the certificate beside it is no PEM file, or the key is encrypted", error
        ) from error
    if files.crl is not None:
        try:
            context.load_verify_locations(files.crl)
        except ssl.SSLError as error:
            raise _unusable(files, files.crl, "is no revocation list", error) from error
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _no_password() -> str:
    """Else OpenSSL would ask at the terminal."""
    return ""


def _readable(path: Path, name: str, where: str) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SecurityError(f"cannot read {name}: {error.strerror}", where=f"{where}: {path}", mend=_HINT) from error


def _unusable(files: TlsFiles, path: Path, what: str, error: Exception) -> SecurityError:
    reason = getattr(error, "reason", None) or error
    return SecurityError(f"the file {what} ({reason})", where=f"{files.where}: {path}", mend=_HINT)


def _stamp(files: TlsFiles) -> tuple[tuple[int, int, int], ...]:
    stamps = []
    for path in files.all():
        try:
            found = path.stat()
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        except OSError:
            stamps.append((0, 0, 0))
    return tuple(stamps)


def _revoked(files: TlsFiles) -> frozenset[tuple[bytes, int]]:
    """(issuer, serial number) of every revoked certificate."""
    if files.crl is None:
        return frozenset()
    end = b"-----END X509 CRL-----"
    found = set()
    try:
        for part in files.crl.read_bytes().split(end)[:-1]:
            crl = x509.load_pem_x509_crl(part[part.index(b"-----BEGIN X509 CRL-----") :] + end)
            issuer = crl.issuer.public_bytes()
            found |= {(issuer, entry.serial_number) for entry in crl}
    except (OSError, ValueError) as error:
        raise _unusable(files, files.crl, "is no revocation list", error) from error
    return frozenset(found)


def _names(certificate: x509.Certificate) -> set[str]:
    names = {str(attribute.value).lower() for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    names |= {name.lower() for name in others.get_values_for_type(x509.DNSName)}
    return names | {str(address) for address in others.get_values_for_type(x509.IPAddress)}


def _shown(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return repr(str(names[0].value)) if names else f"serial number {certificate.serial_number}"


def _text(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float | int) else value.strip()
