"""``agc.closed_mild``, ``agc.closed_hard``: a day of two areas under the product's AGC, beside no AGC and other gains."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from agc.plant import Column, TwoAreas, UnitPlant
from figures import Figure

from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.agc_avc.performance.balancing import beyond_baal
from scada.apps.agc_avc.performance.cps import control_factors, cps1, cps2, l10, period_means
from scada.core.agc_settings import AgcSettings, AgcTuning
from scada.core.clock import VirtualClock
from scada.model_cim.regulation import AgcUnit, ControlArea, TieLine
from scada.rtdb.changes import Snapshot

NAMES = ("agc.closed_mild", "agc.closed_hard")
"""Head figures."""
BASE_MW = 2000.0
NOMINAL_HZ = 60.0
BIAS = -0.425 * BASE_MW / 10.0
"""MW/0.1 Hz; Elgerd's B = 0.425 pu/Hz."""
EPS1, EPS10 = 0.018, 0.0057
UNITS = 10
CYCLE_S = 4.0
PLANT_DT = 0.02


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Load of each area: Ornstein-Uhlenbeck processes, pu of the base.

    Attributes:
        sigma, tau_s: the slow one.
        fast: standard deviation of the fast one (30 s).
        ramp: ramp of the units, part of their maximum per minute.
    """

    sigma: float
    tau_s: float
    fast: float
    ramp: float


MILD = Disturbance(0.012, 900.0, 0.0, 0.02)
HARD = Disturbance(0.025, 600.0, 0.004, 0.02)


@dataclass(frozen=True, slots=True)
class Day:
    """What a run is judged by; a pair = both areas.

    Attributes:
        cps1, cps2: %.
        baal_min: minutes beyond BAAL.
        mileage: sum of the changes of set-points, pu of the base a day.
        rms_mhz: of the minute means of the frequency.
        time_error_s: at the end.
    """

    cps1: tuple[float, float]
    cps2: tuple[float, float]
    baal_min: tuple[int, int]
    mileage: tuple[float, float]
    rms_mhz: float
    time_error_s: float

    def line(self) -> str:
        """For a note."""
        return (
            f"CPS1 {self.cps1[0]:.0f}/{self.cps1[1]:.0f} %, CPS2 {min(self.cps2):.0f} %, BAAL {max(self.baal_min)} min, "
            f"rms {self.rms_mhz:.1f} mHz, {max(self.mileage):.1f} pu/day"
        )


def disturbance(kind: Disturbance, hours: float, seed: int) -> Column:
    """Load of both areas at every plant step, MW from the balanced state; held over a second."""
    random = np.random.default_rng(seed)
    seconds = round(hours * 3600)
    load = np.zeros((seconds, 2))
    for sigma, tau in ((kind.sigma, kind.tau_s), (kind.fast, 30.0)):
        decay = math.exp(-1.0 / tau)
        noise = random.standard_normal((seconds, 2)) * sigma * BASE_MW * math.sqrt(1.0 - decay * decay)
        level = np.zeros(2)
        for second in range(seconds):
            level = decay * level + noise[second]
            load[second] += level
    return load


def control_area(index: int, ramp: float) -> ControlArea:
    """One of the two areas as the model would have it: ten units of 200 MW at 140 MW."""
    units = tuple(
        AgcUnit(f"G{k}", f"g{index}.{k}", "thermal", [10 + k], k, None, 60.0, 200.0, ramp * 200.0, ramp * 200.0, 1.0)
        for k in range(UNITS)
    )
    ties = [TieLine("tie", [1], 1.0)]
    return ControlArea(f"A{index + 1}", f"a{index}", [0], NOMINAL_HZ, BIAS, 0.0, ties, units, True, 3.0, bias_sum=2 * BIAS)


def plant(ramp: float, dead_band_hz: float = 0.0) -> TwoAreas:
    """Elgerd's two areas with ten units each."""
    unit = UnitPlant(2.4 / (BASE_MW / UNITS), 0.08, 0.3, ramp=ramp * 200.0)
    inertia, damping = 2 * 5.0 * BASE_MW / 60.0, 0.00833 * BASE_MW
    return TwoAreas(
        (inertia,) * 2, (damping,) * 2, 0.545 * BASE_MW, ((unit,) * UNITS,) * 2, dead_band_hz=dead_band_hz, dt=PLANT_DT
    )


class Centre:
    """A control centre: the product's controller with its own measurements."""

    def __init__(self, index: int, ramp: float, settings: AgcSettings) -> None:
        self.clock = VirtualClock()
        self.agc = AgcController(control_area(index, ramp), settings, self.clock)
        self.orders = np.full(UNITS, 140.0)
        self.mileage = 0.0
        pids = np.array([0, 1, *range(10, 10 + UNITS)], dtype=np.uint32)
        self._pids, self._zero = pids, np.zeros(len(pids), np.int64)
        self._quality = np.zeros(len(pids), np.uint32)

    def cycle(self, frequency_hz: float, tie_mw: float, powers: Column) -> float:
        """Run a cycle; returns the ACE."""
        self.clock.advance(CYCLE_S)
        values = np.concatenate(([frequency_hz, tie_mw], powers))
        decision = self.agc.cycle(Measurements(Snapshot(1, self._pids, values, self._quality, self._zero, self._zero)))
        for point in decision.setpoints:
            self.mileage += abs(point.mw - self.orders[point.cid])
            self.orders[point.cid] = point.mw
        return decision.ace_mw


def day(kind: Disturbance, settings: tuple[AgcSettings, AgcSettings], hours: float = 24.0, seed: int = 1) -> Day:
    """Run both areas and judge them."""
    areas = plant(kind.ramp)
    centres = [Centre(index, kind.ramp, settings[index]) for index in (0, 1)]
    load = np.repeat(disturbance(kind, hours, seed), round(1 / PLANT_DT), axis=0)
    steps = round(CYCLE_S / PLANT_DT)
    cycles = len(load) // steps
    ace, deviation = np.zeros((cycles, 2)), np.zeros((cycles, 2))
    for cycle in range(cycles):
        areas.advance(load[cycle * steps : (cycle + 1) * steps])
        for index, centre in enumerate(centres):
            own = slice(index * UNITS, (index + 1) * UNITS)
            tie = areas.system[2] if index == 0 else -areas.system[2]
            deviation[cycle, index] = areas.system[index]
            ace[cycle, index] = centre.cycle(NOMINAL_HZ + areas.system[index], tie, 140.0 + areas.powers[own])
            areas.states[0, own] = centre.orders - 140.0
    return _judge(ace, deviation, centres)


def _judge(ace: Column, deviation: Column, centres: list[Centre]) -> Day:
    a_minute = round(60 / CYCLE_S)
    minutes = len(ace) // a_minute
    mean_ace = ace[: minutes * a_minute].reshape(minutes, a_minute, 2).mean(axis=1)
    mean_df = deviation[: minutes * a_minute].reshape(minutes, a_minute, 2).mean(axis=1)
    limit = l10(EPS10, BIAS, 2 * BIAS)
    ones, twos, beyond = [], [], []
    for index in (0, 1):
        ones.append(cps1(control_factors(mean_ace[:, index], mean_df[:, index], BIAS), EPS1))
        twos.append(cps2(period_means(mean_ace[:, index], 10), limit).percent)
        runs = beyond_baal(mean_ace[:, index], mean_df[:, index], BIAS, EPS1)
        beyond.append(int((runs.low | runs.high).sum()))
    days = len(ace) * CYCLE_S / 86400.0
    mileage = [float(centre.mileage) / BASE_MW / days for centre in centres]
    error = float(deviation.mean(axis=1).sum() * CYCLE_S / NOMINAL_HZ)
    rms = float(np.sqrt((mean_df**2).mean()) * 1000)
    return Day((ones[0], ones[1]), (twos[0], twos[1]), (beyond[0], beyond[1]), (mileage[0], mileage[1]), rms, error)


def settings(**more: object) -> AgcSettings:
    """The shipped defaults, switched on; ``more`` changes some of them."""
    return AgcSettings.model_validate({"start": "on", "tuning": AgcTuning(eps1_hz=EPS1)} | more)


def _day(asked: tuple[Disturbance, AgcSettings, float]) -> Day:
    """A run in a process of its own, both areas with the same settings."""
    kind, one, hours = asked
    return day(kind, (one, one), hours)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Both disturbances, ours and beside it."""
    hours = 2.0 if quick else 24.0
    ours, off = settings(), settings(start="off")
    textbook = settings(proportional=0.0, integral=0.02, filter_s=0.0)
    cautious = settings(proportional=0.3, integral=0.01)
    runs = [(MILD, one) for one in (ours, off, textbook)] + [(HARD, one) for one in (ours, off, cautious)]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        days = list(pool.map(_day, [(kind, one, hours) for kind, one in runs]))
    mild = dict(zip(("ours", "AGC off", "textbook"), days[:3], strict=True))
    hard = dict(zip(("ours", "AGC off", "Kp 0.3, Ki 0.01"), days[3:], strict=True))
    yield from _figures("agc.closed_mild", mild, 185.0, f"{hours:g} h, worse area")
    yield from _figures("agc.closed_hard", hard, 175.0, f"{hours:g} h, worse area")
    best = mild["ours"]
    yield Figure("agc.closed_mild.cps2", min(best.cps2), "%", 100.0, at_least=True)
    yield Figure("agc.closed_mild.baal", float(max(best.baal_min)), "min", 0.0)
    worst = max(hard["ours"].mileage)
    others = {name: max(one.mileage) for name, one in hard.items() if name != "ours"}
    yield Figure(
        "agc.closed_hard.mileage", worst, "pu/day", 20.0, beside=others, note="sum of set-point changes, of the area's base"
    )


def _figures(name: str, runs: dict[str, Day], aim: float, note: str) -> Iterator[Figure]:
    beside = {other: min(run.cps1) for other, run in runs.items() if other != "ours"}
    words = "; ".join(f"{who}: {run.line()}" for who, run in runs.items())
    yield Figure(name, min(runs["ours"].cps1), "% CPS1", aim, at_least=True, beside=beside, note=f"{note}; {words}")


if __name__ == "__main__":
    for figure in measure(quick="--quick" in sys.argv):
        print(figure.line(), flush=True)
