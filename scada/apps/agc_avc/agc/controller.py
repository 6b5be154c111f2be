"""AGC of one control area: measurements in, set-points out, once a cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scada.apps.agc_avc.agc.ace import MODES
from scada.apps.agc_avc.agc.area import AgcState, AreaControl, AreaCycle
from scada.apps.agc_avc.agc.fleet import UnitFleet
from scada.apps.agc_avc.agc.groups import GroupStatus
from scada.apps.agc_avc.agc.inadvertent import InadvertentStatus
from scada.apps.agc_avc.agc.modes import BASE_MODES, REG_MODES, UnitMode
from scada.apps.agc_avc.agc.reserve import ReserveStatus
from scada.apps.agc_avc.agc.sources import Reading
from scada.apps.agc_avc.agc.suspension import Cause
from scada.apps.agc_avc.agc.unit_decisions import UnitDecisions
from scada.apps.agc_avc.agc.unit_orders import Regulation, SetPoint
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.explanation import Explanation
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcSettings
from scada.core.clock import Clock
from scada.model_cim.regulation import ControlArea


@dataclass(frozen=True, slots=True)
class AgcDecision:
    """Result of one cycle; NaN = unknown. Fields as in ``AgcStatus``, and what is to be done."""

    area: str
    state: AgcState
    reason: str
    control_mode: str
    frequency_hz: float
    ace_mw: float
    filtered_ace_mw: float
    interchange_mw: float
    scheduled_interchange_mw: float
    """In force (approached at a ramp), see also :attr:`interchange_target_mw`."""
    interchange_target_mw: float
    regulation_mw: float
    zone: str
    reserve_up_mw: float
    reserve_down_mw: float
    unmet_mw: float
    """What the regulating units cannot take of the demand within their limits."""
    cycle_ns: int
    cps1_percent: float
    units: UnitDecisions
    setpoints: tuple[SetPoint, ...]
    """To be sent through the control path; unless ``on`` only test values of operators."""
    notices: tuple[str, ...]
    """What changed since the last cycle, for the event log."""
    causes: tuple[Cause, ...]
    """What suspends AGC or is an alarm, counted."""
    sources: tuple[Reading, ...]
    """Every input of the ACE and the source used."""
    control_modes: tuple[str, ...]
    """Modes that can be ordered."""
    sign: str
    """Of the ACE shown: ``nerc`` or ``reversed``."""
    scheduled_frequency_hz: float
    time_error_s: float
    time_correction: int
    """+1 slow clocks are speeded up, -1 fast ones are slowed down, 0 no correction."""
    inadvertent: InadvertentStatus
    correction_mw: float
    """Payback or IATEC in the ACE."""
    meter_error_mw: float
    meter_mw: float
    """Net interchange by the independent meter."""
    proportional_mw: float
    integral_mw: float
    cps_mw: float
    """Parts of :attr:`regulation_mw`."""
    quiet: str
    """Why nothing is asked for: ``dead`` zone, ``permissive``, or empty."""
    without_ace_s: float
    """Seconds since the last usable ACE."""
    reserves: tuple[ReserveStatus, ...]
    groups: tuple[GroupStatus, ...]
    base_modes: tuple[str, ...]
    reg_modes: tuple[str, ...]
    """Unit modes that can be ordered."""


class AgcController:
    """Automatic generation control of one area.

    Call :meth:`cycle` once a cycle with fresh inputs and send the set-points of the decision; tell the outcome of each by
    :meth:`confirmed` or :meth:`refused`. Nothing is sent while ``off`` or ``suspended``; the ACE is computed all the same.
    Every start of control, after ``on``, a suspension or for a single unit, is bumpless: targets begin at the measured outputs.

    Args:
        area: the area with its ties and units.
        settings: mode, gains, filter, cycle, state at start, and tuning.
        clock: for the real time between cycles.

    Attributes:
        area: the area.
        pids: points that :class:`~scada.apps.agc_avc.inputs.Measurements` needs, ascending.
    """

    def __init__(self, area: ControlArea, settings: AgcSettings, clock: Clock) -> None:
        self.area = area
        self.pids = np.array(sorted({int(pid) for pid in area.points}), dtype=np.uint32)
        self._settings = settings
        self._clock = clock
        self._control = AreaControl(area, settings)
        self._fleet = UnitFleet(area.units, settings.tuning, clock, area.name, area.groups)
        self._last_cycle = math.nan
        self._controls = self._sends = False

    @property
    def regime(self) -> AgcState:
        """``on``, ``monitor``, ``off`` or ``suspended`` (wanted, but not possible now)."""
        return self._control.regime

    # ------------------------------------------------------------ orders

    def set_state(self, state: str) -> None:
        """Switch on, to monitor or off. On and monitor take effect at the next cycle, without a bump; off at once.

        Raises:
            RegulationError: not a state.
        """
        self._control.set_state(state)
        if state == "off":
            self._release()

    def set_control_mode(self, mode: str) -> None:
        """Form the ACE in another way, see :data:`~scada.apps.agc_avc.agc.ace.MODES`; without a bump.

        Raises:
            RegulationError: no such mode, or the area lacks what it needs.
        """
        self._control.set_control_mode(mode)

    def set_unit_mode(self, mrid: str, base: str, reg: str, base_point_mw: float = math.nan) -> None:
        """Change a unit's mode; also the way back for a unit that was put off control.

        ``base_point_mw`` counts for mode ``BASE`` only.

        Raises:
            RegulationError: no such unit or mode, or a base point that is not allowed.
        """
        self._fleet.set_mode(mrid, UnitMode(base, reg, base_point_mw))

    def set_loop(self, mrid: str, loop: str, test_value: float = math.nan) -> None:
        """Close or open the loop of a unit, or send it a test value alone, whatever the state of the area.

        Raises:
            RegulationError: no such unit or loop, or no test value.
        """
        self._fleet.set_loop(mrid, loop, test_value)

    def unlock(self, mrid: str) -> None:
        """Give a unit another chance that did not follow or refused.

        Raises:
            RegulationError: no such unit.
        """
        self._fleet.unlock(mrid)

    def choose_benchmarks(self, mrid: str, members: Sequence[str]) -> None:
        """Leave these members of a PV or wind plant uncurtailed from now on.

        Raises:
            RegulationError: no such plant or member.
        """
        self._fleet.choose_benchmarks(mrid, members)

    def explain(self, mrid: str) -> Explanation:
        """Why a unit was told what it was told.

        Raises:
            RegulationError: no such unit.
        """
        return self._fleet.explain(mrid, self._control.area_terms())

    def set_limits(self, mrid: str, low: float, high: float, source: str = "") -> None:
        """Keep a unit between these for a time, within its model's limits; infinite = as the model says.

        Args:
            mrid: of the unit.
            low: least output, MW.
            high: greatest output, MW.
            source: the order of dispatch that says so.

        Raises:
            RegulationError: no such unit, or limits that are none.
        """
        self._fleet.set_limits(mrid, low, high, source)

    def set_base_point(self, mrid: str, mw: float, source: str = "") -> float:
        """Set the scheduled output of a unit, followed in mode ``SCHE``; returns it as brought into the allowed range.

        ``source`` is the order of dispatch that says so; empty = a plan.

        Raises:
            RegulationError: no such unit, or not a number.
        """
        if not math.isfinite(mw):
            raise RegulationError(f"a base point must be a number, not {mw}", where=mrid)
        return self._fleet.set_schedule(mrid, mw, source)

    def set_interchange(self, mw: float) -> None:
        """Set the scheduled net interchange (dispatch set-point or the schedule's value now), MW, export positive.

        It is approached at :func:`~scada.apps.agc_avc.agc.tuning.interchange_ramp`.

        Raises:
            RegulationError: not a number.
        """
        if not math.isfinite(mw):
            raise RegulationError(f"a scheduled interchange must be a number, not {mw}", where=self.area.name)
        self._control.interchange_target_mw = mw

    def confirmed(self, cid: int) -> None:
        """The set-point on this control arrived at the unit."""
        self._fleet.confirmed(cid)

    def refused(self, cid: int, why: str) -> None:
        """The set-point on this control did not arrive; it is sent again, and after several times the unit goes off control."""
        self._fleet.refused(cid, why)

    # ------------------------------------------------------------ the cycle

    def cycle(self, inputs: Measurements) -> AgcDecision:
        """Run one cycle."""
        now = self._clock.monotonic()
        elapsed = self._settings.cycle_s if math.isnan(self._last_cycle) else now - self._last_cycle
        # a late cycle must not make up for lost time with one large step
        dt = min(max(elapsed, 0.0), 3 * self._settings.cycle_s)
        self._last_cycle = now
        found = self._control.cycle(inputs, dt, self._clock.now_ns(), max(elapsed, 0.0))
        if not found.controls:
            self._release()
        if found.controls and (not self._controls or found.sends != self._sends):
            self._fleet.prime(inputs, dt)
        else:
            self._fleet.read(inputs, dt)
        self._controls, self._sends = found.controls, found.sends
        if found.acts:
            requirement = self._control.requirement
            asked = (found.change_mw, requirement.requirement_mw, requirement.zone)
            setpoints = self._fleet.regulate(Regulation(*asked, found.deviation_hz, self.area.nominal_hz, dt, now, found.sends))
        else:
            setpoints = self._fleet.test(dt, now)
        return self._decision(found, setpoints)

    def _release(self) -> None:
        if self._controls:
            self._fleet.release()
            self._controls = False

    def _decision(self, found: AreaCycle, setpoints: Sequence[SetPoint]) -> AgcDecision:
        control, requirement, reserve = self._control, self._control.requirement, self._fleet.reserve
        control.judge_reserve(reserve)
        notices = (*control.notices, *self._fleet.notices)
        control.notices.clear()
        self._fleet.notices.clear()
        ace, accounts = found.ace, control.accounts
        sign = -1.0 if self._settings.sign == "reversed" else 1.0
        return AgcDecision(
            area=self.area.name,
            state=control.regime,
            reason=control.reason,
            control_mode=control.mode,
            frequency_hz=ace.frequency_hz,
            ace_mw=sign * ace.ace_mw,
            filtered_ace_mw=sign * requirement.filtered_mw,
            interchange_mw=ace.interchange_mw,
            scheduled_interchange_mw=ace.scheduled_mw,
            interchange_target_mw=control.interchange_target_mw,
            regulation_mw=requirement.requirement_mw,
            zone=requirement.zone.label,
            reserve_up_mw=reserve.up_mw,
            reserve_down_mw=reserve.down_mw,
            unmet_mw=self._fleet.unmet_mw,
            cycle_ns=self._clock.now_ns(),
            cps1_percent=control.cps1_percent,
            units=self._fleet.decisions(control.regime),
            setpoints=tuple(setpoints),
            notices=notices,
            causes=control.causes,
            sources=ace.readings,
            control_modes=tuple(mode for mode in MODES if not accounts.lacks(mode)),
            sign=self._settings.sign,
            scheduled_frequency_hz=ace.scheduled_hz,
            time_error_s=accounts.time_error.error_s,
            time_correction=accounts.time_error.direction if control.mode == "TLBC+TEC" else 0,
            inadvertent=accounts.inadvertent.status,
            correction_mw=ace.correction_mw,
            meter_error_mw=ace.meter_error_mw,
            meter_mw=ace.meter_mw,
            proportional_mw=requirement.proportional_mw,
            integral_mw=requirement.integral_mw,
            cps_mw=requirement.cps_mw,
            quiet=requirement.quiet,
            without_ace_s=control.without_ace_s,
            reserves=control.reserves,
            groups=self._fleet.groups,
            base_modes=BASE_MODES,
            reg_modes=REG_MODES,
        )

    # ------------------------------------------------------------ record and take-over

    def state(self) -> dict[str, Any]:
        """What must survive a restart or a take-over."""
        return {
            "area": self._control.state(),
            "fleet": self._fleet.state(),
            "controls": self._controls,
            "sends": self._sends,
            "last_cycle": self._last_cycle,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked; under another clock the first cycle counts as one of usual length."""
        self._control.restore(state["area"])
        self._fleet.restore(state["fleet"])
        self._controls, self._sends = bool(state["controls"]), bool(state["sends"])
        last = float(state["last_cycle"])
        self._last_cycle = last if 0 <= self._clock.monotonic() - last <= 10 * self._settings.cycle_s else math.nan

    def resume(self, state: dict[str, Any]) -> None:
        """Take over the accounts of an earlier life; states, modes and targets begin anew."""
        self._control.resume(state["area"])
        self._fleet.resume(state["fleet"])
