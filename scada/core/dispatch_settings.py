"""Settings of upstream dispatch: who may order what, how orders and plans are judged, what happens when dispatch is lost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from scada.core.section import Section

OrderKind = Literal["setpoint", "schedule", "mode", "limits"]
EVERYTHING = "*"
_TIME = r"([01]\d|2[0-3]):[0-5]\d"
_HOURS = re.compile(rf"{_TIME}-({_TIME}|24:00)")


class DispatchContract(Section):
    """What one dispatcher may order: an identity, or `upstream:NAME` of a master of an upstream station."""

    areas: tuple[str, ...] = Field((EVERYTHING,), description="Control areas by name; * = all.")
    units: tuple[str, ...] = Field((EVERYTHING,), description="Units by name or mRID; * = all of these areas.")
    kinds: tuple[OrderKind, ...] = Field(("setpoint", "schedule", "mode", "limits"), description="Kinds of orders.")
    limits: Mapping[str, tuple[float, float]] = Field(
        {}, description="Least and greatest MW by area or unit (name or mRID), within those of the model: East = [-50, 80]."
    )
    step_mw: float = Field(0.0, ge=0, description="Largest change of a set-point, or between two points of a plan, MW; 0 = any.")
    decide: Literal["auto", "operator"] = Field("auto", description="operator: an order waits until an operator accepts it.")
    decide_within_s: float = Field(300.0, gt=0, le=86_400, description="Longest wait for an operator; then the order expires.")
    priority: int = Field(9, ge=0, le=99, description="Highest priority that it may ask.")
    needs_issue_time: bool = Field(
        False,
        description="An order that does not say when it was issued (by 104: without a time tag) is refused: its age is unknown.",
    )
    hours: tuple[str, ...] = Field((), description='Local times in which it may order: ["06:00-22:00"]; none = always.')

    @field_validator("hours")
    @classmethod
    def _spans(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            if not _HOURS.fullmatch(text):
                raise ValueError(f"{text!r} is no span of the day; write e.g. 06:00-22:00")
        return given

    @field_validator("limits")
    @classmethod
    def _ordered(cls, given: Mapping[str, tuple[float, float]]) -> Mapping[str, tuple[float, float]]:
        for name, (low, high) in given.items():
            if not low <= high:
                raise ValueError(f"limits of {name}: {low:g} is not below {high:g}")
        return given


class DispatchSettings(Section):
    """Orders and day plans of upstream dispatch."""

    path: Path = Field(Path("var/dispatch"), description="Folder of the orders that stand (always fully synced).")
    contracts: Mapping[str, DispatchContract] = Field(
        {"dispatcher": DispatchContract()},
        description="By identity: what each dispatcher may order. Whoever has no contract is refused.",
    )
    order_age_s: float = Field(
        300.0, gt=0, description="An order for now that says that it was issued longer ago than this is late."
    )
    silence_s: float = Field(
        900.0, ge=0, description="A dispatcher of whom nothing was heard for so long is lost, real s; 0 = this is not watched."
    )
    hold_s: float = Field(
        300.0, ge=0, description="How long set-points that hold until replaced outlive the loss of their dispatcher."
    )
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
