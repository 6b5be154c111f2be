"""Modes that dispatch orders for a time: given to AGC and AVC when they begin, taken back when they end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pykka
from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcView
from scada.actors.asking import AskDeadlockError
from scada.actors.avc import AvcView
from scada.actors.base import Address
from scada.actors.order_messages import SetState
from scada.apps.dispatch.orders import Held, Slot
from scada.control.records import ModeReply
from scada.core.clock import Clock
from scada.security.roles import Right, system_principal

ANSWER_S = 5.0
"""Longest wait for AGC or AVC."""
AGAIN_S = 10.0
"""Time between two tries to bring a mode back that AGC or AVC lost (a new life)."""
RULED = frozenset({"agc", "avc", "control_mode", "unit"})


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


class OrderedModes:
    """Brings modes to what stands.

    What was in force before the first order of a slot is kept on the disk, and ordered again when no order stands any more. An
    operator who changes a mode ends the orders of it (:meth:`chosen`): then nothing is restored.

    Args:
        agc, avc: what is ordered.
        agc_view, avc_view: how they stand.
        keeper: keeps what was before.
        clock: waits.
    """

    def __init__(
        self, agc: Address, avc: Address | None, agc_view: AgcView, avc_view: AvcView, keeper: BaseKeeper | None, clock: Clock
    ) -> None:
        self._agc, self._avc, self._agc_view, self._avc_view = agc, avc, agc_view, avc_view
        self._keeper = keeper
        self._clock = clock
        self._bases: dict[Slot, str] = keeper.modes() if keeper is not None else {}
        self._given: dict[Slot, tuple[str, float]] = {}

    def beat(self, orders: Mapping[Slot, Held]) -> list[ModeDone]:
        """Order what stands now and restore what was before where nothing does; what cannot be known yet waits."""
        done = []
        for slot in sorted({*(slot for slot in orders if slot[0] in RULED), *self._bases}):
            present = self.present(slot)
            if present:
                held = orders.get(slot)
                one = self._order(slot, held, present) if held is not None else self._restore(slot)
                done += [one] if one is not None else []
        return done

    def chosen(self, slot: Slot) -> None:
        """An operator changed it: nothing is restored."""
        self._given.pop(slot, None)
        if slot in self._bases:
            self._keep(slot, None)

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
        reply = self._ask(slot, wanted)
        if reply is None:
            return None
        self._given[slot] = (wanted, self._clock.monotonic())
        if reply.accepted:
            return ModeDone(slot, "ordered", wanted, held)
        return ModeDone(slot, "refused", wanted, held, reply.reason)

    def _restore(self, slot: Slot) -> ModeDone | None:
        base = self._bases[slot]
        reply = self._ask(slot, base)
        if reply is None:
            return None
        self._given.pop(slot, None)
        self._keep(slot, None)
        return ModeDone(slot, "restored" if reply.accepted else "not_restored", base, None, reply.reason)

    def _keep(self, slot: Slot, words: str | None) -> None:
        if self._keeper is not None:
            self._keeper.write_mode(slot, words)
        if words is None:
            self._bases.pop(slot, None)
        else:
            self._bases[slot] = words

    def _ask(self, slot: Slot, mode: str) -> ModeReply | None:
        """Order a mode; None = no answer yet, it is tried again."""
        address = self._avc if slot[0] == "avc" else self._agc
        if address is None:
            return ModeReply(False, "invalid", "there is no AVC")
        try:
            request = mode_request(slot, mode)
        except ValueError:
            return ModeReply(False, "invalid", f"{mode!r} is no pair of modes: write e.g. SCHE/A")
        who = system_principal("dispatch", {Right.MODE, Right.SETPOINT})
        try:
            reply: ModeReply = address.ask(SetState(request, who)).get(timeout=ANSWER_S)
        except (pykka.Timeout, AskDeadlockError):
            return None
        return reply

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
