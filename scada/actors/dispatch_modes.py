"""Modes that dispatch orders for a time: given to AGC and AVC when they begin, taken back when they end."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcView
from scada.actors.answers import ask_on
from scada.actors.avc import AvcView
from scada.actors.base import Address
from scada.actors.order_messages import ModeAnswered, SetState
from scada.apps.dispatch.orders import Held, OrderKey, Slot
from scada.control.records import ModeReply
from scada.core.clock import Clock
from scada.security.roles import Right, system_principal

AGAIN_S = 10.0
"""Time between two tries to bring a mode back that AGC or AVC lost (a new life), and the longest wait for the answer to one."""
SETTLED_S = 5.0
"""After an operator's choice: when AGC or AVC shows what it made of that and of what dispatch asked at the same time."""
RULED = frozenset({"agc", "avc", "control_mode", "unit"})
_NUMBERS: Final = itertools.count(1)
"""Of all lives: an answer to the one before is none to this one."""


class BaseKeeper(Protocol):
    """Keeps what was before dispatch ordered something."""

    def modes(self) -> dict[Slot, str]:
        """What is kept."""
        ...

    def write_mode(self, slot: Slot, words: str | None) -> None:
        """Keep or (None) forget."""
        ...


@dataclass(frozen=True, slots=True)
class ModeDone:
    """What was done about a mode.

    Attributes:
        slot: which one.
        key: ``ordered``, ``restored``, ``refused`` or ``not_restored``.
        mode: what it is now, or was to be.
        held: the order that stands; None = none does any more.
        reason: why not.
    """

    slot: Slot
    key: str
    mode: str
    held: Held | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question to AGC or AVC that has no answer yet."""

    number: int
    mode: str
    held: Held | None
    until: float
    """Monotonic s."""


class OrderedModes:
    """Brings modes to what stands. AGC and AVC are asked, and nobody waits: their word comes by :meth:`answered`.

    What was in force before the first order of a slot is kept on the disk, and ordered again when no order stands any more. An
    operator who changes a mode ends the orders of it (:meth:`chosen`): then nothing is restored.

    Args:
        agc, avc: what is ordered.
        agc_view, avc_view: how they stand.
        keeper: keeps what was before.
        clock: deadlines.
        tell: brings the answers to the owner, from any thread.
    """

    def __init__(
        self,
        agc: Address,
        avc: Address | None,
        agc_view: AgcView,
        avc_view: AvcView,
        keeper: BaseKeeper | None,
        clock: Clock,
        tell: Callable[[ModeAnswered], None],
    ) -> None:
        self._agc, self._avc, self._agc_view, self._avc_view = agc, avc, agc_view, avc_view
        self._keeper = keeper
        self._clock = clock
        self._tell = tell
        self._bases: dict[Slot, str] = keeper.modes() if keeper is not None else {}
        self._given: dict[Slot, tuple[str, float]] = {}
        self._asked: dict[Slot, _Asked] = {}
        self._chosen: dict[Slot, tuple[str, float]] = {}
        """What operators chose while dispatch asked for something else, and when to look whether that is so."""

    def beat(self, orders: Mapping[Slot, Held]) -> list[ModeDone]:
        """Order what stands now and restore what was before where nothing does; what cannot be known yet waits."""
        done = self._hold_to_choices(orders)
        for slot in sorted({*(slot for slot in orders if slot[0] in RULED), *self._bases}):
            present, held = self.present(slot), orders.get(slot)
            if present and not self._is_asked(slot, held):
                one = self._order(slot, held, present) if held is not None else self._ask(slot, self._bases[slot], None)
                done += [one] if one is not None else []
        return done

    def answered(self, message: ModeAnswered) -> ModeDone | None:
        """AGC or AVC answered; None if nobody asks that any more, or it failed and is asked again."""
        slot = next((slot for slot, asked in self._asked.items() if asked.number == message.number), None)
        if slot is None:
            return None
        asked = self._asked.pop(slot)
        return None if message.reply is None else self._done(slot, asked.mode, asked.held, message.reply)

    def asks(self, key: OrderKey) -> bool:
        """The mode of an order was asked for, and there is no answer yet."""
        return any(asked.held is not None and asked.held.order.key == key for asked in self._asked.values())

    def chosen(self, slot: Slot, words: str) -> None:
        """An operator changed it, to these words if they say all of it: nothing is restored.

        What dispatch asked last may have reached AGC or AVC after that; then the operator's choice is ordered once more.
        """
        _, at = self._given.pop(slot, ("", -math.inf))
        now = self._clock.monotonic()
        if (self._asked.pop(slot, None) is not None or now - at < AGAIN_S) and words:
            self._chosen[slot] = (words, now + SETTLED_S)
        if slot in self._bases:
            self._keep(slot, None)

    def _hold_to_choices(self, orders: Mapping[Slot, Held]) -> list[ModeDone]:
        due = {slot: words for slot, (words, at) in self._chosen.items() if self._clock.monotonic() >= at}
        self._chosen = {slot: one for slot, one in self._chosen.items() if slot not in due}
        lost = [(slot, words) for slot, words in due.items() if slot not in orders and not _same(self.present(slot), words)]
        return [done for slot, words in lost if (done := self._ask(slot, words, None)) is not None]

    def _is_asked(self, slot: Slot, held: Held | None) -> bool:
        """The same was asked and may still be answered."""
        asked = self._asked.get(slot)
        numbers = [one.number if one is not None else 0 for one in (held, asked.held if asked else None)]
        return asked is not None and numbers[0] == numbers[1] and self._clock.monotonic() < asked.until

    def _order(self, slot: Slot, held: Held, present: str) -> ModeDone | None:
        wanted = getattr(held.order, "mode", "")
        given, at = self._given.get(slot, ("", -math.inf))
        if _same(present, wanted) and slot in self._bases:
            self._given[slot] = (wanted, self._clock.monotonic())
            return None
        if given == wanted and self._clock.monotonic() - at < AGAIN_S:
            return None
        if slot not in self._bases:
            self._keep(slot, present)
        return self._ask(slot, wanted, held)

    def _done(self, slot: Slot, mode: str, held: Held | None, reply: ModeReply) -> ModeDone:
        if held is None:
            self._given.pop(slot, None)
            self._keep(slot, None)
            return ModeDone(slot, "restored" if reply.accepted else "not_restored", mode, None, reply.reason)
        self._given[slot] = (mode, self._clock.monotonic())
        if reply.accepted:
            return ModeDone(slot, "ordered", mode, held)
        return ModeDone(slot, "refused", mode, held, reply.reason)

    def _keep(self, slot: Slot, words: str | None) -> None:
        if self._keeper is not None:
            self._keeper.write_mode(slot, words)
        if words is None:
            self._bases.pop(slot, None)
        else:
            self._bases[slot] = words

    def _ask(self, slot: Slot, mode: str, held: Held | None) -> ModeDone | None:
        """Order a mode; what cannot even be asked is done at once."""
        self._asked.pop(slot, None)
        address = self._avc if slot[0] == "avc" else self._agc
        if address is None:
            return self._done(slot, mode, held, ModeReply(False, "invalid", "there is no AVC"))
        try:
            request = mode_request(slot, mode)
        except ValueError:
            text = f"{mode!r} is no pair of modes: write e.g. SCHE/A"
            return self._done(slot, mode, held, ModeReply(False, "invalid", text))
        number = next(_NUMBERS)
        self._asked[slot] = _Asked(number, mode, held, self._clock.monotonic() + AGAIN_S)
        who = system_principal("dispatch", {Right.MODE, Right.SETPOINT})
        ask_on(
            address,
            SetState(request, who),
            lambda reply: self._tell(ModeAnswered(number, reply if isinstance(reply, ModeReply) else None)),
        )
        return None

    def present(self, slot: Slot) -> str:
        """How it stands, as of the last cycle; empty = not known."""
        what, target = slot
        if what == "avc":
            status = self._avc_view.status
            return "" if status.reason == "no cycle yet" else _wanted(status.state)
        for area, decision in self._agc_view.decisions.items():
            if what == "unit":
                for unit in decision.units:
                    if unit.mrid == target:
                        point = f"/{unit.base_mw!r}" if unit.base_mode == "BASE" and math.isfinite(unit.base_mw) else ""
                        return f"{unit.base_mode}/{unit.reg_mode}{point}"
            elif area == target:
                return _wanted(decision.state) if what == "agc" else decision.control_mode
        return ""


def _wanted(state: str) -> str:
    """What was ordered of an application that is in a state: a suspended one is to be on."""
    return "on" if state == "suspended" else state


def _same(present: str, wanted: str) -> bool:
    return present.split("/")[:2] == wanted.split("/")[:2]


def mode_request(slot: Slot, mode: str) -> pb.SetModeRequest:
    """A mode as AGC and AVC take it.

    Raises:
        ValueError: the mode of a unit is no pair.

    >>> mode_request(("unit", "g1"), "SCHE/A").unit.reg_mode
    'A'
    """
    what, target = slot
    if what == "agc":
        return pb.SetModeRequest(agc=mode, area=target)
    if what == "avc":
        return pb.SetModeRequest(avc=mode)
    if what == "control_mode":
        return pb.SetModeRequest(control_mode=mode, area=target)
    base, reg, *point = mode.split("/")
    mw = float(point[0]) if point else math.nan
    return pb.SetModeRequest(unit=pb.UnitMode(unit=target, base_mode=base, reg_mode=reg, base_point_mw=mw))


def words_of(request: pb.SetModeRequest) -> str:
    """What an operator chose, as :func:`mode_request` takes it; empty where the order says less or something else.

    >>> words_of(pb.SetModeRequest(agc="off"))
    'off'
    """
    match request.WhichOneof("target"):
        case "agc" | "avc" | "control_mode" as target:
            return str(getattr(request, target))
        case "unit":
            unit = request.unit
            point = f"/{unit.base_point_mw!r}" if unit.base_mode == "BASE" and math.isfinite(unit.base_point_mw) else ""
            return f"{unit.base_mode}/{unit.reg_mode}{point}"
        case _:
            return ""


def slot_of(request: pb.SetModeRequest, only_area: Callable[[], str]) -> Slot | None:
    """What an operator's order of a mode rules; None = nothing that dispatch may rule.

    Args:
        request: the order.
        only_area: name of the controlled area where the order names none.
    """
    match request.WhichOneof("target"):
        case "agc":
            return "agc", request.area or only_area()
        case "control_mode":
            return "control_mode", request.area or only_area()
        case "avc":
            return "avc", ""
        case "unit":
            return "unit", request.unit.unit
        case "loop":
            return "unit", request.loop.mrid
        case _:
            return None
