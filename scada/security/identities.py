"""Identities on disk: a folder with an authority, keys, certificates and the table that says who has which role where.

``ca.cert.pem`` is what a client trusts; ``NAME.key.pem`` (mode 0600) and ``NAME.cert.pem`` are an identity; ``roles.toml`` maps
identities to roles and areas. The table cannot give a role that the identity's certificate does not bear.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scada.control.records import Principal
from scada.core.clock import NS_PER_S, Clock, SystemClock
from scada.core.errors import SecurityError
from scada.security.certificates import (
    Certificate,
    check_authority,
    check_certificate,
    issue_certificate,
    parse_certificate_pem,
)
from scada.security.roles import ALL_AREAS, rights_of
from scada.security.sm2 import Signer, Sm2Key

PASSWORD_VARIABLE: Final = "SCADA_KEY_PASSWORD"  # noqa: S105 - the variable's name
ROLES_FILE: Final = "roles.toml"
AUTHORITY: Final = "ca"

DEMO_IDENTITIES: Final[Mapping[str, Sequence[str]]] = {
    "server": ("SERVER",),
    "operator": ("OPERATOR",),
    "guardian": ("GUARDIAN",),
    "dispatcher": ("DISPATCHER",),
    "engineer": ("ENGINEER",),
    "viewer": ("VIEWER",),
}
"""Identities of a first start and their roles; all have every area."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_YEAR_NS = 365 * 24 * 3600 * NS_PER_S
_HOUR_NS = 3600 * NS_PER_S


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
        if not _certificate_path(folder, AUTHORITY).exists():
            _make_authority(folder, clock, password)
            made.append(AUTHORITY)
        missing = [name for name in DEMO_IDENTITIES if not _certificate_path(folder, name).exists()]
        for name in missing:
            issue_identity(folder, name, DEMO_IDENTITIES[name], clock, password=password, authority_password=password)
            made.append(name)
        if not (folder / ROLES_FILE).exists():
            _write_new(folder / ROLES_FILE, _roles_text().encode(), 0o600)
    except OSError as error:
        raise SecurityError(f"cannot make keys: {error.strerror}", where=str(error.filename or folder)) from error
    return made


def issue_identity(
    folder: Path,
    name: str,
    roles: Sequence[str],
    clock: Clock,
    *,
    years: float = 2.0,
    password: bytes | None = None,
    authority_password: bytes | None = None,
) -> Certificate:
    """Make a key and a certificate by the folder's authority; an existing key is kept and gets a new certificate.

    Raises:
        SecurityError: a bad name or role, no authority, a wrong password, or the folder cannot be written.
    """
    if not _NAME.fullmatch(name) or name == AUTHORITY:
        raise SecurityError(f"{name!r} cannot be an identity's name", mend="letters, digits, dot, dash, underscore; not 'ca'")
    rights_of(roles)
    authority = load_authority(folder)
    authority_key = _load_key(folder, AUTHORITY, authority_password)
    if authority_key.point() != authority.public_key.point():
        raise SecurityError("the authority's key does not belong to its certificate", where=str(folder))
    try:
        key = _load_or_make_key(folder, name, password)
        now = clock.now_ns()
        certificate = issue_certificate(
            name,
            key.point(),
            roles=roles,
            issuer=authority,
            signer=authority_key,
            not_before_ns=now - _HOUR_NS,
            not_after_ns=min(now + int(years * _YEAR_NS), authority.not_after_ns),
        )
        _replace(_certificate_path(folder, name), certificate.pem())
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(error.filename or folder)) from error
    return certificate


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
    certificate = _load_certificate(folder, name)
    check_certificate(certificate, load_authority(folder), clock.now_ns())
    key = _load_key(folder, name, password)
    if key.point() != certificate.public_key.point():
        raise SecurityError(
            "the key does not belong to the certificate", where=str(_key_path(folder, name)), mend="issue the identity again"
        )
    if certificate.name != name:
        raise SecurityError(f"the certificate is of {certificate.name!r}", where=str(_certificate_path(folder, name)))
    return Identity(certificate, key)


def load_authority(folder: Path) -> Certificate:
    """The root certificate that a folder trusts.

    Raises:
        SecurityError: missing, corrupt or not a root.
    """
    authority = _load_certificate(folder, AUTHORITY)
    check_authority(authority)
    return authority


def load_grants(folder: Path) -> dict[str, Grant]:
    """The role table of a folder.

    Raises:
        SecurityError: missing, writable by others, not TOML, or it names an unknown role or key.
    """
    path = folder / ROLES_FILE
    text = _read(path, secret=False)
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
    return [_load_certificate(folder, name) for name in names]


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


def _make_authority(folder: Path, clock: Clock, password: bytes | None) -> None:
    key = _load_or_make_key(folder, AUTHORITY, password)
    now = clock.now_ns()
    certificate = issue_certificate(
        "scada root authority",
        key.point(),
        issuer=None,
        signer=key,
        not_before_ns=now - _HOUR_NS,
        not_after_ns=now + 10 * _YEAR_NS,
    )
    _write_new(_certificate_path(folder, AUTHORITY), certificate.pem(), 0o644)


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


def _key_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.key.pem"


def _certificate_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.cert.pem"


def _load_or_make_key(folder: Path, name: str, password: bytes | None) -> Sm2Key:
    path = _key_path(folder, name)
    if path.exists():
        return _load_key(folder, name, password)
    key = Sm2Key.generate()
    _write_new(path, key.private_pem(password), 0o600)
    return key


def _load_key(folder: Path, name: str, password: bytes | None) -> Sm2Key:
    path = _key_path(folder, name)
    pem = _read(path, secret=True)
    if password is None and (given := os.environ.get(PASSWORD_VARIABLE)):
        password = given.encode()
    try:
        return Sm2Key.load_private(pem, password)
    except SecurityError as error:
        raise SecurityError(error.what, where=str(path), mend=error.mend) from error


def _load_certificate(folder: Path, name: str) -> Certificate:
    path = _certificate_path(folder, name)
    try:
        return parse_certificate_pem(_read(path, secret=False))
    except SecurityError as error:
        raise SecurityError(error.what, where=error.where or str(path), mend=error.mend) from error


def _read(path: Path, *, secret: bool) -> bytes:
    try:
        if secret and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecurityError("others may read the private key", where=str(path), mend=f"chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        mend = f"make identities with `scada keys init {path.parent}`" if isinstance(error, FileNotFoundError) else ""
        raise SecurityError(f"cannot read: {error.strerror}", where=str(path), mend=mend) from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Create a file that must not exist, with its final mode from the start."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, data: bytes) -> None:
    """Put a public file in place in one step."""
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    _write_new(aside, data, 0o644)
    aside.replace(path)
