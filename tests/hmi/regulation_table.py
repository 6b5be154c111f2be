"""AGC, AVC, plans and performance as a table: plausible values in every field that the pages show."""

from __future__ import annotations

import math
from zoneinfo import ZoneInfo

from scadapb.v1 import scada_pb2 as pb

from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.performance.cps import Share
from scada.apps.agc_avc.performance.periods import AreaPeriod
from scada.apps.agc_avc.performance.report import PerformanceReport
from scada.apps.agc_avc.performance.rules import load_profiles
from scada.apps.agc_avc.performance.store import KeptArea
from scada.core.clock import NS_PER_S

HOUR_NS = 3600 * NS_PER_S
DAY = "2026-11-22"


class PerformanceTable:
    """Stands for :class:`scada.actors.performance_desk.PerformanceDesk`."""

    def __init__(self, area: str, units, now_ns) -> None:
        self._area, self._units, self._now_ns = area, units, now_ns
        self.asked: list[pb.PerformanceRequest] = []
        self.reported: list[pb.PerformanceRequest] = []

    async def reply(self, request):
        self.asked.append(request)
        end = self._now_ns() // HOUR_NS * HOUR_NS
        periods = [running_period(request.period, end - (i + 1) * HOUR_NS, end - i * HOUR_NS, 150 + 10 * i) for i in (2, 1, 0)]
        periods[1].cps1_percent = periods[1].ace_rms_mw = math.nan
        periods[1].valid_minutes = 0
        profile = request.profile or "guangdong"
        labels = ("speed", "accuracy", "response") if profile.startswith("north") else ("speed", "response", "accuracy")
        rules = [
            pb.PerformanceRules(
                name=name, title={"zh": title, "en": name}, source="published rules", certain=name == "guangdong", labels=labels
            )
            for name, title in (("guangdong", "广东"), ("north-china-new", "华北新版"))
        ]
        units = [
            pb.PerformanceUnit(
                mrid=unit.mrid,
                name=unit.name,
                fuel=unit.fuel,
                rated_mw=unit.maximum,
                begin_ns=end - HOUR_NS,
                end_ns=end,
                minutes=60,
                valid_minutes=58,
                on_minutes=55,
                energy_mwh=120,
                error_mw=1.2,
                up_mw=34,
                down_mw=31,
                commands=210,
                judged=18,
                k=[1.21, 0.93, 0.97, 1.09],
                depth_mw=44,
                pjm=0.91,
            )
            for unit in self._units
        ]
        disturbance = pb.PerformanceDisturbance(
            begin_ns=end - HOUR_NS // 2,
            loss_mw=120,
            cause="unit tripped",
            ace_before_mw=-3,
            ace_best_mw=1,
            recovered_s=412,
            valid=0.99,
            closed=True,
            percent=100,
        )
        return pb.PerformanceReply(
            area=self._area,
            periods=periods,
            units=units if request.units else [],
            disturbances=[disturbance],
            rules=next(one for one in rules if one.name == profile),
            profiles=rules,
            areas=[self._area, "West"],
        )

    async def report(self, request):
        self.reported.append(request)
        end = self._now_ns()
        share = Share(5, 6, 0)
        period = AreaPeriod(
            end - HOUR_NS, end, 60, 58, 97.0, 186.2, share, share, 0.8, 1, 0, 0, 1, share, share, 0.4, 3.2, 0.012, 0.3, 1.1
        )
        kept = KeptArea(1, "area-1", self._area, "guangdong")
        zone = ZoneInfo("Asia/Shanghai")
        profile = load_profiles()["guangdong"]
        return PerformanceReport(kept, request.period, end - HOUR_NS, end, period, (period,), (), (), (), profile, 10, zone, end)


def running_period(period: str, begin_ns: int, end_ns: int, cps1: float) -> pb.PerformancePeriod:
    """A row of indices."""
    share = pb.PerformanceShare(good=5, counted=6)
    return pb.PerformancePeriod(
        period=period,
        begin_ns=begin_ns,
        end_ns=end_ns,
        minutes=60,
        valid_minutes=58,
        on_percent=97,
        cps1_percent=cps1,
        cps2=share,
        chinese=share,
        kcps=0.8,
        baal_low=1,
        baal_longest=1,
        a1=share,
        a2=share,
        ace_mean_mw=0.4,
        ace_rms_mw=3.2,
        deviation_rms_hz=0.012,
        time_error_s=0.3,
        inadvertent_mwh=1.1,
    )


def fill_area(status: pb.AgcStatus, mode: str, now_ns: int) -> None:
    """What AGC tells of its area beside the values of the ACE."""
    status.areas.extend([status.area])
    status.control_mode = mode
    status.control_modes.extend(["TLBC", "CFC", "CIC", "TLBC+TEC", "TLBC+II", "TLBC+ATEC"])
    status.base_modes.extend(["AUTO", "BASE", "SCHE", "CECO", "YCBASE", "PROP"])
    status.reg_modes.extend(["O", "R", "A", "E"])
    status.time_error_s, status.time_correction = 0.42, 1
    status.proportional_mw, status.integral_mw, status.cps_mw = 1.2, -0.4, 0.0
    status.inadvertent.CopyFrom(pb.AgcInadvertent(hour_mwh=0.6, on_peak_mwh=-3.1, off_peak_mwh=2.2, on_peak=True))
    status.causes.extend(
        [
            pb.AgcCause(
                key="frequency_missing", suspends=True, count=2, last_ns=now_ns - HOUR_NS, text="no good frequency from 2 sources"
            ),
            pb.AgcCause(
                key="spinning_up_short", active=True, count=1, last_ns=now_ns - 60 * NS_PER_S, text="12 MW of 40 MW required"
            ),
            pb.AgcCause(key="tie_missing", suspends=True),
        ]
    )
    status.sources.extend(
        [
            pb.AgcSource(name="frequency", value=50.012, unit="Hz", source=1, sources=2, pid=0, state="good"),
            pb.AgcSource(name="Donghu 1", value=-31.0, unit="MW", source=2, sources=2, pid=1, state="good", note="first one old"),
            pb.AgcSource(name="interchange meter", value=math.nan, unit="MW", sources=1, pid=-1, state="missing"),
        ]
    )
    for key, available, required in (("spinning_up", 12, 40), ("spinning_down", 90, 40), ("regulating_up", 25, 20)):
        status.reserves.add(key=key, available_mw=available, required_mw=required, short=available < required)
    hour = now_ns // HOUR_NS * HOUR_NS
    status.performance.extend([running_period(period, hour, now_ns, 186.2) for period in ("hour", "day", "month")])
    status.groups.add(mrid="group-1", name="Section A", power_mw=310, minimum_mw=120, maximum_mw=300, unmet_mw=10, reason="limit")


def fill_unit(unit: pb.AgcUnitStatus, row: int, loop: str, *, locked: bool) -> None:
    """What AGC tells of a unit: the first is locked when asked for, PV and wind are curtailed."""
    unit.loop = loop
    unit.mode_en, unit.mode_zh = "automatic", "自动"
    unit.advised_mw = unit.power_mw + 2 if loop == "open" else math.nan
    unit.locked = locked
    if locked:
        unit.available, unit.reason = False, "did not follow 3 times"
    unit.response_mw_per_min = math.nan if row == 0 else 0.8 * unit.ramp_up
    unit.raise_blocked, unit.lower_blocked = row == 1, row == 2
    unit.available_mw = unit.curtailed_mw = unit.curtailed_mwh_today = math.nan
    unit.state_of_charge = 61.0 if unit.fuel == "storage" else math.nan
    if unit.fuel in {"pv", "wind"}:
        unit.available_mw, unit.available_source = unit.power_mw + 6, "benchmark"
        unit.curtailed_mw, unit.curtailed_by, unit.curtailed_mwh_today, unit.curtailment_validity = 6, "agc", 14.5, 0.97
        unit.members.extend(
            [
                pb.AgcMemberStatus(mrid="m1", name="Inverter 1", kind=unit.fuel, power_mw=12, setpoint_mw=12.5),
                pb.AgcMemberStatus(
                    mrid="m2", name="Inverter 2", kind=unit.fuel, power_mw=14, setpoint_mw=math.nan, benchmark=True
                ),
                pb.AgcMemberStatus(
                    mrid="m3", name="Inverter 3", kind=unit.fuel, power_mw=0, setpoint_mw=math.nan, reason="not in remote control"
                ),
            ]
        )


def fill_avc(status: pb.AvcStatus, loops: dict[str, str]) -> None:
    """What AVC tells beside values: states, evaluation, loops and locks."""
    status.evaluation.CopyFrom(
        pb.AvcEvaluation(
            qualified_percent=99.4, compliance_percent=97.5, commands=40, availability_percent=99.9, operations=7, losses_mwh=21.3
        )
    )
    for row, zone in enumerate(status.zones):
        zone.state = "suspended" if row else status.state
        zone.cause = "no_pilot" if row else ""
        if row:
            zone.suspensions["no_pilot"] = 2
        zone.qualified_today_percent, zone.loading = 99.1, math.nan
        for pilot in zone.pilots:
            pilot.target_source, pilot.qualified_today_percent = "period", 99.1
        for source in zone.sources:
            source.loop = loops.get(source.mrid, "closed")
            source.advice_mvar = 9.5 if source.loop == "open" else math.nan
            source.limited, source.active_mw, source.bus_kv = "capability_curve", 42.0, math.nan
        for place, device in enumerate(zone.devices):
            device.loop = loops.get(device.mrid, "closed")
            device.advice, device.others_today = math.nan, 1
            device.lock_key, device.lock_clears = ("", "") if place else ("no_response", "operator")
            device.lock = "" if place else "did not move after 3 commands"


def explanation(mrid: str, name: str, now_ns: int) -> pb.Explanation:
    """Why a unit was told what it was told."""
    return pb.Explanation(
        mrid=mrid,
        name=name,
        application="agc",
        output=213.5,
        unit="MW",
        output_ns=now_ns,
        sent=True,
        reason="its share of the regulation, held by its ramp",
        inputs=[
            pb.ExplainedTerm(key="frequency", value=50.012, unit="Hz"),
            pb.ExplainedTerm(key="interchange", value=math.nan, unit="MW", note="no good value"),
        ],
        steps=[
            pb.ExplainedTerm(key="filtered_ace", value=-3.4, unit="MW"),
            pb.ExplainedTerm(key="participation", value=0.25, note="of 1.2"),
        ],
        limits=[
            pb.ExplainedLimit(key="limits", low=120, high=300),
            pb.ExplainedLimit(key="ramp", low=211, high=213.5, binding=True),
            pb.ExplainedLimit(key="raise_blocked", low=-math.inf, high=220),
        ],
        objective="share_of_demand",
    )


def rerun(request: pb.WhatIfRequest) -> pb.WhatIfReply:
    """Cycles run again; a parameter that does not exist is refused as the server does."""
    for name in request.changes:
        if name.startswith("nothing"):
            raise RegulationError(f"there is no parameter {name!r}", mend="see docs/agc-avc.md")
    times = [request.from_ns + i * 60 * NS_PER_S for i in range(60)]
    wave = [5 * math.sin(i / 5) for i in range(60)]
    return pb.WhatIfReply(
        cycles=900,
        faithful=899,
        first_deviation_ns=times[7],
        recorded=pb.WhatIfSide(cycles_on=900, commands=310, mileage=412.5, requirement_rms=4.1),
        other=pb.WhatIfSide(cycles_on=900, commands=250, mileage=300.25, requirement_rms=4.4),
        controls=[
            pb.WhatIfControl(
                cid=7, name="G1", commands=310, mileage=412.5, last=211, commands_other=250, mileage_other=300.25, last_other=209
            ),
        ],
        time_ns=times,
        ace=wave,
        regulation=[-0.5 * one for one in wave],
        regulation_other=[-0.3 * one for one in wave],
        ordered=[610 + one for one in wave],
        ordered_other=[610 + 0.6 * one for one in wave],
    )


class PlanTable:
    """Plans of today as versions; edits make the next one."""

    def __init__(self, area: str, units, day_begin_ns: int) -> None:
        self.area = area
        self.targets = [pb.ScheduleTarget(target=area, name=area, minimum=-200, maximum=200, area=area)]
        self.targets += [
            pb.ScheduleTarget(target=one.mrid, name=one.name, unit=True, minimum=one.minimum, maximum=one.maximum, area=area)
            for one in units
        ]
        points = [
            pb.SchedulePoint(time_ns=day_begin_ns + i * 900 * NS_PER_S, mw=-60 + 20 * math.sin(i / 12), step_s=900)
            for i in range(96)
        ]
        self.versions: list[pb.ScheduleVersion] = []
        self._add(points, "schedule", "dispatch-a", "", 0)
        points[8].mw = -45.5
        self._add(points, "edit", "li", "line out of service", 1)

    def _add(self, points, kind: str, sender: str, reason: str, based_on: int) -> None:
        number = len(self.versions) + 1
        info = pb.ScheduleInfo(
            target=self.area,
            name=self.area,
            day=DAY,
            version=number,
            versions=number,
            kind=kind,
            sender=sender,
            received_ns=points[0].time_ns + number * 60 * NS_PER_S,
            reason=reason,
            based_on=based_on,
            digest=f"{number:064x}",
            points=len(points),
            first_ns=points[0].time_ns,
            last_ns=points[-1].time_ns,
        )
        self.versions.append(pb.ScheduleVersion(info=info, points=points))

    def listed(self, request: pb.ListSchedulesRequest) -> pb.ScheduleList:
        """Those of a day, or the one in force."""
        shown = self.versions if request.day == DAY else [] if request.day else self.versions[-1:]
        return pb.ScheduleList(
            schedules=[one.info for one in shown], targets=self.targets, time_zone="Asia/Shanghai", today=DAY, at_midnight=True
        )

    def get(self, request: pb.GetScheduleRequest) -> pb.ScheduleVersion | None:
        """Points of a version."""
        if request.target != self.area or request.day != DAY or request.version > len(self.versions):
            return None
        return self.versions[(request.version or len(self.versions)) - 1]

    def edit(self, request: pb.ScheduleEdit, sender: str) -> pb.DispatchReply:
        """Make the next version, as the desk does."""
        if request.based_on != len(self.versions):
            reason = f"it was made from version {request.based_on}; version {len(self.versions)} is in force"
            return pb.DispatchReply(code=pb.DISPATCH_CODE_REFUSED, reason=reason, order_id=request.order_id)
        points = [
            pb.SchedulePoint.FromString(one.SerializeToString()) for one in self.versions[(request.restore or 0) - 1].points
        ]
        wanted = {one.time_ns: one.mw for one in request.points}
        for point in points:
            if point.time_ns in wanted:
                point.mw = wanted[point.time_ns]
            if request.HasField("range") and request.range.from_ns <= point.time_ns <= request.range.to_ns:
                point.mw = request.range.mw + (point.mw if request.range.add else 0)
        self._add(points, "restore" if request.restore else "edit", sender, request.reason, request.restore or request.based_on)
        return pb.DispatchReply(
            code=pb.DISPATCH_CODE_ACCEPTED,
            order_id=request.order_id,
            version=len(self.versions),
            day=DAY,
            applied_mw=points[0].mw,
        )

    def followed(self) -> pb.ScheduleFollowed:
        """The plan as it is followed."""
        point = self.versions[-1].points[40]
        return pb.ScheduleFollowed(
            target=self.area,
            name=self.area,
            day=DAY,
            version=len(self.versions),
            mw=point.mw,
            next_mw=point.mw + 1,
            next_ns=point.time_ns + 900 * NS_PER_S,
            actual_mw=-62,
            deviation_mw=-62 - point.mw,
            planned_mwh=-601,
            executed_mwh=-598,
            since_ns=self.versions[-1].points[0].time_ns,
            unknown_s=12,
        )
