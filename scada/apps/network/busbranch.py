"""Bus-branch network: what the power flow solves, reduced from node-breaker equipment and the present switch state.

Two tables. :class:`Grid` is the equipment as the model gives it: connectivity nodes, switches, two-port branches in
physical units (ohm, siemens, kV), tap changers, shunt banks; it does not change while a model version runs.
:func:`reduce` merges nodes over closed switches and yields a :class:`BusBranch` in per unit, which is valid until a
switch, a tap or a section moves.

Every branch, line or transformer winding, is one two-port in siemens; per unit follows from ``Y_ij V_bi V_bj / S_b``.
A line between different nominal voltages (380/400 kV) therefore needs no special case: its off-nominal ratio is in
that product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scada.apps.network.admittance import SparseAdmittance, assemble
from scada.apps.network.tap_changers import TapCurve

F8 = npt.NDArray[np.float64]
C16 = npt.NDArray[np.complex128]
I8 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BASE_MVA = 100.0
"""Power base of every per-unit quantity."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Equipment of a node-breaker model, one row each; ``*_ids`` are mRIDs.

    Attributes:
        node_ids: connectivity nodes, then the star points of three-winding transformers.
        node_kv: nominal voltage of each node, kV.
        switch_ids: every kind of switch; ``switch_from``/``switch_to`` are node indices.
        branch_ids: lines and transformer windings (a three-winding transformer gives three rows with its own mRID).
        branch_from: node of terminal 1 of a line, or of the winding.
        branch_to: node of terminal 2, of the other winding, or the star point.
        branch_z: series impedance in ohm at the ``from`` side's rated voltage.
        branch_y_from: shunt admittance in siemens at the ``from`` terminal.
        branch_y_to: the same at the ``to`` terminal, in siemens at that side.
        branch_ratio: rated voltage ratio ``from : to``, 1 for a line; its angle is the vector group's (``phaseAngleClock``).
        tap_ids: tap changers; ``tap_branch`` is their branch, ``tap_side`` 0 = ``from`` winding, 1 = ``to`` winding.
        tap_neutral: step at which the winding has its rated voltage.
        tap_increment: voltage increment of a step, per unit of the winding's rated voltage.
        shunt_ids: capacitor and reactor banks at ``shunt_node``; ``shunt_y`` siemens per section.
        load_ids: consumers at ``load_node``, and everything else that injects a given power: equivalents, external networks,
            static compensators, converters, asynchronous machines.
        machine_ids: synchronous machines and generating units (also PV, wind and storage) at ``machine_node``.
        tap_curves: curve of each tap changer that is no plain ratio, by its row; such a row has increment 0.
        shunt_curves: admittance in siemens of a bank by its number of sections, from 0 on, where its sections differ.
    """

    node_ids: tuple[str, ...]
    node_kv: F8
    switch_ids: tuple[str, ...]
    switch_from: I8
    switch_to: I8
    branch_ids: tuple[str, ...]
    branch_from: I8
    branch_to: I8
    branch_z: C16
    branch_y_from: C16
    branch_y_to: C16
    branch_ratio: C16
    tap_ids: tuple[str, ...]
    tap_branch: I8
    tap_side: I8
    tap_neutral: F8
    tap_increment: F8
    shunt_ids: tuple[str, ...]
    shunt_node: I8
    shunt_y: C16
    load_ids: tuple[str, ...]
    load_node: I8
    machine_ids: tuple[str, ...]
    machine_node: I8
    tap_curves: Mapping[int, TapCurve] = field(default_factory=dict)
    shunt_curves: Mapping[int, C16] = field(default_factory=dict)

    @cached_property
    def node_index(self) -> dict[str, int]:
        """Row of each node mRID."""
        return {mrid: row for row, mrid in enumerate(self.node_ids)}

    def admittance(self, tap_step: F8) -> C16:
        """Two-port admittance of every branch in per unit, shape ``(branches, 2, 2)``.

        The tap's ideal transformer stands at the terminal of its winding; the series impedance is that of the rated ratio.
        """
        k = np.ones((2, len(self.branch_ids)), dtype=np.complex128)
        np.multiply.at(k, (self.tap_side, self.tap_branch), 1.0 + (tap_step - self.tap_neutral) * self.tap_increment)
        z, y_from, y_to = self.branch_z, self.branch_y_from, self.branch_y_to
        if self.tap_curves:
            z, y_from, y_to = z.copy(), y_from.copy(), y_to.copy()
            for row in self.tap_curves:
                self._follow(row, float(tap_step[row]), k, z, (y_from, y_to))
        series, ratio, k_from, k_to = 1.0 / z, self.branch_ratio, k[0], k[1]
        y = np.empty((len(self.branch_ids), 2, 2), dtype=np.complex128)
        y[:, 0, 0] = (series + y_from) / np.abs(k_from) ** 2
        y[:, 0, 1] = -ratio * series / (np.conj(k_from) * k_to)
        y[:, 1, 0] = -np.conj(ratio) * series / (np.conj(k_to) * k_from)
        y[:, 1, 1] = (np.abs(ratio) ** 2 * series + y_to) / np.abs(k_to) ** 2
        kv = np.stack([self.node_kv[self.branch_from], self.node_kv[self.branch_to]], axis=1)
        return np.asarray(y * kv[:, :, None] * kv[:, None, :] / BASE_MVA)

    def _follow(self, row: int, step: float, k: C16, z: C16, shunts: tuple[C16, C16]) -> None:
        """Put a tap changer's curve into the factors and the impedances of its branch."""
        branch, side = int(self.tap_branch[row]), int(self.tap_side[row])
        ratio, r, x, g, b, total_x = self.tap_curves[row].at(step)
        k[side, branch] *= ratio
        reactance = z[branch].imag * x
        if np.isfinite(total_x):
            reactance = total_x * (abs(self.branch_ratio[branch]) ** 2 if side else 1.0)
        z[branch] = complex(z[branch].real * r, reactance)
        shunts[side][branch] = complex(shunts[side][branch].real * g, shunts[side][branch].imag * b)

    def shunt_admittance(self, sections: F8) -> C16:
        """Admittance in siemens of each bank with so many sections in service."""
        y = self.shunt_y * sections
        for row, curve in self.shunt_curves.items():
            places = np.arange(len(curve))
            y[row] = complex(np.interp(sections[row], places, curve.real), np.interp(sections[row], places, curve.imag))
        return np.asarray(y)


@dataclass(frozen=True, eq=False)
class BusBranch:
    """The network between two switching operations, per unit on :data:`BASE_MVA`.

    Attributes:
        bus_of_node: bus of each node of the grid.
        bus_kv: nominal voltage of each bus, kV.
        island: number of the electrical island of each bus (connected by branches; energised or not).
        branch_from: bus at the ``from`` side; equal to ``branch_to`` if the branch is bypassed by switches.
        branch_to: bus at the ``to`` side.
        branch_y: two-port admittances, ``(branches, 2, 2)``.
        shunt_y: shunt admittance at each bus.
    """

    bus_of_node: I8
    bus_kv: F8
    island: I8
    branch_from: I8
    branch_to: I8
    branch_y: C16
    shunt_y: C16

    @property
    def bus_count(self) -> int:
        """Number of buses, dead ones included."""
        return len(self.bus_kv)

    @cached_property
    def y_bus(self) -> SparseAdmittance:
        """Bus admittance matrix."""
        rows = assemble(self.branch_from, self.branch_to, np.ascontiguousarray(self.branch_y), self.shunt_y)
        return SparseAdmittance(*rows)

    def branch_flow(self, voltage: C16) -> tuple[C16, C16]:
        """Complex power in MVA flowing from the bus into each branch at its ``from`` and ``to`` side."""
        v_from, v_to = voltage[self.branch_from], voltage[self.branch_to]
        y = self.branch_y
        s_from = v_from * np.conj(y[:, 0, 0] * v_from + y[:, 0, 1] * v_to)
        s_to = v_to * np.conj(y[:, 1, 0] * v_from + y[:, 1, 1] * v_to)
        return s_from * BASE_MVA, s_to * BASE_MVA


def reduce(grid: Grid, switch_open: Mask, tap_step: F8, sections: F8) -> BusBranch:
    """Merge nodes over closed switches and put the present taps and sections into admittances.

    Args:
        grid: equipment.
        switch_open: effective state of each switch (open, out of service or a terminal disconnected).
        tap_step: present step of each tap changer.
        sections: sections in service of each shunt bank.
    """
    closed = ~switch_open
    bus_of_node = components(len(grid.node_ids), grid.switch_from[closed], grid.switch_to[closed])
    count = int(bus_of_node.max()) + 1 if len(bus_of_node) else 0
    bus_kv = np.zeros(count)
    bus_kv[bus_of_node] = grid.node_kv
    branch_from, branch_to = bus_of_node[grid.branch_from], bus_of_node[grid.branch_to]
    shunt = np.zeros(count, dtype=np.complex128)
    shunt_y = grid.shunt_admittance(sections) * grid.node_kv[grid.shunt_node] ** 2 / BASE_MVA
    np.add.at(shunt, bus_of_node[grid.shunt_node], shunt_y)
    return BusBranch(
        bus_of_node=bus_of_node,
        bus_kv=bus_kv,
        island=components(count, branch_from, branch_to),
        branch_from=branch_from,
        branch_to=branch_to,
        branch_y=grid.admittance(tap_step),
        shunt_y=shunt,
    )


def components(count: int, left: I8, right: I8) -> I8:
    """Number the connected components of a graph of ``count`` nodes and the edges ``left[i]-right[i]``, from 0, densely.

    >>> components(5, np.array([0, 3]), np.array([2, 4])).tolist()
    [0, 1, 0, 2, 2]
    """
    label = np.arange(count)
    while True:
        low = np.minimum(label[left], label[right])
        merged = label.copy()
        np.minimum.at(merged, label[left], low)
        np.minimum.at(merged, label[right], low)
        merged = merged[merged]
        if np.array_equal(merged, label):
            break
        label = merged
    return np.unique(label, return_inverse=True)[1].astype(np.int64)
