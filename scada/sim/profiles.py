"""Load and weather over the day: smooth curves with a seeded random part, exact for any step of time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from scada.sim.settings import LoadSettings, WeatherSettings

F8 = npt.NDArray[np.float64]


class OrnsteinUhlenbeck:
    """Random walks that return to 0, by the exact transition of the process.

    Args:
        sigma: stationary standard deviation.
        tau_s: time constant.
        count: number of independent walks.
        seed: of the generator.
    """

    def __init__(self, sigma: float, tau_s: float, count: int, seed: int) -> None:
        self.sigma = sigma
        self.tau_s = tau_s
        self._random = np.random.default_rng(seed)
        self.value = sigma * self._random.standard_normal(count)

    def advance(self, seconds: float) -> F8:
        """Move all walks on by ``seconds``; returns their values."""
        keep = math.exp(-seconds / self.tau_s)
        kick = self.sigma * math.sqrt(1.0 - keep * keep)
        self.value = keep * self.value + kick * self._random.standard_normal(len(self.value))
        return self.value


class LoadProfile:
    """Factor of every load.

    Args:
        settings: curve and noise.
        count: number of loads.
        seed: of the random part; loads move independently, and once more together.
    """

    def __init__(self, settings: LoadSettings, count: int, seed: int) -> None:
        self._curve = np.array([*settings.daily, settings.daily[0]])
        self._common = OrnsteinUhlenbeck(settings.noise, settings.noise_s, 1, seed)
        self._each = OrnsteinUhlenbeck(settings.noise, settings.noise_s / 4, count, seed + 1)

    def factors(self, hour: float, seconds: float) -> F8:
        """Factors at a local hour (0 .. 24), ``seconds`` after the last call."""
        base = float(np.interp(hour % 24.0, np.arange(25.0), self._curve))
        return np.asarray(base * np.maximum(0.0, 1.0 + self._common.advance(seconds) + self._each.advance(seconds)))


class Weather:
    """Irradiance, wind and temperature of the region, and what plants can make of them.

    Args:
        settings: means and noise.
        plants: number of wind plants; each has its own gusts.
        seed: of the random part.
    """

    def __init__(self, settings: WeatherSettings, plants: int, seed: int) -> None:
        self._settings = settings
        self._cloud = OrnsteinUhlenbeck(settings.cloud_noise, settings.cloud_s, plants, seed)
        self._gust = OrnsteinUhlenbeck(settings.wind_noise, settings.wind_s, plants, seed + 1)
        self.irradiance_w_m2 = np.zeros(plants)
        self.wind_m_s = np.zeros(plants)
        self.temperature_c = 0.0

    def advance(self, hour: float, seconds: float) -> None:
        """Move to a local hour, ``seconds`` after the last call."""
        s = self._settings
        hour %= 24.0
        day = (hour - s.sunrise_h) / max(s.sunset_h - s.sunrise_h, 1e-9)
        clear = s.clear_w_m2 * math.sin(math.pi * day) if 0 < day < 1 else 0.0
        self.irradiance_w_m2 = clear * np.clip(1.0 - s.cloud + self._cloud.advance(seconds), 0.05, 1.0)
        self.wind_m_s = np.maximum(0.0, s.wind_m_s + self._gust.advance(seconds))
        self.temperature_c = s.temperature_c - s.temperature_swing_c * math.cos(2 * math.pi * (hour - 3.0) / 24.0)

    @property
    def solar_share(self) -> F8:
        """Share of rated power a PV plant can give: linear in irradiance, rated at 1000 W/m2."""
        return np.minimum(1.0, self.irradiance_w_m2 / 1000.0)

    @property
    def wind_share(self) -> F8:
        """Share of rated power a wind plant can give: cut-in 3 m/s, cubic to 12 m/s, cut-out 25 m/s."""
        v = self.wind_m_s
        cubic = (v**3 - 27.0) / (12.0**3 - 27.0)
        return np.asarray(np.where((v < 3.0) | (v >= 25.0), 0.0, np.minimum(1.0, cubic)))
