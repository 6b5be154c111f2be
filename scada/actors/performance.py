"""Performance of regulation: takes a sample of each AGC cycle, keeps the accounts, publishes the running indices.

Control does not depend on it: AGC offers its samples and never waits, and what is not taken is missing in the accounts.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.mailbox import Message
from scada.actors.messages import Report
from scada.apps.agc_avc.agc.controller import AgcDecision
from scada.apps.agc_avc.performance.account import Closed, PerformanceAccount, rated_mw, standards_of
from scada.apps.agc_avc.performance.cps import MINUTE_NS, Share
from scada.apps.agc_avc.performance.disturbance import Disturbance
from scada.apps.agc_avc.performance.periods import LEAD_MINUTES, AreaPeriod, Period, UnitPeriod, area_periods, bounds
from scada.apps.agc_avc.performance.report import Context, PerformanceReport
from scada.apps.agc_avc.performance.rules import RuleProfile, load_profiles, profile_named
from scada.apps.agc_avc.performance.sample import RegulationSample
from scada.apps.agc_avc.performance.store import PerformanceStore
from scada.core.agc_settings import AgcSettings
from scada.core.clock import Clock
from scada.core.errors import StoreError
from scada.core.performance_settings import PerformanceSettings
from scada.events.records import Event, EventKind
from scada.model_cim.regulation import ControlArea
from scada.model_cim.tables import AlarmClass
from scada.rtdb.mapped import CorruptFileError

_log = structlog.get_logger("performance")

BACKLOG: Final = 120
"""Minutes that wait while the store cannot be written; the oldest are lost then."""
_RUNNING: Final[tuple[Period, ...]] = ("hour", "day", "month")


@dataclass(frozen=True, slots=True)
class RegulationSampled(Message):
    """From AGC: one cycle of an area. It is offered, never waited for."""

    data_lane: ClassVar[bool] = True
    area: ControlArea
    sample: RegulationSample


def sample_of(decision: AgcDecision) -> RegulationSample:
    """What the accounts need of a decision; the ACE in the sign of NERC, whatever is shown."""
    usable = decision.without_ace_s == 0.0
    sign = -1.0 if decision.sign == "reversed" else 1.0
    units = decision.units
    return RegulationSample(
        now_ns=decision.cycle_ns,
        ace_mw=sign * decision.ace_mw if usable else math.nan,
        deviation_hz=decision.frequency_hz - decision.scheduled_frequency_hz,
        scheduled_hz=decision.scheduled_frequency_hz,
        inadvertent_mw=decision.interchange_mw - decision.scheduled_interchange_mw,
        controlling=decision.state == "on",
        power_mw=units.power_mw,
        setpoint_mw=units.setpoint_mw,
        controlled=units.available,
    )


@dataclass(frozen=True, slots=True)
class AreaPerformance:
    """What the page shows of an area."""

    periods: tuple[pb.PerformancePeriod, ...] = ()
    rules: str = ""
    disturbances: tuple[pb.PerformanceDisturbance, ...] = ()


@dataclass(slots=True)
class PerformanceView:
    """Running indices by name of the area; replaced as a whole, written by the performance actor alone."""

    areas: Mapping[str, AreaPerformance] = field(default_factory=dict)


@dataclass(slots=True)
class _Kept:
    area: ControlArea
    number: int
    account: PerformanceAccount
    rules: str
    waiting: deque[Closed] = field(default_factory=lambda: deque(maxlen=BACKLOG))


class PerformanceActor(Actor):
    """Keeps :class:`~scada.apps.agc_avc.performance.account.PerformanceAccount` of each area that AGC samples.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        store: where the accounts are kept.
        agc: cycle and targets.
        settings: limits and rules.
        profiles: rules by name.
        zone: of hours, days and months.
        events: told when the accounts cannot be kept.
        view: where the running indices are published.
        clock: stamps of events.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        store: PerformanceStore,
        agc: AgcSettings,
        settings: PerformanceSettings,
        profiles: Mapping[str, RuleProfile],
        zone: ZoneInfo,
        events: Address,
        view: PerformanceView,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._store = store
        self._agc = agc
        self._settings = settings
        self._profiles = profiles
        self._zone = zone
        self._events = events
        self._view = view
        self._clock = clock
        self._areas: dict[str, _Kept] = {}
        self._fault = ""

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case RegulationSampled(area, sample):
                self._sampled(area, sample)
            case _:
                return super().receive(message)
        return None

    def stopped(self) -> None:
        """Keep what runs, so that the next life goes on from it."""
        for kept in self._areas.values():
            self._keep(kept, None, hours=True)

    def _sampled(self, area: ControlArea, sample: RegulationSample) -> None:
        kept = self._areas.get(area.mrid)
        if kept is None or kept.area is not area:
            try:
                kept = self._enrol(area, kept)
            except StoreError as error:
                self._say(str(error))
                return
        closed = kept.account.sample(sample)
        if closed.anything:
            self._keep(kept, closed)
        if closed.area is not None:
            self._publish(kept, sample.now_ns)

    def _enrol(self, area: ControlArea, before: _Kept | None) -> _Kept:
        """Begin an account, or go on with that of the model before or of the life before."""
        rules = area.performance_rules or self._settings.rules
        if rules not in self._profiles:
            self._tell("performance.rules", {"area": area.name, "rules": rules, "instead": self._settings.rules})
            rules = self._settings.rules
        units = [(unit.mrid, unit.name, unit.fuel, rated_mw(unit)) for unit in area.units]
        number, numbers = self._store.enrol(area.mrid, area.name, rules, units)
        tuning = self._agc.tuning
        standards = standards_of(area, self._settings, tuning.eps1_hz, tuning.eps10_hz, self._agc.cycle_s)
        account = PerformanceAccount(area, numbers, standards, profile_named(self._profiles, rules), self._settings.loss_mw)
        state = self._kept_state(number) if before is None else before.account.state()
        if state is not None:
            account.restore(state)
        kept = self._areas[area.mrid] = _Kept(area, number, account, rules)
        if before is not None:
            kept.waiting.extend(before.waiting)
        return kept

    def _kept_state(self, number: int) -> dict[str, Any] | None:
        """What an earlier life kept; a damaged state costs the minute that ran, not those that are closed."""
        try:
            return self._store.state(number)
        except CorruptFileError as error:
            _log.error("the state of the accounts is damaged", cause=str(error))
            self._tell("performance.damaged", {"reason": error.what})
            return None

    def _keep(self, kept: _Kept, closed: Closed | None, *, hours: bool = False) -> None:
        if closed is not None:
            kept.waiting.append(closed)
        state = kept.account.state(hours=hours)
        try:
            while kept.waiting:
                self._store.keep(kept.number, kept.waiting[0], state)
                kept.waiting.popleft()
            if closed is None:
                self._store.keep(kept.number, None, state)
        except StoreError as error:
            self._say(str(error))
        else:
            self._say("")

    def _publish(self, kept: _Kept, now_ns: int) -> None:
        edges = {period: bounds(now_ns - MINUTE_NS, now_ns - MINUTE_NS + 1, period, self._zone) for period in _RUNNING}
        begin = min(edge[0] for edge in edges.values())
        try:
            rows = self._store.minutes(kept.number, max(0, begin // MINUTE_NS - LEAD_MINUTES), now_ns // MINUTE_NS + 1)
        except StoreError as error:
            self._say(str(error))
            return
        periods = tuple(
            period_message(period, area_periods(rows, edge[:2], self._settings.period_minutes, now_ns)[0])
            for period, edge in edges.items()
        )
        losses = tuple(disturbance_message(one) for one in kept.account.watch.open)
        self._view.areas = {**self._view.areas, kept.area.name: AreaPerformance(periods, kept.rules, losses)}

    def _say(self, fault: str) -> None:
        """Tell a fault of the store once, and its end."""
        if bool(fault) == bool(self._fault):
            return
        self._fault = fault
        if fault:
            _log.error("the accounts of regulation cannot be kept", cause=fault)
            self._tell("performance.failed", {"reason": fault})
        else:
            self._tell("performance.mended", {})

    def _tell(self, key: str, parameters: dict[str, str]) -> None:
        alarm_class = AlarmClass.NOTICE if key == "performance.mended" else AlarmClass.ABNORMAL
        event = Event(self._clock.now_ns(), EventKind.AGC, alarm_class, 3, key, parameters)
        self._events.tell(Report((event,)))


def rules_of(settings: PerformanceSettings) -> Mapping[str, RuleProfile]:
    """The rule profiles of a configuration.

    Raises:
        ConfigError: its file cannot be used, or the profile it names does not exist.
    """
    profiles = load_profiles(settings.rules_file)
    profile_named(profiles, settings.rules)
    return profiles


# ---------------------------------------------------------------- messages


def _share(share: Share) -> pb.PerformanceShare:
    return pb.PerformanceShare(good=share.good, counted=share.counted, unavailable=share.unavailable)


def period_message(period: str, row: AreaPeriod) -> pb.PerformancePeriod:
    """One period as the API shows it."""
    names = [f.name for f in pb.PerformancePeriod.DESCRIPTOR.fields if f.name != "period"]
    values = {name: getattr(row, name) for name in names}
    shown: dict[str, Any] = {name: _share(value) if isinstance(value, Share) else value for name, value in values.items()}
    return pb.PerformancePeriod(period=period, **shown)


def disturbance_message(one: Disturbance) -> pb.PerformanceDisturbance:
    """One disturbance as the API shows it."""
    return pb.PerformanceDisturbance(**{f.name: getattr(one, f.name) for f in pb.PerformanceDisturbance.DESCRIPTOR.fields})


def unit_message(row: UnitPeriod) -> pb.PerformanceUnit:
    """One unit in one period as the API shows it."""
    own = {"mrid", "name", "fuel", "rated_mw"}
    values = {f.name: getattr(row.unit if f.name in own else row, f.name) for f in pb.PerformanceUnit.DESCRIPTOR.fields}
    return pb.PerformanceUnit(**values)


def rules_message(profile: RuleProfile) -> pb.PerformanceRules:
    """One rule profile as the API shows it."""
    return pb.PerformanceRules(
        name=profile.name,
        title=profile.title,
        source=profile.source,
        certain=profile.certain,
        effective_from="" if profile.effective_from is None else profile.effective_from.isoformat(),
        effective_to="" if profile.effective_to is None else profile.effective_to.isoformat(),
        labels=profile.score.labels,
    )


def reply_message(report: PerformanceReport, areas: Sequence[str], context: Context) -> pb.PerformanceReply:
    """A report as the API shows it."""
    return pb.PerformanceReply(
        area=report.area.name,
        periods=[period_message(report.period, row) for row in report.periods],
        units=[unit_message(row) for row in report.units],
        disturbances=[disturbance_message(one) for one in report.disturbances],
        rules=rules_message(report.profile),
        profiles=[rules_message(profile) for _, profile in sorted(context.profiles.items())],
        areas=areas,
    )
