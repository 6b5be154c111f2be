"""Bearer tokens of third parties: made of 32 random bytes, kept as their SM3, good for scopes and stations until a day.

A token reads ``scada_ID_SECRET``; the file has the digest of the secret only. The file is read again when it changes, so that a
revocation holds with the next request.
"""

from __future__ import annotations

import base64
import fcntl
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final

from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import SecurityError, StoreError
from scada.rest.shapes import check_hidden
from scada.security.sm3 import sm3

SCOPES: Final = ("status", "model", "values", "alarms", "events", "history", "dispatch", "controls", "tags")
"""What a token can be good for, one for each group of addresses."""

_PREFIX = "scada"
_SECRET = 32
_NAME_MAXIMUM = 64
_CLASS: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class TokenError(SecurityError):
    """A token cannot be used.

    Attributes:
        code: ``no_token``, ``unknown_token``, ``expired`` or ``revoked``.
    """

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what, mend="ask whoever runs the server for a token")
        self.code = code


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token.

    Attributes:
        id: names it, 16 hex digits; no secret.
        name: of whom it was issued to.
        digest: SM3 of the secret, hex.
        scopes: of :data:`SCOPES`.
        stations: names of stations; empty = all.
        issued_ns: ns UTC.
        expires_ns: ns UTC.
        per_minute: requests a minute in the long run.
        revoked_ns: ns UTC, 0 = it is not.
        classes: CIM classes, kinds or measurement types of points and controls; empty = all.
        hidden: fields that are left out, ``TABLE.FIELD``.
        persons: names of persons and what they wrote are shown.
    """

    id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    stations: tuple[str, ...]
    issued_ns: int
    expires_ns: int
    per_minute: int
    revoked_ns: int = 0
    classes: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    persons: bool = False


class TokenStore:
    """The tokens of a file. Safe to call from several threads and processes.

    Args:
        path: JSON; made with mode 0600 when the first token is issued.
        clock: gives the time of issue and expiry.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def issue(
        self,
        name: str,
        *,
        days: float,
        scopes: Sequence[str],
        stations: Sequence[str],
        per_minute: int,
        classes: Sequence[str] = (),
        hidden: Sequence[str] = (),
        persons: bool = False,
    ) -> str:
        """Make a token; what is returned is shown once and kept nowhere. For the arguments see :class:`Token`.

        Raises:
            SecurityError: a name, scope, class or field is wrong.
            StoreError: the file cannot be written.
        """
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise SecurityError(f"unknown scopes: {', '.join(unknown) or 'none given'}", mend=f"known: {', '.join(SCOPES)}")
        if not name or len(name) > _NAME_MAXIMUM or not name.isprintable():
            raise SecurityError(f"a token needs a printable name of at most {_NAME_MAXIMUM} characters")
        if not 0 < days <= 3660 or per_minute < 1:
            raise SecurityError("a token is good for up to 3660 days and for at least one request a minute")
        if wrong := [each for each in classes if not _CLASS.fullmatch(each)]:
            mend = "give a CIM class (Analog, Discrete, Accumulator, Command, SetPoint), a kind (status) or a measurement type"
            raise SecurityError(f"{wrong[0]!r} is no class", mend=mend)
        check_hidden(hidden)
        secret, identifier, now = secrets.token_bytes(_SECRET), secrets.token_hex(8), self._clock.now_ns()
        expires = now + int(days * 86_400 * NS_PER_S)
        digest = sm3(secret).hex()
        made = Token(
            identifier,
            name,
            digest,
            tuple(scopes),
            tuple(stations),
            now,
            expires,
            per_minute,
            classes=tuple(classes),
            hidden=tuple(hidden),
            persons=persons,
        )
        with self._changing() as tokens:
            tokens[identifier] = made
        return f"{_PREFIX}_{identifier}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"

    def revoke(self, identifier: str) -> Token:
        """End a token, by its id; returns it.

        Raises:
            SecurityError: there is none of this id.
            StoreError: the file cannot be written.
        """
        with self._changing() as tokens:
            found = tokens.get(identifier)
            if found is None:
                raise SecurityError(f"there is no token {identifier}", where=str(self._path))
            tokens[identifier] = replace(found, revoked_ns=found.revoked_ns or self._clock.now_ns())
            return tokens[identifier]

    def tokens(self) -> list[Token]:
        """All, the newest last.

        Raises:
            StoreError: the file cannot be read.
        """
        with self._lock:
            self._refresh()
            return sorted(self._tokens.values(), key=lambda each: each.issued_ns)

    def check(self, given: str) -> Token:
        """The token that a caller shows.

        Raises:
            TokenError: it is not one of ours, or no longer.
            StoreError: the file cannot be read: nobody is let in.
        """
        prefix, _, rest = given.partition("_")
        identifier, _, text = rest.partition("_")
        with self._lock:
            self._refresh()
            found = self._tokens.get(identifier)
        secret = _secret(text)
        # an unknown id is compared too, so that the time taken does not tell which ids there are
        same = hmac.compare_digest(sm3(secret).hex(), found.digest if found else "0" * 64)
        if not found or not same or prefix != _PREFIX or len(secret) != _SECRET:
            raise TokenError("unknown_token", "the token is not known")
        self._check_life(found)
        return found

    def check_again(self, identifier: str) -> None:
        """Make sure that a token that was good still is, for what goes on after its request.

        Raises:
            TokenError: it no longer is.
            StoreError: the file cannot be read.
        """
        with self._lock:
            self._refresh()
            found = self._tokens.get(identifier)
        if found is None:
            raise TokenError("unknown_token", "the token is not known")
        self._check_life(found)

    def _check_life(self, found: Token) -> None:
        if found.revoked_ns:
            raise TokenError("revoked", f"the token {found.id} was revoked")
        if self._clock.now_ns() >= found.expires_ns:
            raise TokenError("expired", f"the token {found.id} has expired")

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        """Read, change and replace the file while nobody else does."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._lock, self._path.with_suffix(".lock").open("w") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                self._refresh()
                tokens = dict(self._tokens)
                yield tokens
                aside = self._path.with_suffix(".new")
                data = json.dumps({"tokens": [asdict(each) for each in tokens.values()]}, indent=1).encode()
                descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(descriptor)
                aside.replace(self._path)
        except OSError as error:
            raise StoreError(f"cannot write tokens: {error.strerror}", where=str(self._path)) from error

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._tokens = None, {}
            return
        except OSError as error:
            raise StoreError(f"cannot read tokens: {error.strerror}", where=str(self._path)) from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._tokens = self._read(status.st_mode)
            self._stamp = stamp

    def _read(self, mode: int) -> dict[str, Token]:
        if mode & 0o022:
            raise StoreError("the file of tokens can be written by others", where=str(self._path), mend="chmod 600 it")
        try:
            entries = json.loads(self._path.read_bytes())["tokens"]
            found = [_of_entry(each) for each in entries]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(f"cannot read tokens: {error}", where=str(self._path)) from error
        return {each.id: each for each in found}


class Buckets:
    """How many requests of each caller are let through: a bucket each, filled at its rate.

    Args:
        clock: its monotonic time counts.
        most: callers remembered; of more the longest silent are forgotten.
    """

    def __init__(self, clock: Clock, most: int = 10_000) -> None:
        self._clock = clock
        self._most = most
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, caller: str, per_minute: int) -> float:
        """Let one through: 0; or the seconds to wait. A bucket holds a quarter of a minute's worth, at least one."""
        now, rate = self._clock.monotonic(), per_minute / 60
        level, at = self._levels.pop(caller, (max(1.0, per_minute / 4), now))
        level = min(max(1.0, per_minute / 4), level + (now - at) * rate)
        wait = 0.0 if level >= 1 else (1 - level) / rate
        self._levels[caller] = (level - 1 if not wait else level, now)
        while len(self._levels) > self._most:
            del self._levels[next(iter(self._levels))]
        return wait


def _of_entry(entry: dict[str, Any]) -> Token:
    """A token of the file; a list that is none, and so might widen what it opens, is an error."""
    lists = {name: entry.get(name, []) for name in ("scopes", "stations", "classes", "hidden")}
    for name, cells in lists.items():
        if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
            raise TypeError(f"{name} is no list of names")
    if not isinstance(entry.get("persons", False), bool):
        raise TypeError("persons is neither true nor false")
    return Token(**{**entry, **{name: tuple(cells) for name, cells in lists.items()}})


def _secret(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
