"""Settings of upstream dispatch: how its day plans are read and judged."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from scada.core.section import Section


class DispatchSettings(Section):
    """Day plans of upstream dispatch."""

    first_point: Literal["step", "midnight"] = Field(
        "step",
        description="First value of a plan file: one step after midnight (00:15 .. 24:00), or at midnight (00:00 .. 23:45).",
    )
    next_day_by: str = Field("20:00", description="Local time at which a missing plan of the next day is alarmed; empty = never.")
    beyond_limits: Literal["clip", "refuse"] = Field(
        "clip", description="A point outside the limits is clipped, or the plan is refused."
    )
    beyond_ramp: Literal["note", "refuse"] = Field(
        "note",
        description="A step that the unit cannot ramp, or a point inside a forbidden zone, is told, or the plan is refused.",
    )
    keep_days: int = Field(60, ge=2, description="Days for which versions of plans can be read; the audit log has them for ever.")

    @field_validator("next_day_by")
    @classmethod
    def _time_of_day(cls, text: str) -> str:
        if text and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
            raise ValueError(f"{text!r} is no time of the day; write e.g. 20:00")
        return text
