"""Redundancy groups of a controlled station (5-104 clause 10): one queue position and one started connection for each."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scada.core.errors import ConfigError, ProtocolError, StoreError
from scada.model_cim.tables import RedundancyGroup
from scada.protocols.iec104.counters import Counters
from scada.protocols.iec104.event_queue import EventQueue, Standing
from scada.protocols.iec104.image import StationImage

if TYPE_CHECKING:
    from scada.protocols.iec104.session import Session, SessionReport


class UnknownMasterError(ProtocolError):
    """A master that belongs to no configured group."""


@dataclass(frozen=True, slots=True)
class GroupReport:
    """A group for a status page.

    Attributes:
        name: of the group.
        masters: as configured; of an open station, the host itself.
        queued: events it has not acknowledged.
        lost: events that gave way before it had them.
        links: its connections.
        fault: why its position in the events is not stored; empty while it is.
    """

    name: str
    masters: tuple[str, ...]
    queued: int
    lost: int
    links: tuple[SessionReport, ...]
    fault: str = ""


class Group:
    """A group at work: what goes on when its connections change.

    Args:
        spec: name and masters.
        queue: events of the station.
        image: points of the station.
        counters: what it freezes and resets; None = its own, which no other group sees.
    """

    def __init__(self, spec: RedundancyGroup, queue: EventQueue, image: StationImage, counters: Counters | None = None) -> None:
        self.spec = spec
        self.counters = counters or Counters(image)
        self.dirty = np.zeros(len(image.pids), dtype=np.bool_)
        """Rows whose newest value is to be sent."""
        self.served = False
        """It has been started once since the station's start; before that nobody waits for measured values."""
        self.announced = False
        """It has had the end of initialisation."""
        self.overflowed = False
        """Events were lost; the states are to be told once more."""
        self.fault = ""
        """Why the position is not stored; empty while it is."""
        self.sessions: list[Session] = []
        self.active: Session | None = None
        """The started connection."""
        self._queue = queue
        self._standing = queue.join(spec.name)

    @property
    def position(self) -> int:
        """Number of the first event it has not acknowledged."""
        return self._standing.position

    def acknowledge(self, event: int) -> None:
        """All events before number ``event`` have been acknowledged."""
        if event > self._standing.position:
            self._stand(Standing(event, self._standing.lost))

    def lose(self, event: int, oldest: int) -> None:
        """Events from ``event`` to before ``oldest`` gave way before they could be sent."""
        self.overflowed = True
        self._stand(Standing(max(oldest, self.position), self._standing.lost + oldest - event))

    def _stand(self, standing: Standing) -> None:
        """The position moves on also while it cannot be stored: then a restart repeats events, and loses none."""
        self._standing = standing
        try:
            self._queue.stand(self.spec.name, standing)
            self.fault = ""
        except StoreError as error:
            self.fault = str(error)

    def report(self) -> GroupReport:
        """As it is now."""
        oldest = self._queue.oldest
        sent_to = self.active.next_event if self.active is not None else self.position
        return GroupReport(
            self.spec.name,
            self.spec.masters,
            self._queue.next - max(self.position, oldest),
            self._standing.lost + max(0, oldest - sent_to),
            tuple(session.report() for session in self.sessions),
            self.fault,
        )


class Groups:
    """The groups of a station.

    Args:
        specs: configured groups, their masters by host or, with TLS, by a name in the certificate (common name, DNS name or
            address), where the host counts no more: others may call from it. One group without masters takes those that are in no
            other. Without any group the station is open: each master is a group of its own, and so is each further connection of
            the same one.
        queue: events of the station.
        image: points of the station.

    Raises:
        ConfigError: a group has no name of its own, a master is in two, or two have no masters.
    """

    def __init__(self, specs: Sequence[RedundancyGroup], queue: EventQueue, image: StationImage) -> None:
        self._queue, self._image = queue, image
        self._counters = Counters(image)  # of an open station: its masters share them, as they would those of a plant's station
        self._open = not specs
        self._by_master: dict[str, str] = {}
        self._groups: dict[str, Group] = {}
        self._rest = ""
        for spec in specs:
            if not spec.name or spec.name in self._groups:
                raise ConfigError(f"redundancy group {spec.name!r} has no name of its own", mend="give it one")
            if not spec.masters and self._rest:
                raise ConfigError(f"redundancy groups {self._rest} and {spec.name} name no masters", mend="name those of one")
            self._rest = self._rest if spec.masters else spec.name
            for master in spec.masters:
                if self._by_master.setdefault(master.lower(), spec.name) != spec.name:
                    raise ConfigError(f"master {master} is in two redundancy groups", mend="leave it in one")
            self._groups[spec.name] = Group(spec, queue, image)
        if specs:
            queue.keep_only(self._groups)

    def __iter__(self) -> Iterator[Group]:
        """Every group, those of an open station as they have come."""
        return iter(self._groups.values())

    def find(self, host: str, names: Collection[str]) -> str:
        """Name of the group of a master, empty if there is none.

        Args:
            host: where it calls from.
            names: in its certificate.
        """
        if self._open:
            return next(iter(names), host)
        known = (self._by_master.get(name.lower()) for name in (names or (host,)))
        return next((group for group in known if group), self._rest)

    def of(self, host: str, names: Collection[str]) -> Group:
        """Group of a master.

        Raises:
            UnknownMasterError: it belongs to none.
        """
        name = self.find(host, names)
        if not name:
            raise UnknownMasterError("belongs to no redundancy group", where=next(iter(names), host), mend="name it in one")
        return self._own(name) if self._open else self._groups[name]

    def _own(self, name: str) -> Group:
        """A group for one connection; a master that comes again finds the one it had."""
        for number in itertools.count(1):
            own = name if number == 1 else f"{name}#{number}"
            if own not in self._groups:
                self._groups[own] = Group(RedundancyGroup(own, (name,)), self._queue, self._image, self._counters)
            if not self._groups[own].sessions:
                break
        return self._groups[own]
