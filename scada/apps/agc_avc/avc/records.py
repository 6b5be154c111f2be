"""What goes into and comes out of one AVC cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]

AvcState = Literal["off", "on", "suspended"]


@dataclass(frozen=True, slots=True)
class AvcSensitivity:
    """How pilot voltages answer, at the present state of the network. NaN = unknown; what is unknown is not used.

    Rows follow ``AvcController.pilots``, columns ``AvcController.sources`` and ``.devices`` (their order over all zones).

    Attributes:
        sources: kV per Mvar injected by each source, shape ``(pilots, sources)``.
        devices: kV for the one operation of each device that raises its voltage (a bank of capacitors on, a reactor off, one tap
            step in the raising direction), shape ``(pilots, devices)``.
    """

    sources: F8
    devices: F8


@dataclass(frozen=True, slots=True)
class AvcCommand:
    """One control to send now.

    Attributes:
        cid: control.
        mrid: source or device.
        value: set-point in Mvar, switch position (1 open, 2 close) or step command (1 lower, 2 higher).
        why: one sentence for the audit log and the operator.
        discrete: True for a device.
    """

    cid: int
    mrid: str
    value: float
    why: str
    discrete: bool


@dataclass(frozen=True, slots=True)
class PilotDecision:
    """A pilot node after a cycle. Fields as in ``AvcPilotStatus``; kV."""

    name: str
    mrid: str
    voltage_kv: float
    target_kv: float
    deadband_kv: float
    minimum_kv: float
    maximum_kv: float
    valid: bool


@dataclass(frozen=True, slots=True)
class SourceDecision:
    """A reactive source after a cycle. Fields as in ``AvcSourceStatus``; Mvar."""

    name: str
    mrid: str
    reactive_mvar: float
    setpoint_mvar: float
    """Last sent, NaN = none."""
    minimum_mvar: float
    maximum_mvar: float
    available: bool
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceDecision:
    """A discrete device after a cycle. Fields as in ``AvcDeviceStatus``."""

    name: str
    mrid: str
    kind: str
    position: float
    operations_today: int
    daily_limit: int
    lock: str
    """Why it must not be operated now; empty = it may."""
    last_operation_ns: int


@dataclass(frozen=True, slots=True)
class ZoneDecision:
    """One zone after a cycle; ``reason`` says what keeps it from being regulated or what it waits for."""

    name: str
    reason: str
    pilots: tuple[PilotDecision, ...]
    sources: tuple[SourceDecision, ...]
    devices: tuple[DeviceDecision, ...]


@dataclass(frozen=True, slots=True)
class AvcDecision:
    """Result of one cycle."""

    state: AvcState
    reason: str
    cycle_ns: int
    zones: tuple[ZoneDecision, ...]
    commands: tuple[AvcCommand, ...]
    """To be sent through the control path; empty unless ``on``."""
    notices: tuple[str, ...]
    """What changed since the last cycle, for the event log."""


@dataclass(frozen=True, slots=True)
class AvcTuning:
    """AVC parameters."""

    assumed_effect: float = 0.0125
    """Effect of a device whose sensitivity is unknown, part of the pilot's target, for the prediction only."""
    lack_loading: float = 0.6
    """Part of their half range beyond which the continuous sources are said to lack reserve (below its negative: surplus)."""
    gain: float = 0.7
    """Part of the voltage error that one cycle corrects by continuous sources."""
    loading_weight: float = 0.05
    """Weight of even loading of the sources against voltage errors in dead bands."""
    soft_weight: float = 20.0
    """Weight of a voltage limit against the voltage errors."""
    source_deadband_mvar: float = 0.2
    """Smaller changes of a source are not sent."""
    plausible_low: float = 0.7
    """Voltages below this part of the target are a fault or a dead bus: the zone is blocked."""
    plausible_high: float = 1.3
    """Voltages above this part of the target are not believed."""
    refusals: int = 2
    """Commands refused in a row that lock a device or take a source out."""
    day_offset_s: float = 0.0
    """Seconds added to UTC for the day in which operations are counted."""
    unlock_s: float = math.inf
    """Time after which a lock by refusal opens by itself; by default an operator must do it."""
