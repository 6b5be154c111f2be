"""What a :class:`~scada.protocols.iec104.channel.Channel` wants done, and the parameters it runs by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from scada.core.batch import PointBatch
from scada.core.errors import ConfigError
from scada.model_cim.tables import ChannelSpec
from scada.protocols.driver import CommandResult, LinkState
from scada.protocols.iec104.asdu import Asdu
from scada.protocols.iec104.link import LinkParameters


@dataclass(frozen=True, slots=True)
class Send:
    """Write these octets to the connection."""

    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Values of one read, in wire order.

    Attributes:
        batch: the values; an observing channel leaves unknown addresses in, with ``NO_PID``.
        addresses: address key of each record (:func:`~scada.protocols.iec104.codec.address_key`).
    """

    batch: PointBatch
    addresses: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StateChange:
    """The channel's state has changed."""

    state: LinkState
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be read once; see :meth:`scada.protocols.driver.Sink.notice`."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """A command step, interrogation or clock synchronisation has ended.

    Attributes:
        ticket: number that was given when it was asked for.
        result: how it ended.
    """

    ticket: int
    result: CommandResult


@dataclass(frozen=True, slots=True)
class Heard:
    """An ASDU that is no value, as an observing channel met it."""

    asdu: Asdu


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Drop the connection."""

    reason: str


Effect = Send | Values | StateChange | Notice | Done | Heard | Disconnect


@dataclass(frozen=True, slots=True)
class ChannelParameters:
    """Behaviour of a controlling station; the names are those of ``ChannelSpec.params``. Seconds and minutes.

    Attributes:
        link: ``k``, ``w``, ``t0`` .. ``t3``.
        time_zone_minutes: what the station's clock is ahead of UTC.
        summer_minutes: what it is further ahead when it sets SU.
        interrogation_s: time between station interrogations; 0 = only after a start.
        interrogation_timeout_s: longest time from request to termination.
        counter_interrogation_s: time between counter interrogations of stations with integrated totals; 0 = only after a start.
        clock_sync_s: time between clock synchronisations; 0 = never.
        command_timeout_s: longest wait for a confirmation.
        command_qualifier: QU or QL of commands.
        originator: originator address of what we send.
        broadcast: 1 = interrogations and synchronisations go to all stations of the link at once (CA 65535).
    """

    link: LinkParameters = field(default_factory=LinkParameters)
    time_zone_minutes: int = 0
    summer_minutes: int = 60
    interrogation_s: float = 900.0
    interrogation_timeout_s: float = 120.0
    counter_interrogation_s: float = 300.0
    clock_sync_s: float = 600.0
    command_timeout_s: float = 10.0
    command_qualifier: int = 0
    originator: int = 0
    broadcast: int = 0

    @classmethod
    def of(cls, spec: ChannelSpec) -> ChannelParameters:
        """From a channel of the model; what is not named keeps its default.

        Raises:
            ConfigError: a value is not a number or out of its range.
        """
        where = f"channel {spec.name}"
        names = ("interrogation_s", "interrogation_timeout_s", "counter_interrogation_s", "clock_sync_s", "command_timeout_s")
        whole = ("time_zone_minutes", "summer_minutes", "command_qualifier", "originator", "broadcast")
        try:
            seconds = {name: float(spec.params[name]) for name in names if name in spec.params}
            numbers = {name: int(spec.params[name]) for name in whole if name in spec.params}
        except ValueError as error:
            raise ConfigError(f"a parameter is not a number: {error}", where=where, mend="correct the channel") from error
        if any(not value >= 0 for value in seconds.values()) or not 0 <= numbers.get("originator", 0) <= 255:
            raise ConfigError("times must be >= 0 and the originator address 0 .. 255", where=where, mend="correct the channel")
        if not 0 <= numbers.get("command_qualifier", 0) <= 31:
            raise ConfigError("command_qualifier must be 0 .. 31", where=where, mend="correct the channel")
        return cls(LinkParameters.of(spec.params, where), **seconds, **numbers)  # type: ignore[arg-type]
