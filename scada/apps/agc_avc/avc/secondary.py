"""Secondary voltage control of a zone: its continuous sources bring the pilot nodes to their targets.

Once a cycle, with the sensitivities of the live network (coordinated secondary voltage control, the objective after common
practice in China's AVC)::

    minimise  sum over pilots   weight ((S dq - gain (target - V)) / dead band)²
            + sum over sources  loading weight ((q + dq - middle) / half)²
    subject to  dq within range, step and blocks;
                voltages of pilots and of the sources' buses within limits (priced, see quadratic.py)

Each cycle corrects a part of what is measured, so errors of the model are forgiven. Sources of a plant move as one; how they
share their total is the plant's (shares.py). Dynamic compensators weigh more, so that the others carry the duty, and keep a part
of their range free unless a voltage limit is at stake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scada.apps.agc_avc.avc.movers import Mover, movers, reserve_window
from scada.apps.agc_avc.avc.quadratic import VoltageProgramme, VoltageSolution, solve
from scada.apps.agc_avc.avc.records import F8, AvcCommand
from scada.apps.agc_avc.avc.sources import SourceControl
from scada.apps.agc_avc.errors import RegulationError
from scada.core.avc_settings import AvcTuning
from scada.model_cim.regulation import PilotNode, VoltageZone

BUS_DEADBAND = 0.005
"""Part of its voltage by which a bus outside its limits is measured, as a dead band is for a pilot."""
_LEAST_EFFECT = 1e-6
"""kV/Mvar; a source that moves no voltage by more cannot help."""
_KEPT = 1e-6
"""kV by which a limit may be left for rounding."""


@dataclass(frozen=True, slots=True)
class ZoneVoltages:
    """What the zone is told of its pilots and how they answer. kV.

    Attributes:
        pilots: expected after this cycle's discrete operation, NaN = not usable.
        target: wanted.
        deadband: > 0.
        effect: of each source on each pilot, kV/Mvar, shape ``(pilots, sources)``; NaN = unknown.
        buses: of each source on the bus of each source, shape ``(sources, sources)``; None = unknown.
        bus_change: expected change of the buses by the discrete operation; None = none.
    """

    pilots: F8
    target: F8
    deadband: F8
    effect: F8
    buses: F8 | None = None
    bus_change: F8 | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One voltage of the problem: a pilot, or a bus of a source."""

    key: str
    name: str
    voltage: float
    scale: float
    """What 1 is in the problem, kV."""
    weight: float
    target: float
    """Wanted change, kV."""
    minimum: float
    maximum: float
    effect: F8
    """Of each source of the zone, kV/Mvar."""


@dataclass(slots=True)
class Moves:
    """Outcome of a cycle."""

    commands: list[AvcCommand] = field(default_factory=list)
    advice: list[AvcCommand] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Account:
    """What a source's set-point was made of, for its explanation."""

    rows: tuple[Row, ...]
    multipliers: F8
    solution: VoltageSolution
    change: float
    """Of the source, Mvar."""
    plant_total: float
    """Of its plant, NaN = it stands for itself."""
    rule: str
    column: int


class SecondaryControl:
    """Continuous control of one zone.

    Args:
        zone: the zone.
        sources: state of its sources, read before each :meth:`act`.
        tuning: parameters.

    Attributes:
        accounts: what the last set-point of each source was made of, by mRID.
    """

    def __init__(self, zone: VoltageZone, sources: Sequence[SourceControl], tuning: AvcTuning) -> None:
        self.accounts: dict[str, Account] = {}
        self._zone = zone
        self._sources = list(sources)
        self._tuning = tuning
        self._plants = {plant.mrid: plant for plant in zone.plants}
        self._start: dict[str, float] = {}

    def act(self, voltages: ZoneVoltages, *, send: bool) -> Moves:
        """Set-points of this cycle. With ``send`` false, and for open loops, they are advice and not remembered as sent."""
        moves = Moves()
        rows = self._rows(voltages)
        turned = self._turned(voltages.buses)
        closed = [s for s, source in enumerate(self._sources) if not source.reason and s not in turned]
        opened = [s for s, source in enumerate(self._sources) if not source.fault and source.loop == "open" and s not in turned]
        if turned:
            names = ", ".join(self._sources[s].source.name for s in sorted(turned))
            moves.reasons.append(f"left alone, since by the network more reactive power would lower their own voltage: {names}")
        why = self._why_act(rows, closed + opened)
        if not why:
            return moves
        commands = self._solve(rows, closed, why, moves.reasons)
        if send:
            moves.commands = commands
            for command in commands:
                self._of(command.mrid).commanded(command.value)
        else:
            moves.advice = commands
        if opened:  # what these would do if they took part
            advised = {self._sources[s].source.mrid for s in opened}
            moves.advice += [command for command in self._solve(rows, closed + opened, why, []) if command.mrid in advised]
        for command in moves.advice:
            self._of(command.mrid).advice = command.value
        return moves

    def _turned(self, buses: F8 | None) -> set[int]:
        """Sources whose own bus answers the wrong way round: a state beyond the edge of stability, or a wrong model."""
        return set() if buses is None else set(np.flatnonzero(np.diag(buses) < -_LEAST_EFFECT).tolist())

    def _of(self, mrid: str) -> SourceControl:
        return next(source for source in self._sources if source.source.mrid == mrid)

    # ------------------------------------------------------------ the problem

    def _rows(self, voltages: ZoneVoltages) -> list[Row]:
        rows = []
        for p, pilot in enumerate(self._zone.pilots):
            effect, kv = voltages.effect[p], float(voltages.pilots[p])
            if math.isnan(kv) or not np.isfinite(effect).any():
                continue
            deadband = float(voltages.deadband[p])
            weight = pilot.weight if math.isfinite(pilot.weight) and pilot.weight > 0 else 1.0
            error = float(voltages.target[p]) - kv
            low, high = _limits(pilot)
            rows.append(Row(pilot.mrid, pilot.name, kv, deadband, weight, error, low, high, effect))
        if voltages.buses is None:
            return rows
        for s, source in enumerate(self._sources):
            low, high, effect = source.source.voltage_minimum, source.source.voltage_maximum, voltages.buses[s]
            if math.isnan(source.bus_kv) or (low > high) or not np.isfinite(effect).any():
                continue
            shift = 0.0 if voltages.bus_change is None else float(np.nan_to_num(voltages.bus_change[s]))
            low, high = (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)
            scale = BUS_DEADBAND * source.bus_kv
            rows.append(
                Row(source.source.mrid, f"bus of {source.source.name}", source.bus_kv + shift, scale, 0.0, 0.0, low, high, effect)
            )
        return rows

    def _why_act(self, rows: Sequence[Row], able: Sequence[int]) -> str:
        """What asks for a change; empty = nothing does."""
        outside = [row for row in rows if _outside(row, row.voltage) != 0.0]
        if outside:
            worst = max(outside, key=lambda row: abs(_outside(row, row.voltage)) / row.scale)
            return f"{worst.name} {abs(_outside(worst, worst.voltage)):.2f} kV {_side(worst, worst.voltage)}"
        off = [row for row in rows if row.weight > 0 and abs(row.target) > row.scale]
        if off:
            worst = max(off, key=lambda row: abs(row.target) / row.scale)
            return f"{worst.name}: expected {worst.voltage:.2f} kV, target {worst.voltage + worst.target:.2f} kV"
        for s in able:
            source = self._sources[s]
            low, high = reserve_window(source, self._tuning)
            if source.source.kind == "svg" and not low - source.tolerance <= source.reactive <= high + source.tolerance:
                return f"{source.source.name} gives {source.reactive:.1f} Mvar: its reserve is moved back to it"
        for mrid in self._plants:
            signs = {
                math.copysign(1.0, self._sources[s].reactive)
                for s in able
                if self._sources[s].source.plant == mrid and abs(self._sources[s].reactive) > self._sources[s].tolerance
            }
            if len(signs) > 1:
                return f"sources of {self._plants[mrid].name} work against each other"
        return ""

    def _solve(self, rows: list[Row], able: Sequence[int], why: str, reasons: list[str]) -> list[AvcCommand]:
        """Set-points of the sources ``able``; ``reasons`` gains what could not be done."""
        effect = np.array([row.effect for row in rows]).reshape(len(rows), len(self._sources))
        known = [s for s in able if np.isfinite(effect[:, s]).all() and np.abs(effect[:, s]).max(initial=0.0) > _LEAST_EFFECT]
        if not known:
            reasons.append("no continuous source can help")
            return []
        effect = np.nan_to_num(effect)
        urgent = any(_outside(row, row.voltage) != 0.0 for row in rows)
        moving = movers(self._sources, known, self._plants, self._tuning, urgent=urgent)
        problem = self._programme(rows, moving, effect)
        start = np.array([self._start.get(row.key, 0.0) for row in rows])
        try:
            solution = solve(problem, start)
        except RegulationError as error:
            reasons.append(f"continuous sources are not moved: {error}")
            return []
        self._start = {row.key: float(value) for row, value in zip(rows, solution.multiplier, strict=True)}
        return self._setpoints(rows, moving, effect, solution, why, reasons)

    def _programme(self, rows: Sequence[Row], moving: Sequence[Mover], effect: F8) -> VoltageProgramme:
        tuning = self._tuning
        scale = np.array([row.scale for row in rows])
        weight = np.array([row.weight for row in rows])
        quiet = not any(row.weight > 0 and abs(row.target) > row.scale for row in rows)
        gain = 0.0 if quiet else tuning.gain  # where only duty is moved, the voltages stay
        price = np.where(weight > 0, tuning.limit_weight, tuning.bus_limit_weight)
        voltage = np.array([row.voltage for row in rows])
        return VoltageProgramme(
            weight=np.array([mover.weight for mover in moving]),
            linear=np.array([mover.linear for mover in moving]),
            lower=np.array([mover.low for mover in moving]),
            upper=np.array([mover.high for mover in moving]),
            effect=(np.array([effect @ mover.part for mover in moving]) / scale).T,
            row_weight=weight,
            target=gain * np.array([row.target for row in rows]) / scale,
            row_lower=(np.array([row.minimum for row in rows]) - voltage) / scale,
            row_upper=(np.array([row.maximum for row in rows]) - voltage) / scale,
            price=price,
            stiffness=price,
        )

    # ------------------------------------------------------------ the answer

    def _setpoints(
        self,
        rows: list[Row],
        moving: Sequence[Mover],
        effect: F8,
        solution: VoltageSolution,
        why: str,
        reasons: list[str],
    ) -> list[AvcCommand]:
        commands, exhausted = [], []
        expected = np.array([row.voltage for row in rows])
        for mover, change in zip(moving, solution.change, strict=True):
            shares = mover.share(float(change))
            if shares.note:
                reasons.append(f"{mover.name}: {shares.note}")
            for s, setpoint in zip(mover.sources, shares.setpoints, strict=True):
                source = self._sources[s]
                dq = setpoint - source.base
                limit = source.limited(setpoint)
                if limit:
                    exhausted.append(f"{source.source.name} ({limit})")
                self.accounts[source.source.mrid] = Account(
                    tuple(rows),
                    solution.multiplier,
                    solution,
                    dq,
                    mover.total + float(change) if mover.plant else math.nan,
                    mover.rule,
                    s,
                )
                if abs(dq) < self._tuning.source_deadband_mvar:
                    continue
                expected += effect[:, s] * dq
                commands.append(
                    AvcCommand(source.source.setpoint, source.source.mrid, setpoint, f"{dq:+.2f} Mvar for {why}", discrete=False)
                )
        for row, kv in zip(rows, expected.tolist(), strict=True):
            left = _outside(row, kv)
            if abs(left) > max(_KEPT, 1e-3 * row.scale):
                reasons.append(f"{row.name} stays {abs(left):.2f} kV {_side(row, kv)}")
        if exhausted:
            reasons.append(f"at its limit: {', '.join(exhausted)}")
        return commands

    # ------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here; the sources have their own."""
        return {"start": dict(self._start)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        known = {pilot.mrid for pilot in self._zone.pilots} | {source.source.mrid for source in self._sources}
        self._start = {key: float(value) for key, value in state["start"].items() if key in known}


def _limits(pilot: PilotNode) -> tuple[float, float]:
    """Limits of a pilot; reversed or missing ones do not bind."""
    low = pilot.minimum if math.isfinite(pilot.minimum) else -math.inf
    high = pilot.maximum if math.isfinite(pilot.maximum) else math.inf
    return (low, high) if low <= high else (-math.inf, math.inf)


def _outside(row: Row, kv: float) -> float:
    """KV by which a voltage is above (positive) or below its limits."""
    return max(kv - row.maximum, 0.0) - max(row.minimum - kv, 0.0)


def _side(row: Row, kv: float) -> str:
    return f"above its limit of {row.maximum:g} kV" if kv > row.maximum else f"below its limit of {row.minimum:g} kV"
