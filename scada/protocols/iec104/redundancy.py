"""Several connections of one channel (IEC 60870-5-104 clause 10), from the controlling side: sans-I/O.

One link has data transfer started, the others stand by: connected, data transfer stopped, tested by TESTFR. When the one in use
fails, or by hand, another takes over; the channel's machine speaks over whichever is in use. Nothing flaps back by itself unless
a link is preferred. Data transfer never starts on a link before the other one is stopped or dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from scada.core.batch import PointBatch
from scada.protocols.driver import ChannelStatistics, CommandResult, LinkReport, LinkState, Outcome
from scada.protocols.iec104.asdu import Cause
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.duplicates import DuplicateFilter
from scada.protocols.iec104.effects import Disconnect, Done, Effect, Notice, Send, StateChange, Values
from scada.protocols.iec104.endpoints import Endpoint, RedundancyParameters
from scada.protocols.iec104.link import Closed, Link, LinkEvent, Phase, Role, Transmit

STOP_WAIT_S: Final = 0.5
"""Longest wait for the confirmation of STOPDT before another link is started."""
_COMPARED: Final = 128
"""Values that one APDU holds at most, rounded up: the last k APDUs may come again."""


@dataclass(frozen=True, slots=True)
class To:
    """What is to be done on one link."""

    link: str
    effect: Send | Disconnect


RedundantEffect = To | Effect
"""``Send`` and ``Disconnect`` come only inside :class:`To`."""


@dataclass(slots=True)
class _Line:
    """One link and what is known of it."""

    endpoint: Endpoint
    link: Link
    state: LinkState = LinkState.DOWN
    reason: str = "not started"
    since_ns: int = 0
    since: float = 0.0
    missed: bool = False
    """Its loss was told, and not yet its return."""

    @property
    def name(self) -> str:
        return self.endpoint.name

    def set(self, state: LinkState, reason: str, now_ns: int, mono: float) -> None:
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason, self.since_ns, self.since = state, reason, now_ns, mono


@dataclass(slots=True)
class _Switch:
    """A switch under way.

    Attributes:
        origin: the link that is left.
        target: the link that is to take over.
        why: one clause.
        began: monotonic time at which data transfer was left.
        since: the same for the present target.
        ticket: of who asked by hand; 0 = nobody.
        stopping: STOPDT on ``origin`` waits for its confirmation.
    """

    origin: _Line
    target: _Line
    why: str
    began: float
    since: float
    ticket: int = 0
    stopping: bool = False


class Redundancy:
    """The links of one channel.

    Args:
        channel: the machine that speaks over the link in use.
        parameters: links and rules.
        statistics: counters to keep.
    """

    def __init__(self, channel: Channel, parameters: RedundancyParameters, statistics: ChannelStatistics) -> None:
        self.channel = channel
        self.parameters = parameters
        self._statistics = statistics
        limits = channel.parameters.link
        self._lines = {
            one.name: _Line(one, Link(Role.CONTROLLING, limits, release_by_owner=True)) for one in parameters.endpoints
        }
        self._several = len(self._lines) > 1
        self._used: _Line | None = None
        self._switch: _Switch | None = None
        self._told = LinkState.DOWN
        self._unanswered = 0
        self._tickets = 0
        self._duplicates = DuplicateFilter(_COMPARED * max(limits.k, 12))

    def links(self) -> list[LinkReport]:
        """Every link, as a status page shows it."""
        return [
            LinkReport(line.name, str(line.endpoint), line.state, line.reason, line.since_ns) for line in self._lines.values()
        ]

    def in_use(self, name: str) -> bool:
        """Data may come over this link."""
        return self._lines[name] is self._used

    def paused(self, name: str, reading_stopped: bool, mono: float) -> None:
        """Reading from a link was stopped because the database is behind, or goes on: its silence says nothing of the station."""
        self._lines[name].link.pause(reading_stopped, mono)

    # ------------------------------------------------------------------ one link

    def connecting(self, name: str, now_ns: int, mono: float) -> list[RedundantEffect]:
        """A connection is being tried."""
        line = self._lines[name]
        line.set(LinkState.CONNECTING, f"connecting to {line.endpoint}", now_ns, mono)
        return [self._tell(LinkState.CONNECTING, line.reason)] if self._used is None else []

    def connected(self, name: str, now_ns: int, mono: float) -> list[RedundantEffect]:
        """A TCP connection is up: use it if none is in use, else let it stand by."""
        line = self._lines[name]
        line.link.open(mono)
        if self._used is None:
            line.set(LinkState.STANDBY, "connected, data transfer is being started", now_ns, mono)
            self._used = line
            return [
                self._tell(LinkState.STANDBY, line.reason),
                *self.spoken(self.channel.adopt(line.link, "", mono), now_ns, mono),
            ]
        line.set(LinkState.STANDBY, "stands by", now_ns, mono)
        effects = self._on_line(line, line.link.test(mono), now_ns, mono)
        if line.missed:
            line.missed = False
            effects.append(Notice("standby_restored", f"link {name} ({line.endpoint}) stands by again"))
        return effects

    def lost(self, name: str, reason: str, now_ns: int, mono: float) -> list[RedundantEffect]:
        """A connection ended, or could not be made."""
        line = self._lines[name]
        if line.state is LinkState.DOWN:
            return []  # we dropped it ourselves and have dealt with it
        line.link.close(reason)
        line.set(LinkState.DOWN, reason, now_ns, mono)
        if line is self._used:
            return self._leave(line, reason, now_ns, mono)
        if self._used is None:
            return [self._tell(LinkState.DOWN, self._named(line, reason))]
        effects: list[RedundantEffect] = []
        switch = self._switch
        if switch is not None and switch.target is line and switch.stopping:
            # STOPDT is on its way already: without another target the link that it went to is started again
            effects += self._give_up(switch, reason)
            self._switch = replace(switch, target=self._best() or switch.origin, ticket=0)
        if not line.missed:
            line.missed = True
            effects.append(Notice("standby_lost", f"link {name} ({line.endpoint}) does not stand by: {reason}"))
        return effects

    def feed(self, name: str, data: bytes, now_ns: int, mono: float) -> list[RedundantEffect]:
        """Octets of one read."""
        line = self._lines[name]
        if line is not self._used:
            before = line.link.frames_in
            effects = self._on_line(line, line.link.feed(data, mono), now_ns, mono)
            self._statistics.bytes_in += len(data)
            self._statistics.frames_in += line.link.frames_in - before
            return effects
        return [*self.spoken(self.channel.feed(data, now_ns, mono), now_ns, mono), *self._proceed(now_ns, mono)]

    # ------------------------------------------------------------------ all links

    def delivered(self, now_ns: int, mono: float) -> list[RedundantEffect]:
        """Everything fed so far has been taken over and may be acknowledged."""
        effects = self.spoken(self.channel.delivered(mono), now_ns, mono)
        for line in self._standby():
            effects += self._on_line(line, line.link.release(mono), now_ns, mono)
        return effects

    def tick(self, now_ns: int, mono: float) -> list[RedundantEffect]:
        """Timers; call it a few times a second."""
        effects: list[RedundantEffect] = []
        if self._used is not None:
            effects += self.spoken(self.channel.tick(now_ns, mono), now_ns, mono)
        if self._several or self._used is None:
            for line in self._standby():
                effects += self._on_line(line, line.link.tick(mono), now_ns, mono)
        if self._several or self._switch is not None:  # one link that is in use has nothing to switch to
            effects += [*self._proceed(now_ns, mono), *self._look(now_ns, mono)]
        return effects

    def switch(self, name: str, now_ns: int, mono: float) -> tuple[int, list[RedundantEffect]]:
        """Let another link take over by hand; its :class:`Done` carries the returned ticket (a negative number).

        Args:
            name: the link; "" = the best one that stands by.
            now_ns: ns UTC.
            mono: monotonic seconds.
        """
        self._tickets -= 1
        refusal = self._refusal(name)
        target = self._lines[name] if name and not refusal else self._best()
        if not refusal and target is None:
            refusal = "no link stands by"
        if refusal or target is None:
            return self._tickets, [Done(self._tickets, CommandResult(Outcome.REFUSED, refusal))]
        return self._tickets, self._begin(target, "by hand", now_ns, mono, self._tickets)

    def shutdown(self, mono: float) -> list[RedundantEffect]:
        """Ask the station to stop data transfer, before the connections are closed on purpose."""
        return self.spoken(self.channel.shutdown(mono), 0, mono) if self._used is not None else []

    def closed(self, reason: str) -> list[RedundantEffect]:
        """Every connection is closed for good: who waits is told."""
        effects: list[RedundantEffect] = []
        if self._switch is not None:
            effects += self._give_up(self._switch, reason)
        self._used = None
        return [*effects, *self.channel.lost(reason)]

    # ------------------------------------------------------------------ what the channel says

    def spoken(self, effects: Sequence[Effect], now_ns: int, mono: float) -> list[RedundantEffect]:
        """Effects of the channel, with the link that they are for."""
        found: list[RedundantEffect] = []
        for effect in effects:
            if isinstance(effect, Values):
                found += self._values(effect, mono)
            elif isinstance(effect, Send):
                assert self._used is not None
                found.append(To(self._used.name, effect))
            elif isinstance(effect, Disconnect):
                assert self._used is not None
                found += self._drop(self._used, effect.reason, now_ns, mono)
            elif isinstance(effect, StateChange):
                found += self._started(now_ns, mono) if effect.state is LinkState.UP else []
            else:
                self._unanswered += isinstance(effect, Notice) and effect.kind == "interrogation_timeout"
                found.append(effect)
        return found

    def _values(self, values: Values, mono: float) -> list[RedundantEffect]:
        records = values.batch.records
        if self._unanswered and bool(((records["cause"] & 0x3F) == Cause.INTERROGATED).any()):
            self._unanswered = 0
        fresh = self._duplicates.fresh(records, mono)
        if fresh is None or fresh.all():
            return [values]
        self._statistics.duplicates += int(np.count_nonzero(~fresh))
        if not fresh.any():
            return []
        batch = PointBatch(records[fresh], values.batch.received_at, values.batch.source)
        return [Values(batch, values.addresses[fresh])]

    def _started(self, now_ns: int, mono: float) -> list[RedundantEffect]:
        """Data transfer has begun on the link in use."""
        assert self._used is not None
        used, switch, self._switch = self._used, self._switch, None
        used.set(LinkState.UP, "data transfer started", now_ns, mono)
        used.missed = False
        self._unanswered = 0
        self._duplicates.switched()
        effects: list[RedundantEffect] = []
        if self._told is not LinkState.UP:
            effects.append(self._tell(LinkState.UP, self._named(used, "data transfer started")))
        if switch is not None and switch.origin is not used:
            took = f"within {mono - switch.began:.2f} s"
            text = f"link {used.name} ({used.endpoint}) took over from {switch.origin.name} {took}: {switch.why}"
            effects.append(Notice("link_switched", text))
            if switch.ticket:
                effects.append(Done(switch.ticket, CommandResult(Outcome.CONFIRMED, text)))
        return effects

    # ------------------------------------------------------------------ switching

    def _refusal(self, name: str) -> str:
        """Why a link cannot be switched to by hand."""
        if name and name not in self._lines:
            return f"there is no link {name!r}; there are {', '.join(self._lines)}"
        if self._switch is not None:
            return f"a switch to {self._switch.target.name} is under way"
        if self._used is None:
            return "no link is connected"
        if name and self._lines[name] is self._used:
            return f"link {name} is in use already"
        if name and self._lines[name].state is not LinkState.STANDBY:
            return f"link {name} does not stand by: {self._lines[name].reason}"
        return ""

    def _best(self) -> _Line | None:
        """The link that is to take over: one that answered its last test, then the preferred one, then the first."""
        found = [line for line in self._standby() if line.state is LinkState.STANDBY]
        return min(found, key=lambda line: (not line.link.proven, line.name != self.parameters.preferred_link), default=None)

    def _begin(self, target: _Line, why: str, now_ns: int, mono: float, ticket: int = 0) -> list[RedundantEffect]:
        """Leave a link that lives: stop it first, so that nothing is under way when the other one starts."""
        assert self._used is not None
        self._switch = _Switch(self._used, target, why, mono, mono, ticket, stopping=True)
        effects = self.spoken(self.channel.shutdown(mono), now_ns, mono)
        return [*effects, *self._proceed(now_ns, mono)]

    def _proceed(self, now_ns: int, mono: float) -> list[RedundantEffect]:
        """Go on with a switch when STOPDT is confirmed, or has waited long enough."""
        switch = self._switch
        if switch is None or not switch.stopping or switch.origin is not self._used:
            return []
        stopped = switch.origin.link.phase is Phase.STOPPED
        if not stopped and mono - switch.since < STOP_WAIT_S:
            return []
        if stopped:
            switch.origin.set(LinkState.STANDBY, "stands by", now_ns, mono)
            return self._take_over(switch, now_ns, mono)
        return self._drop(switch.origin, f"STOPDT was not confirmed within {STOP_WAIT_S:g} s", now_ns, mono)

    def _take_over(self, switch: _Switch, now_ns: int, mono: float) -> list[RedundantEffect]:
        switch.stopping, switch.since = False, mono
        self._used, self._switch = switch.target, switch
        self._statistics.switches += switch.target is not switch.origin
        switch.target.set(LinkState.STANDBY, "data transfer is being started", now_ns, mono)
        return self.spoken(
            self.channel.adopt(switch.target.link, f"{switch.origin.name} was left: {switch.why}", mono), now_ns, mono
        )

    def _drop(self, line: _Line, reason: str, now_ns: int, mono: float) -> list[RedundantEffect]:
        """End a connection ourselves."""
        effects: list[RedundantEffect] = [To(line.name, Disconnect(reason))]
        return effects + self.lost(line.name, reason, now_ns, mono)

    def _leave(self, line: _Line, reason: str, now_ns: int, mono: float) -> list[RedundantEffect]:
        """The link in use is gone: another one takes over if one stands by."""
        effects: list[RedundantEffect] = []
        switch, self._switch = self._switch, None
        line.missed = self._several
        if switch is not None and switch.stopping and switch.target is not line:
            return self._take_over(switch, now_ns, mono)
        if switch is not None:
            effects += self._give_up(switch, reason)
        target = self._best()
        if target is None:
            self._used = None
            lost = [effect for effect in self.channel.lost(reason) if not isinstance(effect, StateChange)]
            why = f"{reason}; no other link stands by" if self._several else reason
            return [*effects, *lost, self._tell(LinkState.DOWN, self._named(line, why))]
        began = mono if switch is None else switch.began
        return effects + self._take_over(_Switch(line, target, f"{line.name} failed: {reason}", began, mono), now_ns, mono)

    def _give_up(self, switch: _Switch, reason: str) -> list[RedundantEffect]:
        """The target of a switch did not take over: who asked for it is told."""
        if not switch.ticket:
            return []
        text = f"link {switch.target.name} did not take over: {reason}"
        return [Done(switch.ticket, CommandResult(Outcome.TIMEOUT, text))]

    def _look(self, now_ns: int, mono: float) -> list[RedundantEffect]:
        """Is data transfer missing too long; is there a reason to switch?"""
        if self._switch is not None:
            return self._watch(self._switch, now_ns, mono)
        if self._used is None or self._used.state is not LinkState.UP:
            return []
        rules, target = self.parameters, self._best()
        if target is not None and rules.application_failures and self._unanswered >= rules.application_failures:
            why = f"{self._unanswered} interrogations in a row had no answer"
            self._unanswered = 0
            return self._begin(target, why, now_ns, mono)
        preferred = self._lines.get(rules.preferred_link, self._used)
        stands_by = preferred is not self._used and preferred.state is LinkState.STANDBY and preferred.link.proven
        if stands_by and mono - preferred.since >= rules.preferred_after_s:
            return self._begin(preferred, "it is the preferred link", now_ns, mono)
        return []

    def _watch(self, switch: _Switch, now_ns: int, mono: float) -> list[RedundantEffect]:
        """A switch that takes too long is no secret, and the next link gets its turn."""
        limit = self.parameters.switch_timeout_s
        if switch.stopping or mono - switch.since < limit:
            return []
        text = f"data transfer did not start within {limit:g} s"
        effects: list[RedundantEffect] = []
        if self._told is LinkState.UP:
            effects.append(self._tell(LinkState.STANDBY, self._named(switch.target, text)))
        return effects + (self._drop(switch.target, text, now_ns, mono) if self._best() is not None else [])

    # ------------------------------------------------------------------ inside

    def _standby(self) -> list[_Line]:
        return [line for line in self._lines.values() if line is not self._used]

    def _on_line(self, line: _Line, events: Sequence[LinkEvent], now_ns: int, mono: float) -> list[RedundantEffect]:
        """What the machine of a link that is not in use wants."""
        effects: list[RedundantEffect] = []
        for event in events:
            if isinstance(event, Transmit):
                self._statistics.frames_out += 1
                self._statistics.bytes_out += len(event.data)
                effects.append(To(line.name, Send(event.data)))
            elif isinstance(event, Closed):
                if event.peer_fault:
                    self._statistics.malformed += 1
                    effects.append(Notice("protocol_fault", self._named(line, event.reason)))
                effects += self._drop(line, event.reason, now_ns, mono)
        return effects

    def _tell(self, state: LinkState, reason: str) -> StateChange:
        self._told = state
        return StateChange(state, reason)

    def _named(self, line: _Line, text: str) -> str:
        return f"{line.name}: {text}" if self._several else text
