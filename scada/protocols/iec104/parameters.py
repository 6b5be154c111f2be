"""How a controlling station behaves: the parameters of an IEC 104 channel, read from the model and checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Final

from scada.core.errors import ConfigError
from scada.model_cim.tables import ChannelSpec
from scada.protocols.iec104.link import LinkParameters


class CounterFreeze(Enum):
    """What precedes a periodic reading of integrated totals (5-101, 7.4.8)."""

    NONE = "none"
    """Read the totals as they run."""
    FREEZE = "freeze"
    """Freeze them, then read."""
    FREEZE_RESET = "freeze_reset"
    """Freeze and set to zero, then read: each reading is the amount of one period."""


_SECONDS: Final[tuple[str, ...]] = (
    "interrogation_s",
    "interrogation_timeout_s",
    "interrogation_retry_s",
    "counter_interrogation_s",
    "clock_sync_s",
    "clock_skew_warn_s",
    "confirmation_s",
    "command_timeout_s",
    "select_timeout_s",
    "execute_timeout_s",
    "cancel_timeout_s",
    "termination_s",
    "time_window_past_s",
    "time_window_future_s",
    "late_s",
)
_WHOLE: Final = {
    "time_zone_minutes": (-840, 840),
    "summer_minutes": (-120, 120),
    "counter_group": (0, 4),
    "command_qualifier": (0, 31),
    "originator": (0, 255),
    "broadcast": (0, 1),
}


@dataclass(frozen=True, slots=True)
class ChannelParameters:
    """Behaviour of a controlling station; the names are those of ``ChannelSpec.params``. Seconds and minutes.

    Attributes:
        link: ``k``, ``w``, ``t0`` .. ``t3``.
        time_zone_minutes: what the station's clock is ahead of UTC.
        summer_minutes: what it is further ahead when it sets SU.
        interrogation_s: time between station interrogations; 0 = only after a start.
        interrogation_timeout_s: longest silence of a confirmed interrogation: without a value and without its termination.
        interrogation_retry_s: wait after a station interrogation of the plan that failed, until it is asked again; it doubles
            with each failure, up to 15 minutes. The same from a late value to the interrogation that tells what holds now.
            0 = it is not.
        counter_interrogation_s: time between counter interrogations of stations with integrated totals; 0 = only after a start.
        counter_freeze: what precedes them.
        counter_group: group they ask for; 0 = all totals.
        clock_sync_s: time between clock synchronisations; 0 = never.
        clock_skew_warn_s: a station clock that was off by more before it was set is told; 0 = not.
        confirmation_s: longest wait for the confirmation of an interrogation, synchronisation, test, reset or parameter, and for
            the value that was read.
        command_timeout_s: longest wait for a confirmation of a command, where the step has none of its own (below).
        select_timeout_s: of a select; 0 = ``command_timeout_s``.
        execute_timeout_s: of an execute; 0 = ``command_timeout_s``.
        cancel_timeout_s: of a cancel; 0 = ``command_timeout_s``.
        termination_s: longest wait from the confirmation of an execute to its termination; 0 = none is awaited.
        command_qualifier: QU or QL of commands.
        originator: originator address of what we send.
        broadcast: 1 = interrogations and synchronisations go to all stations of the link at once (CA 65535).
        time_window_past_s: a time tag that is older than this at reception is not believed, unless it answers a request (an
            interrogation may repeat the time of a change of long ago); 0 = every one is.
        time_window_future_s: a time tag that is this far ahead of reception is not believed; 0 = every one is.
        late_s: a spontaneous value whose tag lies before that of its point's present value, and this long before reception, is
            late: it is kept under its own time and does not become the present value; 0 = never.
    """

    link: LinkParameters = field(default_factory=LinkParameters)
    time_zone_minutes: int = 0
    summer_minutes: int = 60
    interrogation_s: float = 900.0
    interrogation_timeout_s: float = 120.0
    interrogation_retry_s: float = 30.0
    counter_interrogation_s: float = 300.0
    counter_freeze: CounterFreeze = CounterFreeze.NONE
    counter_group: int = 0
    clock_sync_s: float = 600.0
    clock_skew_warn_s: float = 1.0
    confirmation_s: float = 10.0
    command_timeout_s: float = 10.0
    select_timeout_s: float = 0.0
    execute_timeout_s: float = 0.0
    cancel_timeout_s: float = 0.0
    termination_s: float = 0.0
    command_qualifier: int = 0
    originator: int = 0
    broadcast: int = 0
    time_window_past_s: float = 31 * 86_400.0
    time_window_future_s: float = 300.0
    late_s: float = 60.0

    @classmethod
    def of(cls, spec: ChannelSpec) -> ChannelParameters:
        """From a channel of the model; what is not named keeps its default.

        Raises:
            ConfigError: a value is not a number or out of its range.
        """
        where, mend = f"channel {spec.name}", "correct the channel"
        params = spec.params
        try:
            seconds = {name: float(params[name]) for name in _SECONDS if name in params}
            numbers = {name: int(params[name]) for name in _WHOLE if name in params}
        except ValueError as error:
            raise ConfigError(f"a parameter is not a number: {error}", where=where, mend=mend) from error
        for name, value in seconds.items():
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name} must be a time >= 0 s, not {value:g}", where=where, mend=mend)
        for name, number in numbers.items():
            lowest, highest = _WHOLE[name]
            if not lowest <= number <= highest:
                raise ConfigError(f"{name} must be {lowest} .. {highest}, not {number}", where=where, mend=mend)
        for name in ("command_timeout_s", "confirmation_s", "interrogation_timeout_s"):
            if seconds.get(name) == 0:
                raise ConfigError(f"{name} must be greater than 0: nothing waits for ever", where=where, mend=mend)
        try:
            freeze = CounterFreeze(str(params.get("counter_freeze", "none")))
        except ValueError as error:
            names = ", ".join(item.value for item in CounterFreeze)
            raise ConfigError(f"counter_freeze must be one of {names}", where=where, mend=mend) from error
        return cls(LinkParameters.of(params, where), counter_freeze=freeze, **seconds, **numbers)  # type: ignore[arg-type]

    def in_force(self) -> dict[str, float | str]:
        """Every parameter by name, defaults too.

        >>> ChannelParameters().in_force()["t1"], ChannelParameters().in_force()["counter_freeze"]
        (15.0, 'none')
        """
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "link"}
        return {**asdict(self.link), **own, "counter_freeze": self.counter_freeze.value}
