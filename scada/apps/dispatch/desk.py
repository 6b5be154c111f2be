"""The dispatch desk: accepts, clips or refuses orders with a reason, and says at any moment what is in force.

In force for an area's net interchange is, in this order: the newest valid set-point, the plan of the day, the plan of the model.
Each accepted plan, edit or restoration is a numbered version of its target and day (:mod:`scada.apps.dispatch.plans`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, timedelta, tzinfo

from scada.apps.dispatch.days import day_bounds, day_of, local
from scada.apps.dispatch.judging import Bounds, PointFinding, judge_points
from scada.apps.dispatch.orders import (
    ACCEPTED,
    Answer,
    EditOrder,
    InForce,
    ScheduleOrder,
    SetpointOrder,
    Verdict,
)
from scada.apps.dispatch.plans import PlanBook, PlanPoint, PlanVersion
from scada.core.clock import NS_PER_S
from scada.core.dispatch_settings import DispatchSettings

KEEP = 200
"""Orders kept for display."""
SCHEDULE_POINTS = 2000
WAITING = 100
"""Set-points of an area that may wait for their time."""
STEPS_S = (60, 300, 900, 1800, 3600)
REASON_LENGTH = 200
LARGEST_MW = 1e7
"""No grid has more; sums and differences of values up to it are finite."""
FARTHEST = timedelta(days=400)
"""A plan begins no later than that from now, and no earlier before: beyond it a clock or a unit of time is wrong."""


@dataclass(slots=True)
class _Target:
    bounds: Bounds
    plan: float | None = None
    setpoint: SetpointOrder | None = None
    waiting: list[SetpointOrder] = field(default_factory=list)
    """Set-points that begin later."""
    planned: bool = False
    """A plan was in force when it was last asked."""

    def begin(self, now_ns: int) -> None:
        """Put set-points in force whose time has come; until then the one before them holds."""
        for order in sorted(self.waiting, key=lambda one: one.valid_from_ns):
            if order.valid_from_ns <= now_ns:
                self.waiting.remove(order)
                self.setpoint = order


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
        self._zone = zone
        self._seen: set[str] = set()
        self._missing: set[tuple[str, date]] = set()
        self._cleaned = date.min
        self.plans = PlanBook()
        self.answers: list[Answer] = []

    @property
    def targets(self) -> dict[str, Bounds]:
        """Bounds of every area (by name) and unit (by mRID)."""
        return {name: target.bounds for name, target in [*self._areas.items(), *self._units.items()]}

    def remember(self, order_ids: Iterable[str]) -> None:
        """Treat these order ids as received before."""
        self._seen.update(order_ids)

    # ------------------------------------------------------------------ orders

    def setpoint(self, order: SetpointOrder, now_ns: int) -> Answer:
        """Judge a set-point; an accepted one is in force from its start."""
        target = self._areas.get(order.area)
        verdict, reason = self._judge(order.order_id, [order.mw], target, f"area {order.area!r}")
        if verdict is None and order.valid_until_ns and order.valid_until_ns <= max(now_ns, order.valid_from_ns):
            late = order.valid_until_ns <= now_ns
            verdict = Verdict.LATE if late else Verdict.REFUSED
            reason = "its validity has already ended" if late else "it ends before it begins"
        if verdict is None and target is not None and len(target.waiting) >= WAITING and order.valid_from_ns > now_ns:
            verdict, reason = Verdict.REFUSED, f"{WAITING} set-points wait for their time already"
        applied = math.nan
        if verdict is None:
            assert target is not None
            applied, reason = target.bounds.clip(order.mw)
            verdict = Verdict.CLIPPED if reason else Verdict.ACCEPTED
            target.begin(now_ns)
            start_ns = order.valid_from_ns or now_ns
            judged = SetpointOrder(order.order_id, order.sender, order.area, applied, start_ns, order.valid_until_ns)
            if start_ns > now_ns:
                target.waiting.append(judged)
            else:
                target.setpoint = judged
        return self._answered(
            Answer(
                order.order_id,
                order.sender,
                "setpoint",
                order.area,
                verdict,
                reason,
                order.mw,
                applied,
                now_ns,
                order.valid_until_ns,
            )
        )

    def schedule(self, order: ScheduleOrder, now_ns: int) -> Answer:
        """Judge a schedule; an accepted one is the next version of the day of its first point, where it covers it."""
        name = order.unit or order.area
        target = self._units.get(order.unit) if order.unit else self._areas.get(order.area)
        what = f"unit {order.unit}" if order.unit else f"area {order.area!r}"
        verdict, reason = self._judge(order.order_id, order.mw, target, what)
        if verdict is None and (order.step_s not in STEPS_S or not 2 <= len(order.mw) <= SCHEDULE_POINTS):
            verdict, reason = (
                Verdict.REFUSED,
                f"a schedule has 2 to {SCHEDULE_POINTS} points each 60, 300, 900, 1800 or 3600 s apart",
            )
        if verdict is None and order.end_ns <= now_ns:
            verdict, reason = Verdict.LATE, "its last point is in the past"
        if verdict is None and abs(order.start_ns - now_ns) > FARTHEST / timedelta(seconds=1) * NS_PER_S:
            verdict, reason = Verdict.REFUSED, f"it begins more than {FARTHEST.days} days from now"
        if verdict is None:
            newest = self.plans.newest(name, day_of(order.start_ns, self._zone))
            if newest is not None and 0 < order.issued_ns < newest.issued_ns:
                verdict, reason = Verdict.OUT_OF_ORDER, f"version {newest.number}, which is in force, was issued later"
        asked = order.mw[0] if order.mw else math.nan
        if verdict is not None:
            refused = Answer(order.order_id, order.sender, "schedule", name, verdict, reason, asked, math.nan, now_ns)
            return self._answered(refused)
        times = (order.start_ns + number * order.step_s * NS_PER_S for number in range(len(order.mw)))
        points = [PlanPoint(time, float(mw), order.step_s) for time, mw in zip(times, order.mw, strict=True)]
        made = PlanVersion(
            name,
            day_of(order.start_ns, self._zone),
            1,
            tuple(points),
            order.order_id,
            order.sender,
            now_ns,
            "schedule",
            issued_ns=order.issued_ns,
        )
        return self._version(made, asked, target, whole=False)

    def edit(self, order: EditOrder, now_ns: int) -> Answer:
        """Judge an edit or a restoration; an accepted one is the next version of the plan."""
        name = order.unit or order.area
        target = self._units.get(order.unit) if order.unit else self._areas.get(order.area)
        kind = "restore" if order.restore else "edit"
        values = [order.mw, *(order.points or {}).values()]
        what = f"unit {order.unit}" if order.unit else f"area {order.area!r}"
        verdict, reason = self._judge(order.order_id, values, target, what)
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
                order.order_id, order.sender, kind, name, verdict, reason, order.mw, math.nan, now_ns, 0, 0, f"{order.day}"
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

    def _version(self, made: PlanVersion, asked: float, target: _Target | None, *, whole: bool) -> Answer:
        """Judge the points of a plan and keep it as the next version."""
        assert target is not None
        self.clean(made.received_ns)
        points, findings = judge_points(made.points, target.bounds)
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
            )
        )

    def _by_findings(self, findings: Sequence[PointFinding]) -> tuple[Verdict, str]:
        """Verdict, and a reason that names the first finding and counts the rest."""
        if not findings:
            return Verdict.ACCEPTED, ""
        limits = [one for one in findings if one.code == "limit"]
        first = limits[0] if limits else findings[0]
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        reason = f"{local(first.time_ns, self._zone):%H:%M}: {first.reason}{more}"
        refused = (limits and self._settings.beyond_limits == "refuse") or (
            len(limits) < len(findings) and self._settings.beyond_ramp == "refuse"
        )
        if refused:
            return Verdict.REFUSED, reason
        return Verdict.CLIPPED if limits else Verdict.ACCEPTED, reason

    # ------------------------------------------------------------------ what is followed

    def in_force(self, now_ns: int) -> InForce:
        """What AGC shall follow at ``now_ns``."""
        expired = []
        interchange = {}
        for name, target in self._areas.items():
            target.begin(now_ns)
            order = target.setpoint
            if order is not None and order.valid_until_ns and order.valid_until_ns <= now_ns:
                expired.append(order)
                target.setpoint = order = None
            if order is not None:
                interchange[name] = order.mw
                continue
            scheduled = self.plans.curve(name).at(now_ns)
            value = scheduled if scheduled is not None else target.plan
            if value is not None:
                interchange[name] = value
        units = {mrid: value for mrid in self._units if (value := self.plans.curve(mrid).at(now_ns)) is not None}
        return InForce(interchange, units, tuple(expired), tuple(self._ended(now_ns)))

    def _ended(self, now_ns: int) -> Iterable[str]:
        for name, target in [*self._areas.items(), *self._units.items()]:
            planned = self.plans.curve(name).at(now_ns) is not None
            if target.planned and not planned:
                yield name
            target.planned = planned

    def missing(self, now_ns: int) -> list[tuple[str, date]]:
        """Targets that have a plan for today and none for tomorrow, once each, from the time of day that is set."""
        moment = local(now_ns, self._zone)
        due = self._settings.next_day_by
        if not due or f"{moment:%H:%M}" < due:
            return []
        today = moment.date()
        tomorrow = today + timedelta(days=1)
        found = []
        for name in [*self._areas, *self._units]:
            key = (name, tomorrow)
            curve = self.plans.curve(name)
            wanted = curve.has_within(*day_bounds(today, self._zone)) and not curve.has_within(*day_bounds(tomorrow, self._zone))
            if wanted and key not in self._missing:
                found.append(key)
                self._missing.add(key)
        return found

    def clean(self, now_ns: int) -> None:
        """Drop versions of days that are no longer kept, once a day; the audit log has them."""
        today = day_of(now_ns, self._zone)
        if today != self._cleaned:
            self._cleaned = today
            self.plans.forget_before(today - timedelta(days=self._settings.keep_days))

    # ------------------------------------------------------------------ judging

    def _judge(self, order_id: str, values: Sequence[float], target: _Target | None, what: str) -> tuple[Verdict | None, str]:
        if not order_id or len(order_id) > 64:
            return Verdict.REFUSED, "an order needs an order_id of 1 to 64 characters"
        if order_id in self._seen:
            return Verdict.DUPLICATE, f"order {order_id} was received before; it is not applied again"
        if target is None:
            return Verdict.REFUSED, f"{what} is not under our control"
        if not all(math.isfinite(value) for value in values):
            return Verdict.REFUSED, "a value is not a finite number"
        if any(abs(value) > LARGEST_MW for value in values):
            return Verdict.REFUSED, f"a value is beyond {LARGEST_MW:g} MW"
        return None, ""

    def _answered(self, answer: Answer) -> Answer:
        if answer.verdict in ACCEPTED:
            self._seen.add(answer.order_id)
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
