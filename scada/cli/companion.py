"""One process beside the server, started again with back-off when it ends. It watches us: when we are gone, it ends itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from typing import Final

import structlog

_log = structlog.get_logger("companion")

COMPANION_LOOK_S: Final = 1.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 2.0, 60.0
_STABLE_S: Final = 60.0
"""After so long a run an end is not one of a row."""
_STOP_S: Final = 10.0


class Companion:
    """Starts the process at the first :meth:`attend`.

    Args:
        argv: its command line; it shares our standard output.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._started = self._next = 0.0

    @property
    def pid(self) -> int:
        """Process id; 0 = not running."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def attend(self) -> None:
        """Start it, or start it again, if it is time to."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._pause_s = _FIRST_PAUSE_S if now - self._started > _STABLE_S else min(2 * self._pause_s, _LAST_PAUSE_S)
            self._next = now + self._pause_s
            self._process = None
            _log.warning("companion ended", code=code, again_in_s=self._pause_s)
        if now >= self._next:
            self._started = now
            self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL)  # noqa: S603 - our own command line

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
