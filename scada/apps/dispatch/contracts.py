"""Contracts: what each dispatcher may order, how far, when, and whether an operator decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import pairwise

from scada.apps.dispatch.days import local
from scada.apps.dispatch.orders import ModeOrder, ScheduleOrder, SetpointOrder
from scada.core.dispatch_settings import EVERYTHING, DispatchContract

ContractOrder = SetpointOrder | ScheduleOrder | ModeOrder
NO_LIMITS = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a contract does not cover an order."""

    code: str
    reason: str


class Contracts:
    """All contracts.

    Args:
        contracts: by identity.
        units: names of units and of their areas by mRID.
        zone: time zone of the hours.
    """

    def __init__(self, contracts: Mapping[str, DispatchContract], units: Mapping[str, tuple[str, str]], zone: tzinfo) -> None:
        self.by_sender = contracts
        self._units = units
        self._zone = zone

    def of(self, sender: str) -> DispatchContract | None:
        """The contract of an identity; None = it may order nothing."""
        return self.by_sender.get(sender)

    def breach(self, order: ContractOrder, present_mw: float, now_ns: int) -> Breach | None:
        """Why an order may not be given; None = it may.

        Args:
            order: the order.
            present_mw: what is in force of a set-point's target when it begins; NaN = nothing.
            now_ns: the moment.
        """
        contract = self.of(order.sender)
        if contract is None:
            return Breach("not_in_contract", f"{order.sender} has no contract with this centre")
        kind = _kind(order)
        if kind not in contract.kinds:
            return Breach("not_in_contract", f"the contract of {order.sender} has no orders of kind {kind}")
        if not self._covers(contract, order):
            return Breach("not_in_contract", f"the contract of {order.sender} does not have {_target(order)!r}")
        if (wrong := self._moment(contract, order, now_ns)) is not None:
            return wrong
        if not isinstance(order, ScheduleOrder) and order.priority > contract.priority:
            return Breach("priority", f"the highest priority of {order.sender} is {contract.priority}")
        return _too_large(contract, order, present_mw) or self._outside(order)

    def _moment(self, contract: DispatchContract, order: ContractOrder, now_ns: int) -> Breach | None:
        """What is wrong with when it was issued or came."""
        if contract.needs_issue_time and not order.issued_ns:
            return Breach("issued_unknown", "it does not say when it was issued, and the contract demands that")
        clock = f"{local(now_ns, self._zone):%H:%M}"
        if contract.hours and not any(_within(clock, span) for span in contract.hours):
            return Breach("hours", f"the contract of {order.sender} is for {', '.join(contract.hours)}; it is {clock}")
        return None

    def limits(self, order: ContractOrder) -> tuple[float, float]:
        """Least and greatest MW that the contract has for the target of an order."""
        contract = self.of(order.sender)
        if contract is None:
            return NO_LIMITS
        target = _target(order)
        names = (target, self._units.get(target, ("", ""))[0])
        return next((contract.limits[name] for name in names if name in contract.limits), NO_LIMITS)

    def _outside(self, order: ContractOrder) -> Breach | None:
        """Limits of which nothing would be left: clipped they would be one value, a set-point that nobody ordered."""
        low, high = self.limits(order)
        if not isinstance(order, ModeOrder) or not (order.minimum > high or order.maximum < low):
            return None
        return Breach("limit", f"{order.words} is wholly outside {low:g} .. {high:g} MW, the contract of {order.sender}")

    def _covers(self, contract: DispatchContract, order: ContractOrder) -> bool:
        if isinstance(order, ModeOrder) and order.what == "avc":  # it rules every zone, whatever area it names
            return EVERYTHING in contract.areas
        unit = order.unit
        name, area = self._units.get(unit, ("", order.area)) if unit else ("", order.area)
        inside = EVERYTHING in contract.areas or area in contract.areas
        return inside and (not unit or bool({EVERYTHING, unit, name} & set(contract.units)))


def _kind(order: ContractOrder) -> str:
    if isinstance(order, SetpointOrder):
        return "setpoint"
    if isinstance(order, ScheduleOrder):
        return "schedule"
    return "limits" if order.what == "limits" else "mode"


def _target(order: ContractOrder) -> str:
    return order.unit or order.area


def _within(clock: str, span: str) -> bool:
    start, end = span.split("-")
    return start <= clock < end if start <= end else clock >= start or clock < end


def _too_large(contract: DispatchContract, order: ContractOrder, present_mw: float) -> Breach | None:
    values: Sequence[float]
    if isinstance(order, SetpointOrder):
        values = (present_mw, order.mw)
    elif isinstance(order, ScheduleOrder):
        values = order.mw
    else:
        return None
    if not contract.step_mw:
        return None
    for before, after in pairwise(values):
        if abs(after - before) > contract.step_mw:
            text = f"from {before:g} to {after:g} MW is more than {contract.step_mw:g} MW, the largest step of {order.sender}"
            return Breach("step", text)
    return None
