"""Configuration of AGC: ``[agc]`` what a site sets, ``[agc.tuning]`` what it may tune.

A value of null (left out) is derived from the control area, as its description says. Formulas marked [K] are common knowledge of
the field whose text we did not hold in hand: what they rest on is configurable, and a site compares it with its own rules.
"""

from __future__ import annotations

from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from scada.core.plant_settings import PlantSettings
from scada.core.section import Section

AceMode = Literal["CFC", "CIC", "TLBC", "TLBC+TEC", "TLBC+II", "TLBC+ATEC"]
"""How the ACE is formed, see :mod:`scada.apps.agc_avc.agc.ace`."""


class AgcTuning(Section):
    """AGC parameters beyond the usual settings. Left out = derived from the area, as each description says."""

    # ------------------------------------------------------------ inputs
    hold_cycles: int = Field(
        0,
        ge=0,
        description="Cycles for which the last good value of a tie (never of frequency) stands in; nothing is sent.",
    )
    frequency_spread_hz: float = Field(0.2, gt=0, description="Good frequency sources that differ by more, Hz: two islands.")
    max_deviation_hz: float | None = Field(
        None, gt=0, description="Deviation from nominal above which AGC is suspended, Hz; default 2 % of nominal."
    )
    frozen_s: float = Field(
        60.0,
        ge=0,
        description="A frequency source that normally moves and stood still for so long is skipped as frozen, s; 0 = off.",
    )
    all_frozen_s: float = Field(
        300.0,
        ge=0,
        description="All frequency sources standing still for so long suspend, s; 0 = never. A quiet grid needs more.",
    )
    mismatch_mw: float | None = Field(
        None, gt=0, description="Largest difference of the sum of ties and the independent meter, MW; default 3 dead bands."
    )
    mismatch_cycles: int = Field(3, ge=1, description="Cycles in a row above mismatch_mw that suspend.")
    plausible_mw: float | None = Field(
        None,
        gt=0,
        description="Largest |ACE| and |ARR| believed, MW; default the sum of the units' maxima (at least 100 dead bands).",
    )
    implausible_cycles: int = Field(3, ge=1, description="Cycles in a row above plausible_mw that suspend.")
    late_s: float | None = Field(None, gt=0, description="Time without a cycle that suspends, s; default 10 cycles.")
    resume_cycles: int = Field(2, ge=1, description="Good cycles in a row before control resumes after a suspension.")
    no_ace_minutes: float = Field(
        30.0, gt=0, description="Time without a valid ACE that is an alarm, min; source: NERC BAL-005-1 R2."
    )

    # ------------------------------------------------------------ ACE
    interchange_ramp_mw_per_min: float | None = Field(
        None, gt=0, description="Ramp to a new scheduled interchange, MW/min; default half of what the units ramp together."
    )
    meter_error: Literal["none", "estimated", "entered"] = Field(
        "estimated",
        description="IME of NERC BAL-001: mean difference of ties and independent meter over the last hour, or meter_error_mw.",
    )
    meter_error_mw: float = Field(0.0, description="IME entered by the operator, MW (sum of ties less energy metered).")
    meter_error_limit_mw: float | None = Field(None, ge=0, description="Largest IME estimated, MW; default 2 dead bands.")
    time_error_offset_hz: float = Field(
        0.02, ge=0, le=0.1, description="Offset of the scheduled frequency while time error is corrected, Hz; source: NAESB, [K]."
    )
    time_error_start_s: float = Field(10.0, gt=0, description="Time error that starts a correction, s; source: NAESB, East [K].")
    time_error_stop_s: float = Field(6.0, ge=0, description="Time error that ends it, s; source: NAESB, East [K].")
    payback_hours: float = Field(3.0, gt=0, description="TLBC+II: hours in which inadvertent interchange is paid back.")
    payback_limit_mw: float | None = Field(None, ge=0, description="Largest payback and IATEC, MW; default 0.2 |B| [K].")
    atec_hours: float = Field(3.0, gt=0, description="H of IATEC; source: BAL-004-WECC [K].")
    time_zone: str = Field("UTC", description="IANA time zone of on-peak hours.")
    on_peak_from: int = Field(6, ge=0, le=23, description="First on-peak hour of the day; source: WECC [K].")
    on_peak_to: int = Field(22, ge=1, le=24, description="On-peak ends before this hour.")
    on_peak_days: tuple[int, ...] = Field((0, 1, 2, 3, 4, 5), description="Days with on-peak hours, 0 = Monday; WECC [K].")

    # ------------------------------------------------------------ requirement
    cps_gain: float = Field(0.0, ge=0, description="Kcps: more proportional gain while the ACE hurts the frequency.")
    zone_gains: tuple[float, float, float] = Field(
        (1.0, 1.0, 1.0), description="Factors on the gains in the normal, assist and emergency zone."
    )
    assist_mw: float | None = Field(None, gt=0, description="ACE alone at which assist units join, MW; default 4 dead bands.")
    emergency_mw: float | None = Field(None, gt=0, description="The same for emergency units; default 12 dead bands.")
    permissive_mw: float | None = Field(
        None,
        ge=0,
        description="ACE below which an error that helps the frequency is not chased, MW; default L10 or the dead band.",
    )
    eps10_hz: float = Field(
        0.0057,
        gt=0,
        description="10-minute target, Hz, for L10 = 1.65 eps10 sqrt((10 B)(10 Bs)); source: NERC, East [K].",
    )
    hysteresis: float = Field(0.6, gt=0, le=1, description="A zone is left at this part of the edge at which it was entered.")
    dwell_s: float = Field(12.0, ge=0, description="Shortest time in a zone before a lower one; a higher one is entered at once.")
    washout_s: float = Field(60.0, gt=0, description="How long the integral term counts in the requirement, s.")
    hourly_bleed: float = Field(1.0, ge=0, le=1, description="Part of the requirement's integral term dropped at each full hour.")
    windup_s: float = Field(30.0, gt=0, description="The demand may run ahead of the units by what they ramp in this time, s.")

    # ------------------------------------------------------------ units
    max_step_mw: float = Field(100_000.0, gt=0, description="Largest change of one set-point in one cycle, MW.")
    min_interval_s: float = Field(0.0, ge=0, description="Shortest time between two set-points to one unit, s.")
    response_cycles: int = Field(15, ge=1, description="Cycles in a row without following that take a unit off control.")
    response_band: float = Field(
        0.02, gt=0, le=1, description="Part of the unit's maximum by which it may differ from its set-point and still follow."
    )
    response_delay_s: float = Field(
        0.0, ge=0, description="Time after a command before not following counts, s (dead time of a mill or of telecontrol)."
    )
    droop: float = Field(
        0.04,
        gt=0,
        le=1,
        description="Droop assumed when judging whether a unit follows: its primary response is allowed for; [K].",
    )
    pulse_settle_s: float = Field(
        20.0, gt=0, description="How long what a raise or lower pulse should move is waited for before it counts as lost, s; [K]."
    )
    share: Literal["factor", "economic", "ramp", "margin", "capacity"] = Field(
        "factor", description="How a unit takes part in regulation where the model does not say it."
    )
    economic_cycles: int = Field(
        15, ge=1, description="Cycles between two economic dispatches of the units of base mode CECO (and shares of PROP)."
    )
    refusals: int = Field(3, ge=1, description="Set-points refused in a row that take a unit off control.")
    soc_minimum: float = Field(10.0, ge=0, le=100, description="Lowest state of charge used, %.")
    soc_maximum: float = Field(90.0, ge=0, le=100, description="Highest state of charge used, %.")
    soc_horizon_h: float = Field(0.25, gt=0, description="Time for which a storage must be able to keep its set-point, h.")
    efficiency: float = Field(0.95, gt=0, le=1, description="One-way efficiency of storages, per unit.")

    plants: PlantSettings = PlantSettings()

    # ------------------------------------------------------------ reserve
    reserve_minutes: float = Field(10.0, gt=0, description="Ramp time in which spinning reserve counts, min.")
    regulating_minutes: float = Field(5.0, gt=0, description="Ramp time in which regulating reserve counts, min.")
    reserve_up_mw: float = Field(0.0, ge=0, description="Spinning reserve required upwards, MW; less is an alarm.")
    reserve_down_mw: float = Field(0.0, ge=0, description="Spinning reserve required downwards, MW.")
    regulating_up_mw: float = Field(0.0, ge=0, description="Regulating reserve required upwards, MW.")
    regulating_down_mw: float = Field(0.0, ge=0, description="Regulating reserve required downwards, MW.")

    # ------------------------------------------------------------ performance
    eps1_hz: float = Field(
        0.018,
        gt=0,
        description="Target of the 1-minute frequency deviation in CPS1, Hz; source: NERC, East.",
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"no time zone {name!r}; write e.g. Asia/Shanghai") from error
        return name

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        pairs = (("time_error_stop_s", "time_error_start_s"), ("soc_minimum", "soc_maximum"), ("on_peak_from", "on_peak_to"))
        for low, high in pairs:
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f"{low} must be less than {high}")
        if self.assist_mw is not None and self.emergency_mw is not None and self.assist_mw > self.emergency_mw:
            raise ValueError("assist_mw must not exceed emergency_mw")
        if min(self.zone_gains) < 0:
            raise ValueError("zone_gains must not be negative")
        return self


class AgcSettings(Section):
    """Automatic generation control."""

    cycle_s: float = Field(4.0, gt=0, description="Cycle; source: NERC BAL-005-1 R1 asks for 6 s or less.")
    start: Literal["on", "monitor", "off"] = Field("off", description="State after start of the server.")
    mode: AceMode = Field(
        "TLBC",
        description="Control mode: constant frequency (CFC), constant interchange (CIC), tie-line bias (TLBC), the latter with "
        "time error correction, payback of inadvertent interchange, or both by the automatic correction of WECC.",
    )
    sign: Literal["nerc", "reversed"] = Field(
        "nerc",
        description="Sign of the ACE shown and published: nerc = negative asks for generation; reversed = positive does.",
    )
    proportional: float = Field(0.8, ge=0, description="Kp of the area regulation requirement.")
    integral: float = Field(0.03, ge=0, description="Ki, 1/s.")
    filter_s: float = Field(4.0, ge=0, description="Time constant of the ACE filter, s.")
    tuning: AgcTuning = AgcTuning()
