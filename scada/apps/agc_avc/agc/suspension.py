"""Conditions of AGC that are counted and shown: what suspends it, and what is only an alarm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

SUSPENDING = (
    "model_unfit",
    "front_end_lost",
    "cycle_late",
    "frequency_missing",
    "frequency_frozen",
    "frequency_spread",
    "frequency_deviation",
    "tie_missing",
    "tie_mismatch",
    "ace_implausible",
)
"""Keys of what suspends AGC, the gravest first; their words are ``agc.cause.KEY`` in the language files."""
ALARMS = (
    "ace_missing_long",
    "frequency_source_frozen",
    "meter_missing",
    "time_error_large",
    "spinning_up_short",
    "spinning_down_short",
    "regulating_up_short",
    "regulating_down_short",
)
"""Keys of what is an alarm only."""


class Fault(NamedTuple):
    """Something that is wrong in this cycle: its key and a sentence with the figures."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Cause:
    """One condition as it is shown; fields as in ``AgcCause``.

    Attributes:
        key: one of :data:`SUSPENDING` or :data:`ALARMS`.
        suspends: True if it suspends AGC.
        active: True now.
        count: how often it began.
        last_ns: when it began last, ns UTC; 0 = never.
        text: sentence of the last time, with figures.
    """

    key: str
    suspends: bool
    active: bool
    count: int
    last_ns: int
    text: str


class Conditions:
    """Counts every condition of one area from its beginning to its end."""

    def __init__(self) -> None:
        self._causes = {
            key: Cause(key, key in SUSPENDING, active=False, count=0, last_ns=0, text="") for key in SUSPENDING + ALARMS
        }

    @property
    def all(self) -> tuple[Cause, ...]:
        """Every condition, also those that never came."""
        return tuple(self._causes.values())

    def update(self, present: Mapping[str, str], now_ns: int) -> tuple[list[Cause], list[Cause]]:
        """Take what is present in this cycle, key -> sentence; returns what began and what ended."""
        began, ended = [], []
        for key, old in self._causes.items():
            text = present.get(key)
            if text is None:
                if old.active:
                    self._causes[key] = Cause(
                        key, old.suspends, active=False, count=old.count, last_ns=old.last_ns, text=old.text
                    )
                    ended.append(self._causes[key])
                continue
            count, last_ns = (old.count, old.last_ns) if old.active else (old.count + 1, now_ns)
            self._causes[key] = Cause(key, old.suspends, active=True, count=count, last_ns=last_ns, text=text)
            if not old.active:
                began.append(self._causes[key])
        return began, ended

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {one.key: [one.active, one.count, one.last_ns, one.text] for one in self._causes.values()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked."""
        for key, (active, count, last_ns, text) in state.items():
            if key in self._causes:
                known = self._causes[key].suspends
                self._causes[key] = Cause(key, known, active=bool(active), count=int(count), last_ns=int(last_ns), text=str(text))
