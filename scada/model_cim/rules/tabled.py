"""Points and controls of a model's tables, as the rules about them go through them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits
from scada.model_cim.rules.view import View
from scada.model_cim.tables import Control, ModelTables, Point


def listed(
    view: View, found: Iterable[tuple[str, str]], *, prop: str = "", hint: str = "", severity: Severity | None = None
) -> Iterator[Hits]:
    """Hits of (mRID, text)."""
    pairs = [(row, text) for mrid, text in found if (row := view.row(mrid)) >= 0]
    if pairs:
        texts = [text for _, text in pairs]
        yield Hits(np.array([row for row, _ in pairs], np.int32), texts.__getitem__, prop, hint, severity=severity)


def tables_of(view: View) -> ModelTables:
    """Tables of the model."""
    assert view.tables is not None
    return view.tables


def points_of(view: View) -> Iterator[Point]:
    """Points without tombstones."""
    return (point for point in tables_of(view).points if not point.removed)


def controls_of(view: View) -> Iterator[Control]:
    """Controls without tombstones."""
    return (control for control in tables_of(view).controls if not control.removed)


def addressed(view: View) -> Iterator[Point | Control]:
    """Points and controls."""
    yield from points_of(view)
    yield from controls_of(view)
