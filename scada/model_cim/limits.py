"""Alarm conditions of points from AnalogLimitSet, AnalogLimit and the SC profile.

What is wrong is a finding with its file and line; the bad limit, delay or reference is left out and the rest stands. Of limits
out of order those are left out that cannot be told to be right: 130, 110, 120, 125 loses only the first one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Final

from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.tables import Limits, Point, PointKind

_KINDS: Final = ("lolo", "lo", "hi", "hihi")
_VALUES: Final = ("AnalogValue.Analog", "DiscreteValue.Discrete", "AccumulatorValue.Accumulator")
_SET: Final = "sc:AnalogLimitSet"
_MEASUREMENT: Final = "sc:Measurement"
_NONE: Final = Limits()
_LONGEST_DELAY_S: Final = 3600.0
"""A longer delay is a slip of the unit, and would hide the alarm."""


class LimitReader:
    """Reads the conditions of one model.

    Args:
        model: the model.
        findings: what is wrong is added here.
    """

    def __init__(self, model: CimModel, findings: list[Finding]) -> None:
        self._model = model
        self._findings = findings
        self._sets: dict[str, Limits] = {}
        self._named: dict[str, tuple[str, str]] = {}

    def limits(self, measurement: str) -> Limits:
        """Conditions of a measurement; ``reference`` is as written until :meth:`resolve`."""
        model = self._model
        sets = model.refs_to(measurement, "AnalogLimitSet.Measurements") or model.refs(measurement, "Analog.LimitSets")
        if sets:
            if sets[0] not in self._sets:
                self._sets[sets[0]] = self._limit_set(sets[0])
            return self._sets[sets[0]]
        delay_s = self._positive(measurement, f"{_MEASUREMENT}.alarmDelay", 0.0, most=_LONGEST_DELAY_S)
        off_delay_s = self._positive(measurement, f"{_MEASUREMENT}.alarmOffDelay", 0.0, most=_LONGEST_DELAY_S)
        return Limits(delay_s=delay_s, off_delay_s=off_delay_s) if delay_s or off_delay_s else _NONE

    def suppressed_by(self, measurement: str) -> str:
        """The suppressing point as written, or empty."""
        return self._name(measurement, f"{_MEASUREMENT}.suppressedBy")

    def resolve(self, points: Sequence[Point]) -> list[Point]:
        """Points with references and suppressing points by mRID; unknown ones are left out."""
        by_name = {point.path: point for point in points if not point.removed}
        by_name.update((point.mrid, point) for point in points if not point.removed)
        return [self._resolved(point, by_name) if _refers(point) else point for point in points]

    # ------------------------------------------------------------------ limit sets

    def _limit_set(self, limit_set: str) -> Limits:
        model = self._model
        value: dict[str, float] = {}
        for limit in model.refs_to(limit_set, "AnalogLimit.LimitSet"):
            kind = model.text(limit, "sc:AnalogLimit.kind") or model.name(limit)
            if kind not in _KINDS:
                self._error("limit.kind", limit, f"AnalogLimit of kind {kind!r}", "sc:AnalogLimit.kind is lolo, lo, hi or hihi")
            elif kind in value:
                self._error("limit.kind", limit, f"a second limit {kind}; left out", "keep one of them")
            else:
                value[kind] = model.number(limit, "AnalogLimit.value")
                if model.text(limit, "AnalogLimit.value") is None:
                    self._error("limit.value", limit, f"limit {kind} has no value: it never alarms", "give AnalogLimit.value")
        window = self._positive(limit_set, f"{_SET}.rateWindow", 60.0, zero=False)
        limits = Limits(
            **self._in_order(limit_set, value),
            delay_s=self._positive(limit_set, f"{_SET}.delay", 0.0, most=_LONGEST_DELAY_S),
            off_delay_s=self._positive(limit_set, f"{_SET}.offDelay", 0.0, most=_LONGEST_DELAY_S),
            deviation=self._positive(limit_set, f"{_SET}.deviation", math.nan, zero=False),
            reference=self._name(limit_set, f"{_SET}.reference"),
            rate=self._positive(limit_set, f"{_SET}.rate", math.nan, zero=False),
            rate_window_s=window,
        )
        if bool(limits.reference) != (limits.deviation > 0):
            text = "a deviation needs both sc:AnalogLimitSet.deviation and .reference; left out"
            self._error("limit.deviation", limit_set, text, "give both")
            limits = replace(limits, deviation=math.nan, reference="")
        hysteresis = self._positive(limit_set, f"{_SET}.hysteresis", 0.0)
        return replace(limits, hysteresis=self._narrow(limit_set, hysteresis, limits))

    def _in_order(self, limit_set: str, value: dict[str, float]) -> dict[str, float]:
        """The limits that stand in every largest ascending choice of them; a finding names the others."""
        given = [(kind, value[kind]) for kind in _KINDS if not math.isnan(value.get(kind, math.nan))]
        largest: list[tuple[tuple[str, float], ...]] = []
        for size in range(len(given), 0, -1):
            choices = combinations(given, size)
            largest = [choice for choice in choices if all(low[1] < high[1] for low, high in pairwise(choice))]
            if largest:
                break
        kept = dict(each for each in given if all(each in choice for choice in largest))
        bad = [f"{kind} {number:g}" for kind, number in given if kind not in kept]
        if bad:
            text = (
                f"limits are not in the order lolo < lo < hi < hihi: {', '.join(f'{kind} {number:g}' for kind, number in given)}"
            )
            self._error("limit.order", limit_set, f"{text}; left out: {', '.join(bad)}", "correct the values")
        return kept

    def _narrow(self, limit_set: str, hysteresis: float, limits: Limits) -> float:
        """The hysteresis, or 0 with a finding if an alarm could not return by it."""
        low = limits.lolo if math.isnan(limits.lo) else limits.lo
        high = limits.hihi if math.isnan(limits.hi) else limits.hi
        bands = {"lo and hi": high - low, "0 and deviation": limits.deviation}
        bands["0 and rate, over its window"] = limits.rate * limits.rate_window_s / 60
        for band, width in bands.items():
            if hysteresis >= width > 0:
                text = f"hysteresis {hysteresis:g} is as wide as the band between {band} ({width:g}); 0 is used"
                self._error("limit.hysteresis", limit_set, text, "a few percent of the band", f"{_SET}.hysteresis")
                return 0.0
        return hysteresis

    # ------------------------------------------------------------------ references

    def _name(self, mrid: str, prop: str) -> str:
        """A point as the model names it: by reference to it or its measurement, or by a text with its mRID or path."""
        name = self._model.ref(mrid, prop) or self._model.text(mrid, prop) or ""
        if name:
            self._named[name] = (mrid, prop)
        return name

    def _resolved(self, point: Point, by_name: dict[str, Point]) -> Point:
        limits = point.limits
        if limits.reference:
            reference = self._point(limits.reference, by_name)
            if reference is None or reference.mrid == point.mrid:
                why = "is the point itself" if reference else "is no point of the model"
                self._missing("limit.reference", limits.reference, point, f"{why}; it has no deviation alarm")
                limits = replace(limits, deviation=math.nan, reference="")
            else:
                limits = replace(limits, reference=reference.mrid)
        suppressor = self._point(point.suppressed_by, by_name)
        if point.suppressed_by and (suppressor is None or suppressor.mrid == point.mrid or not _may_suppress(suppressor)):
            why = "is neither a status nor a calculated point" if suppressor else "is no point of the model"
            why = "is the point itself" if suppressor and suppressor.mrid == point.mrid else why
            self._missing("point.suppressed-by", point.suppressed_by, point, f"{why}; its alarms are not suppressed by design")
            suppressor = None
        return replace(point, limits=limits, suppressed_by=suppressor.mrid if suppressor else "")

    def _point(self, name: str, by_name: dict[str, Point]) -> Point | None:
        if name in by_name or name not in self._model:
            return by_name.get(name)
        values = (value for prop in _VALUES for value in self._model.refs_to(name, prop))
        return next((by_name[value] for value in values if value in by_name), None)

    def _missing(self, rule: str, name: str, point: Point, text: str) -> None:
        mrid, prop = self._named[name]
        self._error(rule, mrid, f"{name!r} for {point.path} {text}", "give the mRID or path of another point", prop)

    def _positive(self, mrid: str, prop: str, default: float, *, zero: bool = True, most: float = math.inf) -> float:
        """A number that must not be negative (nor zero) nor above ``most``; with a finding the default, where it is."""
        number = self._model.number(mrid, prop, default)
        if math.isnan(number) or 0 < number <= most or (zero and number == 0):
            return number
        wanted = ("0 or more" if zero else "more than 0") + (f" and at most {most:g}" if math.isfinite(most) else "")
        used = "left out" if math.isnan(default) else f"{default:g} is used"
        rule = "limit.negative" if number <= 0 else "limit.delay"
        self._error(rule, mrid, f"{prop} is {number:g}; {used}", f"give {wanted}", prop)
        return default

    def _error(self, rule: str, mrid: str, text: str, hint: str, prop: str = "") -> None:
        self._findings.append(self._model.finding(Severity.ERROR, rule, mrid, text, hint, prop=prop))


def _refers(point: Point) -> bool:
    return bool(point.limits.reference or point.suppressed_by)


def _may_suppress(point: Point) -> bool:
    return point.kind is PointKind.STATUS or bool(point.expression)
