"""The APCI machine of IEC 60870-5-104 clause 5, for both roles, without a socket and without a clock.

Octets and times go in, events come out; the owner carries them out in order. After :class:`Closed` the connection is to be
dropped; nothing more comes until :meth:`Link.open`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.errors import ConfigError
from scada.protocols.iec104 import apci
from scada.protocols.iec104.apci import ACKED, MODULO, V_R, V_S, Stop, UFunction

ROWS: Final = 512
"""I frames one scan takes at most; more are taken in turns."""
STOPPING_S: Final = 0.1
"""Wait before the acknowledgement of frames that were on their way when STOPDT was sent."""


class Role(Enum):
    """Which side of the connection we are."""

    CONTROLLING = "controlling"
    CONTROLLED = "controlled"


class Phase(Enum):
    """State of data transfer (5.3, figures 17 and 18)."""

    STOPPED = "stopped"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """Window sizes and time-outs (clause 9.6). Seconds.

    Attributes:
        k: I frames sent before the first of them must be acknowledged.
        w: I frames received after which we acknowledge at the latest.
        t0: connection establishment.
        t1: answer to a sent APDU.
        t2: longest wait before an acknowledgement, < t1.
        t3: silence after which the connection is tested.
    """

    k: int = 12
    w: int = 8
    t0: float = 30.0
    t1: float = 15.0
    t2: float = 10.0
    t3: float = 20.0

    def __post_init__(self) -> None:
        if not (1 <= self.k < MODULO and 1 <= self.w < MODULO):
            raise ConfigError(f"k = {self.k} and w = {self.w} must be 1 .. 32767")
        if not (0 < self.t2 < self.t1 and self.t0 > 0 and self.t3 > 0):
            raise ConfigError(f"time-outs must be > 0 and t2 < t1; t0..t3 = {self.t0:g}, {self.t1:g}, {self.t2:g}, {self.t3:g} s")

    @classmethod
    def of(cls, params: Mapping[str, float | str], where: str) -> LinkParameters:
        """From the parameters of a channel; what is not named keeps its default.

        Raises:
            ConfigError: a value is not a number or out of its range.
        """
        try:
            times = {name: float(params[name]) for name in ("t0", "t1", "t2", "t3") if name in params}
            windows = {name: int(params[name]) for name in ("k", "w") if name in params}
            return cls(**windows, **times)  # type: ignore[arg-type]
        except (ValueError, ConfigError) as error:
            raise ConfigError(f"link parameters: {error}", where=where, mend="correct k, w, t0 .. t3") from error


@dataclass(frozen=True, slots=True)
class Transmit:
    """Write these octets to the connection."""

    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """ASDUs of received I frames, still where they were read.

    Attributes:
        buf: octets of the read.
        spans: rows (offset, length, N(S), N(R)) of the ASDUs in ``buf``.
        objects: upper bound of the objects in them.
    """

    buf: npt.NDArray[np.uint8]
    spans: npt.NDArray[np.int64]
    objects: int

    def asdu(self, index: int) -> bytes:
        """Octets of one ASDU."""
        start, length = int(self.spans[index, 0]), int(self.spans[index, 1])
        return self.buf[start : start + length].tobytes()


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """Data transfer started or stopped."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault met in report-only mode, where it does not end the connection.

    Attributes:
        kind: ``sequence`` or ``malformed``.
        text: what was wrong.
        lost: I frames that the sequence numbers leave out.
    """

    kind: str
    text: str
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection must be dropped; one clear reason.

    Attributes:
        reason: one sentence.
        peer_fault: the peer broke the protocol (else a time-out or our own wish).
        lost: I frames that the sequence numbers leave out.
    """

    reason: str
    peer_fault: bool = False
    lost: int = 0


LinkEvent = Transmit | Block | PhaseChanged | Fault | Closed


class Link:
    """One connection.

    Args:
        role: our side.
        parameters: windows and time-outs.
        release_by_owner: received I frames are acknowledged only after :meth:`release`, so that an acknowledgement means
            "taken over by the database"; else at once.
        report_only: look on (replay of a trace): never answer, never close, report faults and go on behind them.
    """

    def __init__(
        self,
        role: Role,
        parameters: LinkParameters | None = None,
        *,
        release_by_owner: bool = False,
        report_only: bool = False,
    ) -> None:
        self.role = role
        self.parameters = parameters or LinkParameters()
        self.phase = Phase.CLOSED
        self.frames_in = 0
        self.frames_out = 0
        self._release_by_owner = release_by_owner
        self._report_only = report_only
        self._rows = np.zeros((ROWS, 4), dtype=np.int64)
        self._counters = np.zeros(3, dtype=np.int64)
        self._reset(0.0)
        # loads or compiles the kernel now, not at the first frame
        apci.scan(np.frombuffer(b"", dtype=np.uint8), 0, self._counters, False, True, self._rows)

    def _reset(self, now: float) -> None:
        self._counters[:] = 0
        self._rest = b""
        self._sent_at: deque[float] = deque()
        self._released = 0
        self._ack_sent = 0
        self._unacked_since: float | None = None
        self._awaited: dict[UFunction, float] = {}
        self._last_receive = now
        self._paused = False
        self._synchronised = not self._report_only

    # ------------------------------------------------------------------ owner's side

    def open(self, now: float) -> None:
        """The TCP connection is there: counters to zero, data transfer stopped."""
        self._reset(now)
        self.phase = Phase.STARTED if self._report_only else Phase.STOPPED

    @property
    def outstanding(self) -> int:
        """I frames sent and not acknowledged."""
        return len(self._sent_at)

    @property
    def room(self) -> int:
        """I frames that may be sent now."""
        return self.parameters.k - len(self._sent_at) if self.phase is Phase.STARTED else 0

    @property
    def receive_number(self) -> int:
        """V(R), the N(S) expected next."""
        return int(self._counters[V_R])

    def start(self, now: float) -> list[LinkEvent]:
        """Ask for data transfer (controlling station)."""
        assert self.role is Role.CONTROLLING
        self.phase = Phase.STARTING
        return [self._act(UFunction.STARTDT_ACT, now), PhaseChanged(self.phase)]

    def stop(self, now: float) -> list[LinkEvent]:
        """End data transfer (controlling station); data on its way is still taken."""
        assert self.role is Role.CONTROLLING
        self.phase = Phase.STOPPING
        return [*self._acknowledge(), self._act(UFunction.STOPDT_ACT, now), PhaseChanged(self.phase)]

    def pause(self, reading_stopped: bool, now: float) -> None:
        """The owner has stopped to read, or goes on: meanwhile t1 and t3 do not run, for the answers are there and not read."""
        self._paused = reading_stopped
        if not reading_stopped:
            self._last_receive = now
            self._awaited = dict.fromkeys(self._awaited, now)
            self._sent_at = deque([now] * len(self._sent_at))

    def test(self, now: float) -> list[LinkEvent]:
        """Test the connection now (TESTFR), without waiting for t3."""
        return [] if UFunction.TESTFR_ACT in self._awaited else [self._act(UFunction.TESTFR_ACT, now)]

    @property
    def proven(self) -> bool:
        """The connection is open and no test of it waits for its answer."""
        return self.phase is not Phase.CLOSED and UFunction.TESTFR_ACT not in self._awaited

    def send(self, asdu: bytes, now: float) -> Transmit:
        """Send an ASDU in an I frame. Only while :attr:`room` is greater than zero."""
        if self.room <= 0:
            raise ValueError("the send window is closed")
        number = int(self._counters[V_S])
        self._counters[V_S] = (number + 1) % MODULO
        self._sent_at.append(now)
        self._note_acknowledged()
        return self._frame(apci.i_frame(number, self._released, asdu))

    def release(self, now: float) -> list[LinkEvent]:
        """Everything received so far has been taken over and may be acknowledged."""
        self._released = int(self._counters[V_R])
        waiting = (self._released - self._ack_sent) % MODULO
        if self.phase in {Phase.STARTED, Phase.STOPPING} and not self._report_only:
            if waiting >= self.parameters.w and self.phase is Phase.STARTED:
                return self._acknowledge()
            if waiting and self._unacked_since is None:
                self._unacked_since = now
        return []

    def close(self, reason: str, *, peer_fault: bool = False, lost: int = 0) -> Closed:
        """End the connection."""
        self.phase = Phase.CLOSED
        self._rest = b""
        return Closed(reason, peer_fault, lost)

    # ------------------------------------------------------------------ peer's side

    def feed(self, data: bytes, now: float) -> list[LinkEvent]:
        """Octets of one read, cut anywhere."""
        if self.phase is Phase.CLOSED:
            return []
        if self._rest:
            data = self._rest + data
        buf = np.frombuffer(data, dtype=np.uint8)
        events: list[LinkEvent] = []
        at = 0
        while True:
            expected = int(self._counters[V_R])
            accept = self.phase is Phase.STARTED or (self.phase is Phase.STOPPING and self.role is Role.CONTROLLING)
            stop, at, filled, objects = apci.scan(buf, at, self._counters, accept, not self._report_only, self._rows)
            if filled:
                spans = self._rows[:filled].copy()
                self.frames_in += filled
                if self._report_only:
                    events += self._sequence_faults(spans, expected)
                elif self._unacked_since is None:
                    self._unacked_since = now
                events.append(Block(buf, spans, objects))
            events += self._on_acknowledged()
            if stop == Stop.ROWS_FULL:
                continue
            if stop == Stop.NEED_MORE:
                break
            at = self._interrupted(Stop(stop), buf, at, now, events)
            if at < 0:
                return events
        self._rest = data[at:] if at < len(data) else b""
        if at:  # a whole frame: octets that never become one must not keep a dead connection
            self._last_receive = now
        if not self._release_by_owner:
            events += self.release(now)
        return events

    def gap(self, lost: int) -> None:
        """What follows does not continue what was fed (report-only).

        Args:
            lost: octets known to be missing between the two; then the next sequence number is taken as it comes.
        """
        self._rest = b""
        self._synchronised = self._synchronised and not lost

    def tick(self, now: float) -> list[LinkEvent]:
        """Look at the timers; call it a few times a second."""
        if self.phase is Phase.CLOSED or self._report_only:
            return []
        limits = self.parameters
        events: list[LinkEvent] = []
        if self._unacked_since is not None and now - self._unacked_since >= self._patience:
            events += self._acknowledge()
        if self._paused:
            return events
        for function, sent in self._awaited.items():
            if now - sent >= limits.t1:
                return [self.close(f"{function.name} was not confirmed within t1 = {limits.t1:g} s")]
        if self._sent_at and now - self._sent_at[0] >= limits.t1:
            return [self.close(f"an I frame was not acknowledged within t1 = {limits.t1:g} s")]
        if now - self._last_receive >= limits.t3 and UFunction.TESTFR_ACT not in self._awaited:
            events.append(self._act(UFunction.TESTFR_ACT, now))
        return events

    # ------------------------------------------------------------------ inside

    def _interrupted(self, stop: Stop, buf: npt.NDArray[np.uint8], at: int, now: float, events: list[LinkEvent]) -> int:
        """Deal with the APDU that stopped the scan; where to go on, -1 if the connection is closed."""
        if stop is Stop.U_FRAME:
            self.frames_in += 1
            events += self._on_u(UFunction(int(buf[at + 2])), now)
            at += 6
        elif self._report_only:
            at = self._skip(buf, at, stop, events)
        else:
            lost = 0
            if stop is Stop.SEND_NUMBER:
                lost = _ahead(int(buf[at + 2]) >> 1 | int(buf[at + 3]) << 7, int(self._counters[V_R]))
            events.append(self.close(self._why(buf, at, stop), peer_fault=True, lost=lost))
        return -1 if self.phase is Phase.CLOSED else at

    @property
    def _patience(self) -> float:
        """Longest wait before an acknowledgement.

        A station confirms STOPDT only when everything that it sent is acknowledged, says the standard; lib60870 confirms at once
        and closes the connection at an S frame that comes after that. Waiting a moment serves both.
        """
        if self.phase is Phase.STOPPED:
            return float("inf")
        return min(STOPPING_S, self.parameters.t2) if self.phase is Phase.STOPPING else self.parameters.t2

    def _frame(self, data: bytes) -> Transmit:
        self.frames_out += 1
        return Transmit(data)

    def _act(self, function: UFunction, now: float) -> Transmit:
        self._awaited[function] = now
        return self._frame(apci.u_frame(function))

    def _acknowledge(self) -> list[LinkEvent]:
        """An S frame, if there is something released that was not acknowledged."""
        if self._released == self._ack_sent:
            return []
        self._note_acknowledged()
        return [self._frame(apci.s_frame(self._released))]

    def _note_acknowledged(self) -> None:
        self._ack_sent = self._released
        if int(self._counters[V_R]) == self._released:
            self._unacked_since = None

    def _on_acknowledged(self) -> list[LinkEvent]:
        unacknowledged = (int(self._counters[V_S]) - int(self._counters[ACKED])) % MODULO
        while len(self._sent_at) > unacknowledged:
            self._sent_at.popleft()
        if self.phase is Phase.STOPPING and self.role is Role.CONTROLLED and not self._sent_at:
            self.phase = Phase.STOPPED
            return [self._frame(apci.u_frame(UFunction.STOPDT_CON)), PhaseChanged(self.phase)]
        return []

    def _on_u(self, function: UFunction, now: float) -> list[LinkEvent]:
        if self._report_only:
            return []
        if function is UFunction.TESTFR_ACT:
            return [self._frame(apci.u_frame(UFunction.TESTFR_CON))]
        if function is UFunction.TESTFR_CON:
            self._awaited.pop(UFunction.TESTFR_ACT, None)
            return []
        if self.role is Role.CONTROLLED:
            return self._on_act(function, now)
        return self._on_con(function)

    def _on_act(self, function: UFunction, now: float) -> list[LinkEvent]:
        """STARTDT and STOPDT as the controlled station sees them."""
        if function is UFunction.STARTDT_ACT:
            changed: list[LinkEvent] = [] if self.phase is Phase.STARTED else [PhaseChanged(Phase.STARTED)]
            self.phase = Phase.STARTED
            return [self._frame(apci.u_frame(UFunction.STARTDT_CON)), *changed]
        if function is UFunction.STOPDT_ACT:
            before = self.release(now) if not self._release_by_owner else []
            before += self._acknowledge()
            if self.phase is Phase.STARTED:
                self.phase = Phase.STOPPING
                return [*before, PhaseChanged(self.phase), *self._on_acknowledged()]
            if self.phase is Phase.STOPPED:
                return [*before, self._frame(apci.u_frame(UFunction.STOPDT_CON))]
            return before
        return [self.close(f"{function.name} from a controlling station, nothing was asked", peer_fault=True)]

    def _on_con(self, function: UFunction) -> list[LinkEvent]:
        """STARTDT and STOPDT as the controlling station sees them."""
        if function is UFunction.STARTDT_CON and self._awaited.pop(UFunction.STARTDT_ACT, None) is not None:
            if self.phase is Phase.STARTING:
                self.phase = Phase.STARTED
                return [PhaseChanged(self.phase)]
            return []
        if function is UFunction.STOPDT_CON and self._awaited.pop(UFunction.STOPDT_ACT, None) is not None:
            self.phase = Phase.STOPPED
            return [PhaseChanged(self.phase)]
        return [self.close(f"{function.name} from a controlled station, nothing was asked", peer_fault=True)]

    def _why(  # noqa: PLR0911 - one sentence a cause
        self, buf: npt.NDArray[np.uint8], at: int, stop: Stop
    ) -> str:
        """One sentence for a frame that ends the connection."""
        expected = int(self._counters[V_R])
        if stop is Stop.BAD_START:
            return f"start octet is {int(buf[at]):02x} instead of 68"
        length = int(buf[at + 1])
        octets = bytes(buf[at : at + min(6, len(buf) - at)]).hex()
        if stop is Stop.BAD_LENGTH:
            return f"APDU length {length} is impossible for its format (frame {octets})"
        if stop is Stop.BAD_CONTROL:
            return f"control field is none of IEC 60870-5-104 (frame {octets})"
        send = int(buf[at + 2]) >> 1 | int(buf[at + 3]) << 7
        receive = int(buf[at + 4]) >> 1 | int(buf[at + 5]) << 7
        if stop is Stop.NOT_STARTED:
            return f"I frame N(S) = {send} although data transfer is stopped"
        if stop is Stop.SEND_NUMBER:
            return f"N(S) = {send} {_direction(send, expected)}, expected {expected}"
        sent, acked = int(self._counters[V_S]), int(self._counters[ACKED])
        if (acked - receive) % MODULO < MODULO // 2:
            return f"N(R) = {receive} goes back behind {acked}"
        return f"N(R) = {receive} acknowledges frames that were never sent, V(S) = {sent}"

    def _sequence_faults(self, spans: npt.NDArray[np.int64], expected: int) -> list[LinkEvent]:
        numbers = spans[:, 2]
        wanted = np.empty(len(numbers), dtype=np.int64)
        wanted[0] = expected if self._synchronised else numbers[0]
        wanted[1:] = (numbers[:-1] + 1) % MODULO
        self._synchronised = True
        odd = [(int(numbers[i]), int(wanted[i])) for i in np.flatnonzero(numbers != wanted)]
        return [
            Fault("sequence", f"N(S) = {number} {_direction(number, due)}, expected {due}", _ahead(number, due))
            for number, due in odd
        ]

    def _skip(self, buf: npt.NDArray[np.uint8], at: int, stop: Stop, events: list[LinkEvent]) -> int:
        """Report-only: note a malformed frame and find where the next one may begin."""
        self.frames_in += 1
        if stop in {Stop.BAD_CONTROL, Stop.BAD_LENGTH}:
            length = int(buf[at + 1])
            whole = 4 <= length <= 253 and at + 2 + length <= len(buf)
            events.append(Fault("malformed", self._why(buf, at, stop)))
            return at + 2 + length if whole else at + 2
        starts = np.flatnonzero(buf[at:] == apci.START)
        skipped = int(starts[0]) if len(starts) else len(buf) - at
        events.append(Fault("malformed", f"{skipped} octets that begin no APDU"))
        return at + skipped


def _ahead(number: int, expected: int) -> int:
    """Frames that a send number leaves out; 0 if it goes back."""
    ahead = (number - expected) % MODULO
    return ahead if ahead < MODULO // 2 else 0


def _direction(number: int, expected: int) -> str:
    ahead = (number - expected) % MODULO
    if ahead < MODULO // 2:
        return f"leaves out {ahead}"
    return "repeats a frame" if ahead == MODULO - 1 else f"goes back by {MODULO - ahead}"
