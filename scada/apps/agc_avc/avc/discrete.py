"""The discrete step of a zone: which device to operate, if any, from the nine-zone rule and the predicted effect."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.avc.devices import DeviceControl
from scada.apps.agc_avc.avc.nine_zone import ReactiveBalance, Table, VoltageBand, cell_name, reactive_balance, voltage_band
from scada.apps.agc_avc.avc.parallel import DeviceGroup, groups_of
from scada.core.avc_settings import AvcDiscreteSettings, AvcTuning
from scada.core.clock import Clock
from scada.model_cim.regulation import PilotNode

F8 = npt.NDArray[np.float64]

_USELESS = 0.02
"""An effect smaller than this part of a pilot's dead band is none."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A zone as the discrete step sees it. Arrays by pilot node, kV; NaN = not known.

    Attributes:
        voltage, target, deadband, minimum, maximum: of each pilot.
        reactive, reactive_minimum, reactive_maximum: sums over the sources that can be moved, Mvar.
        effects: kV of one raising operation of each device, shape ``(pilots, devices)``; None = no network solution.
    """

    voltage: F8
    target: F8
    deadband: F8
    minimum: F8
    maximum: F8
    reactive: float
    reactive_minimum: float
    reactive_maximum: float
    effects: F8 | None

    def balance(self, threshold: float, relief: float = 0.0) -> ReactiveBalance:
        """Reactive balance, after the sources were relieved by some Mvar."""
        return reactive_balance(self.reactive - relief, self.reactive_minimum, self.reactive_maximum, threshold)

    def outside(self, voltage: F8) -> F8:
        """How far each pilot would be outside its limits at these voltages, kV; 0 = inside or not known."""
        return np.nan_to_num(np.maximum(np.maximum(voltage - self.maximum, self.minimum - voltage), 0.0))


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation chosen.

    Attributes:
        control: the device to operate.
        value: command value.
        raising: towards a higher voltage.
        expected: voltage of every pilot after it (and after its parallel partners followed), kV.
        cell: cell of the nine-zone table that asked for it; empty = a parallel partner follows.
        computed: the effect is that of the live network, not an assumed one.
        relief_mvar: what it takes off the sources, Mvar.
        why: one sentence.
    """

    control: DeviceControl
    value: int
    raising: bool
    expected: F8
    cell: str
    computed: bool
    relief_mvar: float
    why: str


class DiscreteControl:
    """Decides about the devices of one zone, once a cycle.

    Args:
        pilots: pilot nodes of the zone.
        devices: its devices.
        table: the zone's nine-zone table.
        tuning: assumed effect, threshold of lack.
        settings: anti-hunting, quota, parallel transformers.
        clock: for the time since the last operation.
    """

    def __init__(
        self,
        pilots: Sequence[PilotNode],
        devices: Sequence[DeviceControl],
        table: Table,
        tuning: AvcTuning,
        settings: AvcDiscreteSettings,
        clock: Clock,
    ) -> None:
        self.devices = list(devices)
        self.groups = groups_of(self.devices, settings, clock)
        self.cells: list[str] = [""] * len(pilots)
        """Cell of each pilot in the last cycle; empty = no voltage."""
        self._pilots = list(pilots)
        self._table = table
        self._tuning = tuning
        self._settings = settings
        self._asked = [0] * len(pilots)
        self._direction = [0] * len(pilots)

    def judge(self) -> list[str]:
        """After the devices were read and barred: look at the parallel ones; returns notices."""
        return [notice for group in self.groups for notice in group.judge()]

    # ------------------------------------------------------------ choice

    def look(self, now: Situation) -> None:
        """Place every pilot in the nine-zone plane; once a cycle, before :meth:`choose`."""
        balance = now.balance(self._tuning.lack_loading)
        for p in range(len(self._pilots)):
            cell = ""
            if not math.isnan(now.voltage[p]):
                cell = cell_name((voltage_band(now.voltage[p], now.target[p], now.deadband[p]), balance))
            self._asked[p] = self._asked[p] + 1 if cell == self.cells[p] else 1
            self.cells[p] = cell

    def choose(self, now: Situation, loop: str) -> Operation | None:
        """At most one operation, for the pilot that is furthest out; a parallel transformer that has to follow comes first.

        Args:
            now: the zone.
            loop: consider devices with this loop only (``closed`` to command, ``open`` for advice).
        """
        if loop == "closed":
            following = self._following(now)
            if following is not None:
                return following
        balance = now.balance(self._tuning.lack_loading)
        error = np.abs(now.voltage - now.target) / now.deadband
        urgent = now.outside(now.voltage) > 0
        order = np.lexsort((-np.nan_to_num(error, nan=-math.inf), ~urgent))
        for p in order.tolist():
            if math.isnan(now.voltage[p]) or (self._asked[p] < self._settings.confirm_cycles and not urgent[p]):
                continue
            band = voltage_band(now.voltage[p], now.target[p], now.deadband[p])
            for kind, raising in self._table[band, balance]:
                if band is not VoltageBand.OK and self._hunts(p, float(error[p]), raising=raising) and not urgent[p]:
                    continue
                found = self._best(p, band, kind, now, loop, raising=raising, urgent=bool(urgent[p]))
                if found is not None:
                    return found
        return None

    def _hunts(self, p: int, error: float, *, raising: bool) -> bool:
        """The last operation for this pilot went the other way, and the voltage is not clearly out."""
        back = self._direction[p] == (-1 if raising else 1)
        return back and error <= 1.0 + self._settings.hysteresis

    def _best(
        self, p: int, band: VoltageBand, kind: str, now: Situation, loop: str, *, raising: bool, urgent: bool
    ) -> Operation | None:
        """The device or group of a kind that brings pilot ``p`` nearest to its target without pushing any pilot out."""
        candidates = []
        for number, group in enumerate(self.groups):
            device = group.master.device
            if (device.kind == "tap") != (kind == "tap") or device.pilot != self._pilots[p].mrid or group.loop != loop:
                continue
            if group.barred(raising=raising, urgent=urgent):
                continue
            effect, computed = self._effect(group, p, now)
            expected = now.voltage + (effect if raising else -effect)
            relief = (abs(device.mvar) if kind == "bank" else 0.0) * (1.0 if raising else -1.0)
            if self._allowed(p, band, now, expected, relief):
                residual = abs(float(expected[p] - now.target[p]))
                candidates.append(((residual, group.operations_today, number), group, expected, computed, relief))
        if not candidates:
            return None
        _, group, expected, computed, relief = min(candidates, key=lambda candidate: candidate[0])
        pilot = self._pilots[p]
        why = (
            f"{pilot.name} {now.voltage[p]:.2f} kV, target {now.target[p]:.2f} +-{now.deadband[p]:.2f}; "
            f"zone {self.cells[p]}; expected {expected[p]:.2f} kV by {'computed' if computed else 'assumed'} effect"
        )
        control = group.master
        value = control.command(raising=raising)
        return Operation(control, value, raising, expected, self.cells[p], computed, relief, why)

    def _effect(self, group: DeviceGroup, p: int, now: Situation) -> tuple[F8, bool]:
        """Effect on every pilot of one raising operation of all members, kV, and whether it was computed."""
        if now.effects is not None:
            effect = now.effects[:, group.places].sum(axis=1)
            if np.isfinite(effect[np.isfinite(now.voltage)]).all():
                return np.nan_to_num(effect), True
        assumed = np.zeros(len(now.voltage))
        assumed[p] = self._tuning.assumed_effect * now.target[p]
        return assumed, False

    def _allowed(self, p: int, band: VoltageBand, now: Situation, expected: F8, relief: float) -> bool:
        """The predicted result is better: see the conditions inside."""
        # no pilot leaves its limits or gets further out
        if (now.outside(expected) > now.outside(now.voltage) + 1e-12).any():
            return False
        # the sources are not pushed to the other end: that would call for the opposite operation
        before, after = now.balance(self._tuning.lack_loading), now.balance(self._tuning.lack_loading, relief)
        if after != before and after == (ReactiveBalance.SURPLUS if relief > 0 else ReactiveBalance.LACK):
            return False
        if band is VoltageBand.OK:
            return True
        # a pilot outside its dead band comes nearer, and does not land beyond the other edge
        was, will = float(now.voltage[p] - now.target[p]), float(expected[p] - now.target[p])
        if abs(will - was) <= _USELESS * now.deadband[p]:
            return False
        crossed = was * will < 0 and abs(will) > now.deadband[p]
        return not crossed and abs(was) - abs(will) > self._settings.least_gain * float(now.deadband[p])

    def _following(self, now: Situation) -> Operation | None:
        """A parallel transformer that has to follow the one that moved."""
        for group in self.groups:
            found = group.follower()
            if found is None:
                continue
            place, raising = found
            effect = np.zeros(len(now.voltage)) if now.effects is None else np.nan_to_num(now.effects[:, place])
            expected = now.voltage + (effect if raising else -effect)
            if (now.outside(expected) > now.outside(now.voltage) + 1e-12).any():
                continue  # stays locked; the difference is alarmed when it lasts
            control = self.devices[place]
            why = f"follows its parallel partners of {group.name}"
            return Operation(
                control, control.command(raising=raising), raising, expected, "", now.effects is not None, 0.0, why
            )  # fmt: skip
        return None

    def done(self, operation: Operation) -> None:
        """The operation was commanded."""
        operation.control.commanded(operation.value)
        for p, pilot in enumerate(self._pilots):
            if pilot.mrid == operation.control.device.pilot:
                self._direction[p] = 1 if operation.raising else -1

    # ------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here."""
        return {
            "pilots": {pilot.mrid: [self.cells[p], self._asked[p], self._direction[p]] for p, pilot in enumerate(self._pilots)},
            "groups": [group.state() for group in self.groups if len(group.members) > 1],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; what the model no longer has is ignored."""
        for p, pilot in enumerate(self._pilots):
            kept = state.get("pilots", {}).get(pilot.mrid)
            if kept:
                self.cells[p], self._asked[p], self._direction[p] = str(kept[0]), int(kept[1]), int(kept[2])
        for group in self.groups:
            for one in state.get("groups", []):
                group.restore(one)
