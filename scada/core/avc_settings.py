"""Settings of AVC: tuning, switched devices, suspension, references."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from scada.core.section import Section

_NineZoneAction = Literal["tap_up", "tap_down", "bank_up", "bank_down"]
_NineZoneCell = Annotated[str, Field(pattern=r"^(low|ok|high)/(lack|ok|surplus)$")]
_TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]

_SHARE_TOLERANCE = 1e-6


class AvcTuning(Section):
    """Parameters of voltage control. Those of the continuous part: dead band and gain are of common practice, the others ours."""

    gain: float = Field(0.7, gt=0, le=1, description="Part of the voltage error that one cycle corrects by continuous sources.")
    deadband_percent: float = Field(
        0.5, gt=0, le=10, description="Dead band of a pilot node for which the model gives none, part of its target."
    )
    loading_weight: float = Field(
        0.05,
        gt=0,
        description="Weight of even loading of the sources (of half their range) against errors in dead bands.",
    )
    svg_weight: float = Field(10.0, ge=1, description="How many times heavier the loading of a dynamic compensator (SVG) weighs.")
    svg_reserve: float = Field(
        0.5, ge=0, lt=1, description="Part of a dynamic compensator's range that is kept free by moving its duty onto others."
    )
    limit_weight: float = Field(
        1000.0, gt=0, description="Price of a pilot node outside its limits, for each dead band; errors cost their square."
    )
    bus_limit_weight: float = Field(
        10000.0, gt=0, description="Price of a source's own bus outside its limits, for each dead band (0.5 % of the limit)."
    )
    source_deadband_mvar: float = Field(0.2, ge=0, description="Smaller changes of a source are not sent.")
    response_cycles: int = Field(
        4, ge=1, description="Cycles in a row without approach to its set-point that take a source off control."
    )
    response_percent: float = Field(
        5.0,
        gt=0,
        description="Difference from its set-point at which a source has followed, % of its range (>= 0.5 Mvar).",
    )
    refusals: int = Field(2, ge=1, description="Commands refused in a row that lock a device or take a source out.")
    plausible_low: float = Field(
        0.7, gt=0, lt=1, description="Voltages below this part of the target are a fault or a dead bus: not used."
    )
    plausible_high: float = Field(1.3, gt=1, description="Voltages above this part of the target are not believed.")
    assumed_effect: float = Field(
        0.0125, gt=0, description="Effect of a device whose sensitivity is unknown, part of the target; for its prediction only."
    )
    lack_loading: float = Field(
        0.6, gt=0, le=1, description="Loading of the sources, of half their range, that is a lack (negative: a surplus)."
    )
    day_offset_s: float = Field(0.0, description="Seconds added to UTC for the day in which operations are counted.")
    unlock_s: float = Field(
        0.0, ge=0, description="Time after which a lock by refusal opens by itself; 0 = an operator must do it."
    )


class QuotaPeriod(Section):
    """A part of the day and the share of the daily operations that it adds; what is not used is carried over."""

    begins: _TimeOfDay = Field(description="Time of the day in which operations are counted, HH:MM.")
    share: float = Field(gt=0, le=1, description="Part of a device's daily limit.")


class AvcDiscreteSettings(Section):
    """Switched banks and tap changers. The defaults are common practice; sites differ, so all of it can be set."""

    nine_zone: dict[_NineZoneCell, list[_NineZoneAction]] = Field(
        default_factory=dict, description="Cells of the nine-zone table (voltage/reactive balance) and their actions in order."
    )
    zones: dict[str, dict[_NineZoneCell, list[_NineZoneAction]]] = Field(
        default_factory=dict, description="The same for single AVC zones, by name."
    )
    confirm_cycles: int = Field(1, ge=1, description="Cycles in a row that must ask for the same before a device is moved.")
    hysteresis: float = Field(0.3, ge=0, description="Part of the dead band by which it must be exceeded more to turn back.")
    least_gain: float = Field(0.1, ge=0, description="Least gain of an operation towards the target, part of the dead band.")
    reversal_s: float = Field(1800.0, ge=0, description="No way back within this time, unless a limit is violated.")
    hold_s: float = Field(900.0, ge=0, description="What others did with a device is not undone within this time.")
    response_s: float = Field(90.0, gt=0, description="The position must follow a command within this time.")
    quota: list[QuotaPeriod] = Field(
        default_factory=lambda: [
            QuotaPeriod(begins="00:00", share=0.2),
            QuotaPeriod(begins="06:00", share=0.35),
            QuotaPeriod(begins="12:00", share=0.2),
            QuotaPeriod(begins="17:00", share=0.25),
        ],
        description="How the daily operations are spread over the day; empty = not at all.",
    )
    tap_difference: int = Field(1, ge=1, description="Greatest difference of steps between parallel transformers.")
    mismatch_s: float = Field(300.0, ge=0, description="Parallel transformers may differ for this time before it is alarmed.")

    @field_validator("quota")
    @classmethod
    def _whole_day(cls, quota: list[QuotaPeriod]) -> list[QuotaPeriod]:
        begins = [period.begins for period in quota]
        if begins != sorted(set(begins)) or (begins and begins[0] != "00:00"):
            raise ValueError("the periods of the quota must ascend and the first begin at 00:00")
        if quota and abs(sum(period.share for period in quota) - 1.0) > _SHARE_TOLERANCE:
            raise ValueError("the shares of the quota must add up to 1")
        return quota


class AvcSuspendSettings(Section):
    """When AVC suspends itself."""

    unsolved_cycles: int = Field(10, ge=1, description="Cycles in a row without a network solution, where there is a network.")
    late_cycles: float = Field(5.0, gt=1, description="A cycle this many cycle times after the one before sends nothing.")
    resume_cycles: int = Field(1, ge=1, description="Good cycles in a row after which a zone is regulated again.")
    spread_percent: float = Field(3.0, gt=0, description="Sources of one voltage that differ by more are not believed.")
    dead_percent: float = Field(10.0, ge=0, lt=50, description="Part of its target below which a bus is dead.")


class ReferencePeriod(Section):
    """Voltage target from a time of the day on."""

    begins: _TimeOfDay = Field(description="Local time, HH:MM.")
    kv: float | None = Field(None, gt=0, description="Target, kV; for single pilot nodes.")
    percent: float = Field(100.0, gt=50, lt=150, description="Target as a part of the model's, where no kV is given.")


class AvcReferenceSettings(Section):
    """Voltage targets of the pilot nodes beside the model's."""

    path: str = Field("", description="Plan of targets, CSV or TOML; read again when it changes. Empty = none.")
    periods: list[ReferencePeriod] = Field(default_factory=list, description="Peak and valley targets of every pilot node.")
    pilots: dict[str, list[ReferencePeriod]] = Field(default_factory=dict, description="The same for single ones, by name.")
    ramp_percent: float = Field(0.1, gt=0, description="A new target is approached by this part of it per minute, in percent.")


class AvcSettings(Section):
    """Automatic voltage control."""

    cycle_s: float = Field(30.0, gt=0, description="Cycle.")
    start: Literal["on", "monitor", "off"] = Field("off", description="State after start of the server.")
    tuning: AvcTuning = AvcTuning()
    discrete: AvcDiscreteSettings = AvcDiscreteSettings()
    suspend: AvcSuspendSettings = AvcSuspendSettings()
    references: AvcReferenceSettings = AvcReferenceSettings()
