"""What goes into and comes out of one AVC cycle."""

from __future__ import annotations

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
        buses: kV at the bus of each source per Mvar injected by each source, shape ``(sources, sources)``; None = not computed.
        device_buses: kV at the bus of each source for the one operation of each device, shape ``(sources, devices)``.
    """

    sources: F8
    devices: F8
    buses: F8 | None = None
    device_buses: F8 | None = None


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
