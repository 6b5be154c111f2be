"""Weak set-ups that ``scada doctor`` looks for: one small function each, in a table that others may add to."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from typing import Final

from cryptography import x509

from scada.cli.doctor_findings import Check, Finding, Site, State
from scada.core.api_settings import LOOPBACK
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.core.secret_values import PREFIX, is_secret
from scada.model_cim.points import load_model
from scada.rest.tokens import TokenStore
from scada.security.audit_chain import AuditError, Chain, segments
from scada.security.certificates import Certificate, to_ns
from scada.security.identities import load_identity
from scada.security.key_files import (
    CERTIFICATE_SUFFIX,
    KEY_SUFFIX,
    PASSWORD_VARIABLE,
    authority_names,
    key_path,
    load_certificate,
)
from scada.security.policy import PolicyFiles, findings, load_policy
from scada.security.revocation_memory import RevocationMemory, owner_of
from scada.security.roles import ALL_AREAS
from scada.security.secrets_store import SecretStore
from scada.security.sm2 import self_test
from scada.security.tls_authority import list_number
from scada.security.tls_identities import FILES

DAY_NS: Final = 24 * 3600 * NS_PER_S
CERTIFICATE_DAYS: Final = 30
"""A certificate that expires sooner is worth a warning."""
LIST_DAYS: Final = 7
"""A revocation list that is due sooner is worth a warning."""

TOKEN_DAYS: Final = 400
"""A token that is good for longer is as good as one without an end."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def _cryptography(_site: Site) -> Iterator[Finding]:
    name = self_test()  # a failing one raises: no program starts then
    if "pure" in name:
        yield Finding(State.WARNING, "pure_sm2")
    else:
        yield Finding(State.GOOD, "sm2", {"backend": name})


def _server_identity(site: Site) -> Iterator[Finding]:
    try:
        load_identity(site.keys, "server", site.clock)
    except ScadaError as error:
        path = key_path(site.keys, "server")
        sealed = path.exists() and b"ENCRYPTED" in path.read_bytes()
        if sealed and not os.environ.get(PASSWORD_VARIABLE):
            yield Finding(State.UNKNOWN, "server_locked")
        else:
            yield Finding(State.WRONG, "server_identity", {"reason": str(error)})


def _authority_keys(site: Site) -> Iterator[Finding]:
    for path in [*(key_path(site.keys, name) for name in authority_names(site.keys)), FILES.authority_key(site.keys)]:
        if path.exists():
            yield Finding(State.WRONG, "authority_key", {"path": str(path)})


def _foreign_keys(site: Site) -> Iterator[Finding]:
    """Private keys of people on a server: whoever reads its disk acts in their names."""
    names = [path.name.removesuffix(KEY_SUFFIX) for path in sorted(site.keys.glob(f"*{KEY_SUFFIX}"))]
    people = [name for name in names if _is_identity(site, name) and "SERVER" not in _certificate(site, name).roles]
    if people:
        yield Finding(State.WARNING, "foreign_keys", {"names": ", ".join(people), "folder": str(site.keys)})


def _plain_keys(site: Site) -> Iterator[Finding]:
    found = [path for path in sorted(site.keys.glob(f"*{KEY_SUFFIX}")) if b"ENCRYPTED" not in path.read_bytes()]
    found += [path for path in sorted(site.keys.glob("*.key")) if b"ENCRYPTED" not in path.read_bytes()]
    if found:
        yield Finding(State.WARNING, "plain_keys", {"files": ", ".join(path.name for path in found), "folder": str(site.keys)})


def _permissions(site: Site) -> Iterator[Finding]:
    secret = [path for pattern in (f"*{KEY_SUFFIX}", "*.key", "*.seal", "secrets.json") for path in site.keys.glob(pattern)]
    for path in sorted(secret):
        if path.exists() and path.stat().st_mode & _OTHERS:
            yield Finding(State.WRONG, "readable", {"path": str(path), "mode": oct(path.stat().st_mode & 0o777)})
    for path in (site.keys, site.settings.security.audit):
        if path.exists() and path.stat().st_mode & _OTHERS_WRITE:
            yield Finding(State.WRONG, "writable", {"path": str(path)})
        elif path.exists() and path.stat().st_mode & _OTHERS:
            yield Finding(State.WARNING, "open_folder", {"path": str(path), "mode": oct(path.stat().st_mode & 0o777)})
    trusted = [*site.keys.glob("*.ca.pem"), *site.keys.glob("*.crl.pem"), *site.keys.glob("*.toml"), site.config]
    trusted += [site.keys / "ca.cert.pem", FILES.authority(site.keys), FILES.crl(site.keys)]
    security = site.settings.security
    trusted.append(security.revoked)
    trusted += [path for path in (security.roles, security.zones) if path is not None and path.parent != site.keys]
    for path in sorted(trusted):
        if path.exists() and path.stat().st_mode & _OTHERS_WRITE:
            yield Finding(State.WRONG, "writable", {"path": str(path)})


def _certificates(site: Site) -> Iterator[Finding]:
    now = site.clock.now_ns()
    held = [*site.authorities]
    held += [load_certificate(path) for path in sorted(site.keys.glob(f"*{CERTIFICATE_SUFFIX}")) if path.name != "ca.cert.pem"]
    for certificate in held:
        revoked = site.authorities.revoked(certificate) is not None
        if revoked and "SERVER" not in certificate.roles and not certificate.is_authority:
            continue  # as it should be
        grave = State.WRONG if certificate.is_authority or "SERVER" in certificate.roles else State.WARNING
        if revoked:
            yield Finding(State.WRONG, "revoked", {"name": certificate.name})
        else:
            yield from _term(certificate.name, certificate.not_before_ns, certificate.not_after_ns, now, grave)
    for path in sorted([*site.keys.glob("*.tls.pem"), *site.keys.glob("tls-ca.pem")]):
        tls = x509.load_pem_x509_certificate(path.read_bytes())
        grave = State.WRONG if path.name in ("server.tls.pem", "tls-ca.pem") else State.WARNING
        yield from _term(path.name, to_ns(tls.not_valid_before_utc), to_ns(tls.not_valid_after_utc), now, grave)


def _term(name: str, before_ns: int, after_ns: int, now: int, grave: State) -> Iterator[Finding]:
    days = (after_ns - now) // DAY_NS
    if now < before_ns:
        yield Finding(State.WRONG, "not_yet", {"name": name})
    elif now >= after_ns:
        yield Finding(grave, "expired", {"name": name, "days": str(-days)})
    elif days < CERTIFICATE_DAYS:
        yield Finding(State.WARNING, "expires", {"name": name, "days": str(days)})


def _revocation_lists(site: Site) -> Iterator[Finding]:
    now, memory = site.clock.now_ns(), RevocationMemory(site.settings.security.revoked)
    if memory.damage:
        yield Finding(State.WRONG, "revoked_unreadable", {"reason": memory.damage})
    required = site.settings.security.revocation_lists == "required"
    for authority in site.authorities:
        known = site.authorities.list_of(authority)
        if older := memory.older(owner_of("SM2", authority.public_key.point()), known.number if known else None):
            yield Finding(State.WRONG, "list_older", {"reason": older})
            continue
        if site.authorities.is_over(authority, now):
            continue  # what it issued is refused whatever its list says
        if known is None:
            yield Finding(State.WRONG if required else State.GOOD, "no_list", {"name": authority.name})
        else:
            yield from _due(authority.name, known.due_ns, now)
    path = FILES.crl(site.keys)
    if path.exists():
        held = x509.load_pem_x509_crl(path.read_bytes())
        until = held.next_update_utc
        if older := memory.older(owner_of("TLS", held.issuer.public_bytes()), list_number(held)):
            yield Finding(State.WRONG, "list_older", {"reason": older})
        yield from _due(path.name, to_ns(until) if until else 0, now)


def _due(name: str, due_ns: int, now: int) -> Iterator[Finding]:
    if now >= due_ns:
        yield Finding(State.WRONG, "list_overdue", {"name": name, "days": str((now - due_ns) // DAY_NS)})
    elif due_ns - now < LIST_DAYS * DAY_NS:
        yield Finding(State.WARNING, "list_due", {"name": name, "days": str((due_ns - now) // DAY_NS)})


def _policy(site: Site) -> Iterator[Finding]:
    try:
        security = site.settings.security
        policy = load_policy(PolicyFiles(security.keys, security.roles, security.zones))
    except ScadaError as error:
        yield Finding(State.WRONG, "policy", {"reason": str(error)})
        return
    try:
        tables = load_model(site.settings.model.path)[1]
    except ScadaError as error:
        tables = None
        if any(user.areas - {ALL_AREAS} for user in policy.users.users.values()):
            yield Finding(State.UNKNOWN, "areas_unknown", {"reason": str(error)})
    for found in findings(policy, tables):
        yield Finding(State.WARNING, "rights", {"reason": found})


def _synchronised(_site: Site) -> Iterator[Finding]:
    """Whether the kernel's clock is disciplined, as ``timedatectl`` tells it of whatever keeps it (chrony, ntpd, systemd)."""
    program = shutil.which("timedatectl")
    told = ""
    if program:
        command = [program, "show", "--property=NTPSynchronized", "--value"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - fixed words
        told = done.stdout.strip()
    if told == "no":
        yield Finding(State.WRONG, "clock_free")
    elif told != "yes":
        yield Finding(State.UNKNOWN, "clock_unknown")


def _listeners(site: Site) -> Iterator[Finding]:
    settings = site.settings
    if settings.api.host not in LOOPBACK and not settings.api.tls:
        yield Finding(State.WRONG, "listener_plain", {"what": "[api]", "host": settings.api.host})
    if settings.rest.host not in LOOPBACK and settings.rest.certificate is None:
        yield Finding(State.WRONG, "listener_plain", {"what": "[rest]", "host": settings.rest.host})
    if settings.metrics.host not in LOOPBACK:
        yield Finding(State.WARNING, "listener_plain", {"what": "[metrics]", "host": settings.metrics.host})
    if (
        settings.opcua.enabled
        and "None" in settings.opcua.policies
        and not any(f"/{host}:" in settings.opcua.endpoint for host in LOOPBACK)
    ):
        yield Finding(State.WARNING, "listener_plain", {"what": "[opcua]", "host": settings.opcua.endpoint})


def _secrets(site: Site) -> Iterator[Finding]:
    settings = site.settings
    dsn = settings.history.dsn
    if not is_secret(dsn) and _has_password(dsn):
        yield Finding(State.WRONG, "plain_password", {"place": "[history] dsn"})
    named = [("[history] dsn", word) for word in (dsn, *dsn.replace("=", " ").split()) if is_secret(word)]
    for channel, override in sorted(settings.channels.items()):
        for name, value in sorted(override.params.items()):
            if "password" in name and not name.endswith(("_env", "_file")) and value and not is_secret(str(value)):
                yield Finding(State.WRONG, "plain_password", {"place": f"[channels.{channel}] {name}"})
            if is_secret(str(value)):
                named.append((f"[channels.{channel}] {name}", str(value)))
    store = SecretStore(site.keys)
    for place, word in named:
        try:
            store.get(word.removeprefix(PREFIX))
        except ScadaError as error:
            yield Finding(State.WRONG, "no_secret", {"place": place, "reason": str(error)})


def _has_password(dsn: str) -> bool:
    in_words = any(
        word.split("=", 1)[1].strip("'") and not is_secret(word.split("=", 1)[1])
        for word in dsn.split()
        if word.startswith("password=")
    )
    in_uri = "://" in dsn and ":" in dsn.split("://", 1)[1].rpartition("@")[0]
    return in_words or in_uri


def _audit(site: Site) -> Iterator[Finding]:
    try:
        last = segments(site.settings.security.audit)[-1:]
    except ScadaError as error:
        yield Finding(State.WRONG, "audit_broken", {"reason": str(error)})
        return
    if not last:
        yield Finding(State.GOOD, "audit_none")
        return
    chain = Chain(last)
    try:
        end = chain.run()
    except AuditError as error:
        yield Finding(State.WRONG, "audit_broken", {"reason": str(error)})
        return
    if chain.torn:
        yield Finding(State.WARNING, "audit_torn", {"number": str(end.number + 1)})


def _room(site: Site) -> Iterator[Finding]:
    settings = site.settings
    least = settings.resources.disk_mb
    places = (settings.rtdb.path, settings.history.path, settings.events.path, settings.security.audit, settings.model.versions)
    seen: set[int] = set()
    for place in places:
        there = next((folder for folder in (place, *place.parents) if folder.exists()), None)
        if there is None or there.stat().st_dev in seen:
            continue
        seen.add(there.stat().st_dev)
        free_mb = shutil.disk_usage(there).free >> 20
        if free_mb < least:
            yield Finding(State.WRONG, "room", {"path": str(there), "free": str(free_mb), "least": str(least)})


def _tokens(site: Site) -> Iterator[Finding]:
    """Tokens of third parties: each ends some day, but some only after years."""
    path = site.settings.rest.tokens
    if not path.exists():
        return
    if path.stat().st_mode & _OTHERS:
        yield Finding(State.WRONG, "readable", {"path": str(path), "mode": oct(path.stat().st_mode & 0o777)})
    now = site.clock.now_ns()
    for token in TokenStore(path, site.clock).tokens():
        days = (token.expires_ns - now) // DAY_NS
        if days > TOKEN_DAYS:
            yield Finding(State.WARNING, "long_token", {"name": token.name, "days": str(days)})


def _is_identity(site: Site, name: str) -> bool:
    return name != "ca" and (site.keys / f"{name}{CERTIFICATE_SUFFIX}").exists()


def _certificate(site: Site, name: str) -> Certificate:
    return load_certificate(site.keys / f"{name}{CERTIFICATE_SUFFIX}")


CHECKS: list[Check] = [
    Check("cryptography", _cryptography),
    Check("server identity", _server_identity),
    Check("authority keys", _authority_keys),
    Check("foreign keys", _foreign_keys),
    Check("plain keys", _plain_keys),
    Check("permissions", _permissions),
    Check("certificates", _certificates),
    Check("revocation lists", _revocation_lists),
    Check("policy", _policy),
    Check("clock", _synchronised),
    Check("listeners", _listeners),
    Check("secrets", _secrets),
    Check("tokens", _tokens),
    Check("audit", _audit),
    Check("disk", _room),
]
"""All checks in the order of the report; append to it."""
