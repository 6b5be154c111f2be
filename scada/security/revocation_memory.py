"""What was ever revoked, as far as this server has seen: kept away from the folder of keys, for years and through every start.

Whoever puts an older revocation list back, while the server is down, revives nobody by it: what is remembered stays revoked, and
the server knows that it does not know what the newest list says. Revoked is for ever (RFC 5280, 5.3.1), but for certificates that
are only held.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

from scada.core.errors import SecurityError
from scada.security.key_files import read, save_file, trusted
from scada.security.revocation import Revoked
from scada.security.sm3 import sm3

_VERSION: Final = "revocations 1"
"""What the file holds, and in which form."""
NEWER: Final = "put the newest list back, or write a newer one where the authority's key is: scada keys crl FOLDER"
"""How an older list is mended."""
_HELD: Final = "certificateHold"
_NONE: Final[Mapping[int, Revoked]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Known:
    """Of one authority: its name, the highest number of a list and what was revoked, by serial number."""

    title: str
    number: int
    revoked: Mapping[int, Revoked] = field(default_factory=dict)


def owner_of(kind: str, identifier: bytes) -> str:
    """Names an authority in the memory: ``SM2`` by the point of its key, ``TLS`` by its name (DER)."""
    return f"{kind} {sm3(identifier).hex()}"


class RevocationMemory:
    """Remembers lists by authority. Safe to call from several threads.

    Args:
        path: file, made with mode 0600; None remembers until the end of the process only.

    Attributes:
        damage: why the file cannot be read, empty if it can: what was revoked is not known then, and the file stays as it is.
        unsaved: why what was learnt could not be stored, empty if it was; see :meth:`save`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.damage = ""
        self.unsaved = ""
        self._path = path
        self._lock = Lock()
        self._known: dict[str, _Known] = {}
        self._dirty = False
        if path is not None and path.exists():
            try:
                self._known = _read(path)
            except SecurityError as error:
                self.damage = str(error)

    def older(self, owner: str, number: int | None) -> str:
        """Why a list is not what was in force before, empty if it is or a newer one.

        Args:
            owner: see :func:`owner_of`.
            number: of the list; None = there is none.
        """
        known = self._known.get(owner)
        if known is None or (number is not None and number >= known.number):
            return ""
        if number is None:
            return f"the revocation list of {known.title} has gone; number {known.number} was in force"
        return f"revocation list {number} of {known.title} is older than {known.number}, which was in force"

    def revoked(self, owner: str, number: int | None) -> Mapping[int, Revoked]:
        """What stays revoked whatever the list says, by serial number; with an older list also what was only held."""
        known = self._known.get(owner)
        if known is None:
            return _NONE
        if self.older(owner, number):
            return known.revoked
        return {serial: each for serial, each in known.revoked.items() if each.reason != _HELD}

    def learn(self, owner: str, title: str, number: int, entries: Iterable[Revoked]) -> None:
        """Remember a list that is in force; an older one teaches nothing. :meth:`save` stores it."""
        with self._lock:
            if self.older(owner, number):
                return
            kept = self.revoked(owner, number)
            new = _Known(title, number, {**kept, **{each.serial: kept.get(each.serial, each) for each in entries}})
            self._dirty |= self._known.get(owner) != new
            self._known[owner] = new

    def save(self) -> None:
        """Store what was learnt, in one step and on disk; cheap if that was nothing. A failure is told in :attr:`unsaved`."""
        with self._lock:
            if not self._dirty or self._path is None or self.damage:
                return
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                save_file(self._path, _text(self._known))
            except (SecurityError, OSError) as error:
                self.unsaved = f"what was revoked cannot be remembered: {error}"
            else:
                self._dirty, self.unsaved = False, ""


def _text(known: Mapping[str, _Known]) -> str:
    lists = {
        owner: {
            "title": each.title,
            "number": each.number,
            "revoked": {f"{one.serial:x}": [one.when_ns, one.reason] for one in each.revoked.values()},
        }
        for owner, each in known.items()
    }
    return json.dumps({_VERSION: lists}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _read(path: Path) -> dict[str, _Known]:
    try:
        held = json.loads(read(trusted(path)))
        return {str(owner): _parse(each) for owner, each in held[_VERSION].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SecurityError(
            "what was revoked cannot be read",
            where=str(path),
            mend="restore the file, or move it away if the lists in the folder of keys are the newest",
        ) from error


def _parse(each: Any) -> _Known:
    entries = ((int(serial, 16), int(when_ns), str(reason)) for serial, (when_ns, reason) in each["revoked"].items())
    return _Known(str(each["title"]), int(each["number"]), {one[0]: Revoked(*one) for one in entries})
