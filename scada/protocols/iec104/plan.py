"""What a controlling station asks by itself: after the start, after a restart of a station, periodically, after a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scada.protocols.iec104 import system_requests
from scada.protocols.iec104.parameters import ChannelParameters, CounterFreeze
from scada.protocols.iec104.system_requests import Freeze, Request

_FOREVER: Final = float("inf")
_LONGEST_RETRY_S: Final = 900.0
_FREEZES: Final = {CounterFreeze.FREEZE: Freeze.FREEZE, CounterFreeze.FREEZE_RESET: Freeze.FREEZE_RESET}


@dataclass(slots=True)
class _Retry:
    """A station interrogation that is to be asked again: when; after each failure twice the wait."""

    wait: float
    due: float = _FOREVER

    def fail(self, mono: float) -> None:
        """It has failed once more."""
        self.due, self.wait = mono + self.wait, min(2 * self.wait, _LONGEST_RETRY_S)


class Plan:
    """The plan of one channel. Its methods give what is to be asked now, in groups that belong together.

    Args:
        parameters: periods, group and freeze of the totals.
        stations: common addresses of the channel.
        metered: those with integrated totals.
    """

    def __init__(self, parameters: ChannelParameters, stations: Sequence[int], metered: Sequence[int]) -> None:
        self._parameters = parameters
        self._stations = tuple(stations)
        self._metered = tuple(metered)
        self.forget()

    def forget(self) -> None:
        """Data transfer has ended: nothing is due."""
        self._unknown: set[int] = set()
        self._retries: dict[int, _Retry] = {}
        self._next_values = self._next_totals = self._next_clock = _FOREVER

    def started(self, mono: float) -> list[list[Request]]:
        """Data transfer has begun: clock, then all values, then totals."""
        self._unknown.update(self._stations)
        self._next_clock = _after(mono, self._parameters.clock_sync_s)
        self._next_values = _after(mono, self._parameters.interrogation_s)
        self._next_totals = _after(mono, self._parameters.counter_interrogation_s)
        return [self._clock(self._stations), self._values(self._stations), self._totals(self._metered)]

    def rebind(self, stations: Sequence[int], metered: Sequence[int]) -> None:
        """Other stations from now on; the periods go on."""
        self._stations, self._metered = tuple(stations), tuple(metered)
        self._unknown &= set(stations)
        self._retries = {station: retry for station, retry in self._retries.items() if station in stations}

    def anew(self, fresh: Sequence[int]) -> list[list[Request]]:
        """The points behind the link are others: the clock of new stations, then all values, then totals."""
        self._unknown.update(self._stations)
        return [self._clock(fresh), self._values(self._stations), self._totals(self._metered)]

    def initialised(self, station: int) -> list[list[Request]]:
        """One station has started; the periods of the others go on."""
        self._unknown.add(station)
        totals = self._totals([station]) if station in self._metered else []
        return [self._clock([station]), self._values([station]), totals]

    def due(self, mono: float) -> list[list[Request]]:
        """What is due now."""
        wanted = []
        for station, retry in self._retries.items():
            if mono >= retry.due:
                retry.due = _FOREVER
                wanted.append(self._values([station]))
        if mono >= self._next_clock:
            self._next_clock = _after(mono, self._parameters.clock_sync_s)
            wanted.append(self._clock(self._stations))
        if mono >= self._next_values:
            self._next_values = _after(mono, self._parameters.interrogation_s)
            wanted.append(self._values(self._stations))
        if mono >= self._next_totals:
            self._next_totals = _after(mono, self._parameters.counter_interrogation_s)
            wanted.append(self._totals(self._metered))
        return wanted

    def failed(self, request: Request, mono: float, *, planned: bool) -> None:
        """A request has failed; a station whose values are not known since its start is asked again."""
        wait, station = self._parameters.interrogation_retry_s, request.common_address
        if wait and request.is_general and (planned or station in self._unknown):
            self._retries.setdefault(station, _Retry(wait)).fail(mono)

    def doubted(self, station: int, mono: float) -> None:
        """Values of a station came late and did not become the present ones: they are asked for, soon and together."""
        wait = self._parameters.interrogation_retry_s
        if wait and station in self._stations:
            retry = self._retries.setdefault(station, _Retry(wait))
            retry.due = min(retry.due, mono + wait)

    def succeeded(self, request: Request) -> None:
        """A request has ended well."""
        if request.is_general:
            self._unknown.discard(request.common_address)
            self._retries.pop(request.common_address, None)

    def _clock(self, stations: Sequence[int]) -> list[Request]:
        return [system_requests.clock(station) for station in stations] if self._parameters.clock_sync_s else []

    def _values(self, stations: Sequence[int]) -> list[Request]:
        return [system_requests.interrogation(station) for station in stations]

    def _totals(self, stations: Sequence[int]) -> list[Request]:
        group, freeze = self._parameters.counter_group, _FREEZES.get(self._parameters.counter_freeze)
        if freeze is None:
            return [system_requests.counters(station, group) for station in stations]
        return [system_requests.frozen_counters(station, group, freeze) for station in stations]


def _after(mono: float, period: float) -> float:
    return mono + period if period else _FOREVER
