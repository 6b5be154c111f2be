"""Dispatch actor: owns the orders and plans of upstream dispatch and tells AGC what is in force."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, tzinfo
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcView
from scada.actors.base import Actor, Address
from scada.actors.dispatch_requests import (
    Order,
    PastOrder,
    bounds_of,
    judge,
    reply_of,
    schedule_info,
    shown_order,
)
from scada.actors.messages import DispatchAsked, PlansAsked, Report, SetBasePoint, SetInterchange, Tick
from scada.apps.dispatch.days import day_of
from scada.apps.dispatch.desk import DispatchDesk
from scada.apps.dispatch.following import EnergyAccounts
from scada.apps.dispatch.orders import ACCEPTED, Answer
from scada.core.clock import NS_PER_S, Clock
from scada.core.dispatch_settings import DispatchSettings
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables

STALE_S = 60
"""A value of AGC older than this is not what flows now."""


@dataclass(slots=True)
class DispatchView:
    """Orders and what is in force; replaced as a whole, written by the dispatch actor alone."""

    status: pb.DispatchStatus = field(default_factory=pb.DispatchStatus)
    energy: Mapping[str, Any] = field(default_factory=dict)
    """What was counted of the day, for the actor's next life."""


class DispatchActor(Actor):
    """Judges orders, keeps versions of plans, follows them.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: areas, units and their limits.
        past: accepted orders of earlier runs with their senders and times of receipt, oldest first
            (:func:`~scada.actors.dispatch_requests.past_orders`).
        seen: every order id of earlier runs.
        agc: follows what is in force.
        events: told of every order and of each one that expires.
        view: where orders are published.
        clock: stamps and validity.
        settings: how plans are judged.
        zone: time zone in which the day of a plan begins.
        measured: AGC as of its last cycle, for actual values.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        past: Sequence[PastOrder],
        seen: Sequence[str],
        agc: Address,
        events: Address,
        view: DispatchView,
        clock: Clock,
        settings: DispatchSettings | None = None,
        zone: tzinfo = UTC,
        measured: AgcView | None = None,
    ) -> None:
        super().__init__(address, failed)
        self._settings = settings or DispatchSettings()
        self._zone = zone
        self._desk = DispatchDesk(*bounds_of(tables), self._settings, zone)
        for one in past:
            judge(self._desk, one.request, one.sender, one.received_ns)
        self._desk.remember(seen)
        self._desk.clean(clock.now_ns())
        self._units = {unit.mrid: (unit.name, area.name) for area in tables.areas if area.controlled for unit in area.units}
        self._agc = agc
        self._events = events
        self._view = view
        self._clock = clock
        self._measured = measured or AgcView()
        self._energy = EnergyAccounts(zone)
        self._energy.restore(view.energy)

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case DispatchAsked(request, principal):
                return self._order(request, principal.name)
            case PlansAsked(request):
                return self._list(request) if isinstance(request, pb.ListSchedulesRequest) else self._get(request)
            case Tick():
                self._follow()
            case _:
                return super().receive(message)
        return None

    def _order(self, request: Order, sender: str) -> pb.DispatchReply:
        answer = judge(self._desk, request, sender, self._clock.now_ns())
        self._report(answer)
        self._follow()
        return reply_of(answer)

    # ------------------------------------------------------------------ following

    def _follow(self) -> None:
        now = self._clock.now_ns()
        force = self._desk.in_force(now)
        # told at each beat, so that a new life of AGC knows too
        for area, mw in force.interchange.items():
            self._agc.tell(SetInterchange(area, mw))
        for unit, mw in force.base_points.items():
            self._agc.tell(SetBasePoint(unit, mw))
        for order in force.expired:
            parameters = {"order": order.order_id, "area": order.area, "mw": f"{order.mw:g}", "sender": order.sender}
            self._tell("dispatch.expired", AlarmClass.ABNORMAL, 2, parameters, order.sender)
        for target in force.ended:
            key = "dispatch.unit_plan_ended" if target in self._units else "dispatch.plan_ended"
            parameters = {"target": self._name(target), "mw": f"{force.interchange.get(target, math.nan):g}"}
            self._tell(key, AlarmClass.ABNORMAL, 2, parameters, "")
        for target, day in self._desk.missing(now):
            parameters = {"target": self._name(target), "day": f"{day}"}
            self._tell("dispatch.plan_missing", AlarmClass.ABNORMAL, 2, parameters, "")
        self._view.status = pb.DispatchStatus(
            interchange_setpoint_mw=next(iter(force.interchange.values()), float("nan")),
            orders=[shown_order(answer) for answer in reversed(self._desk.answers)],
            followed=self._followed(now),
        )
        self._view.energy = self._energy.state()

    def _followed(self, now: int) -> list[pb.ScheduleFollowed]:
        actual = self._actual(now)
        today = day_of(now, self._zone)
        found = []
        for target in self._desk.targets:
            one = self._energy.follow(target, self._desk.plans.curve(target), actual.get(target, math.nan), now)
            if one is None:
                continue
            newest = self._desk.plans.newest(target, today)
            found.append(
                pb.ScheduleFollowed(
                    target=target,
                    name=self._name(target),
                    day=f"{today}",
                    version=newest.number if newest is not None else 0,
                    mw=one.mw,
                    next_mw=one.next_mw,
                    next_ns=one.next_ns,
                    actual_mw=one.actual_mw,
                    deviation_mw=one.deviation_mw,
                    planned_mwh=one.planned_mwh,
                    executed_mwh=one.executed_mwh,
                    since_ns=one.since_ns,
                    unknown_s=one.unknown_s,
                )
            )
        return found

    def _actual(self, now: int) -> dict[str, float]:
        """Measured interchange of areas and power of units, as AGC had them in its last cycle."""
        found = {}
        for area, decision in self._measured.decisions.items():
            if 0 <= now - decision.cycle_ns <= STALE_S * NS_PER_S:
                found[area] = decision.interchange_mw
                found.update(decision.units.powers)
        return found

    # ------------------------------------------------------------------ versions

    def _list(self, request: pb.ListSchedulesRequest) -> pb.ScheduleList:
        found = pb.ScheduleList(
            time_zone=str(self._zone),
            today=f"{day_of(self._clock.now_ns(), self._zone)}",
            at_midnight=self._settings.first_point == "midnight",
        )
        for (target, day), versions in sorted(self._desk.plans.all().items()):
            if request.day in ("", f"{day}"):
                chosen = versions if request.day else versions[-1:]
                found.schedules.extend(schedule_info(one, self._name(target), len(versions)) for one in chosen)
        for target, bounds in self._desk.targets.items():
            unit = target in self._units
            area = self._units[target][1] if unit else target
            found.targets.add(
                target=target,
                name=self._name(target),
                unit=unit,
                minimum=bounds.minimum,
                maximum=bounds.maximum,
                area=area,
            )
        return found

    def _get(self, request: pb.GetScheduleRequest) -> pb.ScheduleVersion | None:
        try:
            versions = self._desk.plans.versions(request.target, date.fromisoformat(request.day))
        except ValueError:
            return None
        if not 0 <= request.version <= len(versions) or not versions:
            return None
        version = versions[request.version - 1]
        return pb.ScheduleVersion(
            info=schedule_info(version, self._name(request.target), len(versions)),
            points=[pb.SchedulePoint(time_ns=one.time_ns, mw=one.mw, step_s=one.step_s) for one in version.points],
        )

    def _name(self, target: str) -> str:
        return self._units[target][0] if target in self._units else target

    # ------------------------------------------------------------------ events

    def _report(self, answer: Answer) -> None:
        bad = answer.verdict not in ACCEPTED
        parameters = {
            "order": answer.order_id,
            "sender": answer.sender,
            "target": answer.target,
            "mw": f"{answer.mw:g}",
            "applied": f"{answer.applied_mw:g}",
            "verdict": answer.verdict.value,
            "reason": answer.reason,
            "kind": answer.kind,
            "day": answer.day,
            "version": f"{answer.version}",
        }
        alarm_class = AlarmClass.ABNORMAL if bad else AlarmClass.NOTICE
        self._tell(f"dispatch.{answer.verdict.value}", alarm_class, 2 if bad else 3, parameters, answer.sender)

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str], actor: str) -> None:
        event = Event(self._clock.now_ns(), EventKind.DISPATCH, alarm_class, priority, key, parameters, actor=actor)
        self._events.tell(Report((event,)))
