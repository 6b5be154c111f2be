"""Replay actor: runs recorded traces in isolated sessions; nothing of them reaches the live database."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import ReplayAsked, Tick
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.protocols.iec104.capture import PORT, Trace, load_trace
from scada.protocols.iec104.replay import ReplaySession
from scada.protocols.iec104.truth import Comparison, compare
from scada.rtdb.store import Store

SESSIONS = 4
"""Replays at a time; the oldest finished one makes room."""
MAX_SPEED = 1e6
DIFFERENCES = 20
"""Differences from an expectation that are told; more are only counted."""


@dataclass(slots=True)
class _Replay:
    trace: Trace
    session: ReplaySession
    folder: tempfile.TemporaryDirectory[str]
    store: Store
    speed: float
    """Recorded seconds a second; infinite = as fast as possible."""
    loop: bool
    expect: Path | None
    state: str
    beat: float
    reason: str = ""
    rounds: int = 0
    compared: Comparison | None = None

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
        folders: the only places traces and expectations are read from, the first one that has the name.
        view: where values are published.
        clock: paces the replays.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        folders: Sequence[Path],
        view: ReplayView,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._folders = tuple(folders)
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
                    return self._start(request)
                return self._command(action, request)
            case _:
                return super().receive(message)
        return None

    def _start(self, request: pb.ReplayRequest) -> pb.ReplayState:
        trace = load_trace(self._file(request.trace, "trace"), request.port or PORT)
        expect = self._file(request.expect, "expectation") if request.expect else None
        self._make_room()
        session, folder, store = self._open(trace, keep_objects=expect is not None)
        self._count += 1
        name = f"replay-{self._count}"
        beat = self._clock.monotonic()
        self._replays[name] = _Replay(trace, session, folder, store, _speed(request.speed), request.loop, expect, "running", beat)
        self._advance(name, self._replays[name])
        return self._shown(name)

    def _file(self, name: str, kind: str) -> Path:
        """A file of the folders by its bare name; nothing else of the machine can be read."""
        if Path(name).name == name:
            for folder in self._folders:
                if (folder / name).is_file():
                    return folder / name
        pattern = "*.pcap*" if kind == "trace" else "*.jsonl*"
        names = ", ".join(sorted(file.name for folder in self._folders for file in folder.glob(pattern))) or "none"
        raise ScadaError(f"no {kind} {name!r} in the folders of traces and recordings", mend=f"there are: {names}")

    @staticmethod
    def _open(trace: Trace, *, keep_objects: bool) -> tuple[ReplaySession, tempfile.TemporaryDirectory[str], Store]:
        folder = tempfile.TemporaryDirectory(prefix="scada-replay-")
        stores: list[Store] = []

        def database(clock: Clock) -> Store:
            stores.append(Store(Path(folder.name), 1, clock, map_mb=256, journal_mb=16))
            return stores[0]

        try:
            session = ReplaySession(trace, database, keep_objects=keep_objects)
        except ScadaError:
            folder.cleanup()
            raise
        return session, folder, stores[0]

    def _rewind(self, replay: _Replay) -> None:
        """From the beginning again, in an empty database."""
        replay.close()
        replay.session, replay.folder, replay.store = self._open(replay.trace, keep_objects=replay.expect is not None)
        replay.compared = None

    def _make_room(self) -> None:
        for name in [name for name, replay in self._replays.items() if replay.session.finished]:
            if len(self._replays) >= SESSIONS:
                self._end(name)
        if len(self._replays) >= SESSIONS:
            raise ScadaError(f"{SESSIONS} replays are running", mend="stop one of them first")

    def _command(self, action: str, request: pb.ReplayCommand) -> pb.ReplayState:
        name = request.replay_id
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
                self._step(name, replay, request.step_s or 1.0, frames=request.frames)
            case "jump":
                self._jump(name, replay, request.position_s)
            case "loop" | "once":
                replay.loop = action == "loop"
            case "speed":
                replay.speed = _speed(request.speed)
            case "stop":
                shown = self._shown(name)
                shown.state = "stopped"
                self._end(name)
                return shown
            case _:
                raise ScadaError(f"a replay cannot {action!r}", mend="pause, resume, step, jump, loop, once, speed or stop")
        return self._shown(name)

    def _jump(self, name: str, replay: _Replay, position_s: float) -> None:
        """To a second of the trace: everything before it is replayed, so that the values are those of that time."""
        if not 0 <= position_s <= replay.session.statistics.length_s:
            raise ScadaError(
                f"{position_s:g} s is not in the trace", mend=f"it is {replay.session.statistics.length_s:.3f} s long"
            )
        if position_s < replay.session.statistics.position_s:
            self._rewind(replay)
        if replay.state == "finished":
            replay.state = "paused"
        self._step(name, replay, position_s - replay.session.statistics.position_s)
        replay.beat = self._clock.monotonic()

    def _advance(self, name: str, replay: _Replay) -> None:
        now = self._clock.monotonic()
        elapsed, replay.beat = now - replay.beat, now
        if replay.state == "running":
            self._step(name, replay, 3600.0 if math.isinf(replay.speed) else elapsed * replay.speed)

    def _step(self, name: str, replay: _Replay, seconds: float, *, frames: int = 0) -> None:
        running = replay.state == "running"
        try:
            if replay.session.finished and running and replay.loop:
                self._rewind(replay)
            more = replay.session.step_frames(frames) if frames else replay.session.step(seconds)
            if not more:
                self._at_end(replay)
        except ScadaError as error:
            replay.state, replay.reason = "failed", str(error)
            return
        shown = pb.ReplayValues()
        for value in replay.session.values():
            shown.values.add(**{name: getattr(value, name) for name in value.__slots__})
        self._view.values = {**self._view.values, name: shown}

    @staticmethod
    def _at_end(replay: _Replay) -> None:
        replay.rounds += 1
        if replay.expect is not None:
            replay.compared = compare(replay.expect, replay.session.objects(), replay.session.findings)
        if not (replay.loop and replay.state == "running"):
            replay.state = "finished"

    def _end(self, name: str) -> None:
        self._replays.pop(name).close()
        self._view.values = {key: values for key, values in self._view.values.items() if key != name}

    def _shown(self, name: str) -> pb.ReplayState:
        replay = self._replays[name]
        counted = replay.session.statistics
        differences = [] if replay.compared is None else _differences(replay.compared)
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
            loop=replay.loop,
            rounds=replay.rounds,
            digest=replay.session.digest,
            differences=len(differences),
            first_differences=differences[:DIFFERENCES],
        )


def _differences(compared: Comparison) -> list[str]:
    """What does not agree with the expectation, one sentence each."""
    return [
        *(f"missing: {item}" for item in compared.missing),
        *(f"extra: {item}" for item in compared.extra),
        *(f"expected {expected}; found {found}" for expected, found in compared.differing),
        *(f"frame {frame} was malformed, and is accepted now" for frame in compared.malformed),
    ]


def _speed(asked: float) -> float:
    return math.inf if asked == 0 else min(max(asked, 0.01), MAX_SPEED)
