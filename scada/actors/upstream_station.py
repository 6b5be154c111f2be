"""The controlled station of an upstream actor on its event loop: made from model and configuration, called from the actor."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from scada.actors.upstream_dispatch import dispatch_control
from scada.actors.upstream_values import Sent
from scada.actors.wire import Wire
from scada.control.phases import DEFAULT_TIMINGS
from scada.core.clock import Clock
from scada.core.errors import ConfigError, PortInUseError, ScadaError
from scada.core.settings import UpstreamStationSettings, place_files
from scada.model_cim.tables import (
    Control,
    ForwardedControl,
    ForwardedPoint,
    ModelTables,
    Point,
    RedundancyGroup,
    UpstreamStation,
)
from scada.protocols.iec104.asdu import TypeId, untagged
from scada.protocols.iec104.event_queue import EVENT_DTYPE, EventQueue
from scada.protocols.iec104.image import Serving
from scada.protocols.iec104.link import LinkParameters
from scada.protocols.iec104.operate import CommandAsked, CommandRefused
from scada.protocols.iec104.outstation import Outstation, OutstationParameters
from scada.protocols.iec104.server import OutstationServer
from scada.security.tls import TlsFiles, server_context

T = TypeVar("T")
_NO_EVENTS: Final = np.zeros(0, dtype=EVENT_DTYPE)
ANSWER_S: Final = 30.0
"""Longest wait for work on the loop: longer than a handshake that is given up, and than a slow disk takes for a write."""
_PARAMETERS: Final = (
    *("k", "w", "t0", "t1", "t2", "t3"),
    "time_zone_minutes",
    "summer_minutes",
    "event_capacity",
    "select_timeout_s",
    "command_age_s",
    "commands_per_minute",
    "max_masters",
)


def configured(station: UpstreamStation, settings: UpstreamStationSettings, model: Path) -> UpstreamStation:
    """A station with what the configuration says instead of the model.

    Args:
        station: of the model.
        settings: its section of the configuration.
        model: folder of the model, from which files that the model names start.
    """
    groups = [RedundancyGroup(name, tuple(masters)) for name, masters in settings.groups.items()]
    return replace(
        station,
        host=settings.host or station.host,
        port=station.port if settings.port is None else settings.port,
        groups=groups or station.groups,
        params={**place_files(station.params, model), **settings.params},
    )


def queue_name(station: UpstreamStation) -> str:
    """Stem of the file of a station's queue, and end of its name among the consumers of the journal."""
    words = re.sub(r"[^a-z0-9]+", "-", station.name.lower()).strip("-")[:32]
    return f"{words or 'station'}-{blake2b(station.mrid.encode(), digest_size=4).hexdigest()}"


def check_parameters(station: UpstreamStation) -> None:
    """Refuse what a station could not be made with.

    Raises:
        ConfigError: there is no such parameter, it is no number or out of its range, or a master is in two groups.
    """
    unknown = [name for name in station.params if name not in _PARAMETERS and not name.startswith("tls")]
    if unknown:
        mend = f"use {', '.join(_PARAMETERS)}, tls ..."
        raise ConfigError(f"there is no parameter {unknown[0]}", where=f"upstream station {station.name}", mend=mend)
    _parameters(station)
    _max_masters(station)
    commands_per_minute(station)
    seen: dict[str, str] = {}
    for group in station.groups:
        for master in group.masters:
            first = seen.setdefault(master.lower(), group.name)
            if first != group.name:
                text = f"master {master} is in the groups {first} and {group.name}"
                raise ConfigError(text, where=f"upstream station {station.name}", mend="it has one queue: leave it in one")


def event_capacity(station: UpstreamStation) -> int:
    """Events that its queue holds for masters that are away.

    Raises:
        ConfigError: it is no whole number of 1 or more.
    """
    return int(_number(station, "event_capacity", 10_000, 1, 10_000_000))


class UpstreamStuckError(ScadaError):
    """The loop of the upstream stations does not answer: a write to a disk hangs, or it has ended."""


class UpstreamLink:
    """The outstation and its server. Every method is for the actor's thread; all work is done on the loop of the wire.

    Args:
        wire: the loop.
        station: as configured.
        tables: the model.
        queue: where events wait.
        clock: stamps and time-outs.
        on_command: called on the loop with each step of a command; the answer comes later by :meth:`answer`.
        on_refused: called on the loop with what the station refused by itself.
        on_remark: called on the loop with what a master did that is odd.

    Raises:
        ScadaError: the table or a parameter cannot be used.
    """

    def __init__(
        self,
        wire: Wire,
        station: UpstreamStation,
        tables: ModelTables,
        queue: EventQueue,
        clock: Clock,
        *,
        on_command: Callable[[CommandAsked], None],
        on_refused: Callable[[CommandRefused], None],
        on_remark: Callable[[str], None],
    ) -> None:
        self._wire = wire
        self.outstation = Outstation(
            [_as_sent(tables.points[row.pid], row) for row in station.points],
            [
                *(_as_asked(tables.controls[row.cid], row) for row in station.controls),
                *(dispatch_control(place, row) for place, row in enumerate(station.setpoints)),
            ],
            clock,
            on_command=on_command,
            on_refused=on_refused,
            parameters=_parameters(station),
            groups=[group for group in station.groups if group.masters],
            serving={int(row.pid): _serving(row) for row in station.points},
            queue=queue,
        )
        self._station = station
        self._on_remark = on_remark
        self._max_masters = _max_masters(station)
        self._server: OutstationServer | None = None

    @property
    def listening(self) -> bool:
        """Masters can connect."""
        return self._server is not None and self._server.listening

    @property
    def endpoint(self) -> str:
        """Host and port, the port that was found free if any was asked for."""
        port = self._server.port if self._server is not None else self._station.port
        return f"{self._station.host}:{port}"

    @property
    def tls(self) -> bool:
        """Masters must prove who they are."""
        return self._server is not None and self._server.tls is not None

    def run(self, work: Callable[[Outstation], T]) -> T:
        """Do something with the outstation on the loop and wait for its end.

        Raises:
            UpstreamStuckError: the loop does not get to it.
        """

        async def done() -> T:
            """The work, on the loop."""
            return work(self.outstation)

        return self._wait(done())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work on the loop; what is given up is done all the same when the loop goes on, before :meth:`close` is."""
        future = self._wire.submit(work)
        try:
            return future.result(timeout=ANSWER_S)
        except TimeoutError as error:
            if future.done():
                raise
            text = f"the loop of the upstream stations did not answer for {ANSWER_S:g} s"
            mend = "look whether the disk of the queues hangs"
            raise UpstreamStuckError(text, where=f"upstream station {self._station.name}", mend=mend) from error

    def listen(self) -> None:
        """Begin to listen.

        Raises:
            ScadaError: the port cannot be had, or a certificate cannot be used.
        """
        station = self._station
        files = TlsFiles.of(station.params, Path(), station.name)
        self._server = OutstationServer(
            self.outstation,
            station.host,
            station.port,
            tls=server_context(files) if files is not None else None,
            max_masters=self._max_masters,
            on_remark=self._on_remark,
        )
        try:
            self._wait(self._server.start())
        except OSError as error:
            where, why = f"{station.host}:{station.port}", error.strerror or str(error)
            raise PortInUseError(f"cannot listen: {why}", where=where, mend="correct host and port") from error

    def close(self) -> None:
        """End every connection and listen no more. What was asked of the loop before is over when this returns.

        Raises:
            UpstreamStuckError: the loop does not get to it; call it again.
        """
        server = self._server
        if server is not None:
            self._wait(server.close())
            self._server = None
        else:
            self.run(lambda _: None)

    def answer(self, ticket: int, accepted: bool) -> None:
        """Tell a master that its step was accepted or refused; does not wait."""
        self._wire.loop.call_soon_threadsafe(self.outstation.answer, ticket, accepted)

    def terminate(self, ticket: int, well: bool) -> None:
        """Tell a master that its execute has ended; does not wait."""
        self._wire.loop.call_soon_threadsafe(self.outstation.terminate, ticket, well)


def _as_sent(point: Point, row: ForwardedPoint) -> Point:
    return replace(point, address=row.address, scale=row.scale, offset=row.offset, deadband=row.deadband)


def _serving(row: ForwardedPoint) -> Serving:
    """A counter's group is that of counter interrogations, any other point's that of interrogations."""
    return Serving(row.queued, row.counter_group if untagged(row.address.type_id) == TypeId.M_IT_NA_1 else row.group)


def _as_asked(control: Control, row: ForwardedControl) -> Control:
    return replace(control, address=row.address, select=row.select, scale=row.scale, offset=row.offset)


def _parameters(station: UpstreamStation) -> OutstationParameters:
    return OutstationParameters(
        link=LinkParameters.of(station.params, station.name),
        zone_minutes=int(_number(station, "time_zone_minutes", 0, -840, 840)),
        summer_minutes=int(_number(station, "summer_minutes", 60, -120, 120)),
        event_capacity=event_capacity(station),
        select_timeout_s=_number(station, "select_timeout_s", DEFAULT_TIMINGS.selection_s, 1, 3600),
        command_age_s=_number(station, "command_age_s", 10.0, 0.1, 3600),
    )


def _max_masters(station: UpstreamStation) -> int:
    return int(_number(station, "max_masters", 8, 1, 64))


def commands_per_minute(station: UpstreamStation) -> float:
    """Commands that each master may send in a minute.

    Raises:
        ConfigError: it is out of its range.
    """
    return _number(station, "commands_per_minute", 600, 1, 1_000_000)


def _number(station: UpstreamStation, name: str, default: float, least: float, most: float) -> float:
    value = station.params.get(name, default)
    if isinstance(value, str) or not least <= value <= most:
        raise ConfigError(f"{name} is {value!r}", where=f"upstream station {station.name}", mend=f"{least:g} .. {most:g}")
    return float(value)


def give(station: Outstation, sent: Sent, seq: int) -> None:
    """Take values in; what is an event is on the disk, with the number, when this returns."""
    if len(sent):
        columns = (sent.pid, sent.value, sent.quality, sent.time_ns)
        station.update(*columns, detail=sent.detail, compare=False, silent=~sent.event, source_seq=seq)


def note(station: Outstation, seq: int) -> None:
    """Store how far the database was followed; 1, the first record of all and no event, says that it was though it is empty."""
    station.queue.append(_NO_EVENTS, max(seq, 1))
    station.queue.store_seq()


def show(station: Outstation, sent: Sent) -> None:
    """Take values in without any event."""
    station.update(sent.pid, sent.value, sent.quality, sent.time_ns, detail=sent.detail, compare=False, silent=True)
