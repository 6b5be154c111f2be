"""Settings of the control path: who must be two, and how long each step may take."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from scada.core.section import Section


class TwoPersonRule(Section):
    """Controls that a guardian must confirm on another workstation; what is left out matches everything."""

    station: str = Field("", description="Station or its control area, by name.")
    equipment: Literal["", "Breaker", "LoadBreakSwitch", "Disconnector", "GroundDisconnector"] = Field(
        "", description="CIM class of the switch."
    )
    control_type: str = Field("", description="E.g. SwitchPosition, TapPosition, ActivePower.")
    control: str = Field("", description="mRID of one control.")
    needed: bool = Field(True, description="false: an exception; the first rule that matches decides.")
    upstream: Literal["allow", "guardian"] = Field(
        "allow",
        description="Commands of upstream centres: allow = their own two-person rule counts; guardian = someone here too.",
    )


class ControlSettings(Section):
    """Controls by people."""

    two_person: tuple[TwoPersonRule, ...] = Field(
        (TwoPersonRule(control_type="SwitchPosition"),),
        description="The first rule that matches decides; none = one person.",
    )
    programmes: Path = Field(Path("var/programmes"), description="Folder of the programmes and their runs (always fully synced).")
    check_back_s: float = Field(10.0, gt=0, le=120, description="Longest time until a station checks back.")
    selection_s: float = Field(60.0, gt=0, le=600, description="How long a selection stays: for guardian and execute together.")
    confirm_s: float = Field(10.0, gt=0, le=120, description="Longest time until a station confirms an execute.")
