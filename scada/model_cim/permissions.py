"""Interlocks that the model writes as expressions: read, and their points and equipment found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from scada.core.ids import PointId, normalise_mrid
from scada.expressions.language import Expression, ExpressionError, parse_condition
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.tables import Control, Permission, Point

PERMITTED: Final = (
    ("permittedWhen", True, True),
    ("openPermittedWhen", True, False),
    ("closePermittedWhen", False, True),
)
"""Attribute of a control (``sc:Control.``), whether it is asked before opening, before closing."""

RULE: Final = "control.permitted-when"


class Names:
    """What a condition may name: points and equipment by path or mRID; a path that two of them share names neither.

    Args:
        points: of the model.
        controls: of the model.
        model: for the paths of equipment; without it only their mRIDs are known.
    """

    def __init__(self, points: Iterable[Point], controls: Iterable[Control], model: CimModel | None) -> None:
        self._points: dict[str, PointId] = {}
        self._equipment: dict[str, str] = {}
        rows: list[Point | Control] = [control for control in controls if not control.removed]
        for point in points:
            if not point.removed:
                self._points[point.mrid] = self._points[point.path] = point.pid
                rows.append(point)
        named = {row.equipment for row in rows if row.equipment}
        self._equipment.update((mrid, mrid) for mrid in named)
        if model is not None:
            paths = [(model.path(mrid), mrid) for mrid in named]
            count = Counter(path for path, _ in paths)
            self._equipment.update((path, mrid) for path, mrid in paths if count[path] == 1)

    def point(self, name: str) -> PointId | None:
        """A point by path or mRID."""
        return self._points.get(name, self._points.get(normalise_mrid(name)))

    def equipment(self, name: str) -> str | None:
        """The mRID of an equipment by path or mRID."""
        return self._equipment.get(name, self._equipment.get(normalise_mrid(name)))


def with_permissions(
    model: CimModel, controls: Sequence[Control], points: Mapping[str, Point], findings: list[Finding]
) -> list[Control]:
    """The controls with their conditions; one that cannot be read or names what is not there stays, and forbids."""
    asked = [each for each in PERMITTED if model.column(f"sc:Control.{each[0]}") is not None]
    if not asked:
        return list(controls)
    names = Names(points.values(), controls, model)
    return [
        control if control.removed else replace(control, permitted_when=_of(model, control, asked, names, findings))
        for control in controls
    ]


def _of(
    model: CimModel, control: Control, asked: Sequence[tuple[str, bool, bool]], names: Names, findings: list[Finding]
) -> tuple[Permission, ...]:
    found = []
    for attribute, opens, closes in asked:
        prop = f"sc:Control.{attribute}"
        for text in [said.value for said in model.statements_of(control.mrid) if said.prop == prop]:
            permission, fault, hint = _read(text, opens, closes, names)
            if fault:
                what = f"the condition {text!r}: {fault}: the control can never be operated"
                findings.append(model.finding(Severity.ERROR, RULE, control.mrid, what, hint, prop=prop))
            found.append(permission)
    return tuple(found)


def _read(text: str, opens: bool, closes: bool, names: Names) -> tuple[Permission, str, str]:
    """A permission; with what is wrong with it and how to mend it, empty if nothing is."""
    forbidding = Permission(text, opens, closes)
    try:
        expression = parse_condition(text)
    except ExpressionError as error:
        return forbidding, f"{error.where}: {error.what}", error.mend or "see the expression language"
    pids = [names.point(name) for name in expression.references]
    equipment = [names.equipment(name) for name in expression.equipment]
    if missing := _missing(expression, [*pids, *equipment]):
        return forbidding, f'the model has no "{missing}"', "write the path or mRID of a point or an equipment of the model"
    named = tuple(mrid for mrid in equipment if mrid is not None)
    return Permission(text, opens, closes, expression, tuple(pid for pid in pids if pid is not None), named), "", ""


def _missing(expression: Expression, found: Sequence[object]) -> str:
    for name, known in zip((*expression.references, *expression.equipment), found, strict=True):
        if known is None:
            return name
    return ""
