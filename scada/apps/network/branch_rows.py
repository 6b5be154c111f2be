"""Lines, series elements and transformers of a CIM model as two-ports."""

from __future__ import annotations

import cmath
import math

from scada.apps.network.node_table import NodeTable, Rows
from scada.apps.network.tap_changers import TapCurve, tap_curve
from scada.core.errors import ModelError

_TAP_CHANGERS = ("RatioTapChanger", "PhaseTapChanger")
_NO_IMPEDANCE = 1e-9
"""Ohm; less than that is none."""


class BranchRows:
    """Reads the branches of a model.

    Args:
        nodes: where they are connected.
        solved: take tap positions of the solved state (SvTapStep) before those of SSH.
        vector_groups: turn voltages by ``phaseAngleClock``.

    Attributes:
        branches: one row a two-port.
        taps: one row a tap changer; ``curves`` by row where it is no plain ratio.
        bypasses: one row a branch without impedance, which is a closed switch.
        branch_side: (branch row, 0 ``from`` or 1 ``to``) of a branch terminal's mRID.
    """

    def __init__(self, nodes: NodeTable, *, solved: bool, vector_groups: bool) -> None:
        self.nodes = nodes
        self.model = nodes.model
        self._vector_groups = vector_groups
        self.branches, self.taps, self.bypasses = Rows(), Rows(), Rows()
        self.curves: dict[int, TapCurve] = {}
        self.branch_side: dict[str, tuple[int, int]] = {}
        self._solved_step = self._solved_steps() if solved else {}
        for class_name in ("ACLineSegment", "SeriesCompensator", "EquivalentBranch"):
            for mrid in self.model.ids(class_name):
                self._line(mrid, class_name)
        for mrid in self.model.ids("PowerTransformer"):
            self._transformer(mrid)

    def _solved_steps(self) -> dict[str, float]:
        steps = {}
        for state in self.model.ids("SvTapStep"):
            changer = self.model.ref(state, "SvTapStep.TapChanger")
            position = self.model.number(state, "SvTapStep.position")
            if changer is not None and not math.isnan(position):
                steps[changer] = position
        return steps

    def _line(self, mrid: str, class_name: str) -> None:
        nodes, model = self.nodes, self.model
        first, second = nodes.terminals(mrid, 2)
        z = complex(nodes.number(mrid, f"{class_name}.r"), nodes.number(mrid, f"{class_name}.x"))
        charging = complex(model.number(mrid, f"{class_name}.gch", 0.0), model.number(mrid, f"{class_name}.bch", 0.0))
        a, b = nodes.at(mrid, first), nodes.at(mrid, second)
        if abs(z) < _NO_IMPEDANCE:
            self.bypasses.add(mrid, a=a, b=b, kind=class_name)
            return
        row = self.branches.add(mrid, a=a, b=b, z=z, y_from=charging / 2, y_to=charging / 2, ratio=1.0)
        self.branch_side[first], self.branch_side[second] = (row, 0), (row, 1)

    def _transformer(self, mrid: str) -> None:
        model = self.model
        ends = list(model.refs_to(mrid, "PowerTransformerEnd.PowerTransformer"))
        ends.sort(key=lambda end: model.number(end, "TransformerEnd.endNumber", 1.0))
        match len(ends):
            case 2:
                self._two_windings(mrid, *ends)
            case 3:
                self._three_windings(mrid, ends)
            case count:
                raise ModelError(
                    f"{model.path(mrid)} has {count} windings, not 2 or 3", where=model.where(mrid), mend="give it its ends"
                )

    def _end(self, mrid: str, end: str) -> tuple[str, int, complex, complex, complex]:
        """Terminal, node, impedance, magnetising admittance and rated kV of a winding, turned by its ``phaseAngleClock``."""
        model, nodes = self.model, self.nodes
        terminal = model.ref(end, "TransformerEnd.Terminal")
        if terminal is None or terminal not in nodes.node_of:
            raise ModelError(
                f"winding {model.path(end)} has no terminal", where=model.where(end), mend="set TransformerEnd.Terminal"
            )
        z = complex(nodes.number(end, "PowerTransformerEnd.r"), nodes.number(end, "PowerTransformerEnd.x"))
        y = complex(model.number(end, "PowerTransformerEnd.g", 0.0), model.number(end, "PowerTransformerEnd.b", 0.0))
        clock = model.number(end, "PowerTransformerEnd.phaseAngleClock", 0.0) if self._vector_groups else 0.0
        rated = nodes.number(end, "PowerTransformerEnd.ratedU")
        if not rated > 0:
            raise ModelError(f"ratedU of winding {model.path(end)} is {rated:g}", where=model.where(end), mend="give its kV")
        return terminal, nodes.at(mrid, terminal), z, y, rated * cmath.exp(-1j * math.radians(30.0 * clock))

    def _two_windings(self, mrid: str, first: str, second: str) -> None:
        terminal_1, a, z_1, y_1, u_1 = self._end(mrid, first)
        terminal_2, b, z_2, y_2, u_2 = self._end(mrid, second)
        z = z_1 + z_2 * abs(u_1 / u_2) ** 2
        if abs(z) < _NO_IMPEDANCE:
            raise ModelError(f"{self.model.path(mrid)} has no impedance", where=self.model.where(mrid), mend="give r and x")
        row = self.branches.add(mrid, a=a, b=b, z=z, y_from=y_1, y_to=y_2, ratio=u_1 / u_2)
        self.branch_side[terminal_1], self.branch_side[terminal_2] = (row, 0), (row, 1)
        self._tap_changers(first, row, 0)
        self._tap_changers(second, row, 1)

    def _three_windings(self, mrid: str, ends: list[str]) -> None:
        star_kv = self.nodes.number(ends[0], "PowerTransformerEnd.ratedU")
        star = self.nodes.made(f"{mrid}#star", star_kv, self.nodes.substation[self.nodes.node_of[mrid]])
        for end in ends:
            terminal, node, z, y, rated = self._end(mrid, end)
            z = z if abs(z) > _NO_IMPEDANCE else complex(0.0, 1e-3 * abs(rated) ** 2 / 1e3)
            row = self.branches.add(mrid, a=node, b=star, z=z, y_from=y, y_to=0.0, ratio=rated / star_kv)
            self.branch_side[terminal] = (row, 0)
            self._tap_changers(end, row, 0)

    def _tap_changers(self, end: str, row: int, side: int) -> None:
        for class_name in _TAP_CHANGERS:
            for mrid in self.model.refs_to(end, f"{class_name}.TransformerEnd"):
                self._tap_changer(mrid, row, side)

    def _tap_changer(self, mrid: str, row: int, side: int) -> None:
        nodes, model = self.nodes, self.model
        neutral = nodes.number(mrid, "TapChanger.neutralStep")
        step = model.number(mrid, "TapChanger.step", model.number(mrid, "TapChanger.normalStep", neutral))
        curve = tap_curve(model, mrid)
        place = self.taps.add(
            mrid,
            branch=row,
            side=side,
            neutral=neutral,
            increment=nodes.number(mrid, "RatioTapChanger.stepVoltageIncrement") / 100.0 if curve is None else 0.0,
            step=self._solved_step.get(mrid, step),
            low=nodes.number(mrid, "TapChanger.lowStep"),
            high=nodes.number(mrid, "TapChanger.highStep"),
        )
        if curve is not None:
            self.curves[place] = curve
