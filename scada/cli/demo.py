"""``scada demo``: simulator, server and operator station on the demo grid, as one command."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import click

from scada.actors.ports import check_port
from scada.cli.demo_grid import GRID, PLACES
from scada.cli.processes import ProcessGroup, sole_use
from scada.cli.stopping import StopAsked
from scada.cli.warm import DONE, is_warm
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError

HOST = "127.0.0.1"
SCADA = (sys.executable, "-m", "scada")
PLANT_RUNS = "plant is running"
"""What the simulator prints once every outstation listens."""
SERVER_RUNS = "server up"
"""What the server logs once its channels, databases and listeners are there."""
START_S = 120.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of a demo, counted from one base."""

    base: int

    @property
    def api(self) -> int:
        """Views."""
        return self.base

    @property
    def control(self) -> int:
        """Controls."""
        return self.base + 1

    @property
    def metrics(self) -> int:
        """Prometheus."""
        return self.base + 2

    @property
    def page(self) -> int:
        """Operator station."""
        return self.base + 3

    @property
    def guardian(self) -> int:
        """Operator station of the second person."""
        return self.base + 5

    @property
    def rest(self) -> int:
        """REST for third parties, if one starts it."""
        return self.base + 6

    @property
    def admin(self) -> int:
        """Fault injection of the simulator."""
        return self.base + 4

    def channel(self, index: int) -> int:
        """Outstation of a channel."""
        return self.base + 10 + index

    def upstream(self, index: int) -> int:
        """Where an upstream control centre connects."""
        return self.base + 30 + index


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo: where it keeps things, which grid it runs, how fast."""

    folder: Path
    grid: Path
    ports: Ports
    channels: tuple[str, ...]
    rate: float = 1.0
    epoch_ns: int = 0
    upstream: tuple[str, ...] = ()
    guardian: bool = False
    """Switching needs a second person, who has a station of its own."""

    @property
    def keys(self) -> Path:
        """Identities."""
        return self.folder / "var" / "keys"

    def check_ports(self) -> None:
        """Raise PortInUseError for the first port that is taken."""
        ports = self.ports
        wanted = {
            "views": ports.api,
            "controls": ports.control,
            "metrics": ports.metrics,
            "page": ports.page,
            "faults": ports.admin,
        }
        wanted |= {"guardian's page": ports.guardian} if self.guardian else {}
        wanted |= {f"outstation {name}": ports.channel(index) for index, name in enumerate(self.channels)}
        wanted |= {f"upstream {name}": ports.upstream(index) for index, name in enumerate(self.upstream)}
        for purpose, port in wanted.items():
            check_port(HOST, port, purpose)

    def forget(self) -> None:
        """Remove the data of earlier runs; keys stay."""
        for data in ("rtdb", "history", "events", "audit", "upstream", "dispatch"):
            shutil.rmtree(self.folder / "var" / data, ignore_errors=True)

    def write_config(self, *, automatic: bool) -> Path:
        """Write ``scada.toml``; returns its path."""
        state = "on" if automatic else "off"
        channels, upstream = enumerate(self.channels), enumerate(self.upstream)
        parts = [
            "# Written by `scada demo`; see `scada config example` for every setting.",
            '[site]\nname = "demo"',
            f"[clock]\nrate = {self.rate}\nepoch_ns = {self.epoch_ns}",
            f'[model]\npath = "{self.grid}"',
            f"[api]\nport = {self.ports.api}\ncontrol_port = {self.ports.control}",
            f"[metrics]\nport = {self.ports.metrics}",
            *(
                []
                if self.guardian
                else ["# nobody is asked for a second person: `scada demo --guardian`\n[control]\ntwo_person = []"]
            ),
            f'# not started; see docs/rest-api.md\n[rest]\nport = {self.ports.rest}\nidentity = "viewer"',
            f'[agc]\nstart = "{state}"',
            f'[avc]\nstart = "{state}"',
            *[f'[channels."{name}"]\nhost = "{HOST}"\nport = {self.ports.channel(index)}' for index, name in channels],
            *[f'[upstream.stations."{name}"]\nport = {self.ports.upstream(index)}' for index, name in upstream],
        ]
        path = self.folder / "scada.toml"
        path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        return path

    def sim(self) -> list[str]:
        """Command line of the simulator."""
        line = [*SCADA, "sim", "--model", str(self.grid), "--sim", str(self.grid / "sim.toml"), "--admin", str(self.ports.admin)]
        line += ["--rate", str(self.rate), "--epoch-ns", str(self.epoch_ns)]
        for index, name in enumerate(self.channels):
            line += ["--port", f"{name}={self.ports.channel(index)}"]
        return line

    def server(self) -> list[str]:
        """Command line of the server."""
        return [*SCADA, "serve", "--config", str(self.folder / "scada.toml")]

    def hmi(self, lang: str | None, identity: str = "operator") -> list[str]:
        """Command line of the station of an operator or the guardian."""
        port = self.ports.page if identity == "operator" else self.ports.guardian
        line = [*SCADA, "hmi", "--server", f"{HOST}:{self.ports.api}", "--control-port", str(self.ports.control)]
        line += ["--keys", str(self.keys), "--as", identity, "--station", f"{identity}-desk", "--port", str(port), "--no-browser"]
        return line + (["--lang", lang] if lang else [])

    def describe(self, url: str, guardian: str = "") -> str:
        """What the user reads once it runs."""
        scada = "./run scada" if PLACES[0] == GRID else "scada"
        ctl = f"{scada} ctl --server {HOST}:{self.ports.api} --control-port {self.ports.control} --keys {self.keys} status"
        return (
            f"\n  the page:     {url}\n"
            + (f"  guardian:     {guardian} (in another browser or profile)\n" if guardian else "")
            + f"  the terminal: {ctl}\n"
            f"  faults:       {scada} sim fault --admin {self.ports.admin} --help\n"
            f"  logs:         {self.folder / 'log'}\n  Ctrl-C ends the demo\n"
        )


@click.command(name="demo")
@click.option("--headless", is_flag=True, help="Do not open a browser; for servers without a screen.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(".run/demo"), help="Data, keys, logs.")
@click.option("--fresh", is_flag=True, help="Forget the data of earlier demos (keys are kept).")
@click.option("--base-port", type=click.IntRange(1024, 65000), default=12400, show_default=True, help="First of about thirty.")
@click.option("--rate", type=click.FloatRange(0.1, 50), default=1.0, show_default=True, help="Simulated per real second.")
@click.option("--grid", type=click.Path(path_type=Path, exists=True, file_okay=False), default=GRID, help="Model with sim.toml.")
@click.option("--manual", is_flag=True, help="Leave AGC and AVC off.")
@click.option("--guardian", is_flag=True, help="Switching needs a second person, whose page is served too.")
@click.option("--lang", type=click.Choice(["en", "zh"]), default=None, help="Language of the page; default from LANG.")
def command(
    *,
    headless: bool,
    folder: Path,
    fresh: bool,
    base_port: int,
    rate: float,
    grid: Path,
    manual: bool,
    guardian: bool,
    lang: str | None,
) -> None:
    """Start everything on the demo grid and say where the page is. Ctrl-C ends all of it.

    The simulator's outstations speak IEC 104 (one of them by an independent implementation), Modbus TCP and OPC UA; the server
    knows them only through these protocols.
    """
    from scada.model_cim.points import load_model

    tables = load_model(grid)[1]
    channels = tuple(channel.name for channel in tables.channels)
    epoch_ns = 0 if rate == 1.0 else SystemClock().now_ns()
    upstream = tuple(station.name for station in tables.upstream)
    demo = Demo(folder.resolve(), grid.resolve(), Ports(base_port), channels, rate, epoch_ns, upstream, guardian)
    demo.check_ports()
    with sole_use(demo.folder):
        _run(demo, fresh=fresh, automatic=not manual, headless=headless, lang=lang)


def _run(demo: Demo, *, fresh: bool, automatic: bool, headless: bool, lang: str | None) -> None:
    from scada.security.identities import init_identities

    if fresh:
        demo.forget()
    if made := init_identities(demo.keys):
        click.echo(f"identities made in {demo.keys}: {', '.join(made)}")
    demo.write_config(automatic=automatic)
    stop = StopAsked(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if not is_warm() and not compile_kernels(demo.folder / "log", stop):
        return
    group = ProcessGroup(demo.folder / "log")
    try:
        group.start("sim", demo.sim())
        click.echo("starting the plant, its outstations and the server ...")
        if not await_line(group, "sim", PLANT_RUNS, stop):
            return
        group.start("server", demo.server())
        group.start("hmi", demo.hmi(lang))
        if not (await_line(group, "server", SERVER_RUNS, stop) and (line := await_line(group, "hmi", "http://", stop))):
            return
        url, second = _address(line), ""
        if demo.guardian:
            group.start("guardian", demo.hmi(lang, "guardian"))
            if not (line := await_line(group, "guardian", "http://", stop)):
                return
            second = _address(line)
        click.echo(demo.describe(url, second))
        if not headless and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(url)
        while not stop.wait(0.2):
            for name, code in group.revive():
                click.echo(f"{name} ended with code {code} and was started again; see {group.folder / name}.log", err=True)
    finally:
        late = group.stop(2.5)
        click.echo("demo ended" + (f" ({', '.join(late)} had to be killed)" if late else ""))


def _address(line: str) -> str:
    return "http://" + line.split("http://", 1)[1].split(maxsplit=1)[0]


def compile_kernels(log: Path, stop: StopAsked) -> bool:
    """Compile once what every process would otherwise compile for itself (after an update); False if the user stopped us."""
    click.echo("compiling kernels ...")
    group = ProcessGroup(log)
    try:
        group.start("warm", [sys.executable, "-m", "scada.cli.warm"])
        return bool(await_line(group, "warm", DONE, stop))
    finally:
        group.stop(1.0)


def await_line(group: ProcessGroup, name: str, text: str, stop: StopAsked) -> str:
    """Wait until a child says ``text``; returns the line, empty if the user stopped us. A child that ends is an error."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and not stop.wait(0.05):
        for line in group.new_lines(name):
            if text in line:
                return line
        for ended, code in group.ended():
            raise ConfigError(f"{ended} ended with code {code}: {group.last_line(ended)}", mend=f"see {group.folder / ended}.log")
    if not stop.is_set():
        raise ConfigError(f"{name} did not come up within {START_S:.0f} s", mend=f"see {group.folder / name}.log")
    return ""
