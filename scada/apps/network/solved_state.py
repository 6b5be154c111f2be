"""Does a model's own solution fit its own network? Kirchhoff's law at the solved voltages of its state variables profile (SV).

At every bus with an SvVoltage the power that the voltages drive into lines, transformers and shunts is compared with what the
equipment there injects (SvPowerFlow, else SSH). A model whose parameters are right gives nothing but rounding.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from scada.apps.network.busbranch import BASE_MVA, C16, I8, BusBranch, reduce
from scada.apps.network.equipment import Equipment, read_equipment
from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel

Bool = npt.NDArray[np.bool_]
_CLOCK = "PowerTransformerEnd.phaseAngleClock"
_INNER_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class BusMismatch:
    """What does not add up at a bus. ``p`` and ``q``: MW and Mvar that the network takes beyond what is injected."""

    mrid: str
    """Of a node of the bus."""
    path: str
    kv: float
    """Solved voltage."""
    p: float
    q: float

    @property
    def mva(self) -> float:
        """Size of the mismatch."""
        return math.hypot(self.p, self.q)


@dataclass(frozen=True, slots=True)
class SvCheck:
    """Result of :func:`sv_check`. Powers in MVA, MW.

    Attributes:
        buses: buses that could be checked: a solved voltage there and at every neighbour.
        unchecked: buses with a solved voltage that a neighbour lacks.
        median, p95, greatest: of the mismatches.
        below_01, below_1: part of the buses with less than 0.1 and 1 MVA.
        generation, load: sum of what is injected and what is drawn.
        vector_groups: whether the solved angles are turned by the transformers' vector groups (``phaseAngleClock``).
        worst: buses with the greatest mismatches, greatest first.
    """

    buses: int
    unchecked: int
    median: float
    p95: float
    greatest: float
    below_01: float
    below_1: float
    generation: float
    load: float
    vector_groups: bool
    worst: tuple[BusMismatch, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def sv_check(model: CimModel, *, worst: int = 10) -> SvCheck:
    """Check a model's solved state against its network.

    Args:
        model: EQ, SSH, TP and SV.
        worst: how many buses to name.

    Raises:
        ModelError: the network cannot be built, or no bus can be checked for want of SvVoltage.
    """
    plain = _check(model, worst, vector_groups=False)
    if not any(model.number(end, _CLOCK, 0.0) for end in model.ids("PowerTransformerEnd")):
        return plain
    turned = _check(model, worst, vector_groups=True)
    return turned if turned.median < plain.median else plain


def _check(model: CimModel, worst: int, *, vector_groups: bool) -> SvCheck:
    equipment = read_equipment(model, solved=True, vector_groups=vector_groups)
    network = reduce(equipment.grid, equipment.switch_open, equipment.tap_step, equipment.sections)
    voltage, node = _voltages(model, equipment, network)
    inner = _inner_buses(model, equipment, network)
    known = np.isfinite(voltage)
    if not known.any():
        raise ModelError("the model has no SvVoltage at any of its nodes", where=model.title, mend="add its SV profile")
    voltage = _eliminate(network, np.where(inner & ~known, 0.0, voltage), inner & ~known)
    drawn = _into_network(network, voltage)
    injected, generation, load = _injected(model, equipment, network, known)
    checked = known & np.isfinite(drawn) & ~inner
    if not checked.any():
        raise ModelError("no bus has a solved voltage at all its neighbours", where=model.title, mend="complete its SV profile")
    mismatch = (drawn - injected)[checked]
    buses = np.flatnonzero(checked)
    size = np.abs(mismatch)
    order = np.argsort(-size, kind="stable")[:worst]
    return SvCheck(
        buses=len(buses),
        unchecked=int((known & ~inner).sum()) - len(buses),
        median=float(np.median(size)),
        p95=float(np.percentile(size, 95)),
        greatest=float(size.max()),
        below_01=float((size < 0.1).mean()),
        below_1=float((size < 1.0).mean()),
        generation=generation,
        load=load,
        vector_groups=vector_groups,
        worst=tuple(
            BusMismatch(
                mrid=node[buses[row]],
                path=model.path(node[buses[row]]),
                kv=float(abs(voltage[buses[row]]) * network.bus_kv[buses[row]]),
                p=float(mismatch[row].real),
                q=float(mismatch[row].imag),
            )
            for row in order
        ),
    )


def _voltages(model: CimModel, equipment: Equipment, network: BusBranch) -> tuple[C16, dict[int, str]]:
    """Solved voltage of each bus, per unit, NaN where the file has none (or 0, as of a dead bus); a named node of each bus."""
    solved = {}
    for state in model.ids("SvVoltage"):
        at = model.ref(state, "SvVoltage.TopologicalNode")
        size, angle = model.number(state, "SvVoltage.v"), model.number(state, "SvVoltage.angle")
        if at is not None and size > 0 and math.isfinite(angle):
            solved[at] = cmath.rect(size, math.radians(angle))
    voltage = np.full(network.bus_count, np.nan, dtype=np.complex128)
    names: dict[int, str] = {}
    for mrid, row in equipment.grid.node_index.items():
        bus = int(network.bus_of_node[row])
        if mrid in model:
            names.setdefault(bus, mrid)
        topological = mrid if mrid in solved else model.ref(mrid, "ConnectivityNode.TopologicalNode")
        if topological in solved and not np.isfinite(voltage[bus]):
            voltage[bus] = solved[topological] / network.bus_kv[bus]
    return voltage, names


def _inner_buses(model: CimModel, equipment: Equipment, network: BusBranch) -> Bool:
    """Buses of nodes made by the reader: star points and disconnected ends, where nothing is injected and no voltage is filed."""
    named = np.zeros(network.bus_count, dtype=np.bool_)
    made = np.array([mrid not in model for mrid in equipment.grid.node_ids], dtype=np.bool_)
    named[network.bus_of_node[~made]] = True
    return ~named


def _eliminate(network: BusBranch, voltage: C16, inner: Bool) -> C16:
    """Voltages of inner buses, by their zero injection from those of their neighbours; few hang on each other."""
    one, two, y = network.branch_from, network.branch_to, network.branch_y
    own = network.shunt_y.copy()
    np.add.at(own, one, y[:, 0, 0])
    np.add.at(own, two, y[:, 1, 1])
    voltage = voltage.copy()
    ready = inner & (np.abs(own) > 0)
    beside = ready[one] | ready[two]
    one, two, y = one[beside], two[beside], y[beside]
    for _ in range(_INNER_ROUNDS):
        current = np.zeros_like(voltage)
        np.add.at(current, one, y[:, 0, 1] * voltage[two])
        np.add.at(current, two, y[:, 1, 0] * voltage[one])
        moved = -current[ready] / own[ready]
        step = np.abs(moved - voltage[ready])
        voltage[ready] = moved
        if not (step > 1e-12).any():
            break
    return voltage


def _into_network(network: BusBranch, voltage: C16) -> C16:
    """Power in MVA from each bus into branches and shunts; NaN where a neighbour's voltage is not known."""
    drawn = np.asarray(np.abs(voltage) ** 2 * np.conj(network.shunt_y) * BASE_MVA, dtype=np.complex128)
    ends = network.branch_flow(voltage)
    joins = network.branch_from != network.branch_to
    np.add.at(drawn, network.branch_from[joins], ends[0][joins])
    np.add.at(drawn, network.branch_to[joins], ends[1][joins])
    return drawn


def _injected(model: CimModel, equipment: Equipment, network: BusBranch, known: Bool) -> tuple[C16, float, float]:
    """Power in MVA into each bus by machines, loads and all else that is no branch and no shunt; sums of both directions in MW.

    CIM counts what equipment takes from the network positive.
    """
    solved = {}
    for state in model.ids("SvPowerFlow"):
        terminal = model.ref(state, "SvPowerFlow.Terminal")
        of = None if terminal is None else model.ref(terminal, "Terminal.ConductingEquipment")
        p, q = model.number(state, "SvPowerFlow.p"), model.number(state, "SvPowerFlow.q")
        if of is not None and math.isfinite(p) and math.isfinite(q):
            solved[of] = complex(p, q)
    grid = equipment.grid
    taken = [complex(p, q) for p, q in zip(equipment.load_p, equipment.load_q, strict=True)]
    taken += [-complex(machine.p, machine.q) for machine in equipment.machines]
    at: I8 = network.bus_of_node[np.concatenate([grid.load_node, grid.machine_node])]
    power = -np.array(
        [solved.get(mrid, given) for mrid, given in zip((*grid.load_ids, *grid.machine_ids), taken, strict=True)],
        dtype=np.complex128,
    )
    injected = np.zeros(network.bus_count, dtype=np.complex128)
    np.add.at(injected, at, power)
    live = power.real[known[at]]
    return injected, float(live[live > 0].sum()), float(-live[live < 0].sum())
