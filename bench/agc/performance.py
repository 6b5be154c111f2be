"""``agc.performance``: the PJM score of an hour, a cycle and a minute of the accounts of 1 000 units, a month of an area."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from figures import Figure

from scada.apps.agc_avc.performance.account import PerformanceAccount, standards_of
from scada.apps.agc_avc.performance.minutes import AREA_MINUTE
from scada.apps.agc_avc.performance.periods import area_periods, bounds
from scada.apps.agc_avc.performance.pjm import SAMPLES, performance_score, warm_up
from scada.apps.agc_avc.performance.rules import own_profiles
from scada.apps.agc_avc.performance.sample import RegulationSample
from scada.apps.agc_avc.performance.store import PerformanceStore
from scada.core.clock import NS_PER_S
from scada.core.performance_settings import PerformanceSettings
from scada.model_cim.regulation import AgcUnit, ControlArea

NAMES = ("agc.performance",)
"""Head figures; further parts: a cycle, a minute and a month of the accounts."""
Floats = npt.NDArray[np.float64]
UNITS = 1000
MIDNIGHT = 1_750_032_000


def measure(*, quick: bool) -> Iterator[Figure]:
    """One thread; the least of many runs, since the machine is shared."""
    yield _score(quick=quick)
    yield from _accounts(quick=quick)
    yield _month(quick=quick)


def _best(work: Callable[[], object], runs: int) -> float:
    least = float("inf")
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - begin)
    return least


# ---------------------------------------------------------------- the score


def _score(*, quick: bool) -> Figure:
    chance = np.random.default_rng(1)
    signal = np.zeros(SAMPLES)
    for index in range(1, SAMPLES):
        signal[index] = 0.92 * signal[index - 1] + 0.16 * chance.standard_normal()
    response = np.concatenate([signal[:3], signal[:-3]]) + 0.02 * chance.standard_normal(SAMPLES)
    warm_up()
    same = abs(performance_score(signal, response).score - numpy_score(signal, response)) < 1e-9
    ours = _best(lambda: performance_score(signal, response), 20 if quick else 500)
    peer = _best(lambda: numpy_score(signal, response), 2 if quick else 20)
    note = "a unit's hour: 390 samples of 10 s, 12 blocks, 31 shifts; numpy = the definition as GMLC writes it, with corrcoef"
    value = 1e6 * ours if same else None
    return Figure(
        "agc.performance", value, "us", 100.0, beside={"numpy": 1e6 * peer}, note=note if same else "WRONG: scores differ"
    )


def numpy_score(signal: Floats, response: Floats) -> float:
    """The definition as the GMLC battery interface has it, with numpy."""
    delays, correlations, precisions = [], [], []
    for block in range(12):
        x, y = signal[30 * block : 30 * block + 30], response[30 * block : 30 * block + 30]
        if np.std(x) < 0.01:
            axis = np.arange(30.0)
            best, r = 0, max(0.0, 1 - abs(np.polyfit(axis, x, 1)[0] - np.polyfit(axis, y, 1)[0]))
        else:
            found = np.zeros(31)
            for shift in range(31):
                late = response[30 * block + shift : 30 * block + 30 + shift]
                found[shift] = 0.0 if np.std(late) < 1e-5 else np.corrcoef(x, late)[0, 1]
            best = 30 if not found.any() else int(np.argmax(found))
            r = float(found[best])
        delays.append(abs((10 * best - 300) / 300))
        correlations.append(r)
        precisions.append(max(0.0, 1 - float(np.abs(y - x).mean() / np.abs(x).mean())))
    return float(np.mean(delays) + np.mean(correlations) + np.mean(precisions)) / 3


# ---------------------------------------------------------------- the accounts


def _area() -> ControlArea:
    units = [AgcUnit(f"U{n}", f"_{n}", "thermal", [1], 1, None, 0.0, 300.0, 5.0, 5.0, 1.0) for n in range(UNITS)]
    return ControlArea("A", "_a", [0], 50.0, -500.0, 0.0, [], units, True)


def _sample(second: int, chance: np.random.Generator) -> RegulationSample:
    setpoint = 150.0 + 40.0 * np.sign(np.sin(second / 600 + np.arange(UNITS)))
    power = setpoint + chance.standard_normal(UNITS)
    on = np.ones(UNITS, dtype=np.bool_)
    return RegulationSample((MIDNIGHT + second) * NS_PER_S, 10.0, 0.01, 50.0, 0.0, True, power, setpoint, on)


def _accounts(*, quick: bool) -> Iterator[Figure]:
    area, settings, chance = _area(), PerformanceSettings(), np.random.default_rng(2)
    standards = standards_of(area, settings, 0.018, 0.0057, 4.0)
    minutes = 3 if quick else 20
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        store = PerformanceStore(Path(folder), map_mb=256)
        number, numbers = store.enrol(
            area.mrid, area.name, settings.rules, [(u.mrid, u.name, u.fuel, u.maximum) for u in area.units]
        )
        account = PerformanceAccount(area, numbers, standards, own_profiles()[settings.rules])
        cycles, closes = [], []
        for second in range(0, 60 * minutes + 4, 4):
            sample = _sample(second, chance)
            begin = time.perf_counter()
            closed = account.sample(sample)
            taken = time.perf_counter()
            if closed.area is None:
                cycles.append(taken - begin)
                continue
            store.keep(number, closed, account.state(hours=False))
            closes.append(time.perf_counter() - begin)
        store.close()
    yield Figure(
        "agc.performance.cycle", 1e6 * min(cycles), "us", note=f"a sample of {UNITS} units: minutes, commands, scores, losses"
    )
    yield Figure(
        "agc.performance.minute",
        1e6 * min(closes),
        "us",
        100_000.0,
        note=f"the cycle that closes a minute of {UNITS} units, and all of it on disk (fsync); in an actor beside control",
    )


def _month(*, quick: bool) -> Figure:
    count = 30 * 1440
    rows = np.zeros(count, dtype=AREA_MINUTE)
    chance = np.random.default_rng(3)
    rows["minute"] = MIDNIGHT // 60 + np.arange(count)
    rows["asked"] = rows["valid"] = rows["on"] = rows["frequency_valid"] = 15
    rows["ace_mw"], rows["deviation_hz"] = chance.normal(0, 30, count), chance.normal(0, 0.015, count)
    rows["ace_low_mw"], rows["ace_high_mw"] = rows["ace_mw"] - 20, rows["ace_mw"] + 20
    rows["bias"], rows["eps1_hz"], rows["l10_mw"], rows["ld_mw"] = -500.0, 0.018, 50.0, 30.0
    edges = bounds(MIDNIGHT * NS_PER_S, (MIDNIGHT + 60 * count) * NS_PER_S, "day", ZoneInfo("UTC"))
    least = _best(lambda: area_periods(rows, edges, 10, edges[-1]), 2 if quick else 20)
    return Figure("agc.performance.month", 1e3 * least, "ms", note="43 200 minutes of an area to 30 days with every index")
