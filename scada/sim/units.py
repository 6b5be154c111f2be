"""Dynamic parameters of a model's machines: the model's ratings, the settings of a unit, and its kind's usual values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scada.apps.network.busbranch import F8
from scada.apps.network.equipment import Machine
from scada.sim.dynamics import UnitTable
from scada.sim.settings import KINDS, SimSettings, UnitSettings


def unit_settings(machine: Machine, settings: SimSettings) -> UnitSettings:
    """What is set for a unit, over what its kind has."""
    return settings.units.get(machine.name, UnitSettings()).over(KINDS.get(machine.kind, KINDS["thermal"]))


def unit_table(machines: Sequence[Machine], settings: SimSettings) -> UnitTable:
    """Parameters of all units. Ramp rates are the model's where it gives any."""
    units = [unit_settings(machine, settings) for machine in machines]
    p_max = np.array([machine.p_max for machine in machines])

    def column(name: str) -> F8:
        return np.array([getattr(unit, name) for unit in units], dtype=float)

    given = np.array([machine.ramp_mw_min for machine in machines])
    ramp = np.where(given > 0, given, column("ramp_pct_min") / 100.0 * p_max)
    return UnitTable(
        rated_mw=p_max,
        p_max=p_max,
        p_min=np.array([machine.p_min if machine.kind == "storage" else 0.0 for machine in machines]),
        inertia_mws=column("inertia_s") * np.array([machine.rated_mva for machine in machines]),
        droop=column("droop"),
        governor_s=column("governor_s"),
        turbine_s=column("turbine_s"),
        reheat_share=column("reheat_share"),
        reheat_s=column("reheat_s"),
        ramp_mw_s=ramp / 60.0,
        deadband_hz=column("deadband_hz"),
    )
