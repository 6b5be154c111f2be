"""Where the demo grid is: in a checkout beside the package, in an installed package inside it."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
PLACES = (_PACKAGE.parent / "examples" / "demo-grid", _PACKAGE / "demo_grid")
"""The checkout's folder first: it is the source of the packaged one."""

GRID = next((place for place in PLACES if (place / "sim.toml").is_file()), PLACES[0])
"""Folder of the demo grid's CIM XML files and ``sim.toml``."""
