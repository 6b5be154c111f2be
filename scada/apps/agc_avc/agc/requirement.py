"""Area regulation requirement: how much the regulating units shall move, and how urgently.

The demand on the regulating units follows a PI controller in velocity form, so that it starts without a bump from what the units
generate, and limiting it is anti-windup. Beside it stands the *requirement* ``ARR = -(Kp * ACEf + W)``, because urgency is judged
by what regulation still has to do, not by the ACE of one scan. W is the integral term of the recent past: it fades with
``washout_s`` and is never larger than the proportional term. Zones are cut by ``|ARR|``.
"""

from __future__ import annotations

import math
from enum import IntEnum

from scada.apps.agc_avc.agc.tuning import assist, emergency, permissive
from scada.core.agc_settings import AgcSettings
from scada.model_cim.regulation import ControlArea


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
    """Filter, PI and zones of one area.

    Args:
        area: for the dead band.
        settings: gains, filter, zone edges and hysteresis.

    Attributes:
        filtered_mw: filtered ACE, NaN before the first update.
        requirement_mw: ARR; positive asks for more generation.
        zone: present zone.
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
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next ACE is taken as it is and asks for no jump."""
        self.filtered_mw = math.nan
        self.requirement_mw = 0.0
        self.zone = Zone.DEAD
        self._recent_integral = 0.0

    def update(self, ace_mw: float, deviation_hz: float, dt: float) -> float:
        """Take the ACE of this cycle; returns the change of demand in MW.

        Args:
            ace_mw: a usable ACE.
            deviation_hz: actual less nominal frequency.
            dt: seconds since the last update.
        """
        previous = self.filtered_mw
        self._filter(ace_mw, dt)
        integral = self._ki * self.filtered_mw * dt
        fade = math.exp(-dt / self._tuning.washout_s)
        proportional = self._zone_gain * self.filtered_mw
        # an error that lasts counts up to double; one that has gone is soon forgotten
        recent = fade * self._recent_integral + integral
        self._recent_integral = min(max(recent, -abs(proportional)), abs(proportional))
        self.requirement_mw = -(proportional + self._recent_integral)
        self.zone = self._next_zone()
        if self.zone is Zone.DEAD:
            self._recent_integral = 0.0
            return 0.0
        # an error that helps the frequency of the interconnection is left alone while it is small
        if ace_mw * deviation_hz < 0 and abs(self.filtered_mw) < self._permissive_ace:
            return 0.0
        change = 0.0 if math.isnan(previous) else self.filtered_mw - previous
        return -(self._kp * change + integral)

    def _filter(self, ace_mw: float, dt: float) -> None:
        if math.isnan(self.filtered_mw) or abs(ace_mw) > self._emergency_ace or self._filter_s <= 0:
            self.filtered_mw = ace_mw
        else:
            self.filtered_mw += dt / (self._filter_s + dt) * (ace_mw - self.filtered_mw)

    def _next_zone(self) -> Zone:
        """A zone is entered at its edge and left at ``hysteresis`` times the edge."""
        size = abs(self.requirement_mw)
        zone = Zone(sum(size > edge for edge in self._edges))
        while zone < self.zone and size > self._tuning.hysteresis * self._edges[zone]:
            zone = Zone(zone + 1)
        return zone
