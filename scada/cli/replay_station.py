"""``scada replay --serve``: a recorded trace as an outstation that masters connect to."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import click

from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.protocols.iec104.capture import load_trace
from scada.protocols.iec104.player import TracePlayer
from scada.protocols.iec104.server import OutstationServer

_LOOK_S = 0.5


def serve_trace(trace: Path, endpoint: str, *, port: int, **options: Any) -> None:
    """Play a trace until it ends or the user ends it.

    Args:
        trace: capture file.
        endpoint: ``[HOST:]PORT`` to listen on; the host is 127.0.0.1 unless given.
        port: TCP port of the recorded stations.
        options: those of :class:`~scada.protocols.iec104.player.TracePlayer`.

    Raises:
        ScadaError: the trace cannot be read or played, or the port is taken.
    """
    host, _, number = endpoint.rpartition(":")
    if not number.isdigit() or not 0 <= int(number) <= 65535:
        raise ConfigError(f"{endpoint!r} is not [HOST:]PORT", mend="e.g. --serve 2404 or --serve 0.0.0.0:2404")
    player = TracePlayer(load_trace(trace, port), SystemClock(), **options)
    asyncio.run(_serve(player, host or "127.0.0.1", int(number)))


async def _serve(player: TracePlayer, host: str, port: int) -> None:
    server = OutstationServer(player, host, port, on_remark=click.echo)
    await server.start()
    addresses = ", ".join(map(str, player.common_addresses))
    click.echo(
        f"station {player.station} (common address {addresses}) plays on {host}:{server.port}, {player.length} ASDUs; Ctrl-C ends"
    )
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        while not player.finished and not ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _LOOK_S)
    finally:
        await server.close()
    rounds = f", {player.rounds} whole rounds" if player.rounds else ""
    click.echo(f"{player.sent} ASDUs played{rounds}")
