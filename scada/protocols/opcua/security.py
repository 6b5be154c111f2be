"""Security of an OPC UA connection: policies, what is asked for, the choice of an endpoint (OPC 10000-4, 5.4.4 and 6.1).

The endpoint is exactly what was asked for, or none: a server (or who stands between) that offers less is refused.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.crypto import security_policies
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from scada.core.errors import ConfigError, SecurityError
from scada.core.secret_values import is_secret, reveal

_PREFIX: Final = "http://opcfoundation.org/UA/SecurityPolicy#"
MODES: Final = ("None", "Sign", "SignAndEncrypt")
_ENVIRONMENT: Final = "env:"


class SecurityPolicy(Enum):
    """Security policies (OPC 10000-7); the value is their name."""

    NONE = "None"
    BASIC256SHA256 = "Basic256Sha256"
    AES128 = "Aes128_Sha256_RsaOaep"
    AES256 = "Aes256_Sha256_RsaPss"
    BASIC128RSA15 = "Basic128Rsa15"
    """Deprecated: SHA-1."""
    BASIC256 = "Basic256"
    """Deprecated: SHA-1."""

    @property
    def uri(self) -> str:
        """As the wire names it."""
        return _PREFIX + self.value

    @property
    def deprecated(self) -> bool:
        """No longer safe."""
        return self in {SecurityPolicy.BASIC128RSA15, SecurityPolicy.BASIC256}

    @property
    def implementation(self) -> type[Any]:
        """The library's class."""
        found: type[Any] = getattr(security_policies, "SecurityPolicy" + self.value.replace("_", ""))
        return found

    @classmethod
    def named(cls, text: str) -> SecurityPolicy | None:
        """A policy by its name or URI, with or without underscores.

        >>> SecurityPolicy.named("Aes128Sha256RsaOaep")
        <SecurityPolicy.AES128: 'Aes128_Sha256_RsaOaep'>
        """
        wanted = text.removeprefix(_PREFIX).replace("_", "").lower()
        return next((each for each in cls if each.value.replace("_", "").lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class SecurityWish:
    """What a client wants; nothing less is accepted.

    Attributes:
        policy: security policy.
        mode: one of :data:`MODES`.
        certificate: our application certificate, DER or PEM.
        key: its private key, PEM or DER.
        trust: folder of the trust list.
        credentials: path of a file with ``user`` and ``password``, ``env:NAME`` for ``NAME_USER`` and ``NAME_PASSWORD``, or
            ``secret:NAME`` of a secret that holds ``user:password``.
        user_certificate: log in by this certificate instead.
        user_key: its private key.
        allow_deprecated: SHA-1 policies may be used.
    """

    policy: SecurityPolicy = SecurityPolicy.NONE
    mode: str = "None"
    certificate: Path | None = None
    key: Path | None = None
    trust: Path | None = None
    credentials: str = ""
    user_certificate: Path | None = None
    user_key: Path | None = None
    allow_deprecated: bool = False

    @property
    def message_mode(self) -> ua.MessageSecurityMode:
        """Mode as the wire numbers it."""
        return {"None": ua.MessageSecurityMode.None_}.get(self.mode) or ua.MessageSecurityMode[self.mode]

    def fault(self) -> str:
        """What cannot be used, in one sentence; empty if nothing."""
        is_open = self.policy is SecurityPolicy.NONE
        faults = {
            f"parameter security_mode = {self.mode!r} is not one of {', '.join(MODES)}": self.mode not in MODES,
            f"security_policy {self.policy.value} does not go with security_mode {self.mode}": is_open != (self.mode == "None"),
            f"security_policy {self.policy.value} is deprecated (SHA-1); allow_deprecated = 1 allows it": self.policy.deprecated
            and not self.allow_deprecated,
            f"security_policy {self.policy.value} needs certificate, key and trust": not is_open
            and not (self.certificate and self.key and self.trust),
            "user_certificate and user_key go together": bool(self.user_certificate) != bool(self.user_key),
            "security_policy None: a login over a connection that nothing protects is not sent": is_open
            and bool(self.credentials or self.user_certificate),
            "credentials and user_certificate: log in by one of them": bool(self.credentials and self.user_certificate),
        }
        return next((text for text, stands in faults.items() if stands), "")


def choose_endpoint(endpoints: Iterable[ua.EndpointDescription], wish: SecurityWish) -> ua.EndpointDescription:
    """The endpoint of exactly the wished policy and mode.

    Raises:
        SecurityError: the server does not offer it; the message lists what it offers.
    """
    offered = [each for each in endpoints if str(each.EndpointUrl or "").startswith("opc.tcp")]
    for each in offered:
        if each.SecurityPolicyUri == wish.policy.uri and each.SecurityMode == wish.message_mode:
            return each
    names = sorted({f"{str(each.SecurityPolicyUri).rpartition('#')[2]}/{each.SecurityMode.name.rstrip('_')}" for each in offered})
    raise SecurityError(
        f"the server has no endpoint {wish.policy.value}/{wish.mode}; it offers {', '.join(names) or 'none'}",
        mend="set security_policy and security_mode to one of them, or have the server changed",
    )


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password."""

    user: str
    password: str

    def __repr__(self) -> str:
        """Without the password: what is logged is read."""
        return f"Login(user={self.user!r})"


def read_login(credentials: str, environment: Mapping[str, str] = os.environ) -> Login | None:
    """User name and password from where ``credentials`` says, None if it says nothing.

    Raises:
        SecurityError: they are not there, or others may read the file.
    """
    if not credentials:
        return None
    if credentials.startswith(_ENVIRONMENT):
        name = credentials.removeprefix(_ENVIRONMENT)
        found = {key: environment.get(f"{name}_{key.upper()}") for key in ("user", "password")}
        where, mend = "environment", f"set {name}_USER and {name}_PASSWORD"
    elif is_secret(credentials):
        where, mend = credentials, "the secret must be user:password"
        found = _pair_of(credentials)
    else:
        path = Path(credentials).expanduser()
        where, mend = str(path), 'write the lines user = "..." and password = "..."'
        found = _secrets_of(path)
    user, password = found.get("user"), found.get("password")
    if not isinstance(user, str) or not isinstance(password, str) or not user:
        raise SecurityError("no user and password", where=where, mend=mend)
    return Login(user, password)


def _pair_of(credentials: str) -> dict[str, str | None]:
    try:
        user, separator, password = reveal(credentials, "credentials").partition(":")
    except ConfigError as error:
        raise SecurityError(error.what, where=error.where, mend=error.mend) from error
    return {"user": user, "password": password if separator else None}


def _secrets_of(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecurityError("others may read the secrets", where=str(path), mend=f"chmod 600 {path}")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SecurityError(f"cannot read the secrets: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SecurityError("the secrets are no TOML", where=str(path)) from error


def read_key(path: Path) -> RSAPrivateKey:
    """An unencrypted RSA private key, PEM or DER.

    Raises:
        SecurityError: it cannot be read, is encrypted or no RSA key.
    """
    try:
        data = path.read_bytes()
        key = load_pem_private_key(data, None) if data.lstrip().startswith(b"-----") else load_der_private_key(data, None)
    except OSError as error:
        raise SecurityError(f"cannot read the private key: {error.strerror}", where=str(path)) from error
    except (ValueError, TypeError) as error:
        raise SecurityError(f"the private key cannot be used: {error}", where=str(path)) from error
    if not isinstance(key, RSAPrivateKey):
        raise SecurityError("no RSA key; OPC UA's policies need one", where=str(path), mend="see `scada opcua certificate`")
    return key
