"""Replay actor: runs recorded traces in isolated sessions; nothing of them reaches the live database."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import ReplayAsked, Tick
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.protocols.iec104.replay import ReplaySession
from scada.rtdb.store import Store

SESSIONS = 4
"""Replays at a time; the oldest finished one makes room."""
MAX_SPEED = 1e6


@dataclass(slots=True)
class _Replay:
    session: ReplaySession
    folder: tempfile.TemporaryDirectory[str]
    store: Store
    speed: float
    """Recorded seconds a second; infinite = as fast as possible."""
    state: str
    beat: float
    reason: str = ""

    def close(self) -> None:
        self.store.close()
        self.folder.cleanup()


@dataclass(slots=True)
class ReplayView:
    """Published values of the running replays; replaced as a whole, written by the replay actor alone."""

    values: dict[str, pb.ReplayValues]


class ReplayActor(Actor):
    """Owns the replay sessions.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        folder: the only place traces are read from.
        view: where values are published.
        clock: paces the replays.
    """

    def __init__(
        self, address: Address, failed: Callable[[BaseException], None], *, folder: Path, view: ReplayView, clock: Clock
    ) -> None:
        super().__init__(address, failed)
        self._folder = folder
        self._view = view
        self._clock = clock
        self._replays: dict[str, _Replay] = {}
        self._count = 0

    def stopped(self) -> None:
        """Remove the sessions' databases."""
        for replay in self._replays.values():
            replay.close()

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Tick():
                for name, replay in self._replays.items():
                    self._advance(name, replay)
            case ReplayAsked(action, request):
                if isinstance(request, pb.ReplayRequest):
                    return self._start(request.trace, request.speed)
                return self._command(request.replay_id, action, request.speed)
            case _:
                return super().receive(message)
        return None

    def _start(self, trace: str, speed: float) -> pb.ReplayState:
        path = self._folder / trace
        if Path(trace).name != trace or not path.is_file():
            names = ", ".join(sorted(file.name for file in self._folder.glob("*.pcap*"))) or "none"
            raise ScadaError(f"no trace {trace!r} in the trace folder", mend=f"there are: {names}")
        self._make_room()
        folder = tempfile.TemporaryDirectory(prefix="scada-replay-")
        stores: list[Store] = []

        def database(clock: Clock) -> Store:
            stores.append(Store(Path(folder.name), 1, clock, map_mb=256, journal_mb=16))
            return stores[0]

        try:
            session = ReplaySession(path, database)
        except ScadaError:
            folder.cleanup()
            raise
        self._count += 1
        name = f"replay-{self._count}"
        pace = _speed(speed)
        self._replays[name] = _Replay(session, folder, stores[0], pace, "running", self._clock.monotonic())
        self._advance(name, self._replays[name])
        return self._shown(name)

    def _make_room(self) -> None:
        for name in [name for name, replay in self._replays.items() if replay.session.finished]:
            if len(self._replays) >= SESSIONS:
                self._end(name)
        if len(self._replays) >= SESSIONS:
            raise ScadaError(f"{SESSIONS} replays are running", mend="stop one of them first")

    def _command(self, name: str, action: str, speed: float) -> pb.ReplayState:
        replay = self._replays.get(name)
        if replay is None:
            raise ScadaError(f"no replay {name!r}", mend="start one first")
        match action:
            case "state":
                pass
            case "pause" | "resume":
                replay.state = "paused" if action == "pause" else "running"
                replay.beat = self._clock.monotonic()
            case "step":
                replay.state = "paused"
                self._step(name, replay, 1.0)
            case "speed":
                replay.speed = _speed(speed)
            case "stop":
                shown = self._shown(name)
                shown.state = "stopped"
                self._end(name)
                return shown
            case _:
                raise ScadaError(f"a replay cannot {action!r}", mend="pause, resume, step, speed or stop")
        return self._shown(name)

    def _advance(self, name: str, replay: _Replay) -> None:
        now = self._clock.monotonic()
        elapsed, replay.beat = now - replay.beat, now
        if replay.state == "running":
            self._step(name, replay, 3600.0 if math.isinf(replay.speed) else elapsed * replay.speed)

    def _step(self, name: str, replay: _Replay, seconds: float) -> None:
        try:
            more = replay.session.step(seconds)
        except ScadaError as error:
            replay.state, replay.reason = "failed", str(error)
            return
        if not more:
            replay.state = "finished"
        shown = pb.ReplayValues()
        for value in replay.session.values():
            shown.values.add(**{name: getattr(value, name) for name in value.__slots__})
        self._view.values = {**self._view.values, name: shown}

    def _end(self, name: str) -> None:
        self._replays.pop(name).close()
        self._view.values = {key: values for key, values in self._view.values.items() if key != name}

    def _shown(self, name: str) -> pb.ReplayState:
        replay = self._replays[name]
        counted = replay.session.statistics
        return pb.ReplayState(
            replay_id=name,
            state=replay.state,
            position_s=counted.position_s,
            length_s=counted.length_s,
            apdus=counted.apdus,
            objects=counted.objects,
            sequence_errors=counted.sequence_errors,
            malformed=counted.malformed,
            reason=replay.reason,
            speed=0.0 if math.isinf(replay.speed) else replay.speed,
        )


def _speed(asked: float) -> float:
    return math.inf if asked == 0 else min(max(asked, 0.01), MAX_SPEED)
