"""The dispatch desk: accepts, clips or refuses orders with a reason, and says at any moment what is in force.

In force for an area's net interchange is, in this order: the set-point that stands, the plan of the day, the plan of the model;
for the power of a unit the set-point, then the plan. Which of several set-points stands: :mod:`scada.apps.dispatch.book`.
Each accepted plan, edit or restoration is a numbered version of its target and day (:mod:`scada.apps.dispatch.plans`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta, tzinfo

from scada.apps.dispatch.contracts import NO_LIMITS
from scada.apps.dispatch.days import day_bounds, day_of, local
from scada.apps.dispatch.judging import Bounds, PointFinding, judge_points
from scada.apps.dispatch.orders import (
    ACCEPTED,
    Answer,
    EditOrder,
    InForce,
    OrderKey,
    ScheduleOrder,
    StandingOrder,
    Verdict,
)
from scada.apps.dispatch.plans import PlanBook, PlanPoint, PlanVersion
from scada.apps.dispatch.standing import FARTHEST_NS, LARGEST_MW, StandingOrders, standing_answer, wrong_values
from scada.core.clock import NS_PER_S
from scada.core.dispatch_settings import DispatchSettings

KEEP = 200
"""Orders kept for display."""
SCHEDULE_POINTS = 2000
STEPS_S = (60, 300, 900, 1800, 3600)
REASON_LENGTH = 200


@dataclass(slots=True)
class _Target:
    bounds: Bounds
    plan: float | None = None
    planned: bool = False
    """A plan was in force when it was last asked."""


class DispatchDesk:
    """Table of orders.

    Args:
        areas: controlled areas by name: bounds of the interchange and the plan in MW.
        units: units by mRID: bounds of the base point.
        settings: how plans are judged.
        zone: time zone in which the day of a plan begins.
    """

    def __init__(
        self,
        areas: Mapping[str, tuple[Bounds, float]],
        units: Mapping[str, Bounds],
        settings: DispatchSettings | None = None,
        zone: tzinfo = UTC,
    ) -> None:
        self._areas = {name: _Target(bounds, plan) for name, (bounds, plan) in areas.items()}
        self._units = {mrid: _Target(bounds) for mrid, bounds in units.items()}
        self._settings = settings or DispatchSettings()
        self.zone = zone
        self._seen: set[OrderKey] = set()
        self._missing: set[tuple[str, date]] = set()
        self._cleaned = date.min
        bounds = {name: target.bounds for name, target in self._areas.items()}
        self.standing = StandingOrders(bounds, units, self._settings)
        self.plans = PlanBook()
        self.answers: list[Answer] = []

    @property
    def targets(self) -> dict[str, Bounds]:
        """Bounds of every area (by name) and unit (by mRID)."""
        return {name: target.bounds for name, target in [*self._areas.items(), *self._units.items()]}

    def remember(self, keys: Iterable[OrderKey]) -> None:
        """Treat these orders as received before."""
        self._seen.update(keys)

    # ------------------------------------------------------------------ orders

    def stand(
        self, order: StandingOrder, now_ns: int, within: tuple[float, float] = NO_LIMITS, received_ns: int | None = None
    ) -> Answer:
        """Judge a set-point, a mode or limits (:meth:`StandingOrders.take`); limits narrow those of the model, never widen."""
        if order.key in self._seen:
            again = (Verdict.DUPLICATE, "duplicate", f"order {order.order_id} was received before; it is not applied again")
            return self._answered(standing_answer(order, now_ns, again))
        return self._answered(self.standing.take(order, now_ns, within, received_ns))

    def schedule(self, order: ScheduleOrder, now_ns: int, within: tuple[float, float] = NO_LIMITS) -> Answer:
        """Judge a schedule; an accepted one is the next version of the day of its first point, where it covers it."""
        name = order.unit or order.area
        target = self._units.get(order.unit) if order.unit else self._areas.get(order.area)
        what = f"unit {order.unit}" if order.unit else f"area {order.area!r}"
        verdict, code, reason = self._judge(order.key, order.mw, target, what)
        if verdict is None and (order.step_s not in STEPS_S or not 2 <= len(order.mw) <= SCHEDULE_POINTS):
            verdict, code, reason = (
                Verdict.REFUSED,
                "invalid",
                f"a schedule has 2 to {SCHEDULE_POINTS} points each 60, 300, 900, 1800 or 3600 s apart",
            )
        if verdict is None and order.end_ns <= now_ns:
            verdict, code, reason = Verdict.LATE, "late", "its last point is in the past"
        if verdict is None and abs(order.start_ns - now_ns) > FARTHEST_NS:
            verdict, code, reason = Verdict.REFUSED, "invalid", "it begins more than 400 days from now"
        if verdict is None:
            newest = self.plans.newest(name, day_of(order.start_ns, self.zone))
            if newest is not None and 0 < order.issued_ns < newest.issued_ns:
                text = f"version {newest.number}, which is in force, was issued later"
                verdict, code, reason = Verdict.OUT_OF_ORDER, "out_of_order", text
        asked = order.mw[0] if order.mw else math.nan
        if verdict is not None:
            refused = Answer(order.order_id, order.sender, "schedule", name, verdict, reason, asked, math.nan, now_ns, code=code)
            return self._answered(refused)
        times = (order.start_ns + number * order.step_s * NS_PER_S for number in range(len(order.mw)))
        points = [PlanPoint(time, float(mw), order.step_s) for time, mw in zip(times, order.mw, strict=True)]
        made = PlanVersion(
            name,
            day_of(order.start_ns, self.zone),
            1,
            tuple(points),
            order.order_id,
            order.sender,
            now_ns,
            "schedule",
            issued_ns=order.issued_ns,
        )
        return self._version(made, asked, target, whole=False, within=within)

    def edit(self, order: EditOrder, now_ns: int) -> Answer:
        """Judge an edit or a restoration; an accepted one is the next version of the plan."""
        name = order.unit or order.area
        target = self._units.get(order.unit) if order.unit else self._areas.get(order.area)
        kind = "restore" if order.restore else "edit"
        values = [order.mw, *(order.points or {}).values()]
        what = f"unit {order.unit}" if order.unit else f"area {order.area!r}"
        verdict, code, reason = self._judge(order.key, values, target, what)
        versions = self.plans.versions(name, order.day)
        if verdict is None:
            verdict, reason = _editable(order, versions)
        points: tuple[PlanPoint, ...] = ()
        if verdict is None:
            points, verdict, reason = _edited(order, versions, now_ns)
        if verdict is None and any(abs(point.mw) > LARGEST_MW for point in points):
            verdict, reason = Verdict.REFUSED, f"a value would be beyond {LARGEST_MW:g} MW"
        if verdict is not None:
            refused = Answer(
                order.order_id,
                order.sender,
                kind,
                name,
                verdict,
                reason,
                order.mw,
                math.nan,
                now_ns,
                day=f"{order.day}",
                code=code or "invalid",
            )
            return self._answered(refused)
        newest = versions[-1]
        made = PlanVersion(
            name,
            order.day,
            1,
            points,
            order.order_id,
            order.sender,
            now_ns,
            kind,
            order.reason.strip(),
            order.restore or newest.number,
            newest.issued_ns,
        )
        return self._version(made, order.mw, target, whole=True)

    def _version(
        self, made: PlanVersion, asked: float, target: _Target | None, *, whole: bool, within: tuple[float, float] = NO_LIMITS
    ) -> Answer:
        """Judge the points of a plan and keep it as the next version."""
        assert target is not None
        self.clean(made.received_ns)
        points, findings = judge_points(made.points, target.bounds.within(*within))
        verdict, reason = self._by_findings(findings)
        number, applied = 0, math.nan
        if verdict in ACCEPTED:
            newest = self.plans.newest(made.target, made.day)
            kept = tuple(points) if whole else self.plans.merged(made.target, made.day, points)
            version = replace(made, number=(newest.number if newest else 0) + 1, points=kept)
            if newest is not None and version.digest == newest.digest:
                number, reason = newest.number, reason or f"the same as version {newest.number}, which is in force"
            else:
                self.plans.add(version)
                number = version.number
            present = self.plans.curve(made.target).at(made.received_ns)
            applied = points[0].mw if present is None else present
        return self._answered(
            Answer(
                made.order_id,
                made.sender,
                made.kind,
                made.target,
                verdict,
                reason,
                asked,
                applied,
                made.received_ns,
                0,
                number,
                f"{made.day}",
                tuple(findings),
                code=(findings[0].code if findings else ""),
            )
        )

    def _by_findings(self, findings: Sequence[PointFinding]) -> tuple[Verdict, str]:
        """Verdict, and a reason that names the first finding and counts the rest."""
        if not findings:
            return Verdict.ACCEPTED, ""
        limits = [one for one in findings if one.code == "limit"]
        first = limits[0] if limits else findings[0]
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        reason = f"{local(first.time_ns, self.zone):%H:%M}: {first.reason}{more}"
        refused = (limits and self._settings.beyond_limits == "refuse") or (
            len(limits) < len(findings) and self._settings.beyond_ramp == "refuse"
        )
        if refused:
            return Verdict.REFUSED, reason
        return Verdict.CLIPPED if limits else Verdict.ACCEPTED, reason

    # ------------------------------------------------------------------ what is followed

    def in_force(self, now_ns: int) -> InForce:
        """What AGC shall follow at ``now_ns``."""
        expired = self.standing.book.expired(now_ns)
        orders = self.standing.book.in_force(now_ns)
        interchange = {}
        for name, target in self._areas.items():
            order, scheduled = orders.get(("setpoint", name)), self.plans.curve(name).at(now_ns)
            value = order.mw if order is not None else scheduled if scheduled is not None else target.plan
            if value is not None:
                interchange[name] = value
        units = {mrid: value for mrid in self._units if (value := self.plans.curve(mrid).at(now_ns)) is not None}
        units |= {mrid: held.mw for (what, mrid), held in orders.items() if what == "setpoint" and mrid in self._units}
        limits = {mrid: (held.low, held.high) for (what, mrid), held in orders.items() if what == "limits"}
        return InForce(interchange, units, tuple(expired), tuple(self._ended(now_ns)), limits, orders)

    def present_mw(self, target: str, now_ns: int) -> float:
        """What is in force of a target: set-point, plan, or the plan of the model; NaN = nothing."""
        held, planned = self.standing.book.at(("setpoint", target), now_ns), self.plans.curve(target).at(now_ns)
        if held is not None:
            return held.mw
        model = self._areas[target].plan if target in self._areas else None
        return next((value for value in (planned, model) if value is not None), math.nan)

    def _ended(self, now_ns: int) -> Iterable[str]:
        for name, target in [*self._areas.items(), *self._units.items()]:
            planned = self.plans.curve(name).at(now_ns) is not None
            if target.planned and not planned:
                yield name
            target.planned = planned

    def missing(self, now_ns: int) -> list[tuple[str, date]]:
        """Targets that have a plan for today and none for tomorrow, once each, from the time of day that is set."""
        moment = local(now_ns, self.zone)
        due = self._settings.next_day_by
        if not due or f"{moment:%H:%M}" < due:
            return []
        today = moment.date()
        tomorrow = today + timedelta(days=1)
        found = []
        for name in [*self._areas, *self._units]:
            key = (name, tomorrow)
            curve = self.plans.curve(name)
            wanted = curve.has_within(*day_bounds(today, self.zone)) and not curve.has_within(*day_bounds(tomorrow, self.zone))
            if wanted and key not in self._missing:
                found.append(key)
                self._missing.add(key)
        return found

    def clean(self, now_ns: int) -> None:
        """Drop versions of days that are no longer kept, once a day; the audit log has them."""
        today = day_of(now_ns, self.zone)
        if today != self._cleaned:
            self._cleaned = today
            self.plans.forget_before(today - timedelta(days=self._settings.keep_days))

    # ------------------------------------------------------------------ judging

    def _judge(
        self, key: OrderKey, values: Sequence[float], target: _Target | None, what: str
    ) -> tuple[Verdict | None, str, str]:
        order_id = key[1]
        if key in self._seen:
            return Verdict.DUPLICATE, "duplicate", f"order {order_id} was received before; it is not applied again"
        found = wrong_values(order_id, values, None if target is None else target.bounds, what)
        return (None, "", "") if found is None else found

    def _answered(self, answer: Answer) -> Answer:
        if answer.verdict in ACCEPTED:
            self._seen.add(answer.key)
        self.answers = [*self.answers[-(KEEP - 1) :], answer]
        return answer


def _editable(order: EditOrder, versions: Sequence[PlanVersion]) -> tuple[Verdict | None, str]:
    """Whether there is what shall be edited, and a reason."""
    ways = (bool(order.points), order.range_ns is not None, bool(order.restore))
    if not versions:
        return Verdict.REFUSED, f"there is no plan of {order.unit or order.area} for {order.day}"
    if not order.reason.strip() or len(order.reason) > REASON_LENGTH:
        return Verdict.REFUSED, f"an edit needs a reason of 1 to {REASON_LENGTH} characters"
    if sum(ways) != 1:
        return Verdict.REFUSED, "an edit names single points, one range, or one earlier version"
    newest = versions[-1].number
    if order.based_on != newest:
        return Verdict.REFUSED, f"it was made from version {order.based_on}; version {newest} is in force"
    if order.restore and not 0 < order.restore < newest:
        return Verdict.REFUSED, f"there is no earlier version {order.restore}"
    return None, ""


def _edited(order: EditOrder, versions: Sequence[PlanVersion], now_ns: int) -> tuple[tuple[PlanPoint, ...], Verdict | None, str]:
    """Points of the plan after an edit, or why there are none."""
    plan = versions[-1].points
    if order.restore:
        return versions[order.restore - 1].points, None, ""
    wanted: dict[int, float] = {}
    if order.points:
        unknown = order.points.keys() - {point.time_ns for point in plan}
        if unknown:
            return (), Verdict.REFUSED, f"{len(unknown)} of its times are no points of the plan"
        wanted = dict(order.points)
    elif order.range_ns is not None:
        first, last = order.range_ns
        inside = [point for point in plan if first <= point.time_ns <= last]
        if not inside:
            return (), Verdict.REFUSED, "no point of the plan stands in its range"
        wanted = {point.time_ns: point.mw + order.mw if order.add else order.mw for point in inside}
    if min(wanted) <= now_ns:
        return (), Verdict.LATE, "a point that it changes is in the past"
    return tuple(point._replace(mw=wanted.get(point.time_ns, point.mw)) for point in plan), None, ""
