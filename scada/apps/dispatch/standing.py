"""Orders that stand: set-points, modes and limits, judged when they come."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scada.apps.dispatch.book import OrderBook
from scada.apps.dispatch.contracts import NO_LIMITS
from scada.apps.dispatch.judging import Bounds
from scada.apps.dispatch.orders import Answer, Held, SetpointOrder, StandingOrder, Verdict
from scada.core.clock import NS_PER_S
from scada.core.dispatch_settings import DispatchSettings

WAITING = 100
"""Orders of a slot that may wait for their time, of each sender: none keeps the others out."""
FARTHEST_NS = 400 * 86_400 * NS_PER_S
"""An order begins no later than that from now: beyond it a clock or a unit of time is wrong."""
LARGEST_MW = 1e7
"""No grid has more; sums and differences of values up to it are finite."""
AHEAD_NS = 60 * NS_PER_S
"""An order issued later than this from now comes from a wrong clock: it would put all others out of order."""
STATES = frozenset({"on", "monitor", "off"})
MODES: Mapping[str, frozenset[str]] = {
    "agc": STATES,
    "avc": STATES,
    "control_mode": frozenset(),
    "unit": frozenset(),
    "limits": frozenset(),
}
"""What a mode order may rule, and the values where they are the same everywhere; AGC knows the others."""
NOWHERE = Bounds(math.nan, math.nan)
Refusal = tuple[Verdict, str, str]
"""Verdict, machine-readable code, one sentence."""


def wrong_values(order_id: str, values: Sequence[float], bounds: Bounds | None, what: str) -> Refusal | None:
    """What is wrong with the id, the target or the values of an order.

    Args:
        order_id: its id.
        values: MW that it asks.
        bounds: of its target; None = it is not ours.
        what: its target, for people.
    """
    if not order_id or len(order_id) > 64:
        return Verdict.REFUSED, "order_id", "an order needs an order_id of 1 to 64 characters"
    if bounds is None:
        return Verdict.REFUSED, "no_area", f"{what} is not under our control"
    if not all(math.isfinite(value) for value in values):
        return Verdict.REFUSED, "not_finite", "a value is not a finite number"
    if any(abs(value) > LARGEST_MW for value in values):
        return Verdict.REFUSED, "invalid", f"a value is beyond {LARGEST_MW:g} MW"
    return None


class StandingOrders:
    """Judges orders and keeps those that stand.

    Args:
        areas: bounds of the interchange by name.
        units: bounds of the power by mRID.
        settings: how old an order may be.

    Attributes:
        book: what stands.
    """

    def __init__(self, areas: Mapping[str, Bounds], units: Mapping[str, Bounds], settings: DispatchSettings) -> None:
        self._areas, self._units, self._settings = areas, units, settings
        self.book = OrderBook()

    def take(
        self, order: StandingOrder, now_ns: int, within: tuple[float, float] = NO_LIMITS, received_ns: int | None = None
    ) -> Answer:
        """Judge an order; an accepted one stands from its start.

        Args:
            order: the order.
            now_ns: the moment.
            within: limits of the sender's contract.
            received_ns: when it came, if not now: it waited for an operator, and that does not make it old.
        """
        found = self.refusal(order, now_ns, received_ns)
        held = None
        if found is None:
            low, high, reason = self._applied(order, within)
            found = (Verdict.CLIPPED, "limit", reason) if reason else (Verdict.ACCEPTED, "", "")
            held = self.book.add(order, max(order.valid_from_ns, now_ns), low, high)
        return standing_answer(order, now_ns, found, held)

    def take_again(self, order: StandingOrder, accepted_ns: int, within: tuple[float, float]) -> None:
        """Let an order stand that was accepted in an earlier life, within today's limits; not if its target is gone."""
        if self._wrong(order) is None:
            low, high, _ = self._applied(order, within)
            self.book.add(order, max(order.valid_from_ns, accepted_ns), low, high)

    def refusal(self, order: StandingOrder, now_ns: int, received_ns: int | None = None) -> Refusal | None:
        """Why an order cannot be taken now; None = it can."""
        start, came = max(order.valid_from_ns, now_ns), now_ns if received_ns is None else received_ns
        return self._wrong(order) or self._untimely(order, start, now_ns, came) or self._behind(order, start, now_ns)

    def _untimely(self, order: StandingOrder, start_ns: int, now_ns: int, came_ns: int) -> Refusal | None:
        if 0 < order.valid_until_ns <= now_ns:
            return Verdict.LATE, "late", "its validity has already ended"
        if 0 < order.valid_until_ns <= start_ns:
            return Verdict.REFUSED, "validity", "it ends before it begins"
        if start_ns > now_ns + FARTHEST_NS:
            return Verdict.REFUSED, "validity", "it begins more than 400 days from now"
        if order.issued_ns > now_ns + AHEAD_NS:
            return Verdict.REFUSED, "issued_ahead", "it says that it was issued later than now: a clock is wrong"
        if start_ns == now_ns and order.issued_ns and came_ns - order.issued_ns > self._settings.order_age_s * NS_PER_S:
            age_s = (came_ns - order.issued_ns) // NS_PER_S
            return Verdict.LATE, "late", f"it is for now and was issued {age_s} s before it came"
        return None

    def _behind(self, order: StandingOrder, start_ns: int, now_ns: int) -> Refusal | None:
        """Another order goes before it."""
        if start_ns > now_ns and self.book.waiting(order.slot, order.sender, now_ns) >= WAITING:
            return Verdict.REFUSED, "too_many", f"{WAITING} orders wait for their time already"
        standing = self.book.at(order.slot, start_ns)
        if standing is not None and standing.order.priority > order.priority:
            first = standing.order
            return Verdict.OUTRANKED, "outranked", f"order {first.order_id} of priority {first.priority} is in force"
        level = self.book.level(order.slot, order.priority, start_ns)
        if level is not None and 0 < order.issued_ns < level.order.issued_ns:
            return Verdict.OUT_OF_ORDER, "out_of_order", f"order {level.order.order_id}, which is in force, was issued later"
        return None

    def _wrong(self, order: StandingOrder) -> Refusal | None:
        """What is wrong with an order in itself."""
        known = (self._units if order.unit else self._areas).get(order.unit or order.area)
        what = f"unit {order.unit}" if order.unit else f"area {order.area!r}"
        if isinstance(order, SetpointOrder):
            return wrong_values(order.order_id, [order.mw], known, what)
        limits = order.what == "limits"
        values = [value for value in (order.minimum, order.maximum) if limits and not math.isnan(value)]
        text = ""
        if order.what not in MODES:
            text = f"{order.what!r} cannot be ordered; what can: {', '.join(MODES)}"
        elif (order.what == "unit" or limits) != bool(order.unit):
            text = f"an order of {order.what} names no unit" if order.unit else f"an order of {order.what} needs a unit"
        elif limits and (not values or order.minimum > order.maximum):
            text = "limits need a least or a greatest value, the least below the greatest"
        elif limits and known is not None and (order.minimum > known.maximum or order.maximum < known.minimum):
            text = f"{order.words} is wholly outside {known.minimum:g} .. {known.maximum:g} MW"
        elif not limits and (not order.mode or (MODES[order.what] and order.mode not in MODES[order.what])):
            text = f"there is no mode {order.mode!r} of {order.what}"
        if text:
            return Verdict.REFUSED, "invalid", text
        return wrong_values(order.order_id, values, NOWHERE if order.what == "avc" else known, what)

    def _applied(self, order: StandingOrder, within: tuple[float, float]) -> tuple[float, float, str]:
        """What is applied: the value twice, or least and greatest; and what was wrong with it."""
        if isinstance(order, SetpointOrder):
            bounds = (self._units if order.unit else self._areas)[order.target].within(*within)
            applied, reason = bounds.clip(order.mw)
            return applied, applied, reason
        if order.what != "limits":
            return math.nan, math.nan, ""
        bounds = self._units[order.unit].within(*within)
        low, first = (bounds.minimum, "") if math.isnan(order.minimum) else bounds.clip(order.minimum)
        high, second = (bounds.maximum, "") if math.isnan(order.maximum) else bounds.clip(order.maximum)
        return low, high, first or second


def standing_answer(order: StandingOrder, now_ns: int, found: tuple[Verdict, str, str], held: Held | None = None) -> Answer:
    """The answer to an order that stands or was to stand.

    Args:
        order: the order.
        now_ns: when it was judged.
        found: verdict, code and reason.
        held: what stands of it.
    """
    verdict, code, reason = found
    is_value = isinstance(order, SetpointOrder)
    mw = order.mw if isinstance(order, SetpointOrder) else math.nan
    words = "" if isinstance(order, SetpointOrder) else order.words
    if held is not None and not is_value and held.order.slot[0] == "limits":
        words = f"{held.low:g} .. {held.high:g} MW"
    return Answer(
        order.order_id,
        order.sender,
        "setpoint" if isinstance(order, SetpointOrder) else "limits" if order.what == "limits" else order.what,
        order.target,
        verdict,
        reason,
        mw,
        math.nan if held is None or not is_value else held.mw,
        now_ns,
        order.valid_until_ns,
        code=code,
        area=order.area,
        words=words,
        priority=order.priority,
        issued_ns=order.issued_ns,
        valid_from_ns=order.valid_from_ns,
    )
