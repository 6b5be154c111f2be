"""Why a discrete device was operated, or is left alone."""

from __future__ import annotations

import math
from typing import Protocol

from scada.apps.agc_avc.avc.devices import DeviceControl
from scada.apps.agc_avc.avc.discrete import DiscreteControl
from scada.apps.agc_avc.avc.nine_zone import SOURCE
from scada.apps.agc_avc.avc.records import F8, AvcCommand
from scada.apps.agc_avc.explanation import Bound, Explanation, Term
from scada.model_cim.regulation import VoltageZone


class ZoneSeen(Protocol):
    """What an explanation needs to know of the zone."""

    zone: VoltageZone
    voltage: F8
    target: F8
    discrete: DiscreteControl


def explain_device(
    control: DeviceControl, zone: ZoneSeen, command: AvcCommand | None, when_ns: int, *, sent: bool
) -> Explanation:
    """Explain a device.

    Args:
        control: the device.
        zone: its zone after the last cycle.
        command: last command or advice, None = there was none since the start.
        when_ns: when it was decided.
        sent: it was sent, not only advised.
    """
    device = control.device
    inputs = [Term("position", control.position)]
    for p, pilot in enumerate(zone.zone.pilots):
        served = "served" if pilot.mrid == device.pilot else ""
        inputs.append(Term("voltage", float(zone.voltage[p]), "kV", f"{pilot.name} {served}".strip()))
        if served:
            inputs.append(Term("target", float(zone.target[p]), "kV", pilot.name))
    cell = next((zone.discrete.cells[p] for p, pilot in enumerate(zone.zone.pilots) if pilot.mrid == device.pilot), "")
    steps = [Term("nine_zone", math.nan, "", f"{cell or 'no voltage'}; {SOURCE}")]
    for key, raising in (("raise", True), ("lower", False)):
        lock = control.barred(raising=raising)
        steps.append(Term(key, float(control.command(raising=raising)), "", f"{lock.key}: {lock.text}" if lock else "allowed"))
    limits = [Bound("daily_operations", -math.inf, float(device.daily_limit), control.operations_today >= device.daily_limit)]
    if control.stepped:
        at_end = control.position in (device.low_step, device.high_step)
        limits.append(Bound("step_range", float(device.low_step), float(device.high_step), at_end))
    return Explanation(
        mrid=device.mrid,
        name=device.name,
        output=math.nan if command is None else command.value,
        unit="",
        output_ns=when_ns,
        sent=sent,
        reason=control.lock or ("" if command is None else command.why),
        inputs=tuple(inputs),
        steps=tuple(steps),
        limits=tuple(limits),
        objective="nine_zone_rule",
    )
