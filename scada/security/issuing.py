"""What an authority does: issue, renew and revoke certificates, set up authorities below itself, sign requests.

Everything here needs the private key of an authority; nothing that only runs does. The key may be kept away from the folder and
brought back for the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import SecurityError
from scada.security.authorities import load_authorities, load_list
from scada.security.certificates import Certificate, check_validity, issue_certificate
from scada.security.key_files import (
    AUTHORITY,
    CERTIFICATE_SUFFIX,
    ISSUED,
    authority_names,
    authority_path,
    certificate_path,
    check_name,
    key_path,
    list_path,
    load_certificate,
    load_key,
    load_or_make_key,
    replace,
    trusted,
    write_new,
)
from scada.security.requests import Request
from scada.security.revocation import REASONS, RevocationList, Revoked, RevokedError, issue_list
from scada.security.roles import rights_of
from scada.security.sm2 import Sm2Key
from scada.security.tls_identities import SERVER_NAME, issue_tls

YEAR_NS: Final = 365 * 24 * 3600 * NS_PER_S
LIST_DAYS: Final = 30.0
"""Days until the next revocation list is due, unless said otherwise."""

_HOUR_NS = 3600 * NS_PER_S
_DAY_NS = 24 * _HOUR_NS


def make_root(folder: Path, clock: Clock, *, password: bytes | None = None, years: float = 10.0) -> Certificate:
    """Make a root authority that may have authorities below it.

    Raises:
        SecurityError: the folder has a key that cannot be used.
        OSError: there is a root already, or the folder cannot be written.
    """
    key = load_or_make_key(folder, AUTHORITY, password)
    now = clock.now_ns()
    certificate = issue_certificate(
        "scada root authority",
        key.point(),
        issuer=None,
        signer=key,
        not_before_ns=now - _HOUR_NS,
        not_after_ns=now + int(years * YEAR_NS),
        path_length=1,
    )
    write_new(certificate_path(folder, AUTHORITY), certificate.pem(), 0o644)
    return certificate


def make_subordinate(
    folder: Path,
    name: str,
    clock: Clock,
    *,
    years: float = 5.0,
    password: bytes | None = None,
    authority_password: bytes | None = None,
) -> Certificate:
    """Make an authority below the root that may issue identities and no further authorities; an existing key is kept.

    Raises:
        SecurityError: a bad name, no key of the root, a wrong password, or the folder cannot be written.
    """
    check_name(name)
    if certificate_path(folder, name).exists():
        raise SecurityError(f"{name!r} is an identity's name", where=str(folder), mend="an authority has a key of its own")
    root, root_key = _open(folder, AUTHORITY, authority_password)
    if root.path_length == 0:
        raise SecurityError("the root may have no authority below itself", where=str(folder))
    return _issue(
        folder, authority_path(folder, name), load_or_make_key(folder, name, password).point(), f"scada authority {name}",
        (), root, root_key, clock, years, authority=True,
    )  # fmt: skip


def issue_identity(
    folder: Path,
    name: str,
    roles: Sequence[str],
    clock: Clock,
    *,
    years: float = 2.0,
    password: bytes | None = None,
    authority_password: bytes | None = None,
    authority: str = AUTHORITY,
    new_key: bool = False,
    hosts: Sequence[str] = (),
) -> Certificate:
    """Make a key and a certificate by an authority of the folder, and the same for TLS.

    An existing key is kept and gets a new certificate, also one that lies elsewhere: at the workstation, in a token.

    Args:
        folder: holds the authority's certificate and key.
        name: the identity.
        roles: roles that the certificate bears.
        clock: gives the time of issue.
        years: validity; never beyond that of the authority.
        password: of the identity's key; encrypts a new one.
        authority_password: of the authority's key.
        authority: name of the authority.
        new_key: existing keys are replaced, once nothing can be refused any more. A crash between key and certificate is healed
            by issuing again.
        hosts: DNS names and addresses under which a server is called, for its TLS certificate.

    Raises:
        SecurityError: a bad name or role, no authority, a wrong password, or the folder cannot be written.
    """
    check_name(name)
    rights_of(roles)
    if authority_path(folder, name).exists():
        raise SecurityError(f"{name!r} is an authority's name", where=str(folder))
    issuer, issuer_key = _open(folder, authority, authority_password)
    _assert_in_force(folder, issuer, clock.now_ns())
    path, key = certificate_path(folder, name), Sm2Key.generate() if new_key else None
    try:
        if key is not None:
            point = key.point()
        elif path.exists() and not key_path(folder, name).exists():
            point = load_certificate(path).public_key.point()
        else:
            point = load_or_make_key(folder, name, password).point()
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(error.filename or folder)) from error
    issue_tls(
        folder,
        name,
        clock.now_ns(),
        hosts=hosts,
        days=365.0 * years,
        password=password,
        authority_password=authority_password,
        new_key=new_key,
    )
    if key is not None:
        try:
            replace(key_path(folder, name), key.private_pem(password), 0o600)
        except OSError as error:
            raise SecurityError(f"cannot write: {error.strerror}", where=str(error.filename or folder)) from error
    return _issue(folder, path, point, name, roles, issuer, issuer_key, clock, years)


def sign_request(
    folder: Path,
    request: Request,
    roles: Sequence[str],
    clock: Clock,
    *,
    years: float = 2.0,
    authority_password: bytes | None = None,
    authority: str = AUTHORITY,
    tls_request: bytes | None = None,
) -> Certificate:
    """Issue the certificate that a request asks for; the roles are what the authority decides, not what is asked.

    Args:
        folder: holds the authority's certificate and key.
        request: proven to be by the key.
        roles: roles that the certificate bears.
        clock: gives the time of issue.
        years: validity; never beyond that of the authority.
        authority_password: of the authority's key.
        authority: name of the authority.
        tls_request: PKCS#10 by the TLS key of the same maker, PEM; its certificate is put in place too.

    Raises:
        SecurityError: a bad name or role, no authority, a wrong password, another key of the same name is in use, or the folder
            cannot be written.
    """
    check_name(request.name)
    rights_of(roles)
    if request.name == SERVER_NAME and "SERVER" not in roles:
        raise SecurityError(f"{request.name!r} without the role SERVER: clients would take its holder for the server")
    path = certificate_path(folder, request.name)
    if authority_path(folder, request.name).exists():
        raise SecurityError(f"{request.name!r} is an authority's name", where=str(folder))
    if path.exists() and key_path(folder, request.name).exists():
        raise SecurityError(
            f"{request.name!r} has its key in this folder", where=str(path), mend="renew it, or ask by another name"
        )
    held = load_certificate(path) if path.exists() else None
    if held and held.public_key.point() != request.public_key.point() and _is_good(folder, held, clock):
        raise SecurityError(
            f"{request.name!r} is somebody with another key",
            where=str(path),
            mend="if it is the same person, revoke that one first",
        )
    issuer, issuer_key = _open(folder, authority, authority_password)
    if tls_request is not None:
        issue_tls(
            folder,
            request.name,
            clock.now_ns(),
            days=365.0 * years,
            password=authority_password,
            authority_password=authority_password,
            request=tls_request,
        )
    return _issue(folder, path, request.public_key.point(), request.name, roles, issuer, issuer_key, clock, years)


def _is_good(folder: Path, certificate: Certificate, clock: Clock) -> bool:
    try:
        load_authorities(folder).check(certificate, clock.now_ns())
    except SecurityError:
        return False
    return True


def issued_certificates(folder: Path) -> list[Certificate]:
    """Every certificate that authorities of this folder are known to have issued, and those that lie in it."""
    found = {}
    for path in [*sorted((folder / ISSUED).glob(f"*{CERTIFICATE_SUFFIX}")), *sorted(folder.glob(f"*{CERTIFICATE_SUFFIX}"))]:
        certificate = load_certificate(path)
        found[certificate.encoded] = certificate
    for name in authority_names(folder):
        certificate = load_certificate(authority_path(folder, name))
        found[certificate.encoded] = certificate
    return list(found.values())


def revoke(
    folder: Path,
    certificates: Iterable[Certificate],
    reason: str,
    clock: Clock,
    *,
    days: float = LIST_DAYS,
    authority_password: bytes | None = None,
    authority: str = AUTHORITY,
) -> RevocationList:
    """Revoke certificates of one authority by writing its next revocation list; without any, only the list is renewed.

    Args:
        folder: holds the authority's certificate, key and list.
        certificates: by this authority.
        reason: a name of :data:`REASONS`.
        clock: gives the time of issue.
        days: until the next list is due; once it is overdue nothing that acts is allowed.
        authority_password: of the authority's key.
        authority: name of the authority.

    Raises:
        SecurityError: another authority's certificate, an unknown reason, no key, the folder cannot be written, or (without
            certificates) the list in place was made by a clock that was ahead of ours.
    """
    if reason not in REASONS:
        raise SecurityError(f"unknown reason {reason!r}", mend=f"one of {', '.join(REASONS)}")
    issuer, issuer_key = _open(folder, authority, authority_password)
    trust = load_authorities(folder)
    certificates = tuple(certificates)
    known = trust.list_of(issuer)
    now = clock.now_ns()
    revoked = dict(known.revoked) if known else {}
    for each in certificates:
        if trust.issuer(each).encoded != issuer.encoded or each.is_root:
            raise SecurityError(f"the certificate is not issued by {authority!r}", where=each.name)
        if each.serial not in revoked or revoked[each.serial].reason == "certificateHold":
            revoked[each.serial] = Revoked(each.serial, now, reason)
    if known and now <= known.issued_ns - _HOUR_NS and not certificates:
        raise SecurityError(
            "the revocation list in place was issued later than now",
            where=issuer.name,
            mend="check the clock; if it is right, and was ahead then, revoke something: that makes a new list in any case",
        )
    made = issue_list(
        issuer,
        issuer_key,
        revoked.values(),
        number=max(known.number + 1 if known else 1, now // NS_PER_S),  # a folder restored from a backup goes on above
        now_ns=now,
        due_ns=now + int(days * _DAY_NS),
    )
    place_list(folder, made)
    return made


def place_list(folder: Path, revocations: RevocationList) -> Path:
    """Put a revocation list that was proven in place of the one of the same authority, in one step.

    Raises:
        SecurityError: the folder has no such authority or cannot be written.
    """
    trust = load_authorities(folder)
    owner = trust.authority_of(revocations)
    for name in authority_names(folder):
        if load_certificate(authority_path(folder, name)).encoded == owner.encoded:
            path = _path_of_list(folder, name, owner)
            try:
                replace(path, revocations.pem())
            except OSError as error:
                raise SecurityError(f"cannot write: {error.strerror}", where=str(path)) from error
            return path
    raise SecurityError("the folder has no such authority", where=owner.name)


def _path_of_list(folder: Path, name: str, owner: Certificate) -> Path:
    """The file that holds the authority's list now, else the one that will."""
    for path in folder.glob("*.crl.pem"):
        held = load_list(path)
        if (held.issuer, held.issuer_key_id) == (owner.subject, owner.key_id):
            return path
    return list_path(folder, name)


def _open(folder: Path, name: str, password: bytes | None) -> tuple[Certificate, Sm2Key]:
    """An authority's certificate and key."""
    path = trusted(authority_path(folder, name))
    if not path.exists() and name != AUTHORITY:
        raise SecurityError(f"no authority {name!r}", where=str(folder), mend=f"make it with `scada keys ca {folder} {name}`")
    certificate = load_certificate(path)
    if not certificate.is_authority:
        raise SecurityError("not the certificate of an authority", where=str(path))
    if not key_path(folder, name).exists():
        raise SecurityError("the authority's key is not here", where=str(key_path(folder, name)), mend="bring it back for this")
    key = load_key(folder, name, password)
    if key.point() != certificate.public_key.point():
        raise SecurityError("the authority's key does not belong to its certificate", where=str(folder))
    return certificate, key


def _assert_in_force(folder: Path, issuer: Certificate, now_ns: int) -> None:
    """What an authority that has fallen issues would be refused everywhere."""
    trust = load_authorities(folder)
    for each in trust.chain(issuer):
        if trust.revoked(each):
            raise RevokedError("the authority is revoked", where=each.name, mend="issue by another one: --by NAME")
        try:
            check_validity(each, now_ns)
        except SecurityError as error:
            mend = "check the clock" if now_ns < each.not_before_ns else "docs/security/keys.md says how authorities are renewed"
            raise SecurityError(f"the authority cannot issue: {error.what}", where=each.name, mend=mend) from error


def _issue(
    folder: Path,
    path: Path,
    point: bytes,
    title: str,
    roles: Sequence[str],
    issuer: Certificate,
    issuer_key: Sm2Key,
    clock: Clock,
    years: float,
    *,
    authority: bool = False,
) -> Certificate:
    """Issue, note in ``issued`` and put in place; what is in place is always noted."""
    now = clock.now_ns()
    _assert_in_force(folder, issuer, now)
    certificate = issue_certificate(
        title,
        point,
        roles=roles,
        issuer=issuer,
        signer=issuer_key,
        not_before_ns=now - _HOUR_NS,
        not_after_ns=min(now + int(years * YEAR_NS), issuer.not_after_ns),
        authority=authority,
        path_length=0 if authority else None,
    )
    try:
        (folder / ISSUED).mkdir(mode=0o700, exist_ok=True)
        write_new(folder / ISSUED / f"{certificate.serial:x}{CERTIFICATE_SUFFIX}", certificate.pem(), 0o644)
        replace(path, certificate.pem())
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(error.filename or folder)) from error
    return certificate
