"""Identities on disk: a folder with an authority, keys, certificates and the table that says who has which role where.

``ca.cert.pem`` is what a client trusts; ``NAME.key.pem`` (mode 0600) and ``NAME.cert.pem`` are an identity; ``roles.toml`` maps
identities to roles and areas. The table cannot give a role that the identity's certificate does not bear.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from scada.core.clock import Clock, SystemClock
from scada.core.errors import SecurityError
from scada.security.authorities import Authorities, load_authorities
from scada.security.certificates import Certificate
from scada.security.issuing import issue_identity, make_root
from scada.security.key_files import (
    AUTHORITY,
    certificate_path,
    load_certificate,
    read_secret,
    replace,
)
from scada.security.key_files import PASSWORD_VARIABLE as PASSWORD_VARIABLE  # noqa: PLC0414 - one place to import from
from scada.security.key_files import load_authority as load_authority  # noqa: PLC0414
from scada.security.signers import load_signer
from scada.security.sm2 import Signer, Sm2Key
from scada.security.tls_identities import init_tls
from scada.security.users import ROLES_FILE, new_table
from scada.security.users_file import save_users

DEMO_IDENTITIES: Final[Mapping[str, Sequence[str]]] = {
    "server": ("SERVER",),
    "operator": ("OPERATOR",),
    "guardian": ("GUARDIAN",),
    "dispatcher": ("DISPATCHER",),
    "engineer": ("ENGINEER",),
    "viewer": ("VIEWER",),
    "leader": ("SHIFT_LEADER",),
    "secadm": ("SECADM",),
    "auditor": ("SECAUD",),
}
"""Identities of a first start and their roles; all have every area."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Someone who can sign: a certificate and what signs for it."""

    certificate: Certificate
    signer: Signer

    @property
    def name(self) -> str:
        """Common name of the certificate."""
        return self.certificate.name

    @property
    def current(self) -> Identity:
        """Itself: what was loaded once stays; see :class:`~scada.security.renewable_identity.RenewableIdentity`."""
        return self

    @property
    def fault(self) -> str:
        """Empty: there is nothing to take."""
        return ""

    def refresh(self) -> bool:
        """False: there is nothing to take."""
        return False


class IdentityHolder(Protocol):
    """Whoever can be asked for an identity whenever something is to be signed."""

    @property
    def fault(self) -> str:
        """Why what has changed could not be taken, empty if it could."""
        ...

    @property
    def current(self) -> Identity:
        """Certificate and signer that belong together now."""
        ...

    def refresh(self) -> bool:
        """Take what has changed; True if the identity has another certificate now."""
        ...


def init_identities(folder: Path, clock: Clock | None = None, *, password: bytes | None = None) -> list[str]:
    """Make the authority and the demo identities in a folder where they do not exist yet; nothing is ever overwritten.

    Args:
        folder: made with mode 0700 if absent.
        clock: gives the time of issue; None is the host's.
        password: encrypts the new private keys; None leaves them plain (mode 0600).

    Returns:
        Names made now.

    Raises:
        SecurityError: the folder cannot be written, or what it holds is corrupt.
    """
    clock = clock or SystemClock()
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not certificate_path(folder, AUTHORITY).exists():
            make_root(folder, clock, password=password)
            made.append(AUTHORITY)
        missing = [name for name in DEMO_IDENTITIES if not certificate_path(folder, name).exists()]
        for name in missing:
            issue_identity(folder, name, DEMO_IDENTITIES[name], clock, password=password, authority_password=password)
            made.append(name)
        init_tls(folder, DEMO_IDENTITIES, clock.now_ns(), password=password)
        if not (folder / ROLES_FILE).exists():
            save_users(folder, new_table(DEMO_IDENTITIES))
    except OSError as error:
        raise SecurityError(f"cannot make keys: {error.strerror}", where=str(error.filename or folder)) from error
    return made


def load_identity(
    folder: Path, name: str, clock: Clock, password: bytes | None = None, *, authorities: Authorities | None = None
) -> Identity:
    """An identity's key and certificate, proven to belong together and to the folder's authority now.

    Args:
        folder: holds ``ca.cert.pem``, ``NAME.cert.pem`` and ``NAME.key.pem``.
        name: the identity.
        clock: for the certificate's validity.
        password: of the key; None takes the environment's ``SCADA_KEY_PASSWORD`` if set.
        authorities: who proves the certificate; None = those of the folder.

    Raises:
        SecurityError: a file is missing, corrupt, readable by others, expired, or they do not match; the password is wrong.
    """
    certificate = load_certificate(certificate_path(folder, name))
    (authorities or load_authorities(folder)).check(certificate, clock.now_ns())
    signer = load_signer(folder, name, certificate.public_key, password)
    if certificate.name != name:
        raise SecurityError(f"the certificate is of {certificate.name!r}", where=str(certificate_path(folder, name)))
    return Identity(certificate, signer)


def seal_key(folder: Path, identity: Identity) -> bytes:
    """A key of 32 bytes that only this identity has, the same at every start, for what it must recognise as its own.

    Derived from the private key; where that is in a token, a file ``NAME.seal`` (mode 0600) beside the certificate, made once.

    Raises:
        SecurityError: the file cannot be written, or others may read it.
    """
    if isinstance(identity.signer, Sm2Key):
        return identity.signer.derive(b"scada stores v1", 32)
    path = folder / f"{identity.name}.seal"
    if not path.exists():
        try:
            replace(path, secrets.token_bytes(32), 0o600)
        except OSError as error:
            raise SecurityError(f"cannot write: {error.strerror}", where=str(path)) from error
    return read_secret(path)


def list_identities(folder: Path) -> list[Certificate]:
    """Certificates in a folder by name, the authority first."""
    names = sorted(path.name.removesuffix(".cert.pem") for path in folder.glob("*.cert.pem"))
    names.sort(key=lambda name: name != AUTHORITY)
    return [load_certificate(certificate_path(folder, name)) for name in names]
