"""Node-breaker equipment of a CIM model (CGMES 3: EQ + SSH) as the tables of the network applications.

What the power flow could not represent is refused with its place in the files rather than left out: a network with a
missing branch gives plausible and wrong voltages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scada.apps.network.busbranch import F8, Grid, Mask
from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel

_UNSUPPORTED = (
    "PhaseTapChanger",
    "NonlinearShuntCompensator",
    "StaticVarCompensator",
    "EquivalentBranch",
    "EquivalentInjection",
    "EquivalentShunt",
    "ExternalNetworkInjection",
    "AsynchronousMachine",
    "CsConverter",
    "VsConverter",
)


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


def read_equipment(model: CimModel) -> Equipment:
    """Build the tables.

    Raises:
        ModelError: equipment that the power flow does not know, a missing terminal, node, voltage or impedance.
    """
    for class_name in _UNSUPPORTED:
        for mrid in model.ids(class_name):
            raise ModelError(
                f"{model.class_of(mrid)} {model.path(mrid)} is not supported by the power flow",
                where=model.where(mrid),
                mend="replace it by equipment of another class",
            )
    return _Reader(model).read()


@dataclass
class _Rows:
    """Rows under construction: (mRID, columns)."""

    ids: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, mrid: str, **values: Any) -> int:
        self.ids.append(mrid)
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)
        return len(self.ids) - 1

    def array(self, name: str, dtype: Any) -> Any:
        return np.array(self.columns.get(name, []), dtype=dtype)


class _Reader:
    """Collects the tables of one model."""

    def __init__(self, model: CimModel) -> None:
        self.model = model
        self.nodes = _Rows()
        self.switches, self.branches, self.taps = _Rows(), _Rows(), _Rows()
        self.shunts, self.loads, self.machine_rows = _Rows(), _Rows(), _Rows()
        self.machines: list[Machine] = []
        self.node_of: dict[str, int] = {}
        self.branch_side: dict[str, tuple[int, int]] = {}
        self.substation: list[str] = []
        self.earthing: dict[int, int] = {}
        self.terminals: dict[str, list[str]] = {}

    def read(self) -> Equipment:
        self._nodes_and_terminals()
        self._switches()
        self._lines()
        self._transformers()
        self._one_ports()
        self._machines()
        nodes, switches, branches, taps = self.nodes, self.switches, self.branches, self.taps
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
            node_of=self.node_of,
            branch_side=self.branch_side,
            substation=tuple(self.substation),
        )

    # what every equipment needs

    def _number(self, mrid: str, prop: str) -> float:
        value = self.model.number(mrid, prop)
        if np.isnan(value):
            raise ModelError(f"{self.model.path(mrid)} has no {prop}", where=self.model.where(mrid), mend="give the value")
        return value

    def _nodes_and_terminals(self) -> None:
        model = self.model
        for node in model.ids("ConnectivityNode"):
            level = container = model.ref(node, "ConnectivityNode.ConnectivityNodeContainer")
            if container is not None and model.class_of(container) == "Bay":
                level = model.ref(container, "Bay.VoltageLevel")
            base = model.ref(level, "VoltageLevel.BaseVoltage") if level else None
            if level is None or base is None:
                raise ModelError(
                    f"{model.path(node)} belongs to no voltage level with a base voltage",
                    where=model.where(node),
                    mend="set ConnectivityNode.ConnectivityNodeContainer",
                )
            self.node_of[node] = self.nodes.add(node, kv=self._number(base, "BaseVoltage.nominalVoltage"))
            self.substation.append(model.ref(level, "VoltageLevel.Substation") or "")
        for terminal in model.ids("Terminal"):
            equipment = model.ref(terminal, "Terminal.ConductingEquipment")
            at = model.ref(terminal, "Terminal.ConnectivityNode")
            if equipment is None:
                continue
            if at is None:
                raise ModelError(
                    f"terminal of {model.path(equipment)} has no ConnectivityNode",
                    where=model.where(terminal),
                    mend="set Terminal.ConnectivityNode",
                )
            self.terminals.setdefault(equipment, []).append(terminal)
            self.node_of[terminal] = self.node_of[at]
        for equipment, terminals in self.terminals.items():
            terminals.sort(key=lambda terminal: model.number(terminal, "ACDCTerminal.sequenceNumber", 1.0))
            self.node_of[equipment] = self.node_of[terminals[0]]

    def _terminals(self, mrid: str, count: int) -> list[str]:
        terminals = self.terminals.get(mrid, [])
        if len(terminals) != count:
            raise ModelError(
                f"{self.model.class_of(mrid)} {self.model.path(mrid)} has {len(terminals)} terminals, not {count}",
                where=self.model.where(mrid),
                mend="give it its terminals",
            )
        return terminals

    def _connected(self, mrid: str) -> bool:
        """In service with every terminal connected."""
        model = self.model
        return model.truth(mrid, "Equipment.inService", default=True) and all(
            model.truth(terminal, "ACDCTerminal.connected", default=True) for terminal in self.terminals.get(mrid, [])
        )

    def _attach(self, mrid: str, node: int) -> int:
        """The node of equipment, or a node of its own if it is out of service."""
        if self._connected(mrid):
            return node
        self.substation.append("")
        return self.nodes.add(f"{mrid}#out-of-service", kv=self.nodes.columns["kv"][node])

    # equipment

    def _switches(self) -> None:
        model = self.model
        for mrid in model.ids("Switch"):
            kind = model.class_of(mrid)
            earthing = kind == "GroundDisconnector"
            terminals = self.terminals.get(mrid, []) if earthing else self._terminals(mrid, 2)
            if not terminals:
                self._terminals(mrid, 1)
            first = self.node_of[terminals[0]]
            # an earthing switch joins no nodes: its other side is earth
            second = first if earthing else self.node_of[terminals[1]]
            is_open = model.truth(mrid, "Switch.open", default=model.truth(mrid, "Switch.normalOpen"))
            row = self.switches.add(mrid, a=first, b=second, open=is_open or not self._connected(mrid), kind=kind)
            if earthing:
                self.earthing[row] = first

    def _lines(self) -> None:
        model = self.model
        for class_name in ("ACLineSegment", "SeriesCompensator"):
            for mrid in model.ids(class_name):
                first, second = self._terminals(mrid, 2)
                z = complex(self._number(mrid, f"{class_name}.r"), self._number(mrid, f"{class_name}.x"))
                charging = complex(model.number(mrid, f"{class_name}.gch", 0.0), model.number(mrid, f"{class_name}.bch", 0.0))
                a, b = self._attach(mrid, self.node_of[first]), self.node_of[second]
                if abs(z) < 1e-9:  # without impedance it is a closed switch
                    self.switches.add(mrid, a=a, b=b, open=False, kind=class_name)
                    continue
                row = self.branches.add(mrid, a=a, b=b, z=z, y_from=charging / 2, y_to=charging / 2, ratio=1.0)
                self.branch_side[first], self.branch_side[second] = (row, 0), (row, 1)

    def _transformers(self) -> None:
        model = self.model
        for mrid in model.ids("PowerTransformer"):
            ends = model.refs_to(mrid, "PowerTransformerEnd.PowerTransformer")
            ends.sort(key=lambda end: model.number(end, "TransformerEnd.endNumber", 1.0))
            if len(ends) not in (2, 3):
                raise ModelError(
                    f"{model.path(mrid)} has {len(ends)} windings, not 2 or 3", where=model.where(mrid), mend="give it its ends"
                )
            if len(ends) == 2:
                self._two_windings(mrid, *ends)
            else:
                self._three_windings(mrid, ends)

    def _end(self, mrid: str, end: str) -> tuple[str, int, complex, complex, float]:
        """Terminal, node, impedance, magnetising admittance and rated kV of a winding."""
        model = self.model
        terminal = model.ref(end, "TransformerEnd.Terminal")
        if terminal is None or terminal not in self.node_of:
            raise ModelError(
                f"winding {model.path(end)} has no terminal", where=model.where(end), mend="set TransformerEnd.Terminal"
            )
        z = complex(self._number(end, "PowerTransformerEnd.r"), self._number(end, "PowerTransformerEnd.x"))
        y = complex(model.number(end, "PowerTransformerEnd.g", 0.0), model.number(end, "PowerTransformerEnd.b", 0.0))
        node = self._attach(mrid, self.node_of[terminal])
        return terminal, node, z, y, self._number(end, "PowerTransformerEnd.ratedU")

    def _two_windings(self, mrid: str, first: str, second: str) -> None:
        terminal_1, a, z_1, y_1, u_1 = self._end(mrid, first)
        terminal_2, b, z_2, y_2, u_2 = self._end(mrid, second)
        z = z_1 + z_2 * (u_1 / u_2) ** 2
        if abs(z) < 1e-9:
            raise ModelError(f"{self.model.path(mrid)} has no impedance", where=self.model.where(mrid), mend="give r and x")
        row = self.branches.add(mrid, a=a, b=b, z=z, y_from=y_1, y_to=y_2, ratio=u_1 / u_2)
        self.branch_side[terminal_1], self.branch_side[terminal_2] = (row, 0), (row, 1)
        self._tap_changer(first, row, 0)
        self._tap_changer(second, row, 1)

    def _three_windings(self, mrid: str, ends: list[str]) -> None:
        star_kv = self._number(ends[0], "PowerTransformerEnd.ratedU")
        star = self.nodes.add(f"{mrid}#star", kv=star_kv)
        self.substation.append(self.substation[self.node_of[mrid]])
        for end in ends:
            terminal, node, z, y, rated = self._end(mrid, end)
            z = z if abs(z) > 1e-9 else complex(0.0, 1e-3 * rated**2 / 1e3)
            row = self.branches.add(mrid, a=node, b=star, z=z, y_from=y, y_to=0.0, ratio=rated / star_kv)
            self.branch_side[terminal] = (row, 0)
            self._tap_changer(end, row, 0)

    def _tap_changer(self, end: str, row: int, side: int) -> None:
        model = self.model
        for mrid in model.refs_to(end, "RatioTapChanger.TransformerEnd"):
            normal = model.number(mrid, "TapChanger.normalStep", self._number(mrid, "TapChanger.neutralStep"))
            self.taps.add(
                mrid,
                branch=row,
                side=side,
                neutral=self._number(mrid, "TapChanger.neutralStep"),
                increment=self._number(mrid, "RatioTapChanger.stepVoltageIncrement") / 100.0,
                step=model.number(mrid, "TapChanger.step", normal),
                low=self._number(mrid, "TapChanger.lowStep"),
                high=self._number(mrid, "TapChanger.highStep"),
            )

    def _one_ports(self) -> None:
        model = self.model
        for mrid in model.ids("LinearShuntCompensator"):
            (terminal,) = self._terminals(mrid, 1)
            node = self._attach(mrid, self.node_of[terminal])
            normal = model.number(mrid, "ShuntCompensator.normalSections", 1.0)
            y = complex(
                model.number(mrid, "LinearShuntCompensator.gPerSection", 0.0),
                self._number(mrid, "LinearShuntCompensator.bPerSection"),
            )
            self.shunts.add(
                mrid,
                node=node,
                y=y,
                sections=model.number(mrid, "ShuntCompensator.sections", normal),
                sections_max=model.number(mrid, "ShuntCompensator.maximumSections", 1.0),
            )
        for mrid in model.ids("EnergyConsumer"):
            (terminal,) = self._terminals(mrid, 1)
            self.loads.add(
                mrid,
                node=self._attach(mrid, self.node_of[terminal]),
                p=self._number(mrid, "EnergyConsumer.p"),
                q=self._number(mrid, "EnergyConsumer.q"),
            )

    def _machines(self) -> None:
        model = self.model
        for mrid in model.ids("SynchronousMachine"):
            unit = model.ref(mrid, "RotatingMachine.GeneratingUnit")
            if unit is None:
                raise ModelError(
                    f"{model.path(mrid)} has no generating unit",
                    where=model.where(mrid),
                    mend="set RotatingMachine.GeneratingUnit",
                )
            limits = (self._number(unit, "GeneratingUnit.minOperatingP"), self._number(unit, "GeneratingUnit.maxOperatingP"))
            self._machine(mrid, unit, "RotatingMachine", "SynchronousMachine", limits)
        for mrid in model.ids("PowerElectronicsConnection"):
            units = model.refs_to(mrid, "PowerElectronicsUnit.PowerElectronicsConnection")
            if len(units) != 1:
                raise ModelError(
                    f"{model.path(mrid)} has {len(units)} units, not 1",
                    where=model.where(mrid),
                    mend="give it one PowerElectronicsUnit",
                )
            limits = (self._number(units[0], "PowerElectronicsUnit.minP"), self._number(units[0], "PowerElectronicsUnit.maxP"))
            self._machine(mrid, units[0], "PowerElectronicsConnection", "PowerElectronicsConnection", limits)

    def _machine(self, mrid: str, unit: str, power: str, reactive: str, limits: tuple[float, float]) -> None:
        model = self.model
        (terminal,) = self._terminals(mrid, 1)
        node = self._attach(mrid, self.node_of[terminal])
        self.machine_rows.add(mrid, node=node)
        self.node_of[unit] = self.node_of[terminal]
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
