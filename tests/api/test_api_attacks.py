"""The transport under attack, in real time: old TLS by curl, silent sockets, a stopped peer, a flood of forged orders."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from api.tls_rig import CLOCK, TlsRig
from scadapb.v1 import scada_pb2 as pb

from scada.api.admission import TOLD_SINGLY
from scada.api.faults import CallError
from scada.security.issuing import issue_identity
from scada.security.tls_identities import FILES
from scada.security.users_file import grant_identity

BENCH = Path(__file__).resolve().parents[2] / "bench"

STOPPED = """
import asyncio, sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from scada.api.client import ScadaClient
from scada.security.identities import load_authority, load_identity
from scada.security.tls_trust import ClientTls
from scada.core.clock import SystemClock

async def main():
    keys = Path({keys!r})
    client = ScadaClient("127.0.0.1:{port}", "127.0.0.1:{control}", load_identity(keys, "viewer", SystemClock()),
                         load_authority(keys), SystemClock(), tls=ClientTls(keys, "viewer"))
    await client.connect()
    frames = client.frames()
    await anext(frames)
    print("up", flush=True)
    async for frame in frames:
        pass

asyncio.run(main())
"""


@pytest.fixture
async def rig(tmp_path, make_backend):
    async with TlsRig(tmp_path / "keys", make_backend(CLOCK)) as rig:
        yield rig


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(("version", "code"), [("1.2", "tls_version"), ("1.3", "malformed")])
async def test_curl_over_tls_1_2_is_refused_before_the_message_is_read(rig, version, code):
    line = ["curl", "-s", "-i", "--max-time", "10", "--http2", "--tls-max", version, "--cacert", str(FILES.authority(rig.keys))]
    line += ["--cert", str(FILES.certificate(rig.keys, "operator")), "--key", str(FILES.key(rig.keys, "operator"))]
    line += ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "@-"]
    line += [f"https://127.0.0.1:{rig.server.control_port}/scadapb.v1.Session/Login"]
    message = b"\x00\x00\x00\x00\x03\xff\xff\xff"
    done = await asyncio.to_thread(subprocess.run, line, input=message, capture_output=True, check=False, timeout=20)
    assert f"scada-code: {code}" in done.stdout.decode(errors="replace"), done.stdout


HANDSHAKE = """
import asyncio, ssl, sys
sys.path[:0] = {paths!r}
from scada.api.tls_versions import refuse_tls_1_2
refuse_tls_1_2()
from pathlib import Path
from api.conftest import TableBackend
from api.tls_rig import CLOCK, TlsRig
from scadapb.v1 import scada_pb2 as pb
from scada.security.tls_trust import ClientTls

async def main():
    async with TlsRig(Path({keys!r}), TableBackend(CLOCK)) as rig:
        operator = await rig.connect()
        assert (await operator.signed("Control/SetMode", pb.SetModeRequest(agc="off"))).accepted
        context = ClientTls(rig.keys, "operator").context()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            await asyncio.open_connection("127.0.0.1", rig.server.port, ssl=context, server_hostname="server")
        except OSError:
            print("refused")

asyncio.run(main())
"""


@pytest.mark.interop
async def test_tls_1_2_is_refused_in_the_handshake(tmp_path):
    """What refuses it is read by grpc once, hence in a process of its own."""
    code = HANDSHAKE.format(paths=sys.path, keys=str(tmp_path / "keys"))
    line = [sys.executable, "-c", code]
    done = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, check=False, timeout=120)
    assert "refused" in done.stdout.splitlines(), done.stderr


@pytest.mark.e2e
async def test_two_hundred_silent_sockets_are_closed(rig):
    sockets = [socket.create_connection(("127.0.0.1", rig.server.control_port)) for _ in range(200)]
    try:
        assert (await (await rig.connect()).signed("Control/SetMode", pb.SetModeRequest(agc="off"))).accepted
        began = time.monotonic()
        for one in sockets:
            one.settimeout(10)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.to_thread(one.recv, 1) in (b"", b"\x15"), "an alert or the end"
        assert time.monotonic() - began < 8.0
    finally:
        for one in sockets:
            one.close()


@pytest.mark.e2e
async def test_a_stopped_viewer_is_found_dead_within_five_seconds(rig, tmp_path):
    code = STOPPED.format(tests="", keys=str(rig.keys), port=rig.server.port, control=rig.server.control_port)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - starts at once
    try:
        assert await asyncio.to_thread(child.stdout.readline) == "up\n"
        hub = rig.server._hub
        assert sum(len(view.subscribers) for view in hub._views.values()) == 1
        child.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        while hub._views and time.monotonic() - began < 15:  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0.05)
        assert time.monotonic() - began < 5.0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


class Flood:
    """A process that offers 10 000 forged orders a second in the name of ``flooder``."""

    def __init__(self, rig, connections, *, cancel):
        line = [sys.executable, "-m", "api.flood", "--keys", str(rig.keys), "--name", "flooder", "--site", "demo"]
        line += ["--port", str(rig.server.port), "--control-port", str(rig.server.control_port)]
        line += ["--connections", str(connections), "--rate", "10000", "--cancel", str(cancel)]
        paths = os.pathsep.join(str(path) for path in (BENCH, *sys.path))
        environment = {**os.environ, "PYTHONPATH": paths}
        self._child = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    async def answer(self):
        """A line of it."""
        return json.loads(await asyncio.to_thread(self._child.stdout.readline))

    async def ask(self):
        """What it offered a second since it was asked last."""
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return await self.answer()

    def stop(self):
        self._child.kill()
        self._child.wait()
        self._child.stdin.close()
        self._child.stdout.close()


@pytest.mark.e2e
@pytest.mark.parametrize(("connections", "cancel"), [(20, 0), (1, 1)], ids=["waiting", "taken back"])
async def test_forged_orders_silent_sockets_and_slow_readers_keep_no_operator_out(rig, connections, cancel):
    """Counted, not timed: `./run bench api` has the times."""
    issue_identity(rig.keys, "flooder", ["OPERATOR"], CLOCK)
    grant_identity(rig.keys, "flooder", ["OPERATOR"], ["*"])
    await rig.server.look()
    operator, honest = await rig.connect("operator"), await rig.connect("flooder")
    sockets = [socket.create_connection(("127.0.0.1", rig.server.control_port)) for _ in range(200)]
    readers = [(await rig.connect("viewer")).frames(credit=1) for _ in range(20)]
    flood = Flood(rig, connections, cancel=cancel)
    try:
        for frames in readers:
            await anext(frames)
        await flood.answer()
        await rig.until(lambda: rig.events("security.rate_limited"), 30)
        for _ in range(40):
            assert (await operator.signed("Control/SetMode", pb.SetModeRequest(agc="off"))).accepted
        await rig.until(lambda: len(rig.events("security.rate_limited")) > 2, 60)
        offered = await flood.ask()
    finally:
        flood.stop()
        for one in sockets:
            one.close()
        for frames in readers:
            await frames.aclose()
    assert offered["due"] > 1000
    assert [name for _, _, name, _ in rig.backend.acted] == ["operator"] * 40, "every one of the operator's, none of the others"
    told = rig.events("security.rate_limited")
    assert {event.parameters["name"] for event in told} == {"flooder"}
    assert all(later.time_ns - earlier.time_ns > 3e9 for earlier, later in itertools.pairwise(told)), "once in five seconds"
    assert len([event for event in rig.events("security.refused") if event.actor == "flooder"]) <= TOLD_SINGLY * (len(told) + 1)
    async with asyncio.timeout(30):
        while not await accepted(honest):
            pass


async def accepted(client):
    try:
        return (await client.signed("Control/SetMode", pb.SetModeRequest(agc="off"))).accepted
    except CallError as error:
        if error.code != "rate_limited":
            raise
        return False


@pytest.mark.e2e
async def test_forged_orders_of_one_peer_do_not_hold_up_another(rig):
    attacker, operator = await rig.connect("viewer"), await rig.connect("operator")
    channel = await attacker._connections.channel(attacker.control)
    select = channel.unary_unary("/scadapb.v1.Control/Select")
    metadata = (("session", attacker.session.session),)
    sent, stop = 0, False

    async def flood():
        nonlocal sent
        while not stop:
            sent += 1
            with contextlib.suppress(Exception):  # every one is refused
                await select(b"\x0a\x02xx\x12\x02yy", metadata=metadata, timeout=5)

    floods = [asyncio.create_task(flood()) for _ in range(200)]
    await asyncio.sleep(1.5)
    took = []
    for _ in range(30):
        began = time.perf_counter()
        assert (await operator.signed("Control/SetMode", pb.SetModeRequest(agc="off"))).accepted
        took.append(time.perf_counter() - began)
    stop = True
    await asyncio.gather(*floods)
    assert sent > 500
    assert sorted(took)[-2] < 0.25
    assert [name for _, _, name, _ in rig.backend.acted] == ["operator"] * 30
    with pytest.raises(CallError):
        await attacker.signed("Control/SetMode", pb.SetModeRequest(agc="off"))
