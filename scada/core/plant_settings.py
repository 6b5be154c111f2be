"""Configuration of plants of PV, wind and storage under AGC: ``[agc.tuning.plants]``.

What is marked [K] is common practice of the field without a text at hand: a site compares it with its own grid code.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scada.core.section import Section


class PlantSettings(Section):
    """How the target of a plant is shared by its members, and what it is believed to be able to give."""

    # ------------------------------------------------------------ sharing
    share: Literal["margin", "average", "capacity"] = Field(
        "margin", description="How a plant's target is shared by its members: equal margin, equal output, by capacity."
    )
    ramp_percent: float = Field(
        10.0, gt=0, description="Ramp of a plant whose model gives none, % of its capacity a minute; source: grid codes [K]."
    )
    deadband_percent: float = Field(0.5, ge=0, le=20, description="Smallest change of a member's set-point, % of its capacity.")
    stops: bool = Field(True, description="PV and wind members may be told 0 where their minima leave no other way to an order.")
    restart_s: float = Field(300.0, ge=0, description="A member that was told 0 is not started again before, s.")
    prediction_s: float = Field(30.0, gt=0, description="Time constant of the trend of members that cannot be controlled, s.")
    response_cycles: int = Field(15, ge=1, description="Cycles in a row without following after which a member is not used.")
    refusals: int = Field(3, ge=1, description="Set-points refused in a row after which a member is not used.")
    correction_s: float = Field(60.0, gt=0, description="Integral time of the correction of losses up to the meter, s.")
    correction_percent: float = Field(5.0, ge=0, le=50, description="Largest such correction, % of capacity.")
    response_s: float = Field(10.0, ge=0, description="Time in which members are expected to reach their set-points, s.")

    # ------------------------------------------------------------ available power
    benchmark_minimum: int = Field(
        1, ge=1, description="Good benchmark members of one kind needed for an available power; from 3 on they check each other."
    )
    benchmark_settle_s: float = Field(300.0, ge=0, description="Time a benchmark must have been uncurtailed to count, s.")
    benchmark_frozen_s: float = Field(
        300.0, gt=0, description="A benchmark that stood still for so long while the others moved is skipped, s."
    )
    benchmark_spread: float = Field(
        0.3, gt=0, description="A benchmark whose output per capacity is further from the median of them is skipped."
    )
    rotation_hours: float = Field(0.0, ge=0, description="Time after which the next members become benchmarks, h; 0 = never.")
    irradiance_performance: float = Field(
        0.85, gt=0, le=1, description="PV output at 1000 W/m² and 25 °C of the cells, part of capacity [K]."
    )
    irradiance_temperature: float = Field(-0.004, le=0, description="Change of PV output a kelvin of the cells above 25 °C [K].")
    ambient_c: float | None = Field(None, description="Air temperature, °C, for that of the cells; left out = not regarded.")
    curtailed_percent: float = Field(1.0, ge=0, description="An output this far below the available is curtailed, % of capacity.")

    # ------------------------------------------------------------ storage
    soc_pull_per_hour: float = Field(
        0.5, ge=0, description="Part of a deviation of the state of charge that is made good in an hour while regulation rests."
    )
    soc_pull_percent: float = Field(20.0, ge=0, le=100, description="Largest power for that, % of the storage's maximum.")
    split_s: float = Field(
        60.0, ge=0, description="Storage takes what is faster than this, s, other units the rest; 0 = storage shares like a unit."
    )

    # ------------------------------------------------------------ stations
    stations: Literal["participation", "equal", "lifo", "fifo"] = Field(
        "participation",
        description="Which PV or wind plant gives way first: by participation; equal part of the available; the last (lifo) or "
        "first (fifo) of the model's order.",
    )
