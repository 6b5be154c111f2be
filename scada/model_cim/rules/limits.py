"""Rules about ratings: operational limits of equipment (alarm limits of points have their own rules)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits, hits, rule
from scada.model_cim.rules.view import Float, Int32, View

_THERMAL: Final = ("CurrentLimit", "ApparentPowerLimit", "ActivePowerLimit")
_ENDLESS: Final = 1e9


def _values(view: View, class_name: str) -> tuple[Int32, Float, npt.NDArray[Any], Float]:
    """Limits of a class: object, value, kind (``patl``, ``tatl``, ``highVoltage`` ...), acceptable duration in s."""
    rows = view.rows(class_name)
    value = view.numbers(rows, f"{class_name}.value")
    value = np.where(np.isnan(value), view.numbers(rows, f"{class_name}.normalValue"), value)
    kind_row = view.target(rows, "OperationalLimit.OperationalLimitType")
    safe = np.maximum(kind_row, 0)
    if not len(rows):
        return rows, value, np.zeros(0, object), value
    kind = view.words(safe, "OperationalLimitType.kind")
    kind = np.where(kind == "", view.words(safe, "OperationalLimitType.limitType"), kind)
    kind = np.where(kind_row >= 0, kind, "")
    duration = np.where(kind_row >= 0, view.numbers(safe, "OperationalLimitType.acceptableDuration"), math.nan)
    return rows, value, kind, duration


@rule(
    "rating.zero", Severity.WARNING, "a rating of 0 or less", "额定限值不大于零", "C:301:EQ:CurrentLimit.normalValue:valueRange"
)
def no_rating(view: View) -> Iterator[Hits]:
    """The equipment would be overloaded by its own idling."""
    for class_name in (*_THERMAL, "VoltageLimit"):
        rows, value, _, _ = _values(view, class_name)
        yield from hits(
            rows,
            value <= 0,
            lambda i, value=value: f"the limit is {value[i]:g}",  # type: ignore[misc]
            hint="give its value, or remove it",
        )


@rule(
    "rating.permanent",
    Severity.WARNING,
    "a limit set with several permanent ratings",
    "同一限值集中有多个永久限值",
    "C:301:EQ:LimitKind.patl:numberOfLimitType",
)
def permanent_ratings(view: View) -> Iterator[Hits]:
    """Which of them is watched cannot be told."""
    for class_name in _THERMAL:
        rows, _, kind, _ = _values(view, class_name)
        owner = view.target(rows, "OperationalLimit.OperationalLimitSet")
        permanent = (kind == "patl") & (owner >= 0)
        order = np.flatnonzero(permanent)
        _, first = np.unique(owner[order], return_index=True)
        again = permanent.copy()
        again[order[first]] = False
        yield from hits(rows, again, f"a second permanent {class_name} of this limit set", hint="one a set")


@rule("rating.order", Severity.WARNING, "a temporary rating below the permanent one", "短时限值低于永久限值", "IEC 61970-301")
def rating_order(view: View) -> Iterator[Hits]:
    """The shorter it may last, the higher the limit."""
    for class_name in _THERMAL:
        rows, value, kind, duration = _values(view, class_name)
        owner = view.target(rows, "OperationalLimit.OperationalLimitSet")
        length = np.where(kind == "patl", _ENDLESS, np.where(kind == "tatl", np.nan_to_num(duration, nan=900.0), math.nan))
        thermal = (owner >= 0) & ~np.isnan(length) & ~np.isnan(value)
        order = np.flatnonzero(thermal)
        order = order[np.lexsort((-length[order], owner[order]))]
        below = np.zeros(len(rows), np.bool_)
        pairs = (owner[order][1:] == owner[order][:-1]) & (length[order][1:] < length[order][:-1])
        below[order[1:]] = pairs & (value[order][1:] < value[order][:-1])
        before = np.full(len(rows), math.nan)
        before[order[1:]] = value[order][:-1]
        yield from hits(
            rows,
            below,
            lambda i, value=value, before=before, length=length: (  # type: ignore[misc]
                f"{value[i]:g} for {length[i]:g} s is below the limit of longer duration, {before[i]:g}"
            ),
            hint="temporary limits are above the permanent one",
        )


@rule("rating.voltage", Severity.WARNING, "voltage limits that do not fit", "电压限值不合理", "IEC 61970-301")
def voltage_ratings(view: View) -> Iterator[Hits]:
    """The low limit below the nominal voltage, the high one above it, neither far off."""
    rows, value, kind, _ = _values(view, "VoltageLimit")
    owner = view.target(rows, "OperationalLimit.OperationalLimitSet")
    terminal = np.where(owner >= 0, view.target(np.maximum(owner, 0), "OperationalLimitSet.Terminal"), -1)
    equipment = np.where(owner >= 0, view.target(np.maximum(owner, 0), "OperationalLimitSet.Equipment"), -1)
    at_equipment = view.kv(np.maximum(equipment, 0)) if len(rows) else value
    kv = view.at(view.kv_of, terminal)
    kv = np.where(np.isnan(kv) & (equipment >= 0), at_equipment, kv)
    low = (kind == "lowVoltage") & ((value > 1.05 * kv) | (value < 0.3 * kv))
    high = (kind == "highVoltage") & ((value < 0.95 * kv) | (value > 2 * kv))
    yield from hits(
        rows, low | high, lambda i: f"{kind[i]} {value[i]:g} kV at {kv[i]:g} kV", hint="in kV, of this voltage level?"
    )


@rule(
    "rating.duration",
    Severity.WARNING,
    "a kind of limit that is temporary and permanent",
    "限值类型的持续时间矛盾",
    "C:301:EQ:OperationalLimitType.isInfiniteDuration:usage",
)
def limit_duration(view: View) -> Iterator[Hits]:
    """Infinite, or with an acceptable duration, not both and not neither."""
    rows = view.rows("OperationalLimitType")
    infinite = view.truths(rows, "OperationalLimitType.isInfiniteDuration", default=False)
    told = view.has(rows, "OperationalLimitType.isInfiniteDuration")
    duration = view.has(rows, "OperationalLimitType.acceptableDuration")
    yield from hits(
        rows,
        infinite & duration,
        "is infinite and has an acceptableDuration",
        prop="OperationalLimitType.acceptableDuration",
        severity=Severity.INFO,
    )
    yield from hits(
        rows, told & ~infinite & ~duration, "is temporary and has no acceptableDuration", hint="give acceptableDuration, s"
    )


@rule("rating.machine", Severity.WARNING, "a permanent rating far from the rated power", "限值与变压器额定容量相差过大")
def rating_of_transformer(view: View) -> Iterator[Hits]:
    """Current limits of a winding against its ratedS: within a third and three times."""
    rows, value, kind, _ = _values(view, "CurrentLimit")
    ends = view.rows("PowerTransformerEnd")
    terminal = view.target(ends, "TransformerEnd.Terminal")
    rated_s, rated_u = view.numbers(ends, "PowerTransformerEnd.ratedS"), view.numbers(ends, "PowerTransformerEnd.ratedU")
    amperes = np.full(view.size, math.nan)
    amperes[terminal[terminal >= 0]] = (rated_s / rated_u / math.sqrt(3) * 1000)[terminal >= 0]
    owner = view.target(rows, "OperationalLimit.OperationalLimitSet")
    place = np.where(owner >= 0, view.target(np.maximum(owner, 0), "OperationalLimitSet.Terminal"), -1) if len(rows) else owner
    rated = view.at(amperes, place)
    broken = (kind == "patl") & (rated > 0) & ((value < rated / 3) | (value > 3 * rated))
    yield from hits(
        rows,
        broken,
        lambda i: f"permanent limit {value[i]:g} A of a winding rated {rated[i]:.0f} A",
        hint="limits are in A, ratedS in MVA",
    )
