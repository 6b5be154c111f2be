"""Named secrets of a site, encrypted at rest: passwords of databases, brokers and servers. Settings name them as ``secret:NAME``.

``secrets.json`` holds each sealed by SM4-GCM (nonce of its own, the name as associated data) under a key derived by HKDF-SM3 from
``secrets.key.pem``, an SM2 key file like any other: mode 0600, encrypted if ``SCADA_KEY_PASSWORD`` is set. The key file may lie
elsewhere: in ``$CREDENTIALS_DIRECTORY`` (systemd), or where ``SCADA_SECRETS_KEY`` says.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4

from scada.core.errors import SecurityError
from scada.security.key_files import (
    KEY_SUFFIX,
    PASSWORD_VARIABLE,
    key_path,
    load_key_file,
    load_or_make_key,
    read_secret,
    replace,
)
from scada.security.sm2 import Sm2Key

KEY_VARIABLE: Final = "SCADA_SECRETS_KEY"
"""Environment variable with the path of the key file."""

SECRETS_FILE: Final = "secrets.json"
_KEY_NAME: Final = "secrets"
_NEXT: Final = "secrets-next"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAXIMUM: Final = 4096
_TAG: Final = 16


class SecretStore:
    """The secrets of a folder of identities.

    Args:
        folder: of the identities.
        password: of the key file; None takes the environment's ``SCADA_KEY_PASSWORD`` if set.
    """

    def __init__(self, folder: Path, password: bytes | None = None) -> None:
        self._folder = folder
        self._password = password

    def names(self) -> list[str]:
        """Names of all secrets.

        Raises:
            SecurityError: the file is corrupt.
        """
        return sorted(self._document()["secrets"])

    def get(self, name: str) -> str:
        """A secret in the clear.

        Raises:
            SecurityError: there is none of this name, the key is missing or another one, or the file was altered.
        """
        document = self._document()
        sealed = document["secrets"].get(name)
        if sealed is None:
            raise SecurityError(f"no secret {name!r}", where=str(self._path), mend=f"scada keys secret set {self._folder} {name}")
        return _open(self._key(document), name, sealed, self._path)

    def set(self, name: str, value: str) -> None:
        """Add or replace a secret; the key file is made where there is none.

        Raises:
            SecurityError: a bad name or value, another key, or the folder cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise SecurityError(f"{name!r} cannot be a secret's name", mend="letters, digits, dot, dash, underscore")
        if not 1 <= len(value.encode()) <= _MAXIMUM:
            raise SecurityError(f"a secret has 1 to {_MAXIMUM} bytes", where=name)
        document = self._document()
        key = self._key(document) if document["secrets"] else self._first_key()
        self._save(
            key, {each: _open(key, each, sealed, self._path) for each, sealed in document["secrets"].items()} | {name: value}
        )

    def remove(self, name: str) -> None:
        """Forget a secret.

        Raises:
            SecurityError: there is none of this name, or the folder cannot be written.
        """
        document = self._document()
        if document["secrets"].pop(name, None) is None:
            raise SecurityError(f"no secret {name!r}", where=str(self._path))
        self._write(document)

    def rotate(self) -> int:
        """Seal everything anew under a new key. A crash leaves the old state or the new one, never neither.

        Returns:
            Number of secrets.

        Raises:
            SecurityError: the key lies outside the folder (its owner renews it), or something cannot be read or written.
        """
        document = self._document()
        if self._key_file() != key_path(self._folder, _KEY_NAME):
            raise SecurityError(
                "the key is not kept in the folder", where=str(self._key_file()), mend="see docs/security/keys.md"
            )
        old = self._key(document)
        values = {name: _open(old, name, sealed, self._path) for name, sealed in document["secrets"].items()}
        key_path(self._folder, _NEXT).unlink(missing_ok=True)
        try:
            new = load_or_make_key(self._folder, _NEXT, self._known_password())
        except OSError as error:
            raise SecurityError(f"cannot write: {error.strerror}", where=str(self._folder)) from error
        self._save(new, values)
        key_path(self._folder, _NEXT).replace(key_path(self._folder, _KEY_NAME))
        return len(values)

    @property
    def _path(self) -> Path:
        return self._folder / SECRETS_FILE

    def _key_file(self) -> Path:
        """Where the key lies."""
        credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
        if credentials and (Path(credentials) / f"{_KEY_NAME}{KEY_SUFFIX}").exists():
            return Path(credentials) / f"{_KEY_NAME}{KEY_SUFFIX}"
        named = os.environ.get(KEY_VARIABLE, "")
        return Path(named) if named else key_path(self._folder, _KEY_NAME)

    def _known_password(self) -> bytes | None:
        return self._password or os.environ.get(PASSWORD_VARIABLE, "").encode() or None

    def _first_key(self) -> Sm2Key:
        path = self._key_file()
        if path != key_path(self._folder, _KEY_NAME) or path.exists():
            return load_key_file(path, self._password)
        try:
            return load_or_make_key(self._folder, _KEY_NAME, self._known_password())
        except OSError as error:
            raise SecurityError(f"cannot write: {error.strerror}", where=str(self._folder)) from error

    def _key(self, document: Mapping[str, Any]) -> Sm2Key:
        """The key that sealed the file; finishes a rotation that a crash cut short."""
        path = self._key_file()
        waiting = key_path(self._folder, _NEXT)
        key = load_key_file(path, self._password)
        if key.key_id().hex() == document["key_id"]:
            return key
        if waiting.exists() and path == key_path(self._folder, _KEY_NAME):
            key = load_key_file(waiting, self._password)
            if key.key_id().hex() == document["key_id"]:
                waiting.replace(path)
                return key
        raise SecurityError(
            "the secrets were sealed under another key", where=str(path), mend="put the key back, or set them again"
        )

    def _document(self) -> dict[str, Any]:
        if not self._path.exists():
            return {"version": 1, "key_id": "", "secrets": {}}
        try:
            document = json.loads(read_secret(self._path))
            whole = document["version"] == 1 and isinstance(document["key_id"], str)
            whole = whole and all(isinstance(each, str) for pair in document["secrets"].items() for each in pair)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise SecurityError(
                "the file of secrets is corrupt", where=str(self._path), mend="restore it, or set the secrets again"
            )
        return dict(document)

    def _save(self, key: Sm2Key, values: Mapping[str, str]) -> None:
        sealed = {name: _seal(key, name, value) for name, value in sorted(values.items())}
        self._write({"version": 1, "key_id": key.key_id().hex(), "secrets": sealed})

    def _write(self, document: Mapping[str, Any]) -> None:
        try:
            replace(self._path, json.dumps(document, indent=1).encode() + b"\n", 0o600)
        except OSError as error:
            raise SecurityError(f"cannot write: {error.strerror}", where=str(self._path)) from error


def _cipher_key(key: Sm2Key) -> bytes:
    return key.derive(b"scada secrets v1", 16)


def _seal(key: Sm2Key, name: str, value: str) -> str:
    nonce = secrets.token_bytes(12)
    encryptor = Cipher(SM4(_cipher_key(key)), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(name.encode())
    cipher = encryptor.update(value.encode()) + encryptor.finalize()
    return base64.b64encode(nonce + cipher + encryptor.tag).decode()


def _open(key: Sm2Key, name: str, sealed: str, where: Path) -> str:
    try:
        data = base64.b64decode(sealed, validate=True)
        nonce, cipher, tag = data[:12], data[12:-_TAG], data[-_TAG:]
        decryptor = Cipher(SM4(_cipher_key(key)), modes.GCM(nonce, tag)).decryptor()
        decryptor.authenticate_additional_data(name.encode())
        return (decryptor.update(cipher) + decryptor.finalize()).decode()
    except (ValueError, InvalidTag) as error:
        raise SecurityError(f"the secret {name!r} was altered or sealed under another key", where=str(where)) from error
