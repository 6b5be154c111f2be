"""What signs for an identity: its key file, or what ``NAME.signer.toml`` says - a key elsewhere, a program that drives a token.

A kind of signer is a function from its settings to a :class:`~scada.security.sm2.Signer`; :func:`register` adds one. What is
loaded has proven once that it signs for the certificate.
"""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scada.core.errors import SecurityError
from scada.security.external_signer import ExternalSigner
from scada.security.key_files import load_key, load_key_file, read, trusted
from scada.security.sm2 import Signer, Sm2PublicKey

SIGNER_SUFFIX: Final = ".signer.toml"


@dataclass(frozen=True, slots=True)
class SignerPlace:
    """Where a signer is described and for whom it signs.

    Attributes:
        path: the file; relative paths in it start from its folder.
        public_key: of the certificate.
        password: of a key file; None takes the environment's.
    """

    path: Path
    public_key: Sm2PublicKey
    password: bytes | None


Maker = Callable[[Mapping[str, Any], SignerPlace], Signer]

_KINDS: dict[str, Maker] = {}


def register(kind: str, maker: Maker) -> None:
    """Add a kind of signer, or replace one.

    Args:
        kind: what ``kind = "..."`` in the file says.
        maker: makes a signer of the other settings in the file; raises SecurityError for wrong ones.
    """
    _KINDS[kind] = maker


def signer_path(folder: Path, name: str) -> Path:
    """Where an identity's signer is described, if it is no key file."""
    return folder / f"{name}{SIGNER_SUFFIX}"


def load_signer(folder: Path, name: str, public_key: Sm2PublicKey, password: bytes | None) -> Signer:
    """What signs for an identity, proven to do so.

    Raises:
        SecurityError: the file is missing, wrong, or others may change it; the password is wrong; it does not sign for the key.
    """
    path = signer_path(folder, name)
    if not path.exists():
        key = load_key(folder, name, password)
        if key.point() != public_key.point():
            where = str(folder / f"{name}.key.pem")
            raise SecurityError("the key does not belong to the certificate", where=where, mend="issue the identity again")
        return key
    place = SignerPlace(path, public_key, password)
    settings = _settings(path)
    kind = settings.pop("kind", "")
    maker = _KINDS.get(kind)
    if maker is None:
        raise SecurityError(
            f"unknown kind of signer {kind!r}", where=str(path), mend=f"kind is one of {', '.join(sorted(_KINDS))}"
        )
    try:
        signer = maker(settings, place)
        _prove(signer, public_key)
    except SecurityError as error:
        raise SecurityError(
            f"the signer cannot be used: {error.what}", where=error.where or str(path), mend=error.mend
        ) from error
    return signer


def _prove(signer: Signer, public_key: Sm2PublicKey) -> None:
    challenge = b"scada signer self-check" + secrets.token_bytes(32)
    if signer.point() != public_key.point() or not public_key.verify(signer.sign(challenge), challenge):
        raise SecurityError("what it signs does not verify by the certificate", mend="is it the right token or key?")


def _settings(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read(trusted(path)).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SecurityError(f"not TOML: {error}", where=str(path)) from error


def _file(settings: Mapping[str, Any], place: SignerPlace) -> Signer:
    """``key``: a key file elsewhere, for example on a medium that is taken away."""
    if set(settings) != {"key"} or not isinstance(settings["key"], str):
        raise SecurityError('a signer of kind "file" has exactly one setting, key = "PATH"')
    return load_key_file(place.path.parent / settings["key"], place.password)


def _external(settings: Mapping[str, Any], place: SignerPlace) -> Signer:
    """``command``: program and arguments; ``timeout_s``: of one signature."""
    command, timeout_s = settings.get("command"), settings.get("timeout_s", 5.0)
    if unknown := set(settings) - {"command", "timeout_s"}:
        raise SecurityError(f"unknown settings {', '.join(sorted(unknown))}", mend="command and timeout_s")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise SecurityError("command must be a list of words", mend='command = ["/opt/token/sign", "--slot", "0"]')
    if not isinstance(timeout_s, int | float) or isinstance(timeout_s, bool) or not 0.1 <= timeout_s <= 60:
        raise SecurityError("timeout_s must be a number from 0.1 to 60")
    program = Path(command[0])
    if not program.is_absolute():
        raise SecurityError(f"{command[0]!r} is not an absolute path", mend="a signer is never searched for")
    trusted(program)
    return ExternalSigner([str(program), *command[1:]], place.public_key, float(timeout_s))


register("file", _file)
register("external", _external)
