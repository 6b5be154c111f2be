"""``scada sim``: the plant simulator and its faults."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

import click

from scada.cli.demo_grid import GRID
from scada.core.errors import ConfigError


@click.group(name="sim", invoke_without_command=True)
@click.option("--model", type=click.Path(path_type=Path), default=GRID, help="Folder of CIM XML files.")
@click.option(
    "--sim",
    "sim_file",
    type=click.Path(path_type=Path),
    help="Settings; default sim.toml in the model's folder, without it the usual ones.",
)
@click.option("--rate", type=click.FloatRange(0.1, 100), default=1.0, show_default=True, help="Simulated per real second.")
@click.option("--epoch-ns", type=int, default=0, help="Common start of scaled time, ns UTC; the same as the server's.")
@click.option("--base-port", type=click.IntRange(1, 65000), help="Channel i listens on this port + i.")
@click.option("--port", "ports", multiple=True, metavar="NAME=PORT", help="Port of one channel; may be repeated.")
@click.option("--admin", type=click.IntRange(0, 65535), help="Port of fault injection; default from the settings.")
@click.pass_context
def command(
    context: click.Context,
    *,
    model: Path,
    sim_file: Path | None,
    rate: float,
    epoch_ns: int,
    base_port: int | None,
    ports: tuple[str, ...],
    admin: int | None,
) -> None:
    """Start the plant and one process for each of its outstations. Ctrl-C ends all of them."""
    if context.invoked_subcommand is not None:
        return
    # small matrices, many of them: more threads only burn processors; to be said before numpy is loaded
    os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    from scada.core.clock import SystemClock, make_clock
    from scada.sim.runner import Simulator
    from scada.sim.settings import SimSettings, load_sim_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    beside = model / "sim.toml"
    settings = load_sim_settings(sim_file or beside) if sim_file or beside.exists() else SimSettings()
    epoch_ns = epoch_ns or SystemClock().now_ns()
    simulator = Simulator(
        model,
        settings,
        make_clock(rate, epoch_ns),
        rate=rate,
        epoch_ns=epoch_ns,
        ports=_parse_ports(ports),
        base_port=base_port,
    )
    asyncio.run(_run(simulator, settings.admin.port if admin is None else admin))


def _parse_ports(texts: tuple[str, ...]) -> dict[str, int]:
    ports = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not number.isdigit() or not 0 < int(number) < 65536:
            raise ConfigError(f"--port {text!r} is not NAME=PORT", mend="for example --port 'Beishan RTU=2404'")
        ports[name] = int(number)
    return ports


async def _run(simulator: object, admin_port: int) -> None:
    from scada.sim.admin import serve_admin
    from scada.sim.runner import Simulator

    assert isinstance(simulator, Simulator)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    try:
        server = await serve_admin(simulator, admin_port)
        starting = asyncio.create_task(simulator.start())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            starting.result()
            for outstation in simulator.outstations:
                spec = outstation.spec
                click.echo(f"{spec.name}: {outstation.implementation} on {spec.host}:{spec.port}")
            click.echo(f"faults: port {server.sockets[0].getsockname()[1]}\nplant is running")
            sys.stdout.flush()
            running = asyncio.create_task(simulator.run())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            running.cancel() if stop.is_set() else running.result()
        else:
            starting.cancel()
        server.close()
    finally:
        stopping.cancel()
        await simulator.stop()


@command.command(
    name="fault",
    epilog="Words: trip UNIT · open|close SWITCH · freeze POINT · noise POINT SIGMA · value POINT X · quality POINT BITS · "
    "drop CHANNEL SECONDS · "
    "kill CHANNEL [SECONDS] · restore CHANNEL · local|remote CHANNEL|UNIT · clear [NUMBER] · list · status",
)
@click.option("--admin", type=click.IntRange(1, 65535), default=12404, show_default=True, help="Port of the simulator.")
@click.argument("verb")
@click.argument("args", nargs=-1)
def fault(*, admin: int, verb: str, args: tuple[str, ...]) -> None:
    """Disturb a running simulator, put it right again, or ask how it is."""
    from scada.sim.admin import SimClient

    with SimClient(admin) as client:
        click.echo(json.dumps(client.do(verb, *map(_number_or_text, args)), indent=2))


def _number_or_text(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
