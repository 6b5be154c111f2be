"""Why a continuous source was told what it was told, or is left alone."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from scada.apps.agc_avc.avc.records import F8, AvcCommand
from scada.apps.agc_avc.avc.secondary import SecondaryControl
from scada.apps.agc_avc.avc.sources import SourceControl
from scada.apps.agc_avc.explanation import Bound, Explanation, Term
from scada.model_cim.regulation import VoltageZone

_MOST_PULLS = 3
"""Voltages named as what moved a source."""
_AT_LIMIT = 1e-6


class ZoneSeen(Protocol):
    """What an explanation needs to know of the zone."""

    zone: VoltageZone
    voltage: F8
    target: F8
    secondary: SecondaryControl


def explain_source(
    control: SourceControl, zone: ZoneSeen, command: AvcCommand | None, when_ns: int, *, sent: bool
) -> Explanation:
    """Explain a continuous source.

    Args:
        control: the source.
        zone: its zone after the last cycle.
        command: last command or advice, None = there was none since the start.
        when_ns: when it was decided.
        sent: it was sent, not only advised.
    """
    source = control.source
    value = math.nan if command is None else command.value
    inputs = [Term("reactive", control.reactive, "Mvar", control.substituted and f"substituted: {control.substituted}")]
    if source.active is not None:
        inputs.append(Term("active", control.active, "MW"))
    if not math.isnan(control.bus_kv):
        inputs.append(Term("bus_voltage", control.bus_kv, "kV"))
    for p, pilot in enumerate(zone.zone.pilots):
        inputs += [
            Term("voltage", float(zone.voltage[p]), "kV", pilot.name),
            Term("target", float(zone.target[p]), "kV", pilot.name),
        ]
    return Explanation(
        mrid=source.mrid,
        name=source.name,
        output=value,
        unit="Mvar",
        output_ns=when_ns,
        sent=sent,
        reason=control.reason or ("" if command is None else command.why),
        inputs=tuple(inputs),
        steps=tuple(_steps(control, zone.secondary)),
        limits=tuple(_bounds(control, value)),
        objective="voltage_targets",
    )


def _steps(control: SourceControl, secondary: SecondaryControl) -> list[Term]:
    """From the voltages to the change: which of them pulled most, and what the plant made of it."""
    account = secondary.accounts.get(control.source.mrid)
    if account is None:
        return []
    effect = np.nan_to_num(np.array([row.effect[account.column] for row in account.rows]))
    scale = np.array([row.scale for row in account.rows])
    pulls = -account.multipliers * effect / scale
    steps = []
    for r in np.argsort(-np.abs(pulls), kind="stable")[:_MOST_PULLS].tolist():
        if pulls[r] != 0.0:
            way = "raises" if pulls[r] > 0 else "lowers"
            steps.append(Term("pull", float(effect[r]), "kV/Mvar", f"{account.rows[r].name} {way}"))
    if not math.isnan(account.plant_total):
        steps.append(Term("plant_total", account.plant_total, "Mvar", account.rule))
    steps.append(Term("change", account.change, "Mvar", account.solution.method))
    return steps


def _bounds(control: SourceControl, value: float) -> list[Bound]:
    """Its limits; ``step`` around where changes start from."""
    limits = [
        Bound(key, low, high, value <= low + _AT_LIMIT or value >= high - _AT_LIMIT)
        for key, low, high in control.capability.limits
    ]
    if not control.fault:
        base, step = control.base, control.source.step
        stepped = not math.isnan(value) and abs(value - base) >= step - _AT_LIMIT
        limits.append(Bound("step", base - step, base + step, stepped))
        low, high = control.bounds()
        if control.limited() == "blocked":
            limits.append(Bound("blocked", base + low, base + high, binding=True))
    return limits
