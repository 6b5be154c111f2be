"""``sim.toml``: what the plant simulator adds to a model - dynamics of the units, load and weather, which station runs c104."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scada.core.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AdminSettings(_Section):
    """Fault injection."""

    port: int = Field(12404, ge=0, le=65535, description="Loopback port of `scada sim fault`; 0 = any free port.")


class NetworkSettings(_Section):
    """Electrical network and switchgear."""

    tie_mw_per_rad: float = Field(400.0, gt=0, description="Synchronising power of each tie line in service.")
    tie_damping_mw_per_hz: float = Field(60.0, ge=0, description="Damper windings' torque between areas, each tie line.")
    load_damping: float = Field(1.5, ge=0, description="Per unit load for per unit frequency.")
    breaker_s: float = Field(0.2, gt=0, description="Operating time of a circuit-breaker.")
    disconnector_s: float = Field(2.0, gt=0, description="Operating time of a disconnector or earthing switch.")
    tap_s: float = Field(3.0, gt=0, description="Time of one tap step.")
    minimum_hz: float = Field(47.0, gt=0, description="Machines trip below.")
    maximum_hz: float = Field(53.0, gt=0, description="Machines trip above.")


_MORNING = (0.78, 0.75, 0.73, 0.72, 0.73, 0.77, 0.84, 0.91, 0.96, 0.99, 1.00, 1.01)
_EVENING = (0.99, 0.97, 0.97, 0.98, 1.00, 1.03, 1.06, 1.07, 1.03, 0.96, 0.88, 0.82)


class LoadSettings(_Section):
    """Loads follow a daily curve times a random walk that returns to 1."""

    daily: tuple[float, ...] = Field(
        (*_MORNING, *_EVENING),
        min_length=24,
        max_length=24,
        description="Share of the model's load at each full hour of local time.",
    )
    noise: float = Field(0.01, ge=0, le=0.2, description="Standard deviation of the random part.")
    noise_s: float = Field(600.0, gt=0, description="Time constant of the random part.")


class WeatherSettings(_Section):
    """Sun and wind."""

    sunrise_h: float = Field(6.0, ge=0, le=24)
    sunset_h: float = Field(18.5, ge=0, le=24)
    clear_w_m2: float = Field(950.0, ge=0, description="Irradiance at noon without clouds.")
    cloud: float = Field(0.15, ge=0, lt=1, description="Mean share taken by clouds.")
    cloud_noise: float = Field(0.06, ge=0, lt=1)
    cloud_s: float = Field(300.0, gt=0, description="Time constant of clouds.")
    wind_m_s: float = Field(8.5, ge=0, description="Mean wind speed.")
    wind_noise: float = Field(1.0, ge=0)
    wind_s: float = Field(900.0, gt=0, description="Time constant of the wind.")
    temperature_c: float = Field(18.0, description="Daily mean.")
    temperature_swing_c: float = Field(6.0, ge=0)


class UnitSettings(_Section):
    """Dynamics of a unit; what is left out comes from its kind (fuel)."""

    inertia_s: float | None = Field(None, ge=0, description="H on rated MVA; 0 = inverter.")
    droop: float | None = Field(None, gt=0, description="Per unit frequency for per unit power; inf = none.")
    governor_s: float | None = Field(None, gt=0)
    turbine_s: float | None = Field(None, gt=0)
    reheat_share: float | None = Field(None, gt=0, le=1)
    reheat_s: float | None = Field(None, gt=0)
    ramp_pct_min: float | None = Field(None, gt=0, description="Where the model gives no ramp rate: %/min of maximum power.")
    deadband_hz: float | None = Field(None, ge=0)
    state_of_charge: float | None = Field(None, ge=0, le=1, description="At start; storage only.")

    def over(self, base: UnitSettings) -> UnitSettings:
        """These values, and those of ``base`` where nothing is given."""
        return base.model_copy(update=self.model_dump(exclude_none=True))


_INVERTER = UnitSettings(
    inertia_s=0.0,
    droop=float("inf"),
    governor_s=0.2,
    turbine_s=0.5,
    reheat_share=1.0,
    reheat_s=1.0,
    ramp_pct_min=60.0,
    deadband_hz=0.0,
    state_of_charge=0.5,
)

KINDS = {
    "thermal": UnitSettings(
        inertia_s=5.0,
        droop=0.05,
        governor_s=0.2,
        turbine_s=0.3,
        reheat_share=0.3,
        reheat_s=7.0,
        ramp_pct_min=3.0,
        deadband_hz=0.01,
        state_of_charge=0.0,
    ),
    "hydro": UnitSettings(
        inertia_s=3.5,
        droop=0.04,
        governor_s=0.5,
        turbine_s=0.8,
        reheat_share=1.0,
        reheat_s=1.0,
        ramp_pct_min=60.0,
        deadband_hz=0.01,
        state_of_charge=0.0,
    ),
    "pv": _INVERTER,
    "wind": _INVERTER,
    "storage": _INVERTER.model_copy(update={"ramp_pct_min": 600.0}),
}
"""Dynamics by kind of unit: common textbook values."""


class SimSettings(_Section):
    """A whole ``sim.toml``."""

    seed: int = Field(1, ge=0, description="Of every random part: the same seed gives the same run.")
    time_zone_hours: float = Field(8.0, ge=-12, le=14, description="Local time of the daily curves, ahead of UTC.")
    start_hour: float | None = Field(None, ge=0, lt=24, description="Local hour the curves start at; none = by the clock.")
    c104: tuple[str, ...] = Field((), description="Channels whose outstation runs on c104.")
    report_share: float = Field(0.0005, ge=0, lt=0.1, description="Analogs are sent after this share of their range.")
    admin: AdminSettings = AdminSettings()
    network: NetworkSettings = NetworkSettings()
    load: LoadSettings = LoadSettings()
    weather: WeatherSettings = WeatherSettings()
    units: dict[str, UnitSettings] = Field(default_factory=dict, description="By name of the generating unit.")


def load_sim_settings(path: Path) -> SimSettings:
    """Read a ``sim.toml``.

    Raises:
        ConfigError: missing, not TOML, or wrong values (all are named).
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return SimSettings.model_validate(raw)
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", where=str(path), mend="give --sim FILE") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"not TOML: {error}", where=str(path)) from error
    except ValidationError as error:
        faults = "; ".join(f"[{'.'.join(str(part) for part in fault['loc'])}] {fault['msg']}" for fault in error.errors())
        raise ConfigError(faults, where=str(path), mend="correct the values") from error
