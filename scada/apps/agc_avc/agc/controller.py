"""AGC of one control area: measurements in, set-points out, once a cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scada.apps.agc_avc.agc.area import AgcState, AreaControl, AreaCycle
from scada.apps.agc_avc.agc.fleet import Regulation, SetPoint, UnitDecision, UnitFleet
from scada.apps.agc_avc.agc.units import UnitMode
from scada.apps.agc_avc.errors import RegulationError
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
    units: tuple[UnitDecision, ...]
    setpoints: tuple[SetPoint, ...]
    """To be sent through the control path; empty unless ``on``."""
    notices: tuple[str, ...]
    """What changed since the last cycle, for the event log."""


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
        self._fleet = UnitFleet(area.units, settings.tuning, clock, area.name)
        self._last_cycle = math.nan
        self._controls = False

    @property
    def state(self) -> AgcState:
        """``off``, ``on`` or ``suspended`` (wanted, but not possible now)."""
        return self._control.state

    # ------------------------------------------------------------ orders

    def set_state(self, state: str) -> None:
        """Switch on or off. On takes effect at the next cycle, without a bump; off at once.

        Raises:
            RegulationError: not a state.
        """
        self._control.set_state(state)
        if state == "off":
            self._release()

    def set_unit_mode(self, mrid: str, base: str, reg: str, base_point_mw: float = math.nan) -> None:
        """Change a unit's mode; also the way back for a unit that was put off control.

        ``base_point_mw`` counts for mode ``BASE`` only.

        Raises:
            RegulationError: no such unit or mode, or a base point that is not allowed.
        """
        self._fleet.set_mode(mrid, UnitMode(base, reg, base_point_mw))

    def set_base_point(self, mrid: str, mw: float) -> float:
        """Set the scheduled output of a unit, followed in mode ``SCHE``; returns it as brought into the allowed range.

        Raises:
            RegulationError: no such unit, or not a number.
        """
        if not math.isfinite(mw):
            raise RegulationError(f"a base point must be a number, not {mw}", where=mrid)
        return self._fleet.set_schedule(mrid, mw)

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
        found = self._control.cycle(inputs, dt, self._clock.now_ns())
        if not found.controls:
            self._release()
        if found.controls and not self._controls:
            self._fleet.prime(inputs)
        else:
            self._fleet.read(inputs)
        self._controls = found.controls
        setpoints: list[SetPoint] = []
        if found.acts:
            requirement = self._control.requirement
            asked = (found.change_mw, requirement.requirement_mw, requirement.zone)
            setpoints = self._fleet.regulate(Regulation(*asked, found.deviation_hz, self.area.nominal_hz, dt, now))
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
        return AgcDecision(
            area=self.area.name,
            state=control.state,
            reason=control.reason,
            control_mode=control.mode,
            frequency_hz=found.ace.frequency_hz,
            ace_mw=found.ace.ace_mw,
            filtered_ace_mw=requirement.filtered_mw,
            interchange_mw=found.ace.interchange_mw,
            scheduled_interchange_mw=found.ace.scheduled_mw,
            interchange_target_mw=control.interchange_target_mw,
            regulation_mw=requirement.requirement_mw,
            zone=requirement.zone.label,
            reserve_up_mw=reserve.up_mw,
            reserve_down_mw=reserve.down_mw,
            unmet_mw=self._fleet.unmet_mw,
            cycle_ns=self._clock.now_ns(),
            cps1_percent=control.cps1_percent,
            units=self._fleet.decisions(control.state),
            setpoints=tuple(setpoints),
            notices=notices,
        )
