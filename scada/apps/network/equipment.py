"""Equipment of a CIM model (CGMES 2.4.15 or 3.0: EQ + SSH, SV where asked) as the tables of the network applications.

What the power flow could not represent is refused with its place in the files rather than left out: a network with a
missing branch gives plausible and wrong voltages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scada.apps.network.branch_rows import BranchRows
from scada.apps.network.busbranch import C16, F8, Grid, Mask
from scada.apps.network.node_table import NodeTable, Rows
from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel

_GIVEN_POWER = {
    "EnergyConsumer": "EnergyConsumer",
    "EquivalentInjection": "EquivalentInjection",
    "ExternalNetworkInjection": "ExternalNetworkInjection",
    "AsynchronousMachine": "RotatingMachine",
    "StaticVarCompensator": "StaticVarCompensator",
    "CsConverter": "ACDCConverter",
    "VsConverter": "ACDCConverter",
    "EnergySource": "EnergySource",
}
"""Class whose ``p`` and ``q`` (SSH, load convention: positive from the network into the equipment) say what equipment takes."""
_POWER_NAMES = {"EnergySource": ("activePower", "reactivePower")}
_MUST_SAY = frozenset({"EnergyConsumer"})
"""Equipment whose power must be given; of the others a missing value is 0, as of one that stands by."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A generating unit as the model rates it: MW, Mvar, MVA, kV.

    ``kind`` is ``thermal``, ``hydro``, ``pv``, ``wind`` or ``storage``; ``unit_id`` the mRID of its GeneratingUnit or
    PowerElectronicsUnit; ``ramp_mw_min`` the rate of its set-point, NaN = not given; ``p`` and ``q`` the initial
    output (generation positive); ``v_set`` its voltage target in kV, NaN = none.
    """

    mrid: str
    unit_id: str
    name: str
    kind: str
    rated_mva: float
    p_min: float
    p_max: float
    q_min: float
    q_max: float
    p: float
    q: float
    v_set: float
    ramp_mw_min: float = float("nan")
    energy_mwh: float = 0.0

    @property
    def synchronous(self) -> bool:
        """True for a rotating machine with inertia, a governor and a voltage regulator."""
        return self.kind in ("thermal", "hydro")


@dataclass(frozen=True)
class Equipment:
    """A model's equipment with its initial (SSH) state.

    Attributes:
        grid: the network.
        machines: one for each row of ``grid.machine_ids``.
        switch_open: effective initial state.
        switch_class: CIM class of each switch.
        earthing: node that each earthing switch connects to earth, by its row among the switches.
        tap_step: initial steps; ``tap_low``, ``tap_high`` their ends.
        sections: sections in service; ``sections_max`` their number.
        load_p: MW; ``load_q`` Mvar.
        node_of: node of a terminal's or a one-terminal equipment's mRID.
        branch_side: (branch row, 0 ``from`` or 1 ``to``) of a branch terminal's mRID.
        substation: mRID of the substation of each node ("" = none).
    """

    grid: Grid
    machines: tuple[Machine, ...]
    switch_open: Mask
    switch_class: tuple[str, ...]
    earthing: dict[int, int]
    tap_step: F8
    tap_low: F8
    tap_high: F8
    sections: F8
    sections_max: F8
    load_p: F8
    load_q: F8
    node_of: dict[str, int]
    branch_side: dict[str, tuple[int, int]]
    substation: tuple[str, ...]


def read_equipment(model: CimModel, *, solved: bool = False, vector_groups: bool = False) -> Equipment:
    """Build the tables.

    Args:
        model: the CIM model.
        solved: initial taps and sections are those of the solved state in the files (SvTapStep, SvShuntCompensatorSections)
            where it has them, else of SSH.
        vector_groups: turn voltages by the transformers' ``phaseAngleClock``. Flows do not depend on it; solved states are filed
            both ways.

    Raises:
        ModelError: a missing terminal, node, voltage or impedance, a tap changer without its table, a number beyond reason.
    """
    equipment = _Reader(model, solved=solved, vector_groups=vector_groups).read()
    with np.errstate(all="ignore"):
        finite = np.isfinite(equipment.grid.admittance(equipment.tap_step)).all(axis=(1, 2))
    for row in np.flatnonzero(~finite):
        mrid = equipment.grid.branch_ids[row]
        raise ModelError(
            f"the admittance of {model.path(mrid)} is not finite", where=model.where(mrid), mend="correct its impedances and taps"
        )
    return equipment


class _Reader:
    """Collects the tables of one model."""

    def __init__(self, model: CimModel, *, solved: bool, vector_groups: bool) -> None:
        self.model = model
        self.solved = solved
        self.nodes = NodeTable(model)
        self.branch_rows = BranchRows(self.nodes, solved=solved, vector_groups=vector_groups)
        self.switches, self.shunts, self.loads, self.machine_rows = Rows(), Rows(), Rows(), Rows()
        self.shunt_curves: dict[int, C16] = {}
        self.machines: list[Machine] = []
        self.earthing: dict[int, int] = {}

    def read(self) -> Equipment:
        self._switches()
        self._shunts()
        self._given_powers()
        self._machines()
        nodes, switches = self.nodes.rows, self.switches
        branches, taps = self.branch_rows.branches, self.branch_rows.taps
        grid = Grid(
            node_ids=tuple(nodes.ids),
            node_kv=nodes.array("kv", np.float64),
            switch_ids=tuple(switches.ids),
            switch_from=switches.array("a", np.int64),
            switch_to=switches.array("b", np.int64),
            branch_ids=tuple(branches.ids),
            branch_from=branches.array("a", np.int64),
            branch_to=branches.array("b", np.int64),
            branch_z=branches.array("z", np.complex128),
            branch_y_from=branches.array("y_from", np.complex128),
            branch_y_to=branches.array("y_to", np.complex128),
            branch_ratio=branches.array("ratio", np.complex128),
            tap_ids=tuple(taps.ids),
            tap_branch=taps.array("branch", np.int64),
            tap_side=taps.array("side", np.int64),
            tap_neutral=taps.array("neutral", np.float64),
            tap_increment=taps.array("increment", np.float64),
            shunt_ids=tuple(self.shunts.ids),
            shunt_node=self.shunts.array("node", np.int64),
            shunt_y=self.shunts.array("y", np.complex128),
            load_ids=tuple(self.loads.ids),
            load_node=self.loads.array("node", np.int64),
            machine_ids=tuple(self.machine_rows.ids),
            machine_node=self.machine_rows.array("node", np.int64),
            tap_curves=self.branch_rows.curves,
            shunt_curves=self.shunt_curves,
        )
        return Equipment(
            grid=grid,
            machines=tuple(self.machines),
            switch_open=switches.array("open", np.bool_),
            switch_class=tuple(switches.columns.get("kind", [])),
            earthing=self.earthing,
            tap_step=taps.array("step", np.float64),
            tap_low=taps.array("low", np.float64),
            tap_high=taps.array("high", np.float64),
            sections=self.shunts.array("sections", np.float64),
            sections_max=self.shunts.array("sections_max", np.float64),
            load_p=self.loads.array("p", np.float64),
            load_q=self.loads.array("q", np.float64),
            node_of=self.nodes.node_of,
            branch_side=self.branch_rows.branch_side,
            substation=tuple(self.nodes.substation),
        )

    def _switches(self) -> None:
        model, nodes = self.model, self.nodes
        for mrid in model.ids("Switch"):
            kind = model.class_of(mrid)
            earthing = kind == "GroundDisconnector"
            terminals = nodes.any_terminals(mrid) if earthing else nodes.terminals(mrid, 2)
            if not terminals:
                nodes.terminals(mrid, 1)
            first = nodes.node_of[terminals[0]]
            # an earthing switch joins no nodes: its other side is earth
            second = first if earthing else nodes.node_of[terminals[1]]
            is_open = model.truth(mrid, "Switch.open", default=model.truth(mrid, "Switch.normalOpen"))
            row = self.switches.add(mrid, a=first, b=second, open=is_open or not nodes.in_service(mrid), kind=kind)
            if earthing:
                self.earthing[row] = first
        bypasses = self.branch_rows.bypasses
        for mrid, first, second, kind in zip(
            bypasses.ids, *(bypasses.columns.get(key, []) for key in ("a", "b", "kind")), strict=True
        ):
            self.switches.add(mrid, a=first, b=second, open=False, kind=kind)

    def _shunts(self) -> None:
        model, nodes = self.model, self.nodes
        solved = {}
        for state in model.ids("SvShuntCompensatorSections") if self.solved else []:
            sections = model.number(state, "SvShuntCompensatorSections.sections")
            if not np.isnan(sections):
                solved[model.ref(state, "SvShuntCompensatorSections.ShuntCompensator")] = sections
        for mrid in (*model.ids("ShuntCompensator"), *model.ids("EquivalentShunt")):
            kind = model.class_of(mrid)
            (terminal,) = nodes.terminals(mrid, 1)
            normal = model.number(mrid, "ShuntCompensator.normalSections", 1.0)
            row = self.shunts.add(
                mrid,
                node=nodes.at(mrid, terminal),
                y=self._per_section(mrid, kind),
                sections=solved.get(mrid, model.number(mrid, "ShuntCompensator.sections", normal)),
                sections_max=model.number(mrid, "ShuntCompensator.maximumSections", 1.0),
            )
            if kind == "NonlinearShuntCompensator":
                self.shunt_curves[row] = self._nonlinear(mrid)

    def _per_section(self, mrid: str, kind: str) -> complex:
        number = self.model.number
        if kind == "EquivalentShunt":
            return complex(number(mrid, "EquivalentShunt.g", 0.0), self.nodes.number(mrid, "EquivalentShunt.b"))
        if kind == "NonlinearShuntCompensator":
            return 0j
        g = number(mrid, "LinearShuntCompensator.gPerSection", 0.0)
        return complex(g, self.nodes.number(mrid, "LinearShuntCompensator.bPerSection"))

    def _nonlinear(self, mrid: str) -> C16:
        """Admittance by number of sections, from 0 on; each point is what its section adds."""
        model = self.model
        points = list(model.refs_to(mrid, "NonlinearShuntCompensatorPoint.NonlinearShuntCompensator"))
        points.sort(key=lambda point: model.number(point, "NonlinearShuntCompensatorPoint.sectionNumber", 0.0))
        added = [
            complex(*(model.number(point, f"NonlinearShuntCompensatorPoint.{part}", 0.0) for part in "gb")) for point in points
        ]
        return np.concatenate([[0j], np.cumsum(np.array(added, dtype=np.complex128))])

    def _given_powers(self) -> None:
        model, nodes = self.model, self.nodes
        for class_name, owner in _GIVEN_POWER.items():
            names = _POWER_NAMES.get(class_name, ("p", "q"))
            for mrid in model.ids(class_name):
                (terminal,) = nodes.terminals(mrid, 1)
                must = class_name in _MUST_SAY
                p, q = (
                    nodes.number(mrid, f"{owner}.{name}") if must else model.number(mrid, f"{owner}.{name}", 0.0)
                    for name in names
                )
                self.loads.add(mrid, node=nodes.at(mrid, terminal), p=p, q=q)

    def _machines(self) -> None:
        model, number = self.model, self.nodes.number
        for mrid in model.ids("SynchronousMachine"):
            unit = model.ref(mrid, "RotatingMachine.GeneratingUnit")
            limits = (0.0, 0.0)  # of a condenser, which has no unit
            if unit is not None:
                limits = (number(unit, "GeneratingUnit.minOperatingP"), number(unit, "GeneratingUnit.maxOperatingP"))
            self._machine(mrid, unit or mrid, "RotatingMachine", "SynchronousMachine", limits)
        for mrid in model.ids("PowerElectronicsConnection"):
            units = model.refs_to(mrid, "PowerElectronicsUnit.PowerElectronicsConnection")
            if len(units) != 1:
                raise ModelError(
                    f"{model.path(mrid)} has {len(units)} units, not 1",
                    where=model.where(mrid),
                    mend="give it one PowerElectronicsUnit",
                )
            limits = (number(units[0], "PowerElectronicsUnit.minP"), number(units[0], "PowerElectronicsUnit.maxP"))
            self._machine(mrid, units[0], "PowerElectronicsConnection", "PowerElectronicsConnection", limits)

    def _machine(self, mrid: str, unit: str, power: str, reactive: str, limits: tuple[float, float]) -> None:
        model, nodes = self.model, self.nodes
        (terminal,) = nodes.terminals(mrid, 1)
        self.machine_rows.add(mrid, node=nodes.at(mrid, terminal))
        nodes.node_of[unit] = nodes.node_of[terminal]
        control = model.ref(mrid, "RegulatingCondEq.RegulatingControl")
        enabled = control is not None and model.truth(control, "RegulatingControl.enabled", default=True)
        by_voltage = enabled and control is not None and model.enum(control, "RegulatingControl.mode") in (None, "voltage")
        v_set = model.number(control, "RegulatingControl.targetValue") if by_voltage and control is not None else float("nan")
        self.machines.append(
            Machine(
                mrid=mrid,
                unit_id=unit,
                name=model.name(unit),
                kind=model.text(unit, "sc:GeneratingUnit.fuel") or _KIND.get(model.class_of(unit), "thermal"),
                rated_mva=model.number(mrid, f"{power}.ratedS", max(abs(limits[0]), abs(limits[1]))),
                p_min=limits[0],
                p_max=limits[1],
                q_min=model.number(mrid, f"{reactive}.minQ", 0.0),
                q_max=model.number(mrid, f"{reactive}.maxQ", 0.0),
                p=-model.number(mrid, f"{power}.p", 0.0),
                q=-model.number(mrid, f"{power}.q", 0.0),
                v_set=v_set,
                ramp_mw_min=model.number(unit, "GeneratingUnit.raiseRampRate"),
                energy_mwh=model.number(unit, "sc:GeneratingUnit.energyCapacity", model.number(unit, "BatteryUnit.ratedE", 0.0)),
            )
        )


_KIND = {
    "ThermalGeneratingUnit": "thermal",
    "NuclearGeneratingUnit": "thermal",
    "GeneratingUnit": "thermal",
    "HydroGeneratingUnit": "hydro",
    "PhotoVoltaicUnit": "pv",
    "SolarGeneratingUnit": "pv",
    "PowerElectronicsWindUnit": "wind",
    "WindGeneratingUnit": "wind",
    "BatteryUnit": "storage",
}
