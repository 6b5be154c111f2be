"""Tap changers of CIM as curves: complex ratio and change of impedance by step (IEC 61970-301, ENTSO-E phase shifter guide).

A curve gives the factor ``k`` by which the voltage at the winding's terminal differs from that at the rated ratio. A positive
angle of a phase tap changer advances the terminal it belongs to, ``k = ratio * exp(j angle)``: so the solved states of official
models have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel

F8 = npt.NDArray[np.float64]
C16 = npt.NDArray[np.complex128]

_SYMMETRICAL = ("PhaseTapChangerSymmetrical", "PhaseTapChangerLinear")
_POINT = {
    "RatioTapChanger": ("RatioTapChangerTable", "RatioTapChangerTablePoint.RatioTapChangerTable"),
    "PhaseTapChangerTabular": ("PhaseTapChangerTable", "PhaseTapChangerTablePoint.PhaseTapChangerTable"),
}


@dataclass(frozen=True, eq=False)
class TapCurve:
    """What a tap changer does at its steps, which grow from ``steps[0]``; between two steps it is interpolated.

    Attributes:
        steps: positions.
        ratio: complex factor ``k`` of the winding's voltage.
        r, x, g, b: factors of the winding's resistance, reactance, conductance and susceptance.
        total_x: reactance of the whole transformer in ohm at the winding's side; NaN = as ``x`` says.
    """

    steps: F8
    ratio: C16
    r: F8
    x: F8
    g: F8
    b: F8
    total_x: F8

    def at(self, step: float) -> tuple[complex, float, float, float, float, float]:
        """``ratio, r, x, g, b, total_x`` at a step; beyond the ends, those of the end."""
        turned = np.interp(step, self.steps, np.unwrap(np.angle(self.ratio)))
        size = np.interp(step, self.steps, np.abs(self.ratio))
        r, x, g, b, total_x = (
            float(np.interp(step, self.steps, column)) for column in (self.r, self.x, self.g, self.b, self.total_x)
        )
        return complex(size * np.exp(1j * turned)), r, x, g, b, total_x


def tap_curve(model: CimModel, mrid: str) -> TapCurve | None:
    """Curve of a tap changer; None for a plain ratio tap changer, which :class:`~scada.apps.network.busbranch.Grid` computes.

    Raises:
        ModelError: a class or a table that cannot be used.
    """
    kind = model.class_of(mrid)
    if kind in _POINT:
        table = model.ref(mrid, f"{kind}.{_POINT[kind][0]}")
        if table is not None:
            return _tabular(model, mrid, table, kind)
        if kind == "RatioTapChanger":
            return None
    steps = _steps(model, mrid)
    offset = steps - model.number(mrid, "TapChanger.neutralStep", 0.0)
    match kind:
        case "PhaseTapChangerLinear":
            angle = np.radians(offset * model.number(mrid, "PhaseTapChangerLinear.stepPhaseShiftIncrement", 0.0))
            factor: C16 = np.exp(1j * angle)
        case "PhaseTapChangerSymmetrical":
            factor = np.exp(2j * np.arctan(offset * _increment(model, mrid) / 2))
        case "PhaseTapChangerAsymmetrical":
            winding = np.radians(model.number(mrid, "PhaseTapChangerAsymmetrical.windingConnectionAngle", 90.0))
            factor = 1.0 + offset * _increment(model, mrid) * np.exp(1j * winding)
        case _:
            raise ModelError(
                f"{kind} {model.path(mrid)} has no table", where=model.where(mrid), mend="give it its table, or use another class"
            )
    ones = np.ones(len(steps))
    return TapCurve(
        steps,
        np.asarray(factor, dtype=np.complex128),
        ones,
        ones,
        ones,
        ones,
        _reactance(model, mrid, kind, np.angle(factor)),
    )


def _increment(model: CimModel, mrid: str) -> float:
    return model.number(mrid, "PhaseTapChangerNonLinear.voltageStepIncrement", 0.0) / 100.0


def _steps(model: CimModel, mrid: str) -> F8:
    low, high = model.number(mrid, "TapChanger.lowStep"), model.number(mrid, "TapChanger.highStep")
    if not 0 <= high - low <= 1000:
        raise ModelError(
            f"{model.path(mrid)} has no usable lowStep and highStep", where=model.where(mrid), mend="give lowStep <= highStep"
        )
    return np.arange(low, high + 1)


def _reactance(model: CimModel, mrid: str, kind: str, angle: F8) -> F8:
    """Reactance that varies with the angle between xMin (none) and xMax (greatest); NaN where the model gives no usable range."""
    owner = "PhaseTapChangerLinear" if kind == "PhaseTapChangerLinear" else "PhaseTapChangerNonLinear"
    low, high = model.number(mrid, f"{owner}.xMin"), model.number(mrid, f"{owner}.xMax")
    greatest = float(np.abs(angle).max(initial=0.0))
    if not 0 <= low <= high or high <= 0 or greatest <= 0:
        return np.full(len(angle), np.nan)
    if kind in _SYMMETRICAL:
        return np.asarray(low + (high - low) * (np.sin(angle / 2) / np.sin(greatest / 2)) ** 2)
    theta = np.radians(model.number(mrid, "PhaseTapChangerAsymmetrical.windingConnectionAngle", 90.0))
    turn = (np.sin(theta) - np.tan(greatest) * np.cos(theta)) / (np.sin(theta) - np.tan(angle) * np.cos(theta))
    return np.asarray(low + (high - low) * (np.tan(angle) / np.tan(greatest) * turn) ** 2)


def _tabular(model: CimModel, mrid: str, table: str, kind: str) -> TapCurve:
    points = model.refs_to(table, _POINT[kind][1])
    points.sort(key=lambda point: model.number(point, "TapChangerTablePoint.step", 0.0))
    if not points:
        raise ModelError(f"the table of {model.path(mrid)} has no points", where=model.where(table), mend="give its points")

    def column(prop: str, default: float) -> F8:
        return np.array([model.number(point, prop, default) for point in points])

    angle = np.radians(column("PhaseTapChangerTablePoint.angle", 0.0))
    r, x, g, b = (1.0 + column(f"TapChangerTablePoint.{name}", 0.0) / 100.0 for name in "rxgb")
    ratio = np.asarray(column("TapChangerTablePoint.ratio", 1.0) * np.exp(1j * angle), dtype=np.complex128)
    return TapCurve(column("TapChangerTablePoint.step", 0.0), ratio, r, x, g, b, np.full(len(points), np.nan))
