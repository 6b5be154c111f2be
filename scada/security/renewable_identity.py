"""An identity that follows its files: what runs for years takes a renewed certificate or key without a start.

Whoever signs asks the one owner of the identity for it each time, and keeps what it got only as long as certificate and signature
must belong together.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Final

from scada.core.clock import Clock
from scada.core.errors import SecurityError
from scada.security.identities import Identity, load_identity
from scada.security.key_files import Stamp, certificate_path, key_path, stamp
from scada.security.signers import signer_path
from scada.security.trust import Trust

RETRY_S: Final = 10.0
"""Files that could not be taken are tried again after so long although they did not change, s: a token may be back."""


class RenewableIdentity:
    """The identity of a folder as its files say now. Safe to call from several threads.

    Args:
        folder: of the identities.
        name: the identity.
        clock: for validity.
        password: of the key; None takes the environment's.
        trust: proves the certificate; None = the authorities and lists of the folder as they are at each look.
        role: that the certificate must bear; empty = any.

    Attributes:
        fault: why files that changed could not be taken, empty if they could; what was read last goes on to serve. Told by the
            second look that finds it: between the key and the certificate of a renewal lies a moment.

    Raises:
        SecurityError: a file is missing or cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        clock: Clock,
        *,
        password: bytes | None = None,
        trust: Trust | None = None,
        role: str = "",
    ) -> None:
        self.fault = ""
        self._folder = folder
        self._name = name
        self._clock = clock
        self._password = password
        self._trust = trust
        self._role = role
        self._lock = Lock()
        self._pending = ""
        self._again = 0.0
        self._stamps = self._look()
        self._current = self._load()

    @property
    def current(self) -> Identity:
        """Certificate and signer that belong together, as taken last."""
        return self._current

    def refresh(self) -> bool:
        """Take files that have changed; True if another certificate or key was taken. Costs three ``stat`` calls."""
        stamps = self._look()
        with self._lock:
            if stamps == self._stamps and not self._retries():
                self.fault = self._pending
                return False
            self._stamps = stamps
            try:
                found = self._load()
            except SecurityError as error:
                self._pending, self._again = str(error), self._clock.monotonic() + RETRY_S
                return False
            before, self._current = self._current, found
            self.fault = self._pending = ""
            return found.certificate.encoded != before.certificate.encoded

    def _retries(self) -> bool:
        return bool(self._pending) and self._clock.monotonic() >= self._again

    def _load(self) -> Identity:
        authorities = self._trust.authorities if self._trust else None
        found = load_identity(self._folder, self._name, self._clock, self._password, authorities=authorities)
        if self._role and self._role not in found.certificate.roles:
            where = str(certificate_path(self._folder, self._name))
            raise SecurityError(
                f"the certificate does not bear the role {self._role}", where=where, mend="issue it with the role"
            )
        return found

    def _look(self) -> tuple[Stamp, ...]:
        folder, name = self._folder, self._name
        return tuple(map(stamp, (certificate_path(folder, name), key_path(folder, name), signer_path(folder, name))))
