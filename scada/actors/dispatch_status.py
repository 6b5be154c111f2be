"""What is shown of dispatch: targets, contracts, plans and their versions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date

from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcView
from scada.actors.dispatch_requests import schedule_info
from scada.apps.dispatch.days import day_of
from scada.apps.dispatch.desk import DispatchDesk
from scada.apps.dispatch.following import EnergyAccounts
from scada.apps.dispatch.office import DispatchOffice
from scada.apps.dispatch.orders import Held, InForce, Slot
from scada.apps.dispatch.silence import DispatchSilence
from scada.core.clock import NS_PER_S

STALE_S = 60
"""A value of AGC older than this is not what flows now."""


def shown_targets(
    force: InForce, desk: DispatchDesk, silence: DispatchSilence, names: Mapping[str, str], now_ns: int
) -> Iterator[pb.DispatchTarget]:
    """What every target follows and by whose word: areas and units with a value, then limits and modes that were ordered.

    Args:
        force: what is in force.
        desk: knows the plans.
        silence: who is lost.
        names: of units, by mRID.
        now_ns: the moment.
    """
    for target, mw in {**force.interchange, **force.base_points}.items():
        held = force.orders.get(("setpoint", target))
        shown = pb.DispatchTarget(target=target, name=names.get(target, target), kind="setpoint", mw=mw)
        if held is None:
            shown.source = "plan" if desk.plans.curve(target).at(now_ns) is not None else "model"
        else:
            _by_order(shown, held, silence, now_ns)
        yield shown
    for slot, held in sorted(force.orders.items(), key=lambda one: one[0]):
        if slot[0] != "setpoint":
            words = f"{held.low:g} .. {held.high:g} MW" if slot[0] == "limits" else getattr(held.order, "mode", "")
            shown = pb.DispatchTarget(target=slot[1], name=names.get(slot[1], slot[1]), kind=slot[0], mw=math.nan, words=words)
            _by_order(shown, held, silence, now_ns)
            yield shown


def _by_order(shown: pb.DispatchTarget, held: Held, silence: DispatchSilence, now_ns: int) -> None:
    order = held.order
    shown.source, shown.order_id, shown.sender = "order", order.order_id, order.sender
    shown.valid_until_ns, shown.priority = order.valid_until_ns, order.priority
    slot: Slot = order.slot
    if slot[0] == "setpoint" and not order.valid_until_ns and silence.is_lost(order.sender):
        shown.silent, shown.ends_ns = True, now_ns + int(silence.left_s(order.sender) * NS_PER_S)


def shown_followed(
    energy: EnergyAccounts, desk: DispatchDesk, names: Mapping[str, str], measured: AgcView, now_ns: int
) -> Iterator[pb.ScheduleFollowed]:
    """How each plan is followed; counts its energy up to now.

    Args:
        energy: counts.
        desk: knows the plans.
        names: of units, by mRID.
        measured: interchange of areas and power of units, as AGC had them in its last cycle.
        now_ns: the moment.
    """
    today = day_of(now_ns, desk.zone)
    actual = _actual(measured, now_ns)
    for target in desk.targets:
        one = energy.follow(target, desk.plans.curve(target), actual.get(target, math.nan), now_ns)
        if one is None:
            continue
        newest = desk.plans.newest(target, today)
        yield pb.ScheduleFollowed(
            target=target,
            name=names.get(target, target),
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


def _actual(measured: AgcView, now_ns: int) -> dict[str, float]:
    found = {}
    for area, decision in measured.decisions.items():
        if 0 <= now_ns - decision.cycle_ns <= STALE_S * NS_PER_S:
            found[area] = decision.interchange_mw
            found.update(decision.units.powers)
    return found


def shown_contracts(office: DispatchOffice) -> Iterator[pb.DispatchContract]:
    """Every contract, and when its dispatcher was heard last."""
    for sender, contract in sorted(office.contracts.by_sender.items()):
        yield pb.DispatchContract(
            sender=sender,
            areas=contract.areas,
            units=contract.units,
            kinds=contract.kinds,
            decide=contract.decide,
            decide_within_s=contract.decide_within_s,
            priority=contract.priority,
            step_mw=contract.step_mw or math.nan,
            hours=contract.hours,
            heard_ns=office.silence.heard_ns(sender),
            lost=office.silence.is_lost(sender),
        )


def shown_plans(desk: DispatchDesk, request: pb.ListSchedulesRequest, units: Mapping[str, tuple[str, str]]) -> pb.ScheduleList:
    """Plans in force, or every version of a day, and what may have a plan.

    Args:
        desk: knows the plans.
        request: which day.
        units: names of units and of their areas, by mRID.
    """

    def name(target: str) -> str:
        return units[target][0] if target in units else target

    found = pb.ScheduleList()
    for (target, day), versions in sorted(desk.plans.all().items()):
        if request.day in ("", f"{day}"):
            chosen = versions if request.day else versions[-1:]
            found.schedules.extend(schedule_info(one, name(target), len(versions)) for one in chosen)
    for target, bounds in desk.targets.items():
        area = units[target][1] if target in units else target
        limits = {"minimum": bounds.minimum, "maximum": bounds.maximum}
        found.targets.add(target=target, name=name(target), unit=target in units, area=area, **limits)
    return found


def shown_version(desk: DispatchDesk, request: pb.GetScheduleRequest, name: str) -> pb.ScheduleVersion | None:
    """Points of a version; None = there is none.

    Args:
        desk: knows the plans.
        request: which one; version 0 = the newest.
        name: of the target, for people.
    """
    try:
        versions = desk.plans.versions(request.target, date.fromisoformat(request.day))
    except ValueError:
        return None
    if not 0 <= request.version <= len(versions) or not versions:
        return None
    version = versions[request.version - 1]
    return pb.ScheduleVersion(
        info=schedule_info(version, name, len(versions)),
        points=[pb.SchedulePoint(time_ns=one.time_ns, mw=one.mw, step_s=one.step_s) for one in version.points],
    )
