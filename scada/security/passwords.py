"""Passwords of private keys, stretched by Argon2id (RFC 9106) before they open the PKCS#8 file.

A key file whose first line is ``argon2id: v=19,m=KIB,t=PASSES,p=LANES,salt=BASE64`` is encrypted with the stretched password, as
PKCS#8 has it; without the line the password itself opens it. The server knows no password: it proves signatures, and the password
guards the key that makes them. The line and the file are one, so they are replaced in one step.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import SecurityError
from scada.security.sm2 import Sm2Key

SHORTEST: Final = 10
"""Characters of a new password; a short one is found by trying, however slow each try is."""
FREE: Final = 5
"""Failures after which the next try has to wait."""
LONGEST_WAIT_S: Final = 60.0

_LINE = re.compile(rb"argon2id: v=19,m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2}),salt=([A-Za-z0-9+/=]{1,64})\s*\n")


@dataclass(frozen=True, slots=True)
class Stretching:
    """How a password is stretched: 64 MiB and three passes take a fifth of a second, once a login.

    Attributes:
        salt: 16 random bytes.
        memory_kib: memory.
        passes: over the memory.
        lanes: of the computation.
    """

    salt: bytes
    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 1

    def stretch(self, password: bytes) -> bytes:
        """What opens the file: base64 of 32 bytes, so that another program can be given it too."""
        kdf = Argon2id(salt=self.salt, length=32, iterations=self.passes, lanes=self.lanes, memory_cost=self.memory_kib)
        return base64.b64encode(kdf.derive(password))

    def line(self) -> bytes:
        """First line of the file."""
        salt = base64.b64encode(self.salt).decode()
        return f"argon2id: v=19,m={self.memory_kib},t={self.passes},p={self.lanes},salt={salt}\n".encode()


def seal_key(key: Sm2Key, password: str, stretching: Stretching | None = None) -> bytes:
    """The file of a private key that a password opens.

    Raises:
        SecurityError: the password is too short.
    """
    if len(password) < SHORTEST:
        raise SecurityError(f"a password has at least {SHORTEST} characters")
    how = stretching or Stretching(os.urandom(16))
    return how.line() + key.private_pem(how.stretch(password.encode()))


def unlocking(pem: bytes, password: bytes | None) -> tuple[bytes, bytes | None]:
    """(PEM, what opens it) of a key file, whether its password is stretched or not.

    Raises:
        SecurityError: the first line asks for more than 1 GiB or 20 passes, or is corrupt.
    """
    found = _LINE.match(pem)
    if found is None:
        return pem, password
    rest = pem[found.end() :]
    if password is None:
        return rest, None
    try:
        memory, passes, lanes = (int(found[number]) for number in (1, 2, 3))
        salt = base64.b64decode(found[4], validate=True)
    except binascii.Error as error:
        raise SecurityError("the first line of the key file is corrupt", mend="restore the file") from error
    if not (8 * lanes <= memory <= 1 << 20 and 1 <= passes <= 20 and 1 <= lanes <= 16 and len(salt) >= 8):
        raise SecurityError("the first line of the key file asks for what Argon2id cannot be given", mend="restore the file")
    return rest, Stretching(salt, memory, passes, lanes).stretch(password)


def is_locked(pem: bytes) -> bool:
    """True if a key file needs a password."""
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem


class Attempts:
    """Failures to open one key at one workstation, kept over restarts: each after the fifth has to wait longer, up to a minute.

    Nobody is locked out for good, so nobody can lock out the operator of a shift. It slows down who tries at the keyboard; who
    has the files is slowed down by Argon2id alone.

    Args:
        path: where they are kept, beside the key.
        clock: the host's; one that was set back makes no wait longer than the longest.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def wait_s(self) -> float:
        """How long the next try has to wait, s."""
        count, at_ns = self._read()
        if count < FREE:
            return 0.0
        whole = min(2.0 ** (count - FREE), LONGEST_WAIT_S)
        return max(0.0, min(whole, whole - (self._clock.now_ns() - at_ns) / NS_PER_S))

    def failed(self) -> None:
        """Another one failed."""
        count, _ = self._read()
        self._write(json.dumps({"failures": min(count + 1, 1000), "at_ns": self._clock.now_ns()}))

    def succeeded(self) -> None:
        """The key was opened."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise SecurityError(f"cannot remove: {error.strerror}", where=str(self._path)) from error

    def _read(self) -> tuple[int, int]:
        """(failures, ns UTC of the last); what cannot be read counts as none: it must not lock anybody out."""
        try:
            kept = json.loads(self._path.read_text())
            return max(0, int(kept["failures"])), int(kept["at_ns"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0

    def _write(self, text: str) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
        except OSError as error:
            raise SecurityError(f"cannot write: {error.strerror}", where=str(self._path)) from error
