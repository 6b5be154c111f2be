"""Where the public CIM models are: beside the repository, never in it (their licences forbid it)."""

from __future__ import annotations

from workers import BENCH

FOLDER = BENCH.parent.parent / "shared" / "data" / "cim"
REAL_GRID = FOLDER / "real_bb_cim16.zip"
"""ENTSO-E's RealGrid, CGMES 2.4.15: 86.5 MB of XML, 149 166 objects with the headers."""
