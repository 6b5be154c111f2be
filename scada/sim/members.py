"""What the machines behind a plant controller give: the simulated plant knows only their sum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from scada.model_cim.cim import CimModel

F8 = npt.NDArray[np.float64]


class Members:
    """Shares of plant members (``sc:PlantMember``) in the output of their plant.

    A benchmark gives what it can, the others share the rest by their rated power.

    Args:
        model: the CIM model.
        machine_of: machine rows by mRID of a generating unit.
    """

    def __init__(self, model: CimModel, machine_of: Mapping[str, int]) -> None:
        self.row: dict[str, int] = {}
        """Row of a member by its mRID and that of its resource."""
        machines: list[int] = []
        rated: list[float] = []
        benchmark: list[bool] = []
        for mrid in model.ids("sc:PlantMember"):
            machine = machine_of.get(model.ref(mrid, "sc:PlantMember.Plant") or "")
            share = model.number(mrid, "sc:PlantMember.maximumP")
            if machine is None or not share > 0:
                continue
            resource = model.ref(mrid, "sc:PlantMember.Resource")
            self.row[mrid] = self.row[resource or mrid] = len(machines)
            machines.append(machine)
            rated.append(share)
            benchmark.append(model.truth(mrid, "sc:PlantMember.benchmark"))
        self._machine = np.array(machines, dtype=np.int64)
        self._benchmark = np.array(benchmark, dtype=np.bool_)
        weight = np.array(rated, dtype=np.float64)
        self._share = weight / self._per_plant(weight)[self._machine] if machines else weight

    def __len__(self) -> int:
        return len(self._machine)

    def power(self, machine_mw: F8, available_mw: F8) -> F8:
        """MW of each member.

        Args:
            machine_mw: output of each machine.
            available_mw: what each machine could give; NaN where its kind has no such figure.
        """
        if not len(self):
            return np.zeros(0)
        plant = machine_mw[self._machine]
        could = np.nan_to_num(available_mw[self._machine], nan=np.inf)
        fixed = np.where(self._benchmark, np.minimum(could, np.maximum(plant, 0.0) / self._share) * self._share, 0.0)
        rest = plant - self._per_plant(fixed)[self._machine]
        weight = np.where(self._benchmark, 0.0, self._share)
        total = self._per_plant(weight)[self._machine]
        alone = self._benchmark & (total == 0.0)
        moved = np.divide(rest * weight, total, out=np.zeros(len(self)), where=total > 0.0)
        return np.where(alone, plant * self._share, np.where(self._benchmark, fixed, moved))

    def _per_plant(self, values: F8) -> F8:
        return np.bincount(self._machine, weights=values).astype(np.float64)
