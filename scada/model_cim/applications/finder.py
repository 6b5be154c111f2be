"""Points and controls by what they measure or move, and what a reader of regulation says of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from scada.core.ids import PointId
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.tables import Control, ControlKind, Point

_MACHINES: Final = ("RotatingMachine.GeneratingUnit", "PowerElectronicsUnit.PowerElectronicsConnection")


class Finder:
    """Points and controls of a model; several of one kind by path, whatever the order of the files.

    Args:
        model: the CIM model.
        points, controls: what was built of it.
        findings: where errors and warnings go.
    """

    def __init__(self, model: CimModel, points: Sequence[Point], controls: Sequence[Control], findings: list[Finding]) -> None:
        self.model = model
        self.findings = findings
        self.point_by_mrid = {point.mrid: point for point in points if not point.removed}
        self.control_by_mrid = {control.mrid: control for control in controls}
        self._points: dict[tuple[str, str], list[Point]] = {}
        for point in sorted(self.point_by_mrid.values(), key=lambda point: point.path):
            self._points.setdefault((point.equipment, point.measurement_type), []).append(point)
        self._controls: dict[tuple[str, str], list[Control]] = {}
        for control in controls:
            self._controls.setdefault((control.equipment, control.control_type), []).append(control)

    def points(self, resources: Iterable[str], measurement_type: str) -> list[Point]:
        """Points of a type at any of the resources."""
        return [point for resource in resources for point in self._points.get((resource, measurement_type), ())]

    def pid(self, resources: Iterable[str], measurement_type: str) -> PointId | None:
        """The first of :meth:`points`."""
        found = self.points(resources, measurement_type)
        return found[0].pid if found else None

    def named(self, mrid: str, prop: str) -> PointId | None:
        """The point that a reference names; an unknown one is reported as a dangling reference elsewhere."""
        point = self.point_by_mrid.get(self.model.ref(mrid, prop) or "")
        return point.pid if point is not None else None

    def control(self, resources: Iterable[str], control_type: str, kind: ControlKind) -> Control | None:
        """The first control of a type and kind."""
        for resource in resources:
            for control in self._controls.get((resource, control_type), ()):
                if control.kind is kind:
                    return control
        return None

    def setpoint(self, resources: Iterable[str], control_type: str) -> Control | None:
        """The set-point of active or reactive power."""
        return self.control(resources, control_type, ControlKind.SETPOINT)

    def by_priority(self, sources: Iterable[str], value_prop: str, priority_prop: str) -> list[PointId]:
        """Points that alternative sources name, best (lowest number) first; of one priority by mRID, not by file order."""
        ranked = sorted(sources, key=lambda source: (self.model.number(source, priority_prop, 99.0), source))
        values = [self.model.ref(source, value_prop) or "" for source in ranked]
        return [self.point_by_mrid[value].pid for value in values if value in self.point_by_mrid]

    def resources_of(self, unit: str) -> list[str]:
        """A unit and its machines, at any of which its points and controls may stand."""
        machines = [machine for prop in _MACHINES for machine in self.model.refs_to(unit, prop)]
        connection = self.model.ref(unit, "PowerElectronicsUnit.PowerElectronicsConnection")
        return [unit, *machines, *([connection] if connection else [])]

    def error(self, rule: str, mrid: str, text: str, hint: str = "", *, prop: str = "") -> None:
        """Report what keeps something from being used."""
        self.findings.append(self.model.finding(Severity.ERROR, rule, mrid, text, hint, prop=prop))

    def warn(self, rule: str, mrid: str, text: str, hint: str = "", *, prop: str = "") -> None:
        """Report what is used, but hardly meant."""
        self.findings.append(self.model.finding(Severity.WARNING, rule, mrid, text, hint, prop=prop))
