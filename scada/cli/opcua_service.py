"""The process that serves OPC UA: waits for the database, serves one model version, begins anew when the model changed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import structlog

from scada.core.clock import SystemClock, make_clock
from scada.core.errors import StoreError
from scada.core.settings import Settings
from scada.model_cim.numbers import Numbers, kept_numbers
from scada.model_cim.points import load_model
from scada.model_cim.tables import ModelTables
from scada.model_cim.versions import current_folder
from scada.protocols.opcua.server import SILENT_S, OpcUaServer, ServerWish
from scada.protocols.registry import Drivers
from scada.rtdb.reader import StoreReader

_log = structlog.get_logger("opcua")

_LOOK_S = 1.0


def run(settings: Settings, parent: int = 0) -> None:
    """Serve until SIGINT or SIGTERM, or until ``parent`` is no longer our parent.

    Raises:
        ScadaError: settings, files or model cannot be used.
        OSError: the port is taken.
    """
    asyncio.run(_run(settings, parent))


async def _run(settings: Settings, parent: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    wish = server_wish(settings)
    wish.chosen()
    reader = await _open(settings, stop, parent)
    if reader is None:
        return
    try:
        while not _ending(stop, parent):
            await _serve(settings, wish, reader, stop, parent)
    finally:
        reader.close()


def server_wish(settings: Settings) -> ServerWish:
    """How to serve, from the settings. Without a file of users only ``anonymous`` lets anybody in."""
    given = settings.opcua
    secured = tuple(given.policies) != ("None",)
    return ServerWish(
        endpoint=given.endpoint,
        policies=given.policies,
        certificate=given.certificate if secured else None,
        key=given.key if secured else None,
        trust=given.trust if secured else None,
        users=given.users if given.users.exists() else None,
        anonymous=given.anonymous,
        interval_s=given.interval_s,
        site=settings.site.name,
        stations=given.stations,
    )


async def _serve(settings: Settings, wish: ServerWish, reader: StoreReader, stop: asyncio.Event, parent: int) -> None:
    """Serve one model version."""
    boot, place, tables = reader.boot, _folder(settings), _tables(settings)
    server = OpcUaServer(wish, tables, reader, SystemClock(), SILENT_S * settings.clock.rate)
    await server.start()
    _log.info("opcua up", endpoint=wish.endpoint, points=server.published)
    follow = asyncio.create_task(server.follow())
    try:
        while not _ending(stop, parent):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_S)
            if follow.done():
                follow.result()
            if reader.boot != boot or _folder(settings) != place:
                boot, place, now = reader.boot, _folder(settings), _tables(settings)
                if now.version != tables.version or Numbers.of(now) != Numbers.of(tables):
                    _log.info("opcua begins anew: the model changed")
                    return
    finally:
        follow.cancel()
        await asyncio.gather(follow, return_exceptions=True)
        await server.stop()
        _log.info("opcua stopped")


async def _open(settings: Settings, stop: asyncio.Event, parent: int) -> StoreReader | None:
    """The database, once somebody serves it."""
    told = False
    while not _ending(stop, parent):
        try:
            return StoreReader(settings.rtdb.path, make_clock(settings.clock.rate, settings.clock.epoch_ns))
        except StoreError as error:
            if not told:
                _log.info("opcua waits for the server", reason=str(error))
                told = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_S)
    return None


def _folder(settings: Settings) -> Path:
    """Of the version that the server runs; it may change under a running server."""
    return current_folder(settings.model.versions, settings.model.path)


def _tables(settings: Settings) -> ModelTables:
    return load_model(_folder(settings), kept_numbers(settings.rtdb.path), Drivers(settings.drivers))[1]


def _ending(stop: asyncio.Event, parent: int) -> bool:
    return stop.is_set() or (parent != 0 and os.getppid() != parent)
