"""Group ``api``: fan-out to many viewers, controls beside them and beside a flood; mutual TLS, seals, processes of their own."""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chain.ours import outstations, until
from chain.server import SITE
from figures import Figure
from workers import BENCH, Worker

from scada.core.clock import SystemClock
from scada.security.identities import init_identities
from scada.security.issuing import issue_identity
from scada.security.tls_identities import SERVER_NAME
from scada.security.tls_trust import ClientTls
from scada.security.users_file import grant_identity

NAMES = (
    "api.fanout.cpu",
    "api.fanout.age_p99",
    "api.fanout.stopped_p99",
    "control.round_trip.p50",
    "control.round_trip.p99",
    "api.flood.p50",
    "api.flood.p99",
)
HOST = "127.0.0.1"
VIEWERS = 200
POINTS = 500
HZ = 10
WATCHERS = 8
"""Identities that share the viewers, for one may have a limited number of sessions."""

STOPPED = 20
IDLE = 200
FLOODING = 20
"""Connections of the peer that floods; all of one certificate."""

OFFERED = 10_000.0
CHANNELS = 10
RATE = 20_000.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run everything and give the figures as they come."""
    seconds = 3.0 if quick else 15.0
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as made:
        folder = Path(made)
        keys, names = _keys(folder)
        yield from _fanout(folder, keys, names, seconds)
        yield from _round_trip(folder, keys, names, seconds)
        yield from flood(folder, keys, names, min(seconds, 10.0))


def _fanout(folder: Path, keys: Path, names: str, seconds: float) -> Iterator[Figure]:
    with ExitStack() as closing:
        server = closing.enter_context(
            _worker("server", folder, keys=keys, folder=folder / "a", ports=",", points=POINTS, load=POINTS)
        )
        at = server.answer(60)
        server.ask("load")
        alone = _share(server, seconds)
        viewers = closing.enter_context(_viewers(folder, at, keys, names, VIEWERS, "viewers"))
        viewers.answer(120)
        time.sleep(2.0)
        viewers.ask("report")
        first, began = server.ask("mark"), time.perf_counter()
        time.sleep(seconds)
        last, shown = server.ask("mark"), viewers.ask("report")
        elapsed = time.perf_counter() - began
        used = (last["cpu"]["fan_out"] - first["cpu"]["fan_out"]) / 1e9 / (last["at"] - first["at"])
        each = (used - alone) * elapsed / max(1, shown["frames"]) * 1e6
        what = f"{VIEWERS} viewers with sessions of their own, {POINTS} points {HZ} times a second, TLS and seals"
        yield Figure(
            "api.fanout.cpu",
            100 * (used - alone),
            "%",
            25.0,
            note=f"of one core, more than without viewers ({100 * alone:.1f} %); {each:.0f} us a message; {what}",
        )
        yield Figure("api.fanout.age_p99", shown["p99"], "ms", 50.0, note=f"p50 {shown['p50']:.1f} ms; change to viewer's code")
        expected = VIEWERS * HZ * elapsed
        yield Figure(
            "api.fanout.share", 100 * shown["frames"] / expected, "%", 95.0, at_least=True, note="frames that came of those due"
        )
        frozen = closing.enter_context(_viewers(folder, at, keys, names, STOPPED, "stopped"))
        frozen.answer(60)
        frozen._process.send_signal(signal.SIGSTOP)  # noqa: SLF001
        viewers.ask("report")
        time.sleep(min(seconds, 3.0))
        stopped = viewers.ask("report")
        frozen._process.send_signal(signal.SIGCONT)  # noqa: SLF001
        note = f"{STOPPED} more viewers whose process was stopped; {stopped['broken']} of the others lost their stream"
        yield Figure("api.fanout.stopped_p99", stopped["p99"], "ms", 50.0, note=note)


def _round_trip(folder: Path, keys: Path, names: str, seconds: float) -> Iterator[Figure]:
    with ExitStack() as closing:
        blaster, ports = outstations(CHANNELS, folder, closing)
        joined = ",".join(str(port) for port in ports)
        arguments: dict[str, Any] = {"keys": keys, "folder": folder / "b", "ports": joined, "points": 800, "load": POINTS}
        server = closing.enter_context(_worker("server", folder, **arguments))
        at = server.answer(60)
        until(lambda: server.ask("up")["up"] == CHANNELS, "channels are not up")
        until(lambda: blaster.ask("started")["started"] == CHANNELS, "the interrogation does not end")
        operator = closing.enter_context(
            _worker("operator", folder, port=at["port"], **{"control-port": at["control_port"]}, keys=keys, control="setpoint")
        )
        operator.answer(30)
        quiet = operator.ask("measure", seconds + 30, seconds=seconds)
        viewers = closing.enter_context(_viewers(folder, at, keys, names, VIEWERS, "stalled", stalled=1))
        viewers.answer(120)
        blaster.tell("blast", rate=RATE, seconds=seconds + 1.0)
        time.sleep(0.5)
        busy = operator.ask("measure", seconds + 30, seconds=seconds)
        sent = blaster.answer(seconds + 60)
        beside = f"beside {sent['values'] / sent['seconds']:.0f} values/s and {VIEWERS} stalled viewers"
        for part, aim in (("p50", 15.0), ("p99", 50.0)):
            note = f"select, preset on the wire, check-back, reply: {busy['rounds']} rounds {beside}; {quiet[part]:.1f} ms alone"
            yield Figure(f"control.round_trip.{part}", busy[part], "ms", aim, note=note)


def flood(folder: Path, keys: Path, names: str, seconds: float) -> Iterator[Figure]:
    """Controls alone, and beside idle sockets, readers that do not read, and a peer that offers forged orders."""
    with ExitStack() as closing:
        blaster, ports = outstations(1, folder, closing)
        joined = ",".join(str(port) for port in ports)
        arguments: dict[str, Any] = {"keys": keys, "folder": folder / "c", "ports": joined, "points": 800, "load": POINTS}
        server = closing.enter_context(_worker("server", folder, "flooded", **arguments))
        at = server.answer(60)
        until(lambda: server.ask("up")["up"] == 1, "the channel is not up")
        until(lambda: blaster.ask("started")["started"] == 1, "the interrogation does not end")
        common = {"port": at["port"], "control-port": at["control_port"], "keys": keys}
        operator = closing.enter_context(_worker("operator", folder, "honest", **common, control="setpoint"))
        operator.answer(30)
        quiet = operator.ask("measure", seconds + 30, seconds=seconds)
        viewers = closing.enter_context(_viewers(folder, at, keys, names, STOPPED, "slow", stalled=1))
        viewers.answer(60)
        context = ClientTls(keys, names.split(",", maxsplit=1)[0]).context()
        for number in range(IDLE):
            idle = closing.enter_context(socket.create_connection((HOST, at["control_port"])))
            if number % 2:  # the others never shake hands, and are closed for it after three seconds
                closing.enter_context(context.wrap_socket(idle, server_hostname=SERVER_NAME))
        issue_identity(keys, "flooder", ["OPERATOR"], SystemClock())
        grant_identity(keys, "flooder", ["OPERATOR"], ["*"])
        wanted = {"name": "flooder", "site": SITE, "connections": FLOODING, "rate": OFFERED}
        flooding = closing.enter_context(_worker("flood", folder, **common, **wanted))
        flooding.answer(30)
        time.sleep(1.0)
        first, before = server.ask("mark"), flooding.ask("report")
        busy = operator.ask("measure", seconds + 30, seconds=seconds)
        last, after = server.ask("mark"), flooding.ask("report")
        elapsed = last["at"] - first["at"]
        cores = (last["cpu"]["total"] - first["cpu"]["total"]) / 1e9 / elapsed
        beside = (
            f"{busy['rounds']} rounds beside {IDLE} idle sockets, {STOPPED} readers that do not read, and {FLOODING} connections "
            f"that would send {after['due']:.0f} forged orders/s: {after['offered']:.0f}/s came, {after['answered']:.0f} answered"
        )
        shares = f"cores: server {cores:.2f}, sender {(after['cpu'] - before['cpu']) / elapsed:.2f}"
        for part, aim in (("p50", 15.0), ("p99", 50.0)):
            yield Figure(f"api.flood.{part}", busy[part], "ms", aim, note=f"{beside}; {quiet[part]:.1f} ms alone; {shares}")


def _share(server: Worker, seconds: float) -> float:
    """Cores that the API's threads use now."""
    first = server.ask("mark")
    time.sleep(seconds)
    last = server.ask("mark")
    return float((last["cpu"]["fan_out"] - first["cpu"]["fan_out"]) / 1e9 / (last["at"] - first["at"]))


def _keys(folder: Path) -> tuple[Path, str]:
    keys = folder / "keys"
    init_identities(keys)
    names = [f"watcher{number}" for number in range(WATCHERS)]
    for name in names:
        issue_identity(keys, name, ["VIEWER"], SystemClock())
        grant_identity(keys, name, ["VIEWER"], ["*"])
    return keys, ",".join(names)


def _viewers(folder: Path, at: dict[str, Any], keys: Path, names: str, count: int, log: str, *, stalled: int = 0) -> Worker:
    arguments = {"port": at["port"], "control-port": at["control_port"], "keys": keys, "names": names}
    return _worker("viewers", folder, log, **arguments, viewers=count, stalled=stalled)


def _worker(module: str, logs: Path, log: str = "", **arguments: Any) -> Worker:
    command = [sys.executable, "-m", f"api.{module}"]
    for name, value in arguments.items():
        command += [f"--{name}", str(value)]
    return Worker(module, command, logs / f"{log or module}.log", {"PYTHONPATH": str(BENCH)})
