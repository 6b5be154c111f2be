"""What AGC and AVC refuse."""

from __future__ import annotations

from scada.core.errors import ScadaError


class RegulationError(ScadaError):
    """An order that AGC or AVC cannot take: no such unit, mode, zone or device, or a value that is not allowed."""
