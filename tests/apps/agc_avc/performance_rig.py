"""An area with units, samples of it, and its account over a store on disk."""

import math

import numpy as np

from scada.apps.agc_avc.performance.account import PerformanceAccount, standards_of
from scada.apps.agc_avc.performance.rules import own_profiles
from scada.apps.agc_avc.performance.sample import RegulationSample
from scada.core.clock import NS_PER_S
from scada.core.performance_settings import PerformanceSettings
from scada.model_cim.regulation import AgcUnit, ControlArea

MIDNIGHT = 1_750_032_000  # 2025-06-16 00:00:00 UTC, a Monday
PROFILE = own_profiles()["shaanxi-2025-draft"]
SETTINGS = PerformanceSettings(a2_limit_mw=15.0)


def unit(name, maximum=300.0, fuel="thermal"):
    return AgcUnit(name, f"_{name}", fuel, [1], 1, None, 0.0, maximum, 5.0, 5.0, 1.0)


def area(units=2):
    names = [unit(f"U{number}") for number in range(units)]
    return ControlArea("North", "_north", [0], 50.0, -50.0, 0.0, [], names, True, bias_sum=-200.0)


def sample(second, ace=0.0, deviation=0.0, *, power=(), setpoint=(), on=True, controlling=True, inadvertent=0.0):
    count = max(len(power), 2)
    return RegulationSample(
        int(second * NS_PER_S),
        ace,
        deviation,
        50.0 if not math.isnan(deviation) else math.nan,
        inadvertent,
        controlling,
        np.array(power or [100.0] * count, dtype=float),
        np.array(setpoint or [100.0] * count, dtype=float),
        np.full(count, on),
    )


def account(of=None, *, numbers=(0, 1), cycle_s=4.0, loss_mw=0.0):
    of = of or area()
    standards = standards_of(of, SETTINGS, eps1_hz=0.02, eps10_hz=0.0057, cycle_s=cycle_s)
    return PerformanceAccount(of, numbers, standards, PROFILE, loss_mw)


def enrol(store, of):
    units = [(one.mrid, one.name, one.fuel, one.maximum) for one in of.units]
    return store.enrol(of.mrid, of.name, PROFILE.name, units)
