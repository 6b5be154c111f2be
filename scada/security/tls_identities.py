"""TLS certificates of the identities: ECDSA P-256, by an authority of their own beside the SM2 identities of the same folder.

``tls-ca.pem`` (with ``tls-ca.key`` where certificates are issued), ``tls-crl.pem``, and ``NAME.tls.pem`` with ``NAME.tls.key`` of
each identity. A plant may put certificates of its own authority there under the same names; the subject's common name and a DNS
name of the subject's alternative names must be the identity's name then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from scada.core.errors import SecurityError
from scada.security.key_files import ISSUED, PASSWORD_VARIABLE, replace
from scada.security.tls_authority import Layout, issue, make_authority, revoke

FILES: Final = Layout("tls-", ".tls", "scada keys init")
"""Names of the files in a folder of identities."""

SERVER_NAME: Final = "server"
"""Name in the server's certificate that clients want to see, whatever address they call."""

_DAYS: Final = 730.0
_LIST_DAYS: Final = 365.0


def init_tls(folder: Path, names: Iterable[str], now_ns: int, *, password: bytes | None = None) -> list[str]:
    """Make certificates, and the authority if there is none, for the names that have none; nothing is overwritten.

    Args:
        folder: of the identities.
        names: identities.
        now_ns: ns UTC.
        password: encrypts the new private keys.

    Returns:
        Names made now.

    Raises:
        SecurityError: the folder cannot be written.
    """
    missing = [name for name in names if not FILES.certificate(folder, name).exists()]
    return [name for name in missing if issue_tls(folder, name, now_ns, password=password)]


def issue_tls(
    folder: Path,
    name: str,
    now_ns: int,
    *,
    hosts: Sequence[str] = (),
    days: float = _DAYS,
    password: bytes | None = None,
    authority_password: bytes | None = None,
    request: bytes | None = None,
    new_key: bool = False,
) -> Path | None:
    """Issue or renew the TLS certificate of an identity; an existing key is kept, and so are the hosts if none are given.

    An authority is made where there is none. Where the folder holds an authority's certificate without its key, another authority
    issues the certificates, and nothing is done here.

    The server names itself as well by every host under which third parties call it; our own clients want its name only.

    Args:
        folder: of the identities.
        name: identity.
        now_ns: ns UTC.
        hosts: DNS names and addresses.
        days: validity.
        password: of the private key, and of a new authority's; None takes the environment's ``SCADA_KEY_PASSWORD`` if set.
        authority_password: of the authority's key; None = the same.
        request: PKCS#10 by a key that lies elsewhere.
        new_key: an existing key is replaced.

    Returns:
        File of the certificate, None if another authority issues it.

    Raises:
        SecurityError: a wrong host or password, or the folder cannot be written.
    """
    password = password_of(password)
    make_authority(
        folder, now_ns, name="scada TLS root", list_days=_LIST_DAYS, layout=FILES, password=authority_password or password
    )
    if not FILES.authority_key(folder).exists():
        return None
    path = FILES.certificate(folder, name)
    if not hosts:
        hosts = _hosts(path, name) if path.exists() else (("localhost", "127.0.0.1", "::1") if name == SERVER_NAME else ())
    made = issue(
        folder,
        name,
        now_ns,
        hosts=hosts,
        days=days,
        layout=FILES,
        password=password,
        authority_password=authority_password or password,
        request=request,
        new_key=new_key,
    )
    _note(folder, made)
    return made


def revoke_tls(
    folder: Path,
    names: Sequence[str],
    now_ns: int,
    *,
    old: bool = False,
    serials: Iterable[int] = (),
    password: bytes | None = None,
) -> list[str] | None:
    """Revoke every TLS certificate of identities and sign the list anew; servers take it within a second.

    Args:
        folder: of the identities.
        names: identities; those without a TLS certificate are passed over. Empty: only the list's validity begins again.
        now_ns: ns UTC.
        old: those in use stay good, the earlier ones are revoked.
        serials: of further certificates.
        password: of the authority's key.

    Returns:
        Serial numbers of all revoked certificates; None where another authority revokes.

    Raises:
        SecurityError: the folder cannot be written.
    """
    if not FILES.authority_key(folder).exists():
        return None
    fallen = set(serials)
    for name in names:
        current = FILES.certificate(folder, name)
        held = {_read(current).serial_number} if current.exists() else set()
        found = ((path.name, _read(path).serial_number) for path in (folder / ISSUED).glob("*.tls.pem"))
        noted = {serial for title, serial in found if title == _noted(name, serial)}
        fallen |= noted - held if old else noted | held
    return revoke(folder, [], now_ns, serials=sorted(fallen), days=_LIST_DAYS, layout=FILES, password=password_of(password))


def is_tls(path: Path) -> bool:
    """True if a file holds a certificate over ECDSA, as TLS has it, and not one over SM2."""
    try:
        return isinstance(_read(path).public_key(), ec.EllipticCurvePublicKey)
    except UnsupportedAlgorithm:
        return False


def issued_serial(folder: Path, path: Path) -> int:
    """Serial number of a TLS certificate in a file, proven to be by the authority of a folder.

    Raises:
        SecurityError: it cannot be read, or another authority issued it.
    """
    found, authority = _read(path), _read(FILES.authority(folder))
    try:
        found.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise SecurityError("the certificate is not by the TLS authority of this folder", where=str(path)) from error
    return found.serial_number


def _note(folder: Path, path: Path) -> None:
    """Keep a copy of what was issued: what is renewed stays good until it expires, and must be found when it is to be revoked."""
    name, certificate = path.name.removesuffix(".tls.pem"), _read(path)
    try:
        (folder / ISSUED).mkdir(mode=0o700, exist_ok=True)
        replace(folder / ISSUED / _noted(name, certificate.serial_number), path.read_bytes())
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(error.filename or folder)) from error


def _noted(name: str, serial: int) -> str:
    return f"{name}.{serial:x}.tls.pem"


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SecurityError(f"cannot read the certificate: {error}", where=str(path)) from error


def password_of(given: bytes | None) -> bytes | None:
    """A password that is given, else the environment's; None if there is none."""
    return given or os.environ.get(PASSWORD_VARIABLE, "").encode() or None


def _hosts(path: Path, name: str) -> tuple[str, ...]:
    try:
        names = _read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise SecurityError(f"cannot read the certificate: {error}", where=str(path)) from error
    found = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return tuple(host for host in found if host != name)
