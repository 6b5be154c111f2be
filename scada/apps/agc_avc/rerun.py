"""Recorded cycles run again: the same parameters give the same outputs; other ones say what they would have ordered.

A what-if is an open loop: the measurements are those that the recorded outputs led to. It shows what other parameters would have
ordered from them, not how the plant would have answered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from scada.apps.agc_avc.agc.controller import AgcController, AgcDecision
from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.avc.records import AvcDecision, AvcSensitivity
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.agc_avc.recording import RecordedCycle, RunHeader, packed_state
from scada.core.agc_settings import AgcSettings
from scada.core.avc_settings import AvcSettings
from scada.core.clock import HeldClock
from scada.core.errors import ScadaError
from scada.model_cim.regulation import ControlArea, VoltageZone
from scada.rtdb.changes import Snapshot

_S = TypeVar("_S", AgcSettings, AvcSettings)

Changes = Mapping[str, Any]
"""Parameter -> value: ``proportional``, ``tuning.washout_s``, or of a unit ``unit.NAME.participation`` (name or mRID)."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """A cycle that was run again."""

    recorded: RecordedCycle
    decision: AgcDecision | AvcDecision
    outputs: tuple[tuple[int, float], ...]


def outputs_of(decision: AgcDecision | AvcDecision) -> tuple[tuple[int, float], ...]:
    """(cid, value) of everything a decision sends, in its order."""
    if isinstance(decision, AgcDecision):
        return tuple((setpoint.cid, float(setpoint.mw)) for setpoint in decision.setpoints)
    return tuple((command.cid, float(command.value)) for command in decision.commands)


class RerunController:
    """The controller of a recording, fed with its cycles.

    Args:
        header: beginning of the recording.
        changes: parameters that differ from the recorded ones.

    Raises:
        RegulationError: a parameter that does not exist or cannot have the value, or a recording of another version.
    """

    def __init__(self, header: RunHeader, changes: Changes = {}) -> None:  # noqa: B006 - a Mapping is not written to
        self._header = header
        self._clock = HeldClock()
        self._pids = np.array(header.pids, np.uint32)
        settings, units = _split(changes)
        self._clock.set(header.started_ns, header.monotonic)
        try:
            self._controller = self._made(header, settings, units)
            if header.state:
                self._controller.restore(dict(header.state))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _of_another_version(error) from error

    def _made(
        self, header: RunHeader, settings: Mapping[str, Any], units: Mapping[str, Mapping[str, Any]]
    ) -> AgcController | AvcController:
        if header.application == "agc":
            area = _with_units(TypeAdapter(ControlArea).validate_python(header.subject), units)
            return AgcController(area, _settings(AgcSettings, header.settings, settings), self._clock)
        if units:
            raise RegulationError("AVC has no units to change", mend="change its own parameters")
        zones = TypeAdapter(tuple[VoltageZone, ...]).validate_python(header.subject)
        return AvcController(zones, _settings(AvcSettings, header.settings, settings), self._clock)

    def goes_on(self, header: RunHeader) -> bool:
        """True if a recording goes on where this run stands: the same model, settings and points, and the state it has now."""
        same = ("application", "name", "model", "settings", "pids")
        if any(getattr(header, name) != getattr(self._header, name) for name in same):
            return False
        return packed_state(header.state) == packed_state(self._controller.state())

    def cycle(self, cycle: RecordedCycle) -> Rerun:
        """Run the next cycle, the orders before it included."""
        for order in cycle.orders:
            self._clock.set(order.now_ns, order.monotonic)
            call = None if order.name.startswith("_") else getattr(self._controller, order.name, None)
            if not callable(call):
                raise _of_another_version(f"no order {order.name!r}")
            with contextlib.suppress(ScadaError):  # it was refused then, too
                call(*order.arguments)
        self._clock.set(cycle.now_ns, cycle.monotonic)
        decision = self._decide(cycle)
        return Rerun(cycle, decision, outputs_of(decision))

    def _decide(self, cycle: RecordedCycle) -> AgcDecision | AvcDecision:
        none = np.zeros(len(self._pids), np.int64)
        inputs = Measurements(Snapshot(0, self._pids, cycle.value, cycle.quality, none, none), cycle.forbidden)
        if isinstance(self._controller, AgcController):
            return self._controller.cycle(inputs)
        return self._controller.cycle(inputs, None if cycle.extra is None else AvcSensitivity(**cycle.extra))


def _of_another_version(cause: object) -> RegulationError:
    return RegulationError(
        f"the recording does not fit this version of the program: {cause}", mend="run it again with the version that made it"
    )


def _split(changes: Changes) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Parameters of the application, and those of units by unit."""
    settings: dict[str, Any] = {}
    units: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        if name.startswith("unit."):
            unit, _, parameter = name.removeprefix("unit.").rpartition(".")
            units.setdefault(unit, {})[parameter] = value
            continue
        place = settings
        *sections, last = name.split(".")
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise RegulationError(f"{section!r} is given a value, and {name!r} is a part of it", mend="give one of both")
        place[last] = value
    return settings, units


def _settings(kind: type[_S], recorded: Mapping[str, Any], changes: Mapping[str, Any]) -> _S:
    """Settings of a recording with changes.

    Raises:
        RegulationError: an unknown parameter or value.
    """

    def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
        both = dict(base)
        for name, value in over.items():
            if name not in base:
                raise RegulationError(f"no parameter {name!r}", mend=f"one of {', '.join(sorted(base))}")
            both[name] = merged(base[name], value) if isinstance(value, Mapping) and isinstance(base[name], Mapping) else value
        return both

    known = merged(kind().model_dump(), {name: value for name, value in recorded.items() if name in kind.model_fields})
    try:
        return kind.model_validate(merged(known, changes))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RegulationError(f"{where}: {first['msg']}", mend="see `scada config show`") from error


def _with_units(area: ControlArea, changes: Mapping[str, Mapping[str, Any]]) -> ControlArea:
    units = list(area.units)
    for name, given in changes.items():
        at = next((i for i, unit in enumerate(units) if name in {unit.mrid, unit.name}), None)
        if at is None:
            raise RegulationError(f"no unit {name!r} in the recording", mend=f"one of {', '.join(unit.name for unit in units)}")
        for parameter, value in given.items():
            if parameter not in _TUNABLE:
                raise RegulationError(
                    f"parameter {parameter!r} of a unit cannot be changed", mend=f"one of {', '.join(_TUNABLE)}"
                )
            number = isinstance(getattr(units[at], parameter), float)
            if isinstance(value, bool) or not isinstance(value, (int, float) if number else str):
                raise RegulationError(f"{parameter} of a unit cannot be {value!r}", mend="a number" if number else "a word")
        units[at] = replace(units[at], **given)
    return replace(area, units=tuple(units))


_TUNABLE = (
    "minimum",
    "maximum",
    "ramp_up",
    "ramp_down",
    "participation",
    "deadband",
    "cost_b",
    "cost_c",
    "share",
    "base_mode",
    "reg_mode",
    "maximum_step",
    "minimum_interval_s",
)
"""What a what-if may change of a unit; its points and controls are those of the recording."""
