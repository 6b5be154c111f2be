"""Commands at the controlled station: select, execute, cancel (5-101 clause 6.8, 5-5 clause 6.8), and what refuses them.

The desk judges what the protocol can judge (address, type, state, time tag, selection) and asks the station's owner for the rest.
The owner answers at once or later; an execute that is answered later is also *terminated* by the owner.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from scada.core.errors import ProtocolError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Control
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import Asdu, Cause, CommandElement, decode_command, untagged

Step = Literal["select", "execute", "cancel"]


@dataclass(frozen=True, slots=True)
class CommandAsked:
    """A command step that waits for its owner's word.

    Attributes:
        ticket: names the step in :meth:`Outstation.answer` and :meth:`Outstation.terminate`; never used twice.
        control: what is to be operated.
        step: ``cancel`` withdraws a selection, on the master's wish or because its link is gone (then nobody hears the answer).
        value: engineering units.
        master: who asks: subject of its certificate, or its host.
        group: redundancy group it belongs to.
        asdu: octets as they came; the audit's evidence.
        qualifier: QU (pulse length) or QL.
        peer: host and port it came from.
        issued_ns: ns UTC of its time tag; 0 = it has none, and nobody knows when it was issued.
    """

    ticket: int
    control: Control
    step: Step
    value: float
    master: str
    group: str
    asdu: bytes
    qualifier: int = 0
    peer: str = ""
    issued_ns: int = 0


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """A command that the station refused by itself; its owner was not asked.

    Attributes:
        control: what was named; None if there is no such control here.
        master, group, asdu, peer: as of :class:`CommandAsked`.
        reason: one clear sentence.
        code: ``late``, ``issued_ahead`` or ``time_invalid`` of a time tag; else empty.
        value: engineering units; NaN where the reason is not a time tag.
        issued_ns: as of :class:`CommandAsked`.
    """

    control: Control | None
    master: str
    group: str
    asdu: bytes
    peer: str
    reason: str
    code: str = ""
    value: float = math.nan
    issued_ns: int = 0


OnCommand = Callable[[CommandAsked], bool | None]
"""Accept (True), refuse (False), or answer later by the ticket (None)."""
OnRefused = Callable[[CommandRefused], None]


class CommandUseError(ProtocolError):
    """The owner ended a command step that it has not answered yet."""


class Commander(Protocol):
    """A connection, as the desk sees it."""

    @property
    def master(self) -> str:
        """Who is connected."""
        ...

    @property
    def group(self) -> str:
        """Its redundancy group."""
        ...

    @property
    def peer(self) -> str:
        """Host and port."""
        ...


@dataclass(frozen=True, slots=True)
class _Selection:
    owner: Commander
    order: CommandElement
    expires: float
    asdu: Asdu


@dataclass(slots=True)
class _Pending:
    """A step that was asked of the owner: not yet answered, or an execute that goes on."""

    owner: Commander
    asdu: Asdu
    order: CommandElement
    step: Step
    answered: bool = False


@dataclass(frozen=True, slots=True)
class StationTime:
    """The station's clocks as a command is judged by them.

    Attributes:
        now_ns: ns UTC by the station's clock.
        monotonic: seconds, for selections.
        zone_minutes: zone of time-tagged commands.
        summer_minutes: what they are further ahead with SU set.
        age_s: largest difference of a time tag to ``now_ns``.
    """

    now_ns: int
    monotonic: float
    zone_minutes: int
    summer_minutes: int
    age_s: float


Answers = list[tuple[Commander, Asdu]]
"""ASDUs and whom they are for, in order."""

_Key = tuple[int, int]
_TICKETS: Final = itertools.count(1)
"""Of all desks: an answer that was meant for a desk that is gone names no step of the one in its place."""


class CommandDesk:
    """All commands of a station and their selections; one selection an object, whoever made it.

    Args:
        controls: commands with :class:`Iec104Address`.
        on_command: the owner; without one every command is refused.
        select_timeout_s: life of a selection, from its confirmation on.
        on_refused: told of what is refused without asking the owner.
    """

    def __init__(
        self,
        controls: Sequence[Control],
        on_command: OnCommand | None,
        select_timeout_s: float,
        on_refused: OnRefused | None = None,
    ) -> None:
        self._controls: dict[_Key, Control] = {}
        for control in controls:
            assert isinstance(control.address, Iec104Address)
            self._controls[control.address.common_address, control.address.ioa] = control
        self._selections: dict[_Key, _Selection] = {}
        self._pending: dict[int, _Pending] = {}
        self._on_command = on_command
        self._on_refused = on_refused
        self._select_timeout_s = select_timeout_s
        self.done = 0
        """Executes that the owner accepted."""
        self.refused = 0
        """Command steps that were answered negatively."""

    def drop(self, owner: Commander) -> None:
        """A connection is gone or stopped: its selections fall, answers to it are swallowed.

        What is selected, and each step that the owner has not answered yet, is withdrawn at the owner.
        """
        falling = [item.asdu for item in self._selections.values() if item.owner is owner]
        falling += [item.asdu for item in self._pending.values() if item.owner is owner and not item.answered]
        self._selections = {key: item for key, item in self._selections.items() if item.owner is not owner}
        self._pending = {ticket: item for ticket, item in self._pending.items() if item.owner is not owner}
        for asdu in falling:
            self._put(owner, asdu, "cancel", next(_TICKETS))

    # ------------------------------------------------------------------ what masters say

    def answer(  # noqa: PLR0911 - one return a refusal
        self, owner: Commander, asdu: Asdu, time: StationTime
    ) -> Answers:
        """Judge a command ASDU whose type and common address are known, act, and return the answers in order."""
        if asdu.cause not in {Cause.ACTIVATION, Cause.DEACTIVATION}:
            return self._refuse(owner, asdu, Cause.UNKNOWN_CAUSE, why="a cause of transmission that is none of a command")
        key = _key(asdu)
        control = self._controls.get(key)
        if control is None:
            return self._refuse(owner, asdu, Cause.UNKNOWN_OBJECT_ADDRESS, why="there is no control of this address")
        assert isinstance(control.address, Iec104Address)
        order = _order(asdu)
        issued = _issued_ns(order, time)
        # agreed with a time tag, without one it might be of any age; agreed without, a tag is judged all the same
        fits = asdu.type_id == control.address.type_id or untagged(asdu.type_id) == control.address.type_id
        fits = fits and len(asdu.objects) == 1
        if not fits or not _possible(asdu.type_id, order):
            return self._refuse(owner, asdu, why="the type or the value is none of this control")
        if wrong := _time_trouble(issued, order, time):
            value = order.value * control.scale + control.offset
            return self._refuse(owner, asdu, why=wrong[1], code=wrong[0], value=value, issued_ns=issued)
        if asdu.test:  # the way is tested, not the breaker
            return [(owner, asdu.mirror(_confirmation(asdu)))]
        if asdu.cause == Cause.DEACTIVATION:
            return self._cancel(owner, asdu, key, order)
        if any(_key(item.asdu) == key and not item.answered for item in self._pending.values()):
            return self._refuse(owner, asdu, why="the step before it has no answer yet")
        permitted = self._may_select(key, time) if order.select else self._may_execute(owner, control, key, order, time)
        if not permitted:
            why = "it is selected already" if order.select else "it is not selected by this master to this value"
            return self._refuse(owner, asdu, why=why)
        return self._ask(owner, asdu, "select" if order.select else "execute", time.monotonic, issued)

    def _may_select(self, key: _Key, time: StationTime) -> bool:
        return self._held(key, time.monotonic) is None

    def _may_execute(self, owner: Commander, control: Control, key: _Key, order: CommandElement, time: StationTime) -> bool:
        held = self._held(key, time.monotonic)
        if held is None:
            return not control.select
        if held.owner is not owner:
            return False
        del self._selections[key]  # used up, also by an execute that differs
        if held.order.same_order(order):
            return True
        self._put(owner, held.asdu, "cancel", next(_TICKETS))
        return False

    def _cancel(self, owner: Commander, asdu: Asdu, key: _Key, order: CommandElement) -> Answers:
        """Withdraw a selection, or the wish for one; what is being executed goes on."""
        held = self._selections.get(key)
        if held is not None and held.owner is owner and held.order.same_order(order):
            del self._selections[key]
            return self._ask(owner, asdu, "cancel", 0.0)
        for ticket, item in self._pending.items():
            mine = item.owner is owner and _key(item.asdu) == key and item.order.same_order(order)
            if mine and _selecting(item):
                del self._pending[ticket]
                return [*self._refuse(owner, item.asdu), *self._ask(owner, asdu, "cancel", 0.0)]
        return self._refuse(owner, asdu, why="there is no selection to withdraw")

    def _held(self, key: _Key, now: float) -> _Selection | None:
        held = self._selections.get(key)
        if held is not None and now >= held.expires:
            del self._selections[key]
            return None
        return held

    # ------------------------------------------------------------------ what the owner says

    def resolve(self, ticket: int, accepted: bool, now: float) -> Answers:
        """The owner's answer to a step; nothing if the link that asked is gone."""
        item = self._pending.get(ticket)
        if item is None or item.answered:
            return []
        item.answered = True
        if not (accepted and item.step == "execute"):
            del self._pending[ticket]  # only an execute goes on
        if not accepted:
            return self._refuse(item.owner, item.asdu)
        if item.step == "select":
            self._selections[_key(item.asdu)] = _Selection(item.owner, item.order, now + self._select_timeout_s, item.asdu)
        elif item.step == "execute":
            self.done += 1
        return [(item.owner, item.asdu.mirror(_confirmation(item.asdu)))]

    def terminate(self, ticket: int, well: bool = True) -> Answers:
        """An execute that was accepted has ended, well or, with P/N set, not.

        Raises:
            CommandUseError: it has not been answered.
        """
        item = self._pending.get(ticket)
        if item is None:
            return []
        if not item.answered:
            raise CommandUseError(f"command step {ticket} is ended before it is answered", mend="call answer() first")
        del self._pending[ticket]
        return [(item.owner, item.asdu.mirror(Cause.ACTIVATION_TERM, negative=not well))]

    # ------------------------------------------------------------------ inside

    def _ask(self, owner: Commander, asdu: Asdu, step: Step, now: float, issued_ns: int = 0) -> Answers:
        ticket = next(_TICKETS)
        self._pending[ticket] = _Pending(owner, asdu, _order(asdu), step)
        word = self._put(owner, asdu, step, ticket, issued_ns)
        if word is None:
            return []
        answers = self.resolve(ticket, word, now)
        return answers + (self.terminate(ticket) if step == "execute" and word else [])

    def _put(self, owner: Commander, asdu: Asdu, step: Step, ticket: int, issued_ns: int = 0) -> bool | None:
        if self._on_command is None:
            return False
        control, order = self._controls[_key(asdu)], _order(asdu)
        value = order.value * control.scale + control.offset
        said = (owner.master, owner.group, asdu.encode())
        return self._on_command(CommandAsked(ticket, control, step, value, *said, order.qualifier, owner.peer, issued_ns))

    def _refuse(self, owner: Commander, asdu: Asdu, cause: Cause | None = None, *, why: str = "", **more: Any) -> Answers:
        self.refused += 1
        if why and self._on_refused is not None:
            control = self._controls.get(_key(asdu))
            self._on_refused(CommandRefused(control, owner.master, owner.group, asdu.encode(), owner.peer, why, **more))
        return [(owner, asdu.mirror(_confirmation(asdu) if cause is None else cause, negative=True))]


def _key(asdu: Asdu) -> _Key:
    return asdu.common_address, asdu.objects[0].ioa


def _order(asdu: Asdu) -> CommandElement:
    return decode_command(asdu.type_id, asdu.objects[0].element)


def _selecting(item: _Pending) -> bool:
    return item.step == "select" and not item.answered


def _confirmation(asdu: Asdu) -> Cause:
    return Cause.DEACTIVATION_CON if asdu.cause == Cause.DEACTIVATION else Cause.ACTIVATION_CON


def _possible(type_id: int, order: CommandElement) -> bool:
    """Double and step commands have two permitted states; a set-point must be a number."""
    if untagged(type_id) in {46, 47}:
        return order.value in {1, 2}
    return order.value - order.value == 0


def _issued_ns(order: CommandElement, time: StationTime) -> int:
    """Ns UTC of the time tag; 0 = it has none, or none that names a time."""
    if not order.time:
        return 0
    return cp56.from_octets(order.time, time.now_ns, time.zone_minutes, time.summer_minutes)[0]


def _time_trouble(issued_ns: int, order: CommandElement, time: StationTime) -> tuple[str, str] | None:
    """Code and sentence: a time tag must be a valid time near the station's clock; None = it is, or there is none."""
    if not order.time:
        return None
    if not issued_ns:
        return "time_invalid", "its time tag is invalid: the master says that its clock is not set, or names no time"
    age_s = (time.now_ns - issued_ns) / 1e9
    if age_s > time.age_s:
        return (
            "late",
            f"by its time tag it was issued {age_s:.0f} s ago, more than {time.age_s:g} s: too old, or a clock is wrong",
        )
    if age_s < -time.age_s:
        return "issued_ahead", f"its time tag is {-age_s:.0f} s ahead of this station's clock: a clock is wrong"
    return None
