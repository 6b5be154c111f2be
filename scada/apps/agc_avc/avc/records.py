"""What goes into and comes out of one AVC cycle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]

AvcState = Literal["off", "on", "monitor", "suspended"]


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
        dead: pilots whose bus has no supply by the topology; None = not known.
        islanded: pilots whose bus is not in the largest island; None = not known.
        losses_mw: losses of the network.
    """

    sources: F8
    devices: F8
    buses: F8 | None = None
    device_buses: F8 | None = None
    dead: npt.NDArray[np.bool_] | None = None
    islanded: npt.NDArray[np.bool_] | None = None
    losses_mw: float = math.nan


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
    cell: str = ""
    """Cell of the nine-zone table (voltage/reactive balance); empty = no voltage."""
    target_source: str = "model"
    """Where the target comes from: ``model``, ``period``, ``file`` ..."""
    target_note: str = ""
    """What is to be said about it: limited, being approached, a stale plan."""
    qualified_today_percent: float = math.nan
    """Part of the valid time of the day within the limits."""


@dataclass(frozen=True, slots=True)
class SourceDecision:
    """A reactive source after a cycle. Fields as in ``AvcSourceStatus``; Mvar."""

    name: str
    mrid: str
    reactive_mvar: float
    setpoint_mvar: float
    """Last sent, NaN = none."""
    minimum_mvar: float
    """Of its range now (limits, capability curve, inverter circle)."""
    maximum_mvar: float
    available: bool
    reason: str
    loop: str = "closed"
    advice_mvar: float = math.nan
    """Set-point that would be sent if the loop were closed and AVC on; NaN = none."""
    limited: str = ""
    """What it stands at and cannot pass: ``limits``, ``capability_curve``, ``inverter_circle``, ``blocked``; empty = nothing."""
    plant: str = ""
    kind: str = "machine"
    active_mw: float = math.nan
    bus_kv: float = math.nan
    """Voltage of its own bus, where that has limits."""


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
    lock_key: str
    """Key of the lock, see :mod:`scada.apps.agc_avc.avc.locks`."""
    lock_clears: str
    """Who may clear it: ``time``, ``plant`` or ``operator``."""
    raise_barred: str
    """Key of what forbids an operation that raises the voltage; empty = nothing."""
    lower_barred: str
    others_today: int
    """Operations of today that others ordered."""
    loop: str
    quota_now: int
    """Operations planned until the end of this period of the day."""
    advice: float = math.nan
    """Command that would be sent if the loop were closed and AVC on; NaN = none."""


@dataclass(frozen=True, slots=True)
class ZoneDecision:
    """One zone after a cycle; ``reason`` says what keeps it from being regulated or what it waits for."""

    name: str
    reason: str
    state: AvcState
    cause: str
    """Key of the cause of a suspension, see :mod:`scada.apps.agc_avc.avc.suspension`; empty = none."""
    suspensions: Mapping[str, int]
    """How often each cause suspended the zone."""
    loading: float
    """Of the sources that can be moved, part of half their range (1 = at the upper limit), NaN = there are none."""
    qualified_today_percent: float
    pilots: tuple[PilotDecision, ...]
    sources: tuple[SourceDecision, ...]
    devices: tuple[DeviceDecision, ...]


@dataclass(frozen=True, slots=True)
class AvcEvaluation:
    """How AVC does today. NaN = nothing to judge yet; percent."""

    qualified_percent: float
    """Part of the valid time of all pilot nodes within their limits."""
    compliance_percent: float
    """Commands that were met in time."""
    commands: int
    """Commands judged."""
    availability_percent: float
    """Time in service by running time, without what the grid caused."""
    operations: int
    """Operations of all devices."""
    losses_mwh: float
    """Energy lost in the network, where the power flow knows it."""
    reference: str
    """Digest of the plan of targets in force; empty = none."""


@dataclass(frozen=True, slots=True)
class AvcDecision:
    """Result of one cycle."""

    state: AvcState
    reason: str
    cycle_ns: int
    zones: tuple[ZoneDecision, ...]
    commands: tuple[AvcCommand, ...]
    """To be sent through the control path; empty unless ``on`` (and test commands, in every state)."""
    notices: tuple[str, ...]
    """What changed since the last cycle, for the event log."""
    advice: tuple[AvcCommand, ...]
    """What would be sent to loops that are open or, in ``monitor``, to all."""
    evaluation: AvcEvaluation
