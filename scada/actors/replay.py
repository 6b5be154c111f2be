"""Replay actor: runs recorded traces in isolated sessions; nothing of them reaches the live database.

A trace may be large, and whoever wrote it hostile. It is read and replayed in parts, one a tick and session, so that orders are
answered in between and the other threads of the server get their turn; what a trace may take up is bounded, and one that goes
wrong ends its own session alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import Tick
from scada.actors.order_messages import ReplayAsked
from scada.actors.replaying import MOST_COMPARED, MOST_FRAMES, Reading, Replay, differences_of, speed_of
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.protocols.iec104.capture import PORT, Trace, loading
from scada.protocols.iec104.truth import compare

SESSIONS: Final = 4
"""Replays at a time; the oldest finished one makes room."""
MOST_OCTETS: Final = 64 << 20
"""What the files of all sessions may have together; in memory they take about six times that."""
PART_OCTETS: Final = 65_536
"""Octets replayed at a time, see :meth:`ReplaySession.step`: some 300 frames, some 50 ms."""
PUBLISH_S: Final = 5e-5
"""Time between two publications, for each address: what it takes to make them is a part of that."""
DIFFERENCES: Final = 20
"""Differences from an expectation that are told; more are only counted."""

MIB: Final = 1 << 20

_log = structlog.get_logger("replay")


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
        self._replays: dict[str, Replay] = {}
        self._reading: dict[str, Reading] = {}
        self._count = 0

    def started(self) -> None:
        """Nothing of an earlier life is shown."""
        self._view.values = {}

    def stopped(self) -> None:
        """Remove the sessions' databases."""
        with ExitStack() as stack:
            for replay in self._replays.values():
                stack.callback(replay.close)

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Tick():
                for name in list(self._reading):
                    self._read_on(name)
                for name, replay in self._replays.items():
                    self._advance(name, replay)
            case ReplayAsked(action, request):
                if isinstance(request, pb.ReplayRequest):
                    return self._start(request)
                return self._command(action, request)
            case _:
                return super().receive(message)
        return None

    # ------------------------------------------------------------------ beginning and end

    def _start(self, request: pb.ReplayRequest) -> pb.ReplayState:
        speed_of(request.speed)
        path = self._file(request.trace, "trace")
        expect = self._file(request.expect, "expectation") if request.expect else None
        octets = path.stat().st_size
        self._make_room(octets)
        parts = loading(path, request.port or PORT)
        reading = Reading(request, parts, expect, octets)
        trace = next(parts)  # what is no trace is refused at once
        self._count += 1
        name = f"replay-{self._count}"
        self._reading[name] = reading
        if trace is not None:
            self._begin(name, trace)
        return self._shown(name)

    def _read_on(self, name: str) -> None:
        reading = self._reading[name]
        if reading.reason:
            return
        try:
            trace = next(reading.parts)
            if trace is not None:
                self._begin(name, trace)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is the fault of this trace alone
            reading.reason = _reason(name, error)

    def _begin(self, name: str, trace: Trace) -> None:
        reading = self._reading[name]
        replay = Replay(trace, reading, self._clock.monotonic())
        del self._reading[name]
        self._replays[name] = replay
        self._advance(name, replay)

    def _file(self, name: str, kind: str) -> Path:
        """A file of the folders by its bare name; nothing else of the machine can be read."""
        if Path(name).name == name:
            for folder in self._folders:
                if (folder / name).is_file():
                    return folder / name
        pattern = "*.pcap*" if kind == "trace" else "*.jsonl*"
        names = ", ".join(sorted(file.name for folder in self._folders for file in folder.glob(pattern))) or "none"
        raise ScadaError(f"no {kind} {name!r} in the folders of traces and recordings", mend=f"there are: {names}")

    def _make_room(self, octets: int) -> None:
        """End what is over until there is room for another trace.

        Raises:
            ScadaError: there is none.
        """
        if octets > MOST_OCTETS:
            raise ScadaError(
                f"the trace has {octets / MIB:.1f} MiB, more than the {MOST_OCTETS / MIB:g} that are replayed in the server",
                mend="replay it at the terminal: scada replay FILE",
            )
        over = [name for name, one in self._reading.items() if one.reason]
        over += [name for name, one in self._replays.items() if one.session.finished or one.state == "failed"]
        while not self._fits(octets) and over:
            self._end(over.pop(0))
        if not self._fits(octets):
            names = ", ".join([*self._replays, *self._reading])
            what = f"at most {SESSIONS} replays of {MOST_OCTETS / MIB:g} MiB together"
            raise ScadaError(f"{what} can run, and there are {names}", mend="stop one of them first")

    def _fits(self, octets: int) -> bool:
        taken = [one.octets for one in self._replays.values()] + [one.octets for one in self._reading.values()]
        return len(taken) < SESSIONS and sum(taken) + octets <= MOST_OCTETS

    def _end(self, name: str) -> None:
        self._reading.pop(name, None)
        self._view.values = {key: values for key, values in self._view.values.items() if key != name}
        replay = self._replays.pop(name, None)
        if replay is not None:
            replay.close()

    # ------------------------------------------------------------------ orders

    def _command(self, action: str, request: pb.ReplayCommand) -> pb.ReplayState:
        name = request.replay_id
        if name not in self._replays and name not in self._reading:
            raise ScadaError(f"no replay {name!r}", mend="start one first")
        shown = self._shown(name)
        replay = self._replays.get(name)
        if action == "stop":
            self._end(name)
            shown.state = "stopped"
        elif action != "state":
            if replay is None or shown.state == "failed":
                raise ScadaError(f"{name} is {shown.state}: {shown.reason}".rstrip(": "), mend="ask its state, or stop it")
            self._order(name, replay, action, request)
            self._publish(name, replay, at_once=True)
            shown = self._shown(name)
        return shown

    def _order(self, name: str, replay: Replay, action: str, request: pb.ReplayCommand) -> None:
        match action:
            case "pause" | "resume":
                replay.state, replay.goal_s = "paused" if action == "pause" else "running", None
                replay.beat = self._clock.monotonic()
            case "step":
                self._step(name, replay, request)
            case "jump":
                self._jump(name, replay, request.position_s)
            case "loop" | "once":
                replay.loop = action == "loop"
            case "speed":
                replay.speed = speed_of(request.speed)
            case _:
                raise ScadaError(f"a replay cannot {action!r}", mend="pause, resume, step, jump, loop, once, speed or stop")

    def _step(self, name: str, replay: Replay, request: pb.ReplayCommand) -> None:
        if request.frames > MOST_FRAMES:
            raise ScadaError(f"{request.frames} frames are too many for one step", mend=f"give at most {MOST_FRAMES}, or seconds")
        if not 0 <= request.step_s < math.inf:
            raise ScadaError(f"a step of {request.step_s:g} s cannot be made", mend="give seconds of 0 or more")
        replay.state, replay.goal_s = "paused", None
        if request.frames:
            self._go(name, replay, lambda: self._frames(replay, request.frames))
        else:
            self._go_to(name, replay, replay.position_s + (request.step_s or 1.0))

    @staticmethod
    def _frames(replay: Replay, frames: int) -> None:
        for _ in range(frames):
            replay.session.step_frames(1)
            replay.check()

    def _jump(self, name: str, replay: Replay, position_s: float) -> None:
        """To a second of the trace: everything before it is replayed, so that the values are those of that time."""
        length_s = replay.session.statistics.length_s
        if not 0 <= position_s <= length_s:
            raise ScadaError(f"{position_s:g} s is not in the trace", mend=f"it is {length_s:.3f} s long")
        if position_s < replay.position_s:
            self._go(name, replay, replay.rewind)
        if replay.state == "finished":
            replay.state = "paused"
        self._go_to(name, replay, position_s)

    # ------------------------------------------------------------------ the time line

    def _advance(self, name: str, replay: Replay) -> None:
        now = self._clock.monotonic()
        elapsed, replay.beat = now - replay.beat, now
        if replay.goal_s is not None:
            self._go_to(name, replay, replay.goal_s)
        elif replay.state == "running":
            if replay.session.finished and replay.loop:
                self._go(name, replay, replay.rewind)
            seconds = math.inf if math.isinf(replay.speed) else elapsed * replay.speed
            self._go(name, replay, lambda: replay.session.step(seconds, PART_OCTETS))

    def _go_to(self, name: str, replay: Replay, goal_s: float) -> None:
        """The next part of the way to a second of the trace; the following ticks go on."""
        self._go(name, replay, lambda: replay.session.step(goal_s - replay.position_s, PART_OCTETS))
        there = replay.session.finished or replay.position_s >= goal_s - 1e-9 or replay.state == "failed"
        replay.goal_s = None if there else goal_s

    def _go(self, name: str, replay: Replay, work: Callable[[], object]) -> None:
        """Do something with a session that is not failed, and what follows of it."""
        if replay.state == "failed":
            return
        before = replay.session, replay.session.finished
        try:
            work()
            replay.check()
            if replay.session.finished:
                self._at_end(replay, first=before != (replay.session, True))
            self._publish(name, replay, at_once=replay.session.finished)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is the fault of this trace alone
            replay.state, replay.reason, replay.goal_s = "failed", _reason(name, error), None

    @staticmethod
    def _at_end(replay: Replay, *, first: bool) -> None:
        if first:
            replay.rounds += 1
            if replay.expect is not None:
                objects, findings = replay.session.objects(), replay.session.findings
                replay.compared = compare(replay.expect, objects, findings, most=MOST_COMPARED)
        if not (replay.loop and replay.state == "running"):
            replay.state = "finished"

    def _publish(self, name: str, replay: Replay, *, at_once: bool) -> None:
        """Show the values, if there are new ones and not too often: to make them takes its time."""
        now, objects = self._clock.monotonic(), replay.session.statistics.objects
        if objects == replay.published or (now < replay.publish_at and not at_once) or replay.state == "failed":
            return
        replay.published, replay.publish_at = objects, now + PUBLISH_S * replay.session.addresses
        shown = pb.ReplayValues()
        for value in replay.session.values():
            shown.values.add(**{name: getattr(value, name) for name in value.__slots__})
        self._view.values = {**self._view.values, name: shown}

    def _shown(self, name: str) -> pb.ReplayState:
        reading = self._reading.get(name)
        if reading is not None:
            return pb.ReplayState(replay_id=name, state="failed" if reading.reason else "reading", reason=reading.reason)
        replay = self._replays[name]
        counted = replay.session.statistics
        differences = [] if replay.compared is None else differences_of(replay.compared)
        return pb.ReplayState(
            replay_id=name,
            state=replay.state if replay.goal_s is None else "seeking",
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


def _reason(name: str, error: Exception) -> str:
    if isinstance(error, ScadaError):
        return str(error)
    _log.error("a replay failed", replay=name, exc_info=error)
    return f"{type(error).__name__}: {error}"
