"""What is shown of a plant after a cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from scada.apps.agc_avc.agc.plants import PlantControl


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One member; fields as in ``AgcMemberStatus``, MW, NaN = unknown or none."""

    mrid: str
    name: str
    kind: str
    power_mw: float
    setpoint_mw: float
    """Last told."""
    reason: str
    """Why it takes no set-points; empty = it does."""
    benchmark: bool
    """Left uncurtailed now."""
    stopped: bool
    """Told 0, because the minima of the others leave no other way."""


@dataclass(frozen=True, slots=True)
class PlantStatus:
    """Figures of one plant; fields as in ``AgcUnitStatus``, NaN = unknown or does not apply."""

    available_mw: float = math.nan
    available_source: str = ""
    """``telemetered``, ``benchmark``, ``irradiance`` or ``output``; empty = unknown."""
    curtailed_mw: float = math.nan
    curtailed_by: str = ""
    """``agc``, ``group``, ``operator`` or ``plant``; empty = not curtailed."""
    curtailed_mwh_today: float = math.nan
    curtailment_validity: float = math.nan
    """Part of the day so far of which all is known, 0..1."""
    state_of_charge: float = math.nan
    """%."""
    uncontrolled_mw: float = math.nan
    """What members without set-points will give in the next cycle."""
    members: tuple[MemberStatus, ...] = ()


NO_PLANT = PlantStatus()
"""Of a unit that is no plant."""
_NAMES = [one.name for one in fields(PlantStatus)]


def shown_of(status: PlantStatus) -> dict[str, Any]:
    """The figures by name."""
    return {name: getattr(status, name) for name in _NAMES}


def plant_status(plant: PlantControl, now_ns: int) -> PlantStatus:
    """The plant as of its last reading.

    Args:
        plant: the plant.
        now_ns: ns UTC, until when the day's validity is reckoned.
    """
    day = plant.account.running.get("day") if plant.weather else None
    roles = plant.order.roles
    members = tuple(
        MemberStatus(
            control.member.mrid,
            control.member.name,
            control.member.kind,
            control.power,
            control.told,
            control.reason if plant.splits else "",
            index in roles,
            control.stopped,
        )
        for index, control in enumerate(plant.members)
    )
    return PlantStatus(
        available_mw=plant.reading.available.mw,
        available_source=plant.reading.available.source,
        curtailed_mw=plant.curtailed_mw,
        curtailed_by=plant.cause,
        curtailed_mwh_today=math.nan if day is None else day.total_mwh,
        curtailment_validity=math.nan if day is None else day.validity(now_ns),
        state_of_charge=plant.charge,
        uncontrolled_mw=plant.order.uncontrolled if plant.splits else math.nan,
        members=members,
    )
