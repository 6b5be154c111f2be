"""What a :class:`~scada.protocols.iec104.channel.Channel` wants done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scada.core.batch import PointBatch
from scada.protocols.driver import CommandResult, LinkState
from scada.protocols.iec104.asdu import Asdu


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
    """A command step or another request (interrogation, clock synchronisation, read, test ...) has ended.

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
