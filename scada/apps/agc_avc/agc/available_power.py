"""What a plant that depends on sun or wind could give now: several ways to know it, in order, and which one was used.

The ladder: what the plant says (``telemetered``); what its uncurtailed members show (``benchmark``); what the irradiance lets
expect (``irradiance``); while nothing holds the plant back, what it generates (``output``). None of them: unknown (NaN).
Always at least what is generated now, because that is proof, and at most the capacity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from scada.core.plant_settings import PlantSettings

WEATHER_KINDS = ("pv", "wind")
"""Kinds whose power is given by the weather."""

_OVERLOAD = 1.05
"""Output per capacity above which a measurement is not believed."""
_NOCT_RISE_K = 25.0
"""How much warmer than the air the cells are at 800 W/m² (nominal operating cell temperature of 45 °C at 20 °C of air)."""
_GREATEST_IRRADIANCE = 1600.0
"""W/m²; more is not believed (cloud edges reach some 1500)."""
_MOVED = 0.1
"""Change of the other uncurtailed members' output per capacity that shows that a benchmark which stood still is frozen."""
_RATED = 0.98
"""Output per capacity from which a member may well stand still: it can give no more."""


@dataclass(frozen=True, slots=True)
class Available:
    """An available power.

    Attributes:
        mw: NaN = unknown.
        source: ``telemetered``, ``benchmark``, ``irradiance`` or ``output``; empty = unknown.
        per_capacity: the same per unit of the capacity in service, NaN = unknown.
    """

    mw: float
    source: str
    per_capacity: float


UNKNOWN = Available(math.nan, "", math.nan)


def bounded(mw: float, source: str, capacity: float, output: float) -> Available:
    """An estimate after what is certain: at least the measured output, at most the capacity, never below 0."""
    if math.isnan(mw) or capacity <= 0:
        return UNKNOWN
    found = max(mw, 0.0 if math.isnan(output) else output, 0.0)
    found = min(found, capacity)
    return Available(found, source, found / capacity)


def irradiance_power(capacity: float, irradiance: float | None, settings: PlantSettings) -> float:
    """Power of a PV plant by irradiance, MW; NaN if the irradiance is unknown or not believable.

    ``P = Cap * PR * G/1000 * (1 + gamma (Tc - 25))``, ``Tc = Ta + G/800 * 25 K`` (common PV practice [K]; PR, gamma and Ta are
    settings).

    Args:
        capacity: MW in service.
        irradiance: W/m² in the plane of the modules.
        settings: performance and temperature.
    """
    if irradiance is None or not -50.0 <= irradiance <= _GREATEST_IRRADIANCE:
        return math.nan
    sun = max(irradiance, 0.0)
    power = capacity * settings.irradiance_performance * sun / 1000.0
    if settings.ambient_c is not None:
        cells = settings.ambient_c + _NOCT_RISE_K * sun / 800.0
        power *= max(0.0, 1.0 + settings.irradiance_temperature * (cells - 25.0))
    return power


@dataclass(frozen=True, slots=True)
class Sample:
    """One member as the benchmarks see it in a cycle.

    Attributes:
        power: MW, NaN = unknown.
        in_service: it can generate.
        uncurtailed: nothing holds it back.
    """

    power: float
    in_service: bool
    uncurtailed: bool


class Benchmarks:
    """Members of one kind that stay uncurtailed, and what their output says about the others.

    Args:
        mrids: of all members of the kind.
        capacities: their MW.
        roles: which are benchmarks at first, as the model says.
        settings: how many, how long, when they change.

    Attributes:
        roles: indices of the benchmarks; while they change hands the old ones stay until the new ones can be believed.
    """

    def __init__(self, mrids: Sequence[str], capacities: Sequence[float], roles: Sequence[int], settings: PlantSettings) -> None:
        self._mrids, self._capacities, self._settings = list(mrids), list(capacities), settings
        self._wanted = sorted(roles)
        self.roles = set(roles)
        count = len(self._mrids)
        self._uncurtailed_s = [0.0] * count
        self._still_s = [0.0] * count
        self._last = [math.nan] * count
        self._others_then = [math.nan] * count
        self._turn_s = 0.0

    def choose(self, mrids: Sequence[str]) -> None:
        """Make these members the benchmarks; those before stay until the new ones can be believed."""
        self._wanted = [index for index, mrid in enumerate(self._mrids) if mrid in set(mrids)]
        self.roles |= set(self._wanted)
        self._turn_s = 0.0

    def update(self, samples: Sequence[Sample], dt: float) -> None:
        """Take the members of this cycle: how long each has been uncurtailed and still, and whose turn it is."""
        whole = self._uncurtailed(samples)
        for index, sample in enumerate(samples):
            free = sample.in_service and sample.uncurtailed
            self._uncurtailed_s[index] = self._uncurtailed_s[index] + dt if free else 0.0
            if sample.power == self._last[index]:
                self._still_s[index] += dt
            else:
                self._still_s[index], self._others_then[index] = 0.0, self._others(index, sample, whole)
            self._last[index] = sample.power
        self._rotate(samples, dt)

    def _rotate(self, samples: Sequence[Sample], dt: float) -> None:
        settings = self._settings
        self._turn_s += dt
        if settings.rotation_hours > 0 and self._wanted and self._turn_s >= settings.rotation_hours * 3600.0:
            self._turn_s = 0.0
            start, count = max(self._wanted) + 1, len(self._mrids)
            following = [(start + step) % count for step in range(count)]
            able = [index for index in following if samples[index].in_service]
            self._wanted = sorted(able[: len(self._wanted)]) or self._wanted
            self.roles |= set(self._wanted)
        leaving = self.roles - set(self._wanted)
        settled = all(self._uncurtailed_s[index] >= settings.benchmark_settle_s for index in self._wanted)
        if leaving and (settled or self._turn_s >= 2 * settings.benchmark_settle_s):
            self.roles = set(self._wanted)

    def per_capacity(self, samples: Sequence[Sample]) -> float:
        """``sum P_b / sum Cap_b`` over the benchmarks that can be believed; NaN if they are too few."""
        whole = self._uncurtailed(samples)
        good = [index for index in sorted(self.roles) if self._believed(index, samples[index], whole)]
        ratios = [samples[index].power / self._capacities[index] for index in good]
        if len(good) > 2:  # with two nobody can say which one is wrong
            middle = median(ratios)
            pairs = zip(good, ratios, strict=True)
            good = [index for index, ratio in pairs if abs(ratio - middle) <= self._settings.benchmark_spread]
        if len(good) < self._settings.benchmark_minimum:
            return math.nan
        return max(0.0, sum(samples[index].power for index in good) / sum(self._capacities[index] for index in good))

    def _believed(self, index: int, sample: Sample, whole: tuple[float, float]) -> bool:
        capacity = self._capacities[index]
        if not sample.in_service or math.isnan(sample.power) or capacity <= 0:
            return False
        if self._uncurtailed_s[index] < self._settings.benchmark_settle_s:
            return False
        if not -(_OVERLOAD - 1.0) * capacity <= sample.power <= _OVERLOAD * capacity:
            return False
        if self._still_s[index] < self._settings.benchmark_frozen_s or sample.power >= _RATED * capacity:
            return True
        return not abs(self._others(index, sample, whole) - self._others_then[index]) > _MOVED

    def _uncurtailed(self, samples: Sequence[Sample]) -> tuple[float, float]:
        """(output, capacity) of the members that nothing holds back."""
        able = [(s.power, cap) for s, cap in zip(samples, self._capacities, strict=True) if _shows(s)]
        return sum(power for power, _ in able), sum(capacity for _, capacity in able)

    def _others(self, index: int, sample: Sample, whole: tuple[float, float]) -> float:
        """Output per capacity of the other members that nothing holds back, NaN = there are none."""
        power, capacity = whole
        if _shows(sample):
            power, capacity = power - sample.power, capacity - self._capacities[index]
        return power / capacity if capacity > 1e-9 else math.nan

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on."""
        columns = zip(self._uncurtailed_s, self._still_s, self._last, self._others_then, strict=True)
        return {
            "members": dict(zip(self._mrids, [list(row) for row in columns], strict=True)),
            "roles": [self._mrids[index] for index in sorted(self.roles)],
            "wanted": [self._mrids[index] for index in self._wanted],
            "turn_s": self._turn_s,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; members the model no longer has are forgotten, new ones begin."""
        for index, mrid in enumerate(self._mrids):
            if mrid in state["members"]:
                row = state["members"][mrid]
                self._uncurtailed_s[index], self._still_s[index], self._last[index], self._others_then[index] = map(float, row)
        self._turn_s = float(state["turn_s"])
        self._wanted = [index for index, mrid in enumerate(self._mrids) if mrid in set(state["wanted"])] or self._wanted
        self.roles = {index for index, mrid in enumerate(self._mrids) if mrid in set(state["roles"])} | set(self._wanted)


def _shows(sample: Sample) -> bool:
    return sample.in_service and sample.uncurtailed and not math.isnan(sample.power)


@dataclass(frozen=True, slots=True)
class KindSample:
    """All members of one kind, or a plant without members, in a cycle.

    Attributes:
        kind: ``pv`` or ``wind``.
        capacity: MW in service.
        power: MW generated, NaN = unknown.
        at_its_best: nothing holds any of them back.
        benchmark: output per capacity of the benchmarks, NaN = none to be believed.
    """

    kind: str
    capacity: float
    power: float
    at_its_best: bool
    benchmark: float


def available_power(
    kinds: Sequence[KindSample], telemetered: float | None, irradiance: float | None, settings: PlantSettings
) -> tuple[Available, dict[str, Available]]:
    """Available power of a plant and of each kind in it, by the ladder.

    What the plant says counts for the plant as a whole and is taken to be spread by capacity. Otherwise each kind goes down the
    ladder by itself; if one ends in the unknown, so does the plant.

    Args:
        kinds: what depends on the weather.
        telemetered: what the plant says, MW; None = nothing good.
        irradiance: W/m²; None = nothing good.
        settings: parameters.
    """
    capacity, power = sum(kind.capacity for kind in kinds), sum(kind.power for kind in kinds)
    if telemetered is not None:
        whole = bounded(telemetered, "telemetered", capacity, power)
        return whole, {k.kind: bounded(whole.per_capacity * k.capacity, "telemetered", k.capacity, k.power) for k in kinds}
    single = {kind.kind: _by_ladder(kind, irradiance, settings) for kind in kinds}
    found = [one for kind, one in zip(kinds, single.values(), strict=True) if kind.capacity > 0]
    total = sum(one.mw for one in found)
    if not found or math.isnan(total):
        return UNKNOWN, single
    return Available(total, "+".join(dict.fromkeys(one.source for one in found)), total / capacity), single


def _by_ladder(kind: KindSample, irradiance: float | None, settings: PlantSettings) -> Available:
    steps = [("benchmark", kind.benchmark * kind.capacity)]
    if kind.kind == "pv":
        steps.append(("irradiance", irradiance_power(kind.capacity, irradiance, settings)))
    if kind.at_its_best:
        steps.append(("output", kind.power))
    for source, mw in steps:
        if not math.isnan(mw):
            return bounded(mw, source, kind.capacity, kind.power)
    return UNKNOWN
