"""Commands at the controlled station: select, execute, cancel (5-101 clause 6.8, 5-5 clause 6.8), and what refuses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scada.model_cim.tables import Control, Iec104Address
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import Asdu, Cause, CommandElement, decode_command, untagged


@dataclass(frozen=True, slots=True)
class _Selection:
    owner: object
    order: CommandElement
    expires: float


@dataclass(frozen=True, slots=True)
class StationTime:
    """The station's clocks as a command is judged by them.

    Attributes:
        now_ns: ns UTC by the station's clock.
        monotonic: seconds, for selections.
        zone_minutes: zone of time-tagged commands.
        age_s: largest difference of a time tag to ``now_ns``.
    """

    now_ns: int
    monotonic: float
    zone_minutes: int
    age_s: float


class CommandDesk:
    """All commands of a station and their selections; one selection an object, whoever made it.

    Args:
        controls: commands with :class:`Iec104Address`.
        on_command: the process: ``(control, engineering value, select)`` -> accept.
        select_timeout_s: life of a selection.
    """

    def __init__(
        self, controls: Sequence[Control], on_command: Callable[[Control, float, bool], bool] | None, select_timeout_s: float
    ) -> None:
        self._controls: dict[tuple[int, int], Control] = {}
        for control in controls:
            assert isinstance(control.address, Iec104Address)
            self._controls[control.address.common_address, control.address.ioa] = control
        self._selections: dict[tuple[int, int], _Selection] = {}
        self._on_command = on_command
        self._select_timeout_s = select_timeout_s

    def drop(self, owner: object) -> None:
        """A connection is gone: its selections fall."""
        self._selections = {key: value for key, value in self._selections.items() if value.owner is not owner}

    def answer(  # noqa: PLR0911 - one return a refusal
        self, owner: object, asdu: Asdu, time: StationTime
    ) -> list[Asdu]:
        """Judge a command ASDU whose type and common address are known, act, and return the answers in order."""
        if asdu.cause not in {Cause.ACTIVATION, Cause.DEACTIVATION}:
            return [asdu.mirror(Cause.UNKNOWN_CAUSE, negative=True)]
        ioa = asdu.objects[0].ioa
        control = self._controls.get((asdu.common_address, ioa))
        if control is None:
            return [asdu.mirror(Cause.UNKNOWN_OBJECT_ADDRESS, negative=True)]
        assert isinstance(control.address, Iec104Address)
        confirm = Cause.DEACTIVATION_CON if asdu.cause == Cause.DEACTIVATION else Cause.ACTIVATION_CON
        order = decode_command(asdu.type_id, asdu.objects[0].element)
        fits = untagged(asdu.type_id) == untagged(control.address.type_id) and len(asdu.objects) == 1
        if not fits or not _possible(asdu.type_id, order) or not _timely(order, time):
            return [asdu.mirror(confirm, negative=True)]
        if asdu.test:  # the way is tested, not the breaker
            return [asdu.mirror(confirm)]
        if asdu.cause == Cause.DEACTIVATION:
            return [asdu.mirror(confirm, negative=not self._cancel(owner, (asdu.common_address, ioa), order))]
        if order.select:
            return [asdu.mirror(confirm, negative=not self._select(owner, control, order, time))]
        if not self._execute(owner, control, order, time):
            return [asdu.mirror(confirm, negative=True)]
        return [asdu.mirror(confirm), asdu.mirror(Cause.ACTIVATION_TERM)]

    def _ask(self, control: Control, order: CommandElement, *, select: bool) -> bool:
        value = order.value * control.scale + control.offset
        return self._on_command is not None and self._on_command(control, value, select)

    def _held(self, key: tuple[int, int], now: float) -> _Selection | None:
        held = self._selections.get(key)
        if held is not None and now >= held.expires:
            del self._selections[key]
            return None
        return held

    def _select(self, owner: object, control: Control, order: CommandElement, time: StationTime) -> bool:
        assert isinstance(control.address, Iec104Address)
        key = control.address.common_address, control.address.ioa
        if self._held(key, time.monotonic) is not None or not self._ask(control, order, select=True):
            return False
        self._selections[key] = _Selection(owner, order, time.monotonic + self._select_timeout_s)
        return True

    def _execute(self, owner: object, control: Control, order: CommandElement, time: StationTime) -> bool:
        assert isinstance(control.address, Iec104Address)
        key = control.address.common_address, control.address.ioa
        held = self._held(key, time.monotonic)
        if held is not None:
            if held.owner is not owner:
                return False
            del self._selections[key]  # used up, also by an execute that differs
            if not held.order.same_order(order):
                return False
        elif control.select:
            return False
        return self._ask(control, order, select=False)

    def _cancel(self, owner: object, key: tuple[int, int], order: CommandElement) -> bool:
        held = self._selections.get(key)
        if held is None or held.owner is not owner or not held.order.same_order(order):
            return False
        del self._selections[key]
        return True


def _possible(type_id: int, order: CommandElement) -> bool:
    """Double and step commands have two permitted states; a set-point must be a number."""
    if untagged(type_id) in {46, 47}:
        return order.value in {1, 2}
    return order.value - order.value == 0


def _timely(order: CommandElement, time: StationTime) -> bool:
    """A time-tagged command must carry a valid time near the station's clock."""
    if not order.time:
        return True
    sent_ns, _ = cp56.from_octets(order.time, time.now_ns, time.zone_minutes)
    return sent_ns != 0 and abs(sent_ns - time.now_ns) <= time.age_s * 1e9
