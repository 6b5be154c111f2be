"""Orders to a controlling station as text, from an engineer's page or terminal: read, checked, and turned into requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from scada.core.errors import ScadaError
from scada.protocols.iec104 import system_requests
from scada.protocols.iec104.system_requests import Freeze, Request

_PARAMETER_TYPES: Final = {"normalized": 110, "scaled": 111, "short_float": 112}
_PARAMETER_KINDS: Final = {"threshold": 1, "smoothing": 2, "low_limit": 3, "high_limit": 4}
_FREEZES: Final = {"read": None, "freeze": Freeze.FREEZE, "freeze_reset": Freeze.FREEZE_RESET, "reset": Freeze.RESET}
_RESETS: Final = {"general": 1, "event_buffer": 2}
_ACTIVATIONS: Final = {"all_loaded": 1, "object": 2, "cyclic": 3}


_Meaning = TypeVar("_Meaning")


class OrderError(ScadaError):
    """An order that is unknown or says something impossible; nothing was sent."""


class TestCounter(Protocol):
    """Who numbers test commands."""

    def next_test(self, common_address: int) -> Request:
        """A test command with a counter of its own."""
        ...


class _Arguments:
    """Arguments of one order; each is asked for once, and what is left over is a mistake."""

    def __init__(self, order: str, given: Mapping[str, str], stations: Sequence[int]) -> None:
        self._order = order
        self._left = dict(given)
        self._stations = stations

    def choice(self, name: str, options: Mapping[str, _Meaning], default: str) -> _Meaning:
        """One of several words."""
        said = self._left.pop(name, "") or default
        if said not in options:
            raise OrderError(f"{self._order}: {name} is one of {', '.join(options)}, not {said!r}")
        return options[said]

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number; decimal, or hexadecimal with 0x."""
        said = self._left.pop(name, "")
        if not said:
            if default is None:
                raise OrderError(f"{self._order} needs {name}")
            return default
        try:
            return int(said, 0)
        except ValueError as error:
            raise OrderError(f"{self._order}: {name} is a whole number, not {said!r}") from error

    def number(self, name: str) -> float:
        """A number."""
        said = self._left.pop(name, "")
        try:
            return float(said)
        except ValueError as error:
            raise OrderError(
                f"{self._order}: {name} is a number, not {said!r}" if said else f"{self._order} needs {name}"
            ) from error

    def stations(self) -> tuple[int, ...]:
        """The named station, or all of the channel."""
        said = self.whole("common_address", 0)
        if said and said not in self._stations:
            raise OrderError(f"{self._order}: the channel has no station with common address {said}")
        if not self._stations:
            raise OrderError(f"{self._order}: the channel has no station address")
        return (said,) if said else tuple(self._stations)

    def station(self) -> int:
        """One station; it must be named where the channel has several."""
        found = self.stations()
        if len(found) > 1:
            raise OrderError(f"{self._order} needs common_address: the channel has the stations {', '.join(map(str, found))}")
        return found[0]

    def end(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise OrderError(f"{self._order} has no argument {', '.join(sorted(self._left))}")


def _interrogate(said: _Arguments, counter: TestCounter) -> list[Request]:
    del counter
    group = said.whole("group", 0)
    return [system_requests.interrogation(address, group) for address in said.stations()]


def _cancel_interrogation(said: _Arguments, counter: TestCounter) -> list[Request]:
    return [system_requests.cancel(request) for request in _interrogate(said, counter)]


def _synchronise_clock(said: _Arguments, counter: TestCounter) -> list[Request]:
    del counter
    return [system_requests.clock(address) for address in said.stations()]


def _read_counters(said: _Arguments, counter: TestCounter) -> list[Request]:
    del counter
    group, freeze = said.whole("group", 0), said.choice("mode", _FREEZES, "read")
    if freeze is None:
        return [system_requests.counters(address, group) for address in said.stations()]
    if freeze is Freeze.RESET:
        return [system_requests.counters(address, group, freeze) for address in said.stations()]
    return [system_requests.frozen_counters(address, group, freeze) for address in said.stations()]


def _read(said: _Arguments, counter: TestCounter) -> list[Request]:
    del counter
    return [system_requests.read(said.station(), said.whole("ioa"))]


def _test(said: _Arguments, counter: TestCounter) -> list[Request]:
    with_time = said.choice("kind", {"time": True, "plain": False}, "time")
    return [counter.next_test(address) if with_time else system_requests.probe(address) for address in said.stations()]


def _reset_process(said: _Arguments, counter: TestCounter) -> list[Request]:
    del counter
    return [system_requests.reset_process(said.station(), said.choice("kind", _RESETS, "general"))]


def _load_parameter(said: _Arguments, counter: TestCounter) -> list[Request]:
    del counter
    type_id = said.choice("type", _PARAMETER_TYPES, "short_float")
    kind = said.choice("kind", _PARAMETER_KINDS, "threshold")
    return [system_requests.parameter(said.station(), said.whole("ioa"), type_id, said.number("value"), kind)]


def _activate_parameter(said: _Arguments, counter: TestCounter) -> list[Request]:
    del counter
    qualifier = said.choice("kind", _ACTIVATIONS, "cyclic")
    active = said.choice("active", {"yes": True, "no": False}, "yes")
    return [system_requests.activation(said.station(), said.whole("ioa", 0), qualifier, activate=active)]


_READERS: Final[Mapping[str, Callable[[_Arguments, TestCounter], list[Request]]]] = {
    "interrogate": _interrogate,
    "cancel_interrogation": _cancel_interrogation,
    "synchronise_clock": _synchronise_clock,
    "read_counters": _read_counters,
    "read": _read,
    "test": _test,
    "reset_process": _reset_process,
    "load_parameter": _load_parameter,
    "activate_parameter": _activate_parameter,
}
ORDERS: Final = tuple(_READERS)
"""Names of all orders. Their arguments, each with a default where it has one sense:

``common_address`` everywhere: all stations of the channel, or its only one. ``group`` of interrogations: 0 = all, 1 .. 16
(counters 1 .. 4). ``mode`` of ``read_counters``: read, freeze, freeze_reset, reset. ``ioa`` of ``read`` and of parameters.
``kind`` of ``test``: time, plain; of ``reset_process``: general, event_buffer; of ``load_parameter``: threshold, smoothing,
low_limit, high_limit; of ``activate_parameter``: all_loaded, object, cyclic. ``type`` of ``load_parameter``: normalized, scaled,
short_float; and its ``value``, as on the wire. ``active`` of ``activate_parameter``: yes, no.
"""


def parse(name: str, arguments: Mapping[str, str], stations: Sequence[int], counter: TestCounter) -> list[Request]:
    """The requests an order means, one a station.

    Args:
        name: one of :data:`ORDERS`.
        arguments: as text; an empty or missing one has its default.
        stations: common addresses of the channel.
        counter: numbers test commands.

    Raises:
        OrderError: the order is unknown, or an argument is missing, unknown or impossible.
    """
    if name not in _READERS:
        raise OrderError(f"there is no order {name!r}", mend=f"one of {', '.join(ORDERS)}")
    said = _Arguments(name, arguments, stations)
    try:
        wanted = _READERS[name](said, counter)
    except ValueError as error:
        raise OrderError(f"{name}: {error}") from error
    said.end()
    return wanted
