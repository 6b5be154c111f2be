"""Inadvertent interchange: energy beside the schedule, hour by hour, and what pays it back; error of the tie meters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from scada.apps.agc_avc.agc.tuning import meter_error_limit, payback_limit
from scada.core.agc_settings import AgcTuning
from scada.core.clock import NS_PER_S
from scada.model_cim.regulation import ControlArea

_HOUR_NS = 3600 * NS_PER_S
_HOUR_S = 3600.0
_FULL_S = 1800.0
"""Seconds of an hour that must be known for its mean to be taken."""


@dataclass(frozen=True, slots=True)
class InadvertentStatus:
    """Accounts of inadvertent interchange, MWh; fields as in ``AgcInadvertent``.

    Attributes:
        hour_mwh: of the running hour.
        on_peak_mwh, off_peak_mwh: closed hours.
        primary_on_mwh, primary_off_mwh: primary part of them.
        on_peak: the running hour is one of on-peak.
        unknown_s: seconds of the running hour without a valid interchange.
    """

    hour_mwh: float
    on_peak_mwh: float
    off_peak_mwh: float
    primary_on_mwh: float
    primary_off_mwh: float
    on_peak: bool
    unknown_s: float


def _clip(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)


class Inadvertent:
    """Inadvertent interchange of one area, MWh; positive = more was exported than scheduled.

    Each clock hour ``II = ∫(NIA - NIS) dt`` is added to the account of on-peak or off-peak hours, and with it the primary part
    ``PII = (1 - Y)(II - B dTE / 6)``, ``Y = B / Bs``, where the model knows the bias Bs of the interconnection (BAL-004-WECC [K];
    B in MW/0.1 Hz). Seconds without a valid interchange add nothing and are counted.

    Args:
        area: its bias and that of the interconnection.
        tuning: peak hours, payback.

    Attributes:
        hour_mwh: of the running hour.
        unknown_s: seconds of the running hour without a valid interchange.
        accounts: ``on``, ``off`` (all of it) and ``primary_on``, ``primary_off``, MWh.
    """

    def __init__(self, area: ControlArea, tuning: AgcTuning) -> None:
        share = area.bias / area.bias_sum if area.bias_sum else math.nan
        self.share = share if 0 < share < 1 else math.nan
        """Y: this area's part of the interconnection's bias; NaN = unknown."""
        self.hour_mwh = 0.0
        self.unknown_s = 0.0
        self.accounts = {"on": 0.0, "off": 0.0, "primary_on": 0.0, "primary_off": 0.0}
        self._bias = area.bias
        self._tuning = tuning
        self._limit = payback_limit(tuning, area)
        self._zone = ZoneInfo(tuning.time_zone)
        self._hour = -1
        self._time_error_at = math.nan
        self._peak = False

    def update(self, inadvertent_mw: float, dt: float, now_ns: int, time_error_s: float) -> bool:
        """Take a cycle.

        Args:
            inadvertent_mw: NIA corrected for meter error, less NIS; NaN = unknown.
            dt: seconds since the last cycle.
            now_ns: ns UTC.
            time_error_s: time error.

        Returns:
            True if an hour was closed, so that the payback may have changed.
        """
        hour = now_ns // _HOUR_NS
        closed = self._hour not in {-1, hour}
        if closed:
            self._close(time_error_s)
        if closed or self._hour == -1:
            self._hour, self._time_error_at, self._peak = hour, time_error_s, self._is_peak(now_ns)
        if math.isfinite(inadvertent_mw):
            self.hour_mwh += inadvertent_mw * dt / _HOUR_S
        else:
            self.unknown_s += dt
        return closed

    def _close(self, time_error_s: float) -> None:
        period = "on" if self._peak else "off"
        self.accounts[period] += self.hour_mwh
        if not math.isnan(self.share):
            frequency_part = self._bias * (time_error_s - self._time_error_at) / 6.0
            self.accounts[f"primary_{period}"] += (1.0 - self.share) * (self.hour_mwh - frequency_part)
        self.hour_mwh = self.unknown_s = 0.0

    def _is_peak(self, now_ns: int) -> bool:
        now = datetime.fromtimestamp(now_ns // NS_PER_S, self._zone)
        return now.weekday() in self._tuning.on_peak_days and self._tuning.on_peak_from <= now.hour < self._tuning.on_peak_to

    @property
    def payback_mw(self) -> float:
        """What unilateral payback adds to the ACE: the account of the present period within ``payback_hours``, limited."""
        return _clip(self.accounts["on" if self._peak else "off"] / self._tuning.payback_hours, self._limit)

    @property
    def iatec_mw(self) -> float:
        """IATEC of BAL-004-WECC [K]: ``PII / ((1 - Y) H)``, limited; NaN without the interconnection's bias."""
        primary = self.accounts["primary_on" if self._peak else "primary_off"]
        return (
            _clip(primary / ((1.0 - self.share) * self._tuning.atec_hours), self._limit)
            if not math.isnan(self.share)
            else math.nan
        )

    @property
    def status(self) -> InadvertentStatus:
        """The accounts, to be shown."""
        accounts = self.accounts
        return InadvertentStatus(
            self.hour_mwh,
            accounts["on"],
            accounts["off"],
            accounts["primary_on"],
            accounts["primary_off"],
            self._peak,
            self.unknown_s,
        )

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {
            "hour_mwh": self.hour_mwh,
            "unknown_s": self.unknown_s,
            "accounts": dict(self.accounts),
            "hour": self._hour,
            "time_error_at": self._time_error_at,
            "peak": self._peak,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked."""
        self.hour_mwh, self.unknown_s = float(state["hour_mwh"]), float(state["unknown_s"])
        self.accounts |= {key: float(value) for key, value in state["accounts"].items() if key in self.accounts}
        self._hour, self._time_error_at, self._peak = int(state["hour"]), float(state["time_error_at"]), bool(state["peak"])


class MeterError:
    """IME of NERC BAL-001: what the tie measurements are wrong by together, MW (sum of ties less independent meter).

    ``estimated``: mean difference over the last clock hour, if half of it was known, limited. ``entered``: the operator's.

    Args:
        area: for the limit.
        tuning: which way, and the limit.

    Attributes:
        error_mw: the error in force.
    """

    def __init__(self, area: ControlArea, tuning: AgcTuning) -> None:
        self.error_mw = tuning.meter_error_mw if tuning.meter_error == "entered" else 0.0
        self._estimates = tuning.meter_error == "estimated"
        self._limit = meter_error_limit(tuning, area)
        self._hour = -1
        self._known_s = 0.0
        self._sum = 0.0

    def update(self, difference_mw: float, dt: float, now_ns: int) -> bool:
        """Take the difference of this cycle (NaN = unknown); True if the error in force has changed."""
        if not self._estimates:
            return False
        hour, before = now_ns // _HOUR_NS, self.error_mw
        if self._hour != hour:
            if self._known_s >= _FULL_S:
                self.error_mw = _clip(self._sum / self._known_s, self._limit)
            self._hour, self._known_s, self._sum = hour, 0.0, 0.0
        if math.isfinite(difference_mw):
            self._known_s += dt
            self._sum += difference_mw * dt
        return self.error_mw != before

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {"error_mw": self.error_mw, "hour": self._hour, "known_s": self._known_s, "sum": self._sum}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked; an entered error is the configuration's."""
        if self._estimates:
            self.error_mw, self._hour = float(state["error_mw"]), int(state["hour"])
            self._known_s, self._sum = float(state["known_s"]), float(state["sum"])
