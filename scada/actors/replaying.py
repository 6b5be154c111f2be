"""One replay: its session, its temporary database, and the bounds of what a trace may take up in the server."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.protocols.iec104.capture import Trace
from scada.protocols.iec104.replay import ReplaySession
from scada.protocols.iec104.truth import Comparison
from scada.rtdb.store import Store

MOST_ADDRESSES: Final = 100_000
MOST_FINDINGS: Final = 100_000
MOST_COMPARED: Final = 200_000
"""Objects of a session that is compared with an expectation."""
MOST_FRAMES: Final = 1000
"""Frames of one step."""
MAX_SPEED: Final = 1e6


@dataclass(slots=True)
class Reading:
    """A trace that is being read, or could not be."""

    request: pb.ReplayRequest
    parts: Iterator[Trace | None]
    expect: Path | None
    octets: int
    """Size of the file."""
    reason: str = ""


_Session = tuple[ReplaySession, tempfile.TemporaryDirectory[str], Store]


class Replay:
    """A trace that is replayed, in a database of its own.

    Args:
        trace: what was read.
        reading: what was asked.
        now: monotonic seconds.
    """

    def __init__(self, trace: Trace, reading: Reading, now: float) -> None:
        self.trace, self.octets, self.expect = trace, reading.octets, reading.expect
        self.loop = reading.request.loop
        self.speed = speed_of(reading.request.speed)
        """Recorded seconds a second; infinite = as fast as possible."""
        self.state, self.reason = "running", ""
        self.beat = now
        self.goal_s: float | None = None
        """Second of the trace that a step or a jump has still to reach."""
        self.rounds = 0
        self.compared: Comparison | None = None
        self.published = -1
        """Objects when the values were published last."""
        self.publish_at = now
        self.session, self._folder, self._store = self._open()

    @property
    def position_s(self) -> float:
        """Second of the trace."""
        return self.session.statistics.position_s

    def rewind(self) -> None:
        """From the beginning again, in an empty database."""
        fresh = self._open()
        self.close()
        self.session, self._folder, self._store = fresh
        self.compared, self.published = None, -1

    def close(self) -> None:
        """Remove the database."""
        try:
            self._store.close()
        finally:
            self._folder.cleanup()

    def _open(self) -> _Session:
        folder = tempfile.TemporaryDirectory(prefix="scada-replay-")
        stores: list[Store] = []

        def database(clock: Clock) -> Store:
            stores.append(Store(Path(folder.name), 1, clock, map_mb=256, journal_mb=16))
            return stores[0]

        try:
            session = ReplaySession(self.trace, database, keep_objects=self.expect is not None)
        except BaseException:
            folder.cleanup()
            raise
        return session, folder, stores[0]

    def check(self) -> None:
        """Look at what the session takes up.

        Raises:
            ScadaError: it has grown too large.
        """
        objects = self.session.statistics.objects if self.expect is not None else 0
        for what, found, most in (
            ("addresses", self.session.addresses, MOST_ADDRESSES),
            ("faults", len(self.session.findings), MOST_FINDINGS),
            ("objects to compare", objects, MOST_COMPARED),
        ):
            if found > most:
                raise ScadaError(f"the trace has more than {most} {what}", mend="replay it at the terminal: scada replay FILE")


def differences_of(compared: Comparison) -> list[str]:
    """What does not agree with the expectation, one sentence each."""
    return [
        *(f"missing: {item}" for item in compared.missing),
        *(f"extra: {item}" for item in compared.extra),
        *(f"expected {expected}; found {found}" for expected, found in compared.differing),
        *(f"frame {frame} was malformed, and is accepted now" for frame in compared.malformed),
    ]


def speed_of(asked: float) -> float:
    """Recorded seconds a second.

    Raises:
        ScadaError: it is none.
    """
    if not asked >= 0:
        raise ScadaError(f"{asked:g} is no speed", mend="0 = as fast as possible, else times real time")
    return math.inf if asked == 0 else min(max(asked, 0.01), MAX_SPEED)
