"""Identities on disk: a folder with an authority, keys, certificates and the table that says who has which role where.

``ca.cert.pem`` is what a client trusts; ``NAME.key.pem`` (mode 0600) and ``NAME.cert.pem`` are an identity; ``roles.toml`` maps
identities to roles and areas. The table cannot give a role that the identity's certificate does not bear.
"""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scada.control.records import Principal
from scada.core.clock import Clock, SystemClock
from scada.core.errors import SecurityError
from scada.security.authorities import load_authorities
from scada.security.certificates import Certificate
from scada.security.issuing import issue_identity, make_root
from scada.security.key_files import (
    AUTHORITY,
    certificate_path,
    key_path,
    load_certificate,
    load_key,
    read,
    write_new,
)
from scada.security.key_files import PASSWORD_VARIABLE as PASSWORD_VARIABLE  # noqa: PLC0414 - one place to import from
from scada.security.key_files import load_authority as load_authority  # noqa: PLC0414
from scada.security.roles import ALL_AREAS, rights_of
from scada.security.sm2 import Signer
from scada.security.tls_identities import init_tls

ROLES_FILE: Final = "roles.toml"

DEMO_IDENTITIES: Final[Mapping[str, Sequence[str]]] = {
    "server": ("SERVER",),
    "operator": ("OPERATOR",),
    "guardian": ("GUARDIAN",),
    "dispatcher": ("DISPATCHER",),
    "engineer": ("ENGINEER",),
    "viewer": ("VIEWER",),
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


@dataclass(frozen=True, slots=True)
class Grant:
    """Roles and areas of one identity in ``roles.toml``."""

    roles: frozenset[str]
    areas: frozenset[str]


Grants = Mapping[str, Grant]


def principal_of(certificate: Certificate, grants: Grants, *, station: str = "", session: str = "") -> Principal:
    """What a proven certificate may do: the roles that both the table and the certificate name.

    Raises:
        SecurityError: the table does not know the name.
    """
    grant = grants.get(certificate.name)
    if grant is None:
        raise SecurityError("the identity has no entry in the role table", where=certificate.name, mend=f"add it to {ROLES_FILE}")
    roles = grant.roles & certificate.roles
    return Principal(certificate.name, roles, frozenset(rights_of(roles)), grant.areas, station, session)


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
            write_new(folder / ROLES_FILE, _roles_text().encode(), 0o600)
    except OSError as error:
        raise SecurityError(f"cannot make keys: {error.strerror}", where=str(error.filename or folder)) from error
    return made


def load_identity(folder: Path, name: str, clock: Clock, password: bytes | None = None) -> Identity:
    """An identity's key and certificate, proven to belong together and to the folder's authority now.

    Args:
        folder: holds ``ca.cert.pem``, ``NAME.cert.pem`` and ``NAME.key.pem``.
        name: the identity.
        clock: for the certificate's validity.
        password: of the key; None takes the environment's ``SCADA_KEY_PASSWORD`` if set.

    Raises:
        SecurityError: a file is missing, corrupt, readable by others, expired, or they do not match; the password is wrong.
    """
    certificate = load_certificate(certificate_path(folder, name))
    load_authorities(folder).check(certificate, clock.now_ns())
    key = load_key(folder, name, password)
    if key.point() != certificate.public_key.point():
        raise SecurityError(
            "the key does not belong to the certificate", where=str(key_path(folder, name)), mend="issue the identity again"
        )
    if certificate.name != name:
        raise SecurityError(f"the certificate is of {certificate.name!r}", where=str(certificate_path(folder, name)))
    return Identity(certificate, key)


def load_grants(folder: Path) -> dict[str, Grant]:
    """The role table of a folder.

    Raises:
        SecurityError: missing, writable by others, not TOML, or it names an unknown role or key.
    """
    path = folder / ROLES_FILE
    text = read(path)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SecurityError("others may write the role table", where=str(path), mend=f"chmod 600 {path}")
    try:
        document = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SecurityError(f"not TOML: {error}", where=str(path)) from error
    return {name: _grant(entry, f"{path} [{name}]") for name, entry in document.items()}


def grant_identity(folder: Path, name: str, roles: Sequence[str], areas: Sequence[str]) -> bool:
    """Give an identity its roles and areas in the role table; an entry that is there stays as it is.

    Returns:
        True if an entry was added.

    Raises:
        SecurityError: the table is corrupt, a role does not exist, or the file cannot be written.
    """
    rights_of(roles)
    if name in load_grants(folder):
        return False
    path = folder / ROLES_FILE
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(_entry(name, roles, areas))
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(path)) from error
    return True


def list_identities(folder: Path) -> list[Certificate]:
    """Certificates in a folder by name, the authority first."""
    names = sorted(path.name.removesuffix(".cert.pem") for path in folder.glob("*.cert.pem"))
    names.sort(key=lambda name: name != AUTHORITY)
    return [load_certificate(certificate_path(folder, name)) for name in names]


def _grant(entry: object, where: str) -> Grant:
    fields: dict[str, frozenset[str]] = {}
    for key in ("roles", "areas"):
        value = entry.get(key, []) if isinstance(entry, dict) else None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise SecurityError(f"{key} must be a list of names", where=where)
        fields[key] = frozenset(value)
    if isinstance(entry, dict) and (unknown := set(entry) - {"roles", "areas"}):
        raise SecurityError(f"unknown entries {', '.join(sorted(unknown))}", where=where, mend="only roles and areas")
    try:
        rights_of(fields["roles"])
    except SecurityError as error:
        raise SecurityError(error.what, where=where, mend=error.mend) from error
    return Grant(fields["roles"], fields["areas"])


def _roles_text() -> str:
    head = (
        "# Who may do what, and where. A role acts only if the identity's certificate bears it too.\n"
        '# areas: names of control areas or stations; "*" = all.\n'
    )
    return head + "".join(_entry(name, roles, [ALL_AREAS]) for name, roles in DEMO_IDENTITIES.items())


def _entry(name: str, roles: Sequence[str], areas: Sequence[str]) -> str:
    quoted = [json.dumps(list(names), ensure_ascii=False) for names in (roles, areas)]
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
    return f"\n[{key}]\nroles = {quoted[0]}\nareas = {quoted[1]}\n"
