"""Area regulation requirement: how much the regulating units shall move, and how urgently.

The demand on the regulating units follows a PI controller in velocity form, so that it starts without a bump from what the units
generate, and limiting it is anti-windup. Beside it stands the *requirement*
``ARR = -(Kp ACEf + Kcps P_cps + W)``, because urgency is judged by what regulation still has to do, not by the ACE of one scan.
``P_cps = ACEf * min(1, |df| / eps1)`` acts only while the ACE hurts the frequency (``ACE df > 0``). W is the integral term of the
recent past: it fades with ``washout_s``, is bled at each full hour and is never larger than the proportional term. Zones are cut
by ``|ARR|``, which is limited to what is plausible.

The idea of the CPS component and of zones by ARR: NARI, AEPS 2005; the form of P_cps, the washout and the bleed are ours [K].
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

from scada.apps.agc_avc.agc.tuning import assist, emergency, permissive, plausible
from scada.core.agc_settings import AgcSettings
from scada.core.clock import NS_PER_S
from scada.model_cim.regulation import ControlArea

_HOUR_NS = 3600 * NS_PER_S


class Zone(IntEnum):
    """Urgency; each zone adds units (regulation modes) to those of the one before."""

    DEAD = 0
    """Only base points are followed."""
    NORMAL = 1
    """Units of mode R regulate."""
    ASSIST = 2
    """And units of mode A."""
    EMERGENCY = 3
    """And units of mode E."""

    @property
    def label(self) -> str:
        """``dead``, ``normal``, ``assist`` or ``emergency``."""
        return self.name.lower()


class RegulationRequirement:
    """Filter, PI, CPS component and zones of one area.

    Args:
        area: for the dead band.
        settings: gains, filter, zone edges and hysteresis.

    Attributes:
        filtered_mw: filtered ACE, NaN before the first update.
        bypassed: the filter was bypassed in the last cycle, because the ACE is that of an emergency.
        requirement_mw: ARR; positive asks for more generation.
        proportional_mw, integral_mw, cps_mw: its parts, with the sign of the requirement.
        quiet: why nothing is asked for now: ``dead``, ``permissive`` or empty.
        zone: present zone.
        zone_s: seconds in it.
    """

    def __init__(self, area: ControlArea, settings: AgcSettings) -> None:
        self._kp, self._ki, self._filter_s = settings.proportional, settings.integral, settings.filter_s
        tuning = self._tuning = settings.tuning
        # a pure integral controller still needs a proportional measure for its zones
        gain = self._kp or 1.0
        self._edges = (gain * area.deadband, gain * assist(tuning, area), gain * emergency(tuning, area))
        self._zone_gain = gain
        self._emergency_ace = emergency(tuning, area)
        self._permissive_ace = permissive(tuning, area)
        self._plausible = plausible(tuning, area)
        self._hour = -1
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next ACE is taken as it is and asks for no jump."""
        self.filtered_mw = math.nan
        self.bypassed = False
        self.requirement_mw = self.proportional_mw = self.integral_mw = self.cps_mw = 0.0
        self.quiet = ""
        self.zone = Zone.DEAD
        self.zone_s = math.inf
        self._recent_integral = 0.0
        self._previous_cps = 0.0

    def rebase(self) -> None:
        """The ACE is formed in another way from now on: its step asks for no step of the demand."""
        self.filtered_mw = math.nan

    def update(self, ace_mw: float, deviation_hz: float, dt: float, now_ns: int = 0) -> float:
        """Take the ACE of this cycle; returns the change of demand in MW.

        Args:
            ace_mw: a usable ACE.
            deviation_hz: actual less scheduled frequency.
            dt: seconds since the last update.
            now_ns: ns UTC.
        """
        previous, previous_cps = self.filtered_mw, self._previous_cps
        self._filter(ace_mw, dt)
        factor = self._tuning.zone_gains[max(self.zone - 1, 0)]
        integral = factor * self._ki * self.filtered_mw * dt
        self._account(integral, dt, now_ns)
        cps = self._judge(ace_mw, deviation_hz, dt)
        if self.zone is Zone.DEAD:
            self._recent_integral = 0.0
            self.quiet = "dead"
            return 0.0
        # an error that helps the frequency of the interconnection is left alone while it is small
        if ace_mw * deviation_hz < 0 and abs(self.filtered_mw) < self._permissive_ace:
            self.quiet = "permissive"
            return 0.0
        self.quiet = ""
        if math.isnan(previous):
            return -integral
        return -(factor * (self._kp * (self.filtered_mw - previous) + cps - previous_cps) + integral)

    def watch(self, ace_mw: float, deviation_hz: float, dt: float) -> None:
        """Take a usable ACE without regulating: filter and zone go on to be shown, the integral stands still."""
        self._filter(ace_mw, dt)
        self._judge(ace_mw, deviation_hz, dt)
        self.quiet = ""

    def _filter(self, ace_mw: float, dt: float) -> None:
        self.bypassed = abs(ace_mw) > self._emergency_ace
        if math.isnan(self.filtered_mw) or self.bypassed or self._filter_s <= 0:
            self.filtered_mw = ace_mw
        else:
            self.filtered_mw += dt / (self._filter_s + dt) * (ace_mw - self.filtered_mw)

    def _account(self, integral: float, dt: float, now_ns: int) -> None:
        """Carry the integral term of the recent past on: an error that lasts counts up to double, one that has gone fades."""
        hour = now_ns // _HOUR_NS
        if hour != self._hour:
            self._recent_integral *= 1.0 - self._tuning.hourly_bleed if self._hour != -1 else 1.0
            self._hour = hour
        self._recent_integral = math.exp(-dt / self._tuning.washout_s) * self._recent_integral + integral

    def _judge(self, ace_mw: float, deviation_hz: float, dt: float) -> float:
        """Requirement, its parts and the zone; returns the CPS component, in the sign of the ACE."""
        proportional = self._zone_gain * self.filtered_mw
        self._recent_integral = min(max(self._recent_integral, -abs(proportional)), abs(proportional))
        cps = 0.0
        if ace_mw * deviation_hz > 0:
            cps = self._tuning.cps_gain * self.filtered_mw * min(1.0, abs(deviation_hz) / self._tuning.eps1_hz)
        self._previous_cps = cps
        self.proportional_mw, self.integral_mw, self.cps_mw = -proportional, -self._recent_integral, -cps
        asked = -(proportional + self._recent_integral + cps)
        self.requirement_mw = min(max(asked, -self._plausible), self._plausible)
        self.zone_s += dt
        zone = self._next_zone()
        if zone is not self.zone:
            self.zone, self.zone_s = zone, 0.0
        return cps

    def _next_zone(self) -> Zone:
        """A zone is entered at its edge at once, and left at ``hysteresis`` times the edge after ``dwell_s`` at the earliest."""
        size = abs(self.requirement_mw)
        zone = Zone(sum(size > edge for edge in self._edges))
        if zone < self.zone and self.zone_s < self._tuning.dwell_s:
            return self.zone
        while zone < self.zone and size > self._tuning.hysteresis * self._edges[zone]:
            zone = Zone(zone + 1)
        return zone

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {
            "filtered_mw": self.filtered_mw,
            "bypassed": self.bypassed,
            "requirement_mw": self.requirement_mw,
            "proportional_mw": self.proportional_mw,
            "integral_mw": self.integral_mw,
            "cps_mw": self.cps_mw,
            "quiet": self.quiet,
            "zone": int(self.zone),
            "zone_s": self.zone_s,
            "recent_integral": self._recent_integral,
            "previous_cps": self._previous_cps,
            "hour": self._hour,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked."""
        self.filtered_mw, self.bypassed = float(state["filtered_mw"]), bool(state["bypassed"])
        self.requirement_mw, self.proportional_mw = float(state["requirement_mw"]), float(state["proportional_mw"])
        self.integral_mw, self.cps_mw, self.quiet = float(state["integral_mw"]), float(state["cps_mw"]), str(state["quiet"])
        self.zone, self.zone_s = Zone(int(state["zone"])), float(state["zone_s"])
        self._recent_integral, self._previous_cps = float(state["recent_integral"]), float(state["previous_cps"])
        self._hour = int(state["hour"])
