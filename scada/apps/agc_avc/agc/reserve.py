"""Reserve monitor: spinning and regulating reserve, up and down, against what is required."""

from __future__ import annotations

from dataclasses import dataclass

from scada.core.agc_settings import AgcTuning


@dataclass(frozen=True, slots=True)
class Reserve:
    """What the units under control could still give, MW.

    Spinning: every unit that may regulate, ``min(limit - P, ramp * reserve_minutes)``. Regulating: those of mode R
    alone, within ``regulating_minutes``.
    """

    up_mw: float
    down_mw: float
    regulating_up_mw: float
    regulating_down_mw: float


@dataclass(frozen=True, slots=True)
class ReserveStatus:
    """One kind of reserve; fields as in ``AgcReserve``.

    Attributes:
        key: ``spinning_up``, ``spinning_down``, ``regulating_up`` or ``regulating_down``.
        available_mw: NaN = unknown.
        required_mw: 0 = nothing is required.
        short: less is available than required.
    """

    key: str
    available_mw: float
    required_mw: float
    short: bool


class ReserveMonitor:
    """Compares the reserve with its requirement.

    Args:
        tuning: requirements.
    """

    def __init__(self, tuning: AgcTuning) -> None:
        self._required = {
            "spinning_up": tuning.reserve_up_mw,
            "spinning_down": tuning.reserve_down_mw,
            "regulating_up": tuning.regulating_up_mw,
            "regulating_down": tuning.regulating_down_mw,
        }

    def judge(self, reserve: Reserve) -> tuple[ReserveStatus, ...]:
        """Judge the reserve of this cycle; one that is unknown is short where any is required."""
        available = (reserve.up_mw, reserve.down_mw, reserve.regulating_up_mw, reserve.regulating_down_mw)
        return tuple(
            ReserveStatus(key, mw, required, short=required > 0 and not mw >= required)
            for mw, (key, required) in zip(available, self._required.items(), strict=True)
        )
