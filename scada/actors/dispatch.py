"""Dispatch actor: owns the orders and plans of upstream dispatch and tells AGC what is in force."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, tzinfo
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcView
from scada.actors.avc import AvcView
from scada.actors.base import Actor, Address
from scada.actors.dispatch_modes import ModeDone, OrderedModes, slot_of, words_of
from scada.actors.dispatch_replies import WaitingReplies, told_words, unknown_order
from scada.actors.dispatch_requests import (
    UNSIGNED,
    OrderRequest,
    PastOrder,
    bounds_of,
    kept_order,
    method_of,
    order_of,
    places_of,
    reply_of,
    setpoint_of,
    shown_order,
)
from scada.actors.dispatch_status import shown_contracts, shown_followed, shown_plans, shown_targets, shown_version
from scada.actors.messages import Report, Tick
from scada.actors.order_messages import (
    DispatchAsked,
    DispatchHeard,
    ModeAnswered,
    ModeChanged,
    PlansAsked,
    SetBasePoint,
    SetInterchange,
    SetpointTurnedDown,
    SetUnitLimits,
)
from scada.apps.dispatch.contracts import Contracts
from scada.apps.dispatch.days import day_of
from scada.apps.dispatch.desk import DispatchDesk
from scada.apps.dispatch.following import EnergyAccounts
from scada.apps.dispatch.office import DispatchOffice, OrderRecord
from scada.apps.dispatch.order_store import OrderStore
from scada.apps.dispatch.orders import ACCEPTED, Answer, Held, InForce, OrderKey, Verdict
from scada.apps.dispatch.silence import DispatchSilence
from scada.control.records import Principal
from scada.core.clock import NS_PER_S, Clock
from scada.core.dispatch_settings import DispatchSettings
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.security.areas import responsible_for_all

_FINE = ACCEPTED | {Verdict.DUPLICATE, Verdict.WITHDRAWN}


@dataclass(slots=True)
class DispatchView:
    """Orders and what is in force; replaced as a whole, written by the dispatch actor alone."""

    status: pb.DispatchStatus = field(default_factory=pb.DispatchStatus)
    energy: Mapping[str, Any] = field(default_factory=dict)
    """What was counted of the day, for the actor's next life."""


class DispatchActor(Actor):
    """Takes orders, keeps versions of plans, has AGC and AVC follow them.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: areas, units and their limits.
        past: accepted orders of runs before there was a store, oldest first
            (:func:`~scada.actors.dispatch_requests.past_orders`).
        seen: sender and id of every accepted order of these runs.
        agc: follows what is in force.
        avc: likewise; None = there is none.
        events: told of every order and of each one that expires.
        view: where orders are published.
        clock: stamps and validity.
        settings: contracts, and how plans are judged.
        zone: time zone in which the day of a plan begins.
        measured: AGC as of its last cycle, for actual values.
        voltages: AVC likewise.
        store: the orders on disk; None = they are forgotten with this life.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        past: Sequence[PastOrder],
        seen: Sequence[OrderKey],
        agc: Address,
        events: Address,
        view: DispatchView,
        clock: Clock,
        avc: Address | None = None,
        settings: DispatchSettings | None = None,
        zone: tzinfo = UTC,
        measured: AgcView | None = None,
        voltages: AvcView | None = None,
        store: OrderStore | None = None,
    ) -> None:
        super().__init__(address, failed)
        self._settings = settings or DispatchSettings()
        self._zone = zone
        self._store = store
        self._tables = tables
        self._units = {unit.mrid: (unit.name, area.name) for area in tables.areas if area.controlled for unit in area.units}
        self._areas = [area.name for area in tables.areas if area.controlled]
        self._desk = DispatchDesk(*bounds_of(tables), self._settings, zone)
        self._agc = agc
        self._events = events
        self._view = view
        self._clock = clock
        self._measured = measured or AgcView()
        contracts = Contracts(self._settings.contracts, self._units, zone)
        self._office = DispatchOffice(self._desk, contracts, self._keep, DispatchSilence(self._settings, clock))
        self._modes = OrderedModes(agc, avc, self._measured, voltages or AvcView(), store, clock, address.tell)
        self._replies = WaitingReplies(self._modes.asks, clock)
        self._limited = set(self._units)
        """Units that AGC may hold for limited: all of them, because the life before may have limited any."""
        self._cleaned = date.min
        self._take_up(past, seen)
        self._energy = EnergyAccounts(zone)
        self._energy.restore(view.energy)

    def _take_up(self, past: Sequence[PastOrder], seen: Sequence[OrderKey]) -> None:
        """Go on from the store, or from the audit log where there was no store yet."""
        if self._store is not None and not self._store.is_new:
            self._office.restore([(record, kept_order(record)) for record in self._store.records()])
        else:
            for one in past:
                order, octets = order_of(one.request, one.sender), one.request.SerializeToString(deterministic=True)
                self._office.take_over(order, method_of(one.request), octets, one.received_ns, one.ended_ns)
            self._desk.remember(seen)
        self._desk.clean(self._clock.now_ns())

    def _keep(self, record: OrderRecord) -> None:
        if self._store is not None:
            self._store.write([record])

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case DispatchAsked(request, principal, reply):
                answer = self._asked(request, principal)
                if reply is None:
                    return reply_of(answer)
                if self._modes.asks(answer.key) and answer.verdict in ACCEPTED and not isinstance(request, pb.GetOrderRequest):
                    self._replies.add(answer.key, reply)
                else:
                    reply(reply_of(answer))
            case ModeAnswered():
                if (done := self._modes.answered(message)) is not None:
                    self._moded(done, self._clock.now_ns())
                self._follow()
            case PlansAsked(request):
                return self._plans(request)
            case SetpointTurnedDown(request, sender, code, reason):
                order = setpoint_of(request, sender)
                self._report(self._office.turned_down(order, code, reason, self._clock.now_ns()))
            case DispatchHeard(sender, gone):
                (self._office.silence.gone if gone else self._office.silence.heard)(sender)
            case ModeChanged(request, user):
                self._changed(request, user)
            case Tick():
                self._follow()
            case _:
                return super().receive(message)
        return None

    # ------------------------------------------------------------------ orders

    def _asked(self, request: Any, principal: Principal) -> Answer:
        now, sender = self._clock.now_ns(), principal.name
        match request:
            case pb.GetOrderRequest():
                if not sender.startswith(UNSIGNED):  # its station asks for it while its link is down
                    self._office.silence.heard(sender)
                return self._remarked(self._known(request.order_id, sender))
            case pb.WithdrawOrder():
                self._office.silence.heard(sender)
                answer = self._office.withdraw(request.order_id, sender, request.reason, now)
            case pb.OrderDecision():
                return self._decide(request, principal, now)
            case _:
                return self._order(request, sender, now)
        if answer is None:
            return self._not_there(request.order_id, sender)
        return self._done(answer)

    def _decide(self, request: pb.OrderDecision, principal: Principal, now: int) -> Answer:
        """An operator decides about the one order that is meant, of another identity and within the operator's areas."""
        waiting = self._office.waiting(request.order_id, request.sender)
        if len(waiting) != 1:
            shown = self._not_there(request.order_id, request.sender)
            text = f"several dispatchers have an order {request.order_id} that waits: say whose"
            return replace(shown, code="sender_needed", reason=text) if waiting else shown
        answer = waiting[0].answer
        if answer.sender == principal.name:
            refused = "own_order", "nobody decides about an order of their own"
        elif not responsible_for_all(principal, places_of(kept_order(waiting[0]), self._tables)):
            refused = "no_area", f"{self._name(answer.target)} is outside {principal.name}'s areas of responsibility"
        else:
            made = self._office.decide(answer.key, principal.name, accept=request.accept, reason=request.reason, now_ns=now)
            return self._done(made or answer)
        return replace(answer, verdict=Verdict.REFUSED, code=refused[0], reason=refused[1])

    def _done(self, answer: Answer) -> Answer:
        """Tell what became of an order and follow it; AGC may have refused a mode."""
        self._report(answer)
        self._follow()
        return self._remarked(self._office.answer(answer.order_id, answer.sender) or answer)

    def _order(self, request: OrderRequest, sender: str, now: int) -> Answer:
        content = request.SerializeToString(deterministic=True)
        answer = self._office.receive(order_of(request, sender), method_of(request), content, now)
        self._report(answer)
        self._follow()
        if answer.verdict in ACCEPTED:  # AGC may have refused the mode
            answer = self._office.answer(answer.order_id, answer.sender) or answer
        return self._remarked(answer)

    def _answer_waiting(self) -> None:
        """Tell those who wait for AGC or AVC what became of their order, once that is known or they waited long enough."""
        for (sender, order_id), reply in self._replies.due():
            reply(reply_of(self._remarked(self._known(order_id, sender))))

    def _known(self, order_id: str, sender: str) -> Answer:
        return self._office.answer(order_id, sender) or unknown_order(order_id, self._clock.now_ns())

    def _remarked(self, answer: Answer) -> Answer:
        """With a remark if nothing follows it: a unit's mode is another, or AGC or AVC has not answered."""
        if answer.verdict in ACCEPTED and self._modes.asks(answer.key):
            text = "AGC or AVC has not said yet whether it takes the mode: ask again what became of the order"
            return replace(answer, reason="; ".join(filter(None, (answer.reason, text))), code=answer.code or "unanswered")
        if answer.verdict not in ACCEPTED or answer.kind != "setpoint" or answer.target not in self._units:
            return answer
        mode = self._modes.present(("unit", answer.target))
        if mode.startswith("SCHE/"):
            return answer
        text = f"the unit is in mode {mode or 'unknown'}; its set-point is followed in mode SCHE only"
        return replace(answer, reason="; ".join(filter(None, (answer.reason, text))), code=answer.code or "not_followed")

    def _not_there(self, order_id: str, sender: str) -> Answer:
        """What a decision or a withdrawal is answered that finds nothing to decide or withdraw."""
        known = self._known(order_id, sender)
        if known.code == "unknown_order":
            return known
        text = f"it does not wait or stand for you: {known.verdict.value}"
        return replace(known, verdict=Verdict.REFUSED, code="not_standing", reason=text)

    def _changed(self, request: pb.SetModeRequest, user: str) -> None:
        slot = slot_of(request, lambda: self._areas[0] if len(self._areas) == 1 else "")
        if slot is None:
            return
        now = self._clock.now_ns()
        if request.WhichOneof("target") != "loop":  # it chose no mode: what was before is ordered again
            self._modes.chosen(slot, words_of(request))
        held = self._desk.standing.book.at(slot, now)
        while held is not None:  # those of lower priority must not come back behind it
            answer = self._office.override(held, user, now)
            self._tell("dispatch.overridden", AlarmClass.NOTICE, 3, self._words(answer) | {"user": user}, user)
            held = self._desk.standing.book.at(slot, now)

    # ------------------------------------------------------------------ following

    def _follow(self) -> None:
        now = self._clock.now_ns()
        self._watch(now)
        force = self._desk.in_force(now)
        self._say_expired(force)
        for done in self._modes.beat(force.orders):
            self._moded(done, now)
        self._answer_waiting()
        self._give(force)
        for target in force.ended:
            key = "dispatch.unit_plan_ended" if target in self._units else "dispatch.plan_ended"
            parameters = {"target": self._name(target), "mw": f"{force.interchange.get(target, math.nan):g}"}
            self._tell(key, AlarmClass.ABNORMAL, 2, parameters, "")
        for target, day in self._desk.missing(now):
            parameters = {"target": self._name(target), "day": f"{day}"}
            self._tell("dispatch.plan_missing", AlarmClass.ABNORMAL, 2, parameters, "")
        self._clean(now)
        names = {mrid: name for mrid, (name, _) in self._units.items()}
        self._view.status = pb.DispatchStatus(
            interchange_setpoint_mw=next(iter(force.interchange.values()), float("nan")),
            orders=[shown_order(answer, names) for answer in self._office.shown],
            followed=shown_followed(self._energy, self._desk, names, self._measured, now),
            targets=shown_targets(force, self._desk, self._office.silence, names, now),
            contracts=shown_contracts(self._office),
        )
        self._view.energy = self._energy.state()

    def _give(self, force: InForce) -> None:
        """Tell AGC what is in force; at each beat, so that a new life of it knows too."""

        def source(what: str, target: str) -> str:
            held = force.orders.get((what, target))
            return f"{held.order.order_id} ({held.order.sender})" if held is not None else ""

        for area, mw in force.interchange.items():
            self._agc.tell(SetInterchange(area, mw, source("setpoint", area)))
        for unit, mw in force.base_points.items():
            self._agc.tell(SetBasePoint(unit, mw, source("setpoint", unit)))
        for unit in sorted({*force.limits, *self._limited}):
            low, high = force.limits.get(unit, (-math.inf, math.inf))
            self._agc.tell(SetUnitLimits(unit, low, high, source("limits", unit)))
        self._limited = set(force.limits)

    def _say_expired(self, force: InForce) -> None:
        for order in force.expired:
            if not self._office.expired(order.key):
                continue
            mw = f"{order.mw:g}" if hasattr(order, "mw") else ""
            words = "" if hasattr(order, "mw") else order.words
            parameters = {"order": order.order_id, "area": self._name(order.target), "mw": mw, "sender": order.sender}
            key = "dispatch.expired" if mw else "dispatch.order_ended"
            self._tell(key, AlarmClass.ABNORMAL, 2, parameters | {"words": words, "what": order.slot[0]}, order.sender)

    def _watch(self, now: int) -> None:
        """Who is lost, what ended with that, what waits for an operator."""
        office = self._office
        lost, back = office.silence.beat(office.standing_senders(now))
        for sender in lost:
            hold = f"{self._settings.hold_s:g}"
            self._tell("dispatch.lost", AlarmClass.ABNORMAL, 1, {"sender": sender, "hold_s": hold}, sender)
        for sender in back:
            self._tell("dispatch.back", AlarmClass.NOTICE, 3, {"sender": sender}, sender)
        for answer in office.end_of_lost(now):
            self._tell("dispatch.fallback", AlarmClass.ABNORMAL, 1, self._words(answer), answer.sender)
        ended, soon = office.beat(now)
        for answer in ended:
            self._tell("dispatch.not_decided", AlarmClass.ABNORMAL, 2, self._words(answer), answer.sender)
        for answer in soon:
            left = f"{(answer.decide_until_ns - now) / NS_PER_S:.0f}"
            self._tell("dispatch.decide_soon", AlarmClass.ABNORMAL, 1, self._words(answer) | {"left_s": left}, answer.sender)

    def _moded(self, done: ModeDone, now: int) -> None:
        """Tell what was done about a mode; an order that was not taken stands no more."""
        what, target = done.slot
        told = {"what": what, "target": self._name(target), "mode": done.mode, "reason": done.reason}
        if done.held is not None:
            told |= {"order": done.held.order.order_id, "sender": done.held.order.sender}
        if done.key == "refused" and done.held is not None and self._stands(done.held):
            self._office.refuse_mode(done.held, done.reason, now)
        bad = done.key in {"refused", "not_restored"}
        self._tell(f"dispatch.mode_{done.key}", AlarmClass.ABNORMAL if bad else AlarmClass.NOTICE, 2 if bad else 3, told, "")

    def _stands(self, held: Held) -> bool:
        """It has not ended or been withdrawn meanwhile."""
        return any(one.number == held.number and not one.ended_ns for one in self._desk.standing.book)

    def _clean(self, now: int) -> None:
        """Once a day: forget orders that are over and older than plans are kept."""
        today = day_of(now, self._zone)
        if today == self._cleaned:
            return
        self._cleaned = today
        old = self._office.forget(now - self._settings.keep_days * 86_400 * NS_PER_S)
        if old and self._store is not None:
            self._store.write((), old)

    # ------------------------------------------------------------------ versions

    def _plans(self, request: pb.ListSchedulesRequest | pb.GetScheduleRequest) -> pb.ScheduleList | pb.ScheduleVersion | None:
        if isinstance(request, pb.GetScheduleRequest):
            return shown_version(self._desk, request, self._name(request.target))
        found = shown_plans(self._desk, request, self._units)
        found.time_zone, found.today = str(self._zone), f"{day_of(self._clock.now_ns(), self._zone)}"
        found.at_midnight = self._settings.first_point == "midnight"
        return found

    def _name(self, target: str) -> str:
        return self._units[target][0] if target in self._units else target

    # ------------------------------------------------------------------ events

    def _report(self, answer: Answer) -> None:
        bad = answer.verdict not in _FINE
        waits = answer.verdict is Verdict.PENDING
        alarm_class = AlarmClass.ABNORMAL if bad else AlarmClass.NOTICE
        key = f"dispatch.{answer.verdict.value}" if answer.verdict is not Verdict.EXPIRED else "dispatch.not_decided"
        self._tell(key, alarm_class, (1 if waits else 2) if bad else 3, self._words(answer), answer.sender)

    def _words(self, answer: Answer) -> dict[str, str]:
        return told_words(answer, self._name(answer.target))

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str], actor: str) -> None:
        event = Event(self._clock.now_ns(), EventKind.DISPATCH, alarm_class, priority, key, parameters, actor=actor)
        self._events.tell(Report((event,)))
