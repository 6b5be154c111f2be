"""The machine of the procedures a controlling station runs besides commands: each request, its deadlines, its answers, its plan.

Requests in, octets to send and :data:`Effect` out; no socket, no clock. A request equal to another does not run twice at once: it
joins one that was not answered yet, else it waits for its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import RecordFlag, Records
from scada.protocols.driver import ChannelStatistics, CommandResult, Outcome
from scada.protocols.iec104 import cp56, system_requests
from scada.protocols.iec104.asdu import BROADCAST, REFUSAL, Asdu, Cause, TypeId
from scada.protocols.iec104.codec import address_key
from scada.protocols.iec104.effects import Done, Effect, Notice
from scada.protocols.iec104.parameters import ChannelParameters
from scada.protocols.iec104.plan import Plan
from scada.protocols.iec104.system_requests import End, Key, Request

_FOREVER: Final = float("inf")


@dataclass(slots=True)
class Running:
    """A request between being asked and its end.

    Attributes:
        request: what was asked.
        planned: by the channel's own plan, not by somebody who waits.
        sent: monotonic time of sending; None = it waits for the send window.
        sent_ns: the same, ns UTC.
        deadline: monotonic time at which the wait ends.
        confirmed: the station has said yes.
        values: values that answered it so far.
    """

    request: Request
    planned: bool
    sent: float | None = None
    sent_ns: int = 0
    deadline: float = _FOREVER
    confirmed: bool = False
    values: int = 0

    @property
    def answered(self) -> bool:
        """The station has begun to answer."""
        return self.confirmed or self.values > 0

    def since(self, mono: float) -> float:
        """Seconds since it was sent."""
        return mono - (mono if self.sent is None else self.sent)


@dataclass(slots=True)
class _Wait:
    """Somebody who waits for several requests, and what they brought."""

    keys: set[Key]
    said: list[str] = field(default_factory=list)


class Procedures:
    """All procedures of one channel.

    Args:
        parameters: deadlines and periods.
        stations: common addresses of the channel.
        metered: those with integrated totals.
        statistics: round trip, clock skew and unanswered requests go here.
    """

    def __init__(
        self, parameters: ChannelParameters, stations: Sequence[int], metered: Sequence[int], statistics: ChannelStatistics
    ) -> None:
        self.stations = tuple(stations)
        self._parameters = parameters
        self._plan = Plan(parameters, stations, metered)
        self._statistics = statistics
        self._tests = 0
        self._fresh: tuple[int, ...] = ()
        self.forget()

    def forget(self) -> None:
        """The connection is gone, and with it all that was asked."""
        self._running: dict[Key, Running] = {}
        self._frames: deque[tuple[Key, ...]] = deque()
        self._after: list[tuple[int | None, Request]] = []
        self._waiting: dict[int, _Wait] = {}
        self._clock_errors: dict[int, float] = {}
        self._plan.forget()

    @property
    def running(self) -> tuple[Running, ...]:
        """What has been asked and not ended, in order; for diagnosis."""
        return tuple(self._running.values())

    def clocks_within(self, seconds: float) -> bool:
        """Whether every station has had its clock set on this connection, and it was off by no more before."""
        errors = self._clock_errors
        return len(errors) == len(self.stations) and all(abs(error) <= seconds for error in errors.values())

    # ------------------------------------------------------------------ asking

    def ask(self, ticket: int, wanted: Sequence[Request]) -> None:
        """Ask on behalf of somebody; its :class:`Done` comes at the last end, or at the first failure."""
        self._waiting[ticket] = _Wait({request.key for request in wanted})
        self._begin(wanted, ticket)

    def next_test(self, common_address: int) -> Request:
        """A test command with a counter of its own."""
        self._tests = self._tests % 0xFFFF + 1
        return system_requests.probe(common_address, self._tests)

    def lost(self, reason: str) -> list[Effect]:
        """The connection is gone: who waits is told, nothing is repeated."""
        text = f"the connection was lost: {reason}"
        effects: list[Effect] = [Done(ticket, CommandResult(Outcome.LINK_DOWN, text)) for ticket in self._waiting]
        self.forget()
        return effects

    def _begin(self, wanted: Sequence[Request], ticket: int | None) -> None:
        fresh: list[Key] = []
        for request in wanted:
            other = self._running.get(request.key)
            if other is None:
                self._running[request.key] = Running(request, planned=ticket is None)
                fresh.append(request.key)
            elif ticket is not None and other.answered:
                self._after.append((ticket, request))
        everywhere = self._parameters.broadcast and len(fresh) == len(self.stations) and all(r.broadcasts for r in wanted)
        self._frames.extend([tuple(fresh)] if everywhere and fresh else [(key,) for key in fresh])

    def _begin_after_all(self, request: Request, tickets: Sequence[int | None]) -> None:
        """Ask what must not be answered by a request that is on its way already: by the one after it."""
        other = self._running.get(request.key)
        for ticket in tickets:
            if other is None:
                self._begin([request], ticket)
            else:
                self._after.append((ticket, request))

    def started(self, mono: float) -> None:
        """Data transfer has begun: clock, then all values, then totals."""
        for wanted in self._plan.started(mono):
            self._begin(wanted, None)

    def rebind(self, stations: Sequence[int], metered: Sequence[int]) -> None:
        """Other stations are behind the link, or others have totals; what was asked runs to its end, and the periods go on."""
        self._fresh = tuple(station for station in stations if station not in self.stations)
        self.stations = tuple(stations)
        self._clock_errors = {station: error for station, error in self._clock_errors.items() if station in stations}
        self._plan.rebind(stations, metered)

    def ask_anew(self) -> None:
        """After :meth:`rebind`: the clocks of new stations, then all values, then totals."""
        for wanted in self._plan.anew(self._fresh):
            answered = [request for request in wanted if (other := self._running.get(request.key)) and other.answered]
            self._after += [(None, request) for request in answered]
            self._begin([request for request in wanted if request not in answered], None)

    def initialised(self, asdu: Asdu) -> list[Effect]:
        """End of initialisation: what the station said of itself before is not worth anything.

        A request that it has not begun to answer is answered after this and stays; one that it answered is asked again.
        """
        address = asdu.common_address
        restart = asdu.objects[0].element[0]
        cause = {0: "power on", 1: "manual reset", 2: "remote reset"}.get(restart & 0x7F, f"cause {restart & 0x7F}")
        changed = ", after a change of parameters" if restart & 0x80 else ""
        text = f"CA {address} has started ({cause}{changed})"
        if address not in self.stations:
            return [Notice("end_of_initialisation", f"{text}; the model has no such station")]
        self._clock_errors.pop(address, None)
        clock, *data = self._plan.initialised(address)
        self._begin(clock, None)
        for key in [key for key, item in self._running.items() if key[1] == address and item.answered]:
            running = self._running[key]
            running.sent, running.deadline, running.confirmed, running.values = None, _FOREVER, False, 0
            self._frames.append((key,))
        for wanted in data:
            self._begin(wanted, None)
        return [Notice("end_of_initialisation", text)]

    # ------------------------------------------------------------------ sending

    def next(self, now_ns: int, mono: float) -> bytes | None:
        """The next ASDU to send, None = nothing waits."""
        while self._frames:
            keys = [key for key in self._frames.popleft() if key in self._running]
            if not keys:
                continue
            for key in keys:
                running = self._running[key]
                running.sent, running.sent_ns, running.deadline = mono, now_ns, mono + self._parameters.confirmation_s
            request = self._running[keys[0]].request
            zone, originator = self._parameters.time_zone_minutes, self._parameters.originator
            return request.encode(now_ns, zone, originator, everywhere=len(keys) > 1 or self._alone(keys))
        return None

    def _alone(self, keys: Sequence[Key]) -> bool:
        """The only station of the link is asked: the broadcast address says the same."""
        return bool(self._parameters.broadcast) and len(self.stations) == len(keys) and self._running[keys[0]].request.broadcasts

    # ------------------------------------------------------------------ hearing

    def heard(self, asdu: Asdu, now_ns: int, mono: float) -> list[Effect]:
        """An answer of a type of :data:`~scada.protocols.iec104.system_requests.REQUEST_TYPES`."""
        if asdu.type_id == TypeId.C_CS_NA_1 and asdu.cause == Cause.SPONTANEOUS:
            return self._skew(asdu, now_ns, now_ns, "is")
        everywhere = asdu.common_address == BROADCAST
        found = [
            self._running[key]
            for address in (self.stations if everywhere else (asdu.common_address,))
            for key in system_requests.keys_of(asdu, address)
            if key in self._running and self._running[key].sent is not None
        ]
        if asdu.cause in REFUSAL:
            found = found[: len(self.stations) if everywhere else 1]
        effects: list[Effect] = []
        for running in found:
            effects += self._judge(running, asdu, now_ns, mono)
        return effects if found else self._stray(asdu)

    def _stray(self, asdu: Asdu) -> list[Effect]:
        if asdu.cause == Cause.ACTIVATION_TERM and not asdu.negative:
            return []  # of a freeze, or of an interrogation that another master asked for
        refusal = f" ({REFUSAL[Cause(asdu.cause)]})" if asdu.cause in REFUSAL else ""
        sign = ", negative" if asdu.negative else ""
        text = f"type {asdu.type_id} from CA {asdu.common_address} with cause {asdu.cause}{refusal}{sign}: nothing was asked"
        return [Notice("stray_confirmation", text)]

    def _judge(self, running: Running, asdu: Asdu, now_ns: int, mono: float) -> list[Effect]:
        request = running.request
        if asdu.cause in REFUSAL or asdu.negative:
            why = REFUSAL[Cause(asdu.cause)] if asdu.cause in REFUSAL else "negative confirmation"
            if asdu.cause == Cause.ACTIVATION_TERM:
                why = "negative termination"
            return self._fail(running, Outcome.REFUSED, f"CA {asdu.common_address} refused the {request.words}: {why}", mono)
        if asdu.cause == request.confirming and request.ends is not End.VALUE:
            if not running.confirmed:
                self._statistics.round_trip_s = running.since(mono)
            return self._confirm(running, asdu, now_ns, mono)
        if asdu.cause == Cause.ACTIVATION_TERM and request.ends is End.TERMINATION:
            return self._end(running, f"{running.values} values")
        return []

    def _confirm(self, running: Running, asdu: Asdu, now_ns: int, mono: float) -> list[Effect]:
        request, element = running.request, asdu.objects[0].element
        if request.ends is End.TERMINATION:
            running.confirmed = True
            running.deadline = mono + self._parameters.interrogation_timeout_s
            return []
        if request.type_id == TypeId.C_CS_NA_1:
            told = self._skew(asdu, now_ns, running.sent_ns, "was, before it was set,")
            skew = self._clock_errors[request.common_address] = self._statistics.clock_skew_s
            said = f"the clock was {skew:+.3f} s off" if not np.isnan(skew) else "the station named no valid time"
            return told + self._end(running, said)
        if not element.startswith(request.element):
            text = f"{request.words}: {request.element.hex()} was sent, the station confirmed {element.hex()}"
            return self._fail(running, Outcome.REFUSED, text, mono)
        cancelled = request.type_id == TypeId.C_IC_NA_1 and request.cause == Cause.DEACTIVATION
        dropped = self._drop_cancelled(request) if cancelled else []
        return dropped + self._end(running, f"{running.since(mono):.3f} s")

    def _drop_cancelled(self, request: Request) -> list[Effect]:
        """The interrogation that was cancelled has ended."""
        stopped = self._running.get((*request.key[:4], False))
        if stopped is not None:
            return self._end(stopped, "cancelled")
        return []

    def _skew(self, asdu: Asdu, now_ns: int, sent_ns: int, verb: str) -> list[Effect]:
        """Compare the clock a station had, taken half way between request and answer, with ours."""
        zone, summer = self._parameters.time_zone_minutes, self._parameters.summer_minutes
        theirs, _ = cp56.from_octets(asdu.objects[0].element, now_ns, zone, summer)
        self._statistics.clock_skew_s = (theirs - (sent_ns + now_ns) // 2) / 1e9 if theirs else float("nan")
        limit = self._parameters.clock_skew_warn_s
        if not limit or abs(self._statistics.clock_skew_s) <= limit or not theirs:
            return []
        text = f"the clock of CA {asdu.common_address} {verb} {self._statistics.clock_skew_s:+.3f} s off"
        return [Notice("clock_skew", text)]

    def received(self, records: Records, addresses: npt.NDArray[np.int64], mono: float) -> list[Effect]:
        """Values of one read with answers among them: they are counted, and keep the deadline of their request away."""
        sent = [item for item in self._running.values() if item.sent is not None]
        waiting = [item for item in sent if item.request.data_cause or item.request.ends is End.VALUE]
        if not waiting:
            return []
        causes, stations = records["cause"] & 0x3F, addresses >> 24
        effects: list[Effect] = []
        for running in waiting:
            request = running.request
            if request.ends is End.VALUE:
                wanted = (addresses == address_key(request.common_address, request.ioa)) & (causes == Cause.REQUEST)
                hits = np.flatnonzero(wanted)
                if len(hits):
                    self._statistics.round_trip_s = running.since(mono)
                    effects += self._end(running, _said(records[hits[0]]))
                continue
            count = int(np.count_nonzero((causes == request.data_cause) & (stations == request.common_address)))
            if count:
                running.values += count
                running.deadline = mono + self._parameters.interrogation_timeout_s
        return effects

    def doubted(self, records: Records, addresses: npt.NDArray[np.int64], mono: float) -> list[Effect]:
        """Values of one read with late ones among them.

        They came out of a station's buffer, or its clock was set back and they are the state of now: an interrogation tells.
        """
        late = addresses[records["flags"] & RecordFlag.BACKFILL != 0]
        stations = np.unique(late >> 24).tolist()
        for station in stations:
            self._plan.doubted(station, mono)
        of = ", ".join(f"CA {station}" for station in stations)
        text = f"{len(late)} values of {of} have time tags before those of the present ones: kept under their own time"
        return [Notice("late_values", text)]

    # ------------------------------------------------------------------ deadlines and ends

    def tick(self, mono: float) -> list[Effect]:
        """Look at the deadlines and the plan."""
        effects: list[Effect] = []
        for running in [item for item in self._running.values() if mono >= item.deadline]:
            effects += self._time_out(running, mono)
        for wanted in self._plan.due(mono):
            self._begin(wanted, None)
        return effects

    def _time_out(self, running: Running, mono: float) -> list[Effect]:
        request = running.request
        self._statistics.lost_frames += 1
        if running.answered:
            text = f"{request.words} was not terminated in time; {running.values} values came"
        elif request.ends is End.VALUE:
            text = f"{request.words} was not answered in time"
        else:
            text = f"{request.words} was not confirmed in time"
        return self._fail(running, Outcome.TIMEOUT, text, mono)

    def _fail(self, running: Running, outcome: Outcome, text: str, mono: float) -> list[Effect]:
        request = running.request
        self._plan.failed(request, mono, planned=running.planned)
        suffix = "refused" if outcome is Outcome.REFUSED else "timeout"
        effects: list[Effect] = [Notice(f"{request.name}_{suffix}", text)]
        del self._running[request.key]
        for ticket in self._who_waits(request.key):
            del self._waiting[ticket]
            effects.append(Done(ticket, CommandResult(outcome, text)))
        self._begin_after(request.key)
        return effects

    def _end(self, running: Running, said: str) -> list[Effect]:
        """It ended well."""
        request = running.request
        del self._running[request.key]
        self._plan.succeeded(request)
        tickets = self._who_waits(request.key)
        for ticket in tickets:
            wait = self._waiting[ticket]
            wait.said.append(f"CA {request.common_address}: {said}")
            wait.keys.discard(request.key)
            if request.then is not None:
                wait.keys.add(request.then.key)
        if request.then is not None:
            self._begin_after_all(request.then, tickets or [None])
        self._begin_after(request.key)
        return self._done()

    def _who_waits(self, key: Key) -> list[int]:
        """Tickets that end with the running request of a key; not those whose own turn comes after it."""
        later = {ticket for ticket, request in self._after if request.key == key}
        return [ticket for ticket, wait in self._waiting.items() if key in wait.keys and ticket not in later]

    def _done(self) -> list[Effect]:
        ended = [(ticket, wait) for ticket, wait in self._waiting.items() if not wait.keys]
        for ticket, _ in ended:
            del self._waiting[ticket]
        return [Done(ticket, CommandResult(Outcome.CONFIRMED, "; ".join(wait.said))) for ticket, wait in ended]

    def _begin_after(self, key: Key) -> None:
        """Ask what waited for the end of an equal request."""
        turn = [item for item in self._after if item[1].key == key]
        self._after = [item for item in self._after if item[1].key != key]
        for ticket, request in turn:
            self._begin([request], ticket)


def _said(record: npt.NDArray[np.void]) -> str:
    quality = int(record["quality"]) & 0xFFFF_FFFF
    return f"{float(record['value']):.9g}" + (f", quality {quality:#x}" if quality else "")
