"""How well AVC does: qualified voltages, commands met, availability, operations, losses; by hour and day.

The measures follow the usual assessment of AVC by Chinese dispatch centres ("two detailed rules": a command met within two
minutes passes; availability is the time in service by the running time without what the grid caused); regions differ, so times
and tolerances are arguments. Source: a repost of a regional rule, not the text itself: check before settling by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from scada.apps.agc_avc.avc.devices import DeviceControl
from scada.core.clock import NS_PER_S

COMPLIANCE_S: Final = 120.0
"""Time within which a command must be met."""
HOUR_NS = 3600 * NS_PER_S
DAY_NS = 24 * HOUR_NS


def percent(part: float, whole: float) -> float:
    """Part of a whole in percent; NaN where there is no whole."""
    return 100.0 * part / whole if whole > 0 else math.nan


class Shares:
    """Time within limits by valid time, for each name and hour.

    Args:
        keep_days: days kept.
    """

    def __init__(self, keep_days: int = 40) -> None:
        self._keep = keep_days * 24
        self._hours: dict[int, dict[str, list[float]]] = {}

    def add(self, name: str, hour: int, valid_s: float, good_s: float) -> None:
        """Add time of an hour (hours since 1970 of local time)."""
        if hour not in self._hours:
            self._hours[hour] = {}
            for old in [one for one in self._hours if one <= hour - self._keep]:
                del self._hours[old]
        sums = self._hours[hour].setdefault(name, [0.0, 0.0])
        sums[0] += valid_s
        sums[1] += good_s

    def rate(self, names: Iterable[str], first_hour: int, hours: int) -> float:
        """Percent of the valid time of these names in these hours; NaN = no valid time."""
        wanted = set(names)
        valid = good = 0.0
        for hour in range(first_hour, first_hour + hours):
            for name, (one_valid, one_good) in self._hours.get(hour, {}).items():
                if name in wanted:
                    valid += one_valid
                    good += one_good
        return percent(good, valid)

    @property
    def hours(self) -> list[int]:
        """Hours with anything in them, ascending."""
        return sorted(self._hours)

    def state(self) -> list[Any]:
        """For a later life."""
        return [[hour, name, *sums] for hour, names in sorted(self._hours.items()) for name, sums in names.items()]

    def restore(self, state: Sequence[Sequence[Any]]) -> None:
        """Go on from a state."""
        self._hours = {}
        for hour, name, valid, good in state:
            self._hours.setdefault(int(hour), {})[str(name)] = [float(valid), float(good)]


@dataclass(slots=True)
class _Command:
    """A command that is waited for: where the measurement has to come, how near, and until when (ns)."""

    aim: float
    tolerance: float
    until_ns: int


class Compliance:
    """Commands that were met in time.

    Args:
        within_s: time for it.
    """

    def __init__(self, within_s: float = COMPLIANCE_S) -> None:
        self._within_ns = round(within_s * NS_PER_S)
        self._waiting: dict[str, _Command] = {}
        self.met = 0
        self.missed = 0

    def commanded(self, mrid: str, aim: float, tolerance: float, now_ns: int) -> None:
        """A command was sent; one that is still waited for is replaced, which is neither met nor missed."""
        self._waiting[mrid] = _Command(aim, tolerance, now_ns + self._within_ns)

    def measured(self, mrid: str, value: float, now_ns: int) -> None:
        """A measurement of it; met after the time is missed, and one that is not known then is not judged: it was not seen."""
        command = self._waiting.get(mrid)
        if command is None:
            return
        late = now_ns > command.until_ns
        if late:
            self.missed += not math.isnan(value)
        elif abs(value - command.aim) <= command.tolerance:
            self.met += 1
        else:
            return
        del self._waiting[mrid]

    @property
    def percent(self) -> float:
        """Percent of the commands judged."""
        return percent(self.met, self.met + self.missed)

    def forget(self) -> None:
        """What is waited for will not be judged."""
        self._waiting.clear()

    def clear(self) -> None:
        """A new day begins; what is waited for stays."""
        self.met = self.missed = 0

    def state(self) -> dict[str, Any]:
        """For a later life."""
        waiting = {mrid: [one.aim, one.tolerance, one.until_ns] for mrid, one in self._waiting.items()}
        return {"met": self.met, "missed": self.missed, "waiting": waiting}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.met, self.missed = int(state["met"]), int(state["missed"])
        self._waiting = {mrid: _Command(float(a), float(t), int(u)) for mrid, (a, t, u) in state["waiting"].items()}


class AvcAccount:
    """Everything that AVC is judged by.

    Args:
        zones: pilots' mRIDs by zone name.
        day_offset_s: seconds added to UTC for hours and days.
        longest_s: a longer time between two cycles is not counted: nobody looked.
        cycle_s: of AVC; where a cycle is long, commands are given the time until they can be seen, and time counts up to two.
    """

    def __init__(
        self, zones: Mapping[str, Sequence[str]], day_offset_s: float = 0.0, longest_s: float = 300.0, cycle_s: float = 0.0
    ) -> None:
        self._zones = {name: list(pilots) for name, pilots in zones.items()}
        self._offset_ns = round(day_offset_s * NS_PER_S)
        self._longest_s = max(longest_s, 2.0 * cycle_s)
        self.voltage = Shares()
        self.compliance = Compliance(max(COMPLIANCE_S, 1.5 * cycle_s))
        self.service = Shares()
        self.losses_mwh = 0.0
        self._losses_known = False
        self._last_ns = 0
        self._day = -1
        self._operations: dict[int, dict[str, int]] = {}

    def elapsed(self, now_ns: int) -> float:
        """Seconds since the last cycle that count, and roll over to a new day; call first, once a cycle."""
        day = (now_ns + self._offset_ns) // DAY_NS
        if day != self._day:
            self._day = day
            self.compliance.clear()
            self.losses_mwh, self._losses_known = 0.0, False
        elapsed = (now_ns - self._last_ns) / NS_PER_S if self._last_ns else 0.0
        self._last_ns = now_ns
        return elapsed if 0.0 <= elapsed <= self._longest_s else 0.0

    def _hour(self) -> int:
        return (self._last_ns + self._offset_ns) // HOUR_NS

    def voltages(self, values: Iterable[tuple[str, float, float, float]], elapsed_s: float) -> None:
        """Add voltages (mRID, kV, lower and upper limit); NaN does not count."""
        for mrid, kv, low, high in values:
            if math.isfinite(kv):
                self.voltage.add(mrid, self._hour(), elapsed_s, elapsed_s if low <= kv <= high else 0.0)

    def served(self, zone: str, elapsed_s: float, *, counts: bool, serves: bool) -> None:
        """Add running time of a zone: does it count, and was it in service."""
        if counts:
            self.service.add(zone, self._hour(), elapsed_s, elapsed_s if serves else 0.0)

    def lost(self, losses_mw: float, elapsed_s: float) -> None:
        """Add losses of the network, MW; NaN = not known."""
        if math.isfinite(losses_mw):
            self._losses_known = True
            self.losses_mwh += losses_mw * elapsed_s / 3600.0

    def devices(self, devices: Iterable[DeviceControl]) -> None:
        """Take the counts of the day."""
        counts = self._operations.setdefault(self._day, {})
        for control in devices:
            counts[control.device.mrid] = control.operations_today
        for old in [day for day in self._operations if day <= self._day - 40]:
            del self._operations[old]

    # ------------------------------------------------------------ figures of today

    def qualified_today(self, names: Iterable[str] | None = None) -> float:
        """Percent of today's valid time within limits; None = of all pilot nodes."""
        wanted = [mrid for pilots in self._zones.values() for mrid in pilots] if names is None else names
        return self.voltage.rate(wanted, self._day * 24, 24)

    def zone_today(self, zone: str) -> float:
        """The same for a zone."""
        return self.qualified_today(self._zones.get(zone, ()))

    @property
    def available_today(self) -> float:
        """Percent of the running time in service."""
        return self.service.rate(self._zones, self._day * 24, 24)

    @property
    def operations_today(self) -> int:
        """Of all devices."""
        return sum(self._operations.get(self._day, {}).values())

    @property
    def losses_today(self) -> float:
        """MWh, NaN = not known."""
        return self.losses_mwh if self._losses_known else math.nan

    # ------------------------------------------------------------ report

    def report(self) -> list[dict[str, Any]]:
        """Rows by hour and day: ``kind`` (voltage, service, operations), ``name``, ``from`` (local), ``hours``, ``value``."""
        rows: list[dict[str, Any]] = []
        days = sorted({hour // 24 for hour in (*self.voltage.hours, *self.service.hours)})
        for name, pilots in self._zones.items():
            for hour in self.voltage.hours:
                rows += [_row("voltage", one, hour, 1, self.voltage.rate([one], hour, 1)) for one in pilots]
                rows.append(_row("voltage", name, hour, 1, self.voltage.rate(pilots, hour, 1)))
            for day in days:
                rows += [_row("voltage", one, day * 24, 24, self.voltage.rate([one], day * 24, 24)) for one in pilots]
                rows.append(_row("voltage", name, day * 24, 24, self.voltage.rate(pilots, day * 24, 24)))
                rows.append(_row("service", name, day * 24, 24, self.service.rate([name], day * 24, 24)))
        for day, counts in sorted(self._operations.items()):
            rows += [_row("operations", mrid, day * 24, 24, float(count)) for mrid, count in counts.items()]
        return rows

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here."""
        return {
            "voltage": self.voltage.state(), "service": self.service.state(), "compliance": self.compliance.state(),
            "losses_mwh": self.losses_mwh, "losses_known": self._losses_known, "last_ns": self._last_ns, "day": self._day,
            "operations": [[day, mrid, count] for day, counts in self._operations.items() for mrid, count in counts.items()],
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.voltage.restore(state["voltage"])
        self.service.restore(state["service"])
        self.compliance.restore(state["compliance"])
        self.losses_mwh, self._losses_known = float(state["losses_mwh"]), bool(state["losses_known"])
        self._last_ns, self._day = int(state["last_ns"]), int(state["day"])
        self._operations = {}
        for day, mrid, count in state["operations"]:
            self._operations.setdefault(int(day), {})[str(mrid)] = int(count)

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take over the account of an earlier life; the time between, and the commands waited for then, nobody saw."""
        self.restore(state)
        self._last_ns = 0
        self.compliance.forget()


def _row(kind: str, name: str, hour: int, hours: int, value: float) -> dict[str, Any]:
    begins = datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%H:00")
    return {"kind": kind, "name": name, "from": begins, "hours": hours, "value": value}
