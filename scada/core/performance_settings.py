"""Configuration of the performance of regulation: ``[performance]``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from scada.core.section import Section


class PerformanceSettings(Section):
    """Indices of regulation (CPS, BAAL, DCS, units' scores): where they are kept and by which rules."""

    path: Path = Field(Path("var/performance"), description="Folder of the accounts (always fully synced).")
    map_mb: int = Field(512, ge=16, description="Fixed size of the accounts in MiB.")
    unit_days: int = Field(
        92, ge=2, description="Days for which minutes and commands of units are kept, fewer if room is short; areas: for ever."
    )
    rules: str = Field("shaanxi-2025-draft", description="Rule profile of areas that name none in the model.")
    rules_file: Path = Field(Path(), description="TOML file of rule profiles of your own; left out = none.")
    period_minutes: Literal[10, 15] = Field(10, description="Period of CPS2 and the Chinese CPS: 10 (NERC) or 15 min.")
    a2_limit_mw: float | None = Field(None, gt=0, description="Ld of criterion A2, MW; default from load_change_mw.")
    load_change_mw: float | None = Field(
        None, ge=0, description="Greatest hourly change of load, MW, for Ld = 0.025 dL + 5; left out = no A2."
    )
    loss_mw: float = Field(
        0.0, ge=0, description="Sudden loss of a unit's output that counts as a disturbance (DCS), MW; 0 = none is looked for."
    )
