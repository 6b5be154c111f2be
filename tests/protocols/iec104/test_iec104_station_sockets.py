"""The controlled station behind real sockets: who may connect, TLS, groups that do not wait for each other, and kill -9.

Numbers of items are those of the conformance list, see ``test_iec104_conformance_station.py``.
"""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from scada.core.clock import SystemClock, VirtualClock
from scada.core.errors import PortInUseError
from scada.model_cim.tables import RedundancyGroup
from scada.protocols.iec104.apci import UFunction, i_frame, s_frame, u_frame
from scada.protocols.iec104.asdu import Asdu
from scada.protocols.iec104.event_queue import StoredEventQueue
from scada.protocols.iec104.outstation import Outstation
from scada.protocols.iec104.server import OutstationServer, _Connection
from scada.security.tls import TlsFiles, server_context
from scada.security.tls_authority import issue, make_authority, revoke
from tests.protocols.iec104.raw_master import clock_of, interrogation, objects

NOW_NS = SystemClock().now_ns()  # OpenSSL looks at the host's clock
PROCESS = Path(__file__).with_name("station_process.py")
ROOT = Path(__file__).resolve().parents[3]


class SocketMaster:
    """A connection of asyncio streams that reads frame by frame."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.received = 0

    @classmethod
    async def to(cls, port, **options):
        return cls(*await asyncio.open_connection("127.0.0.1", port, **options))

    async def frame(self):
        """Next frame; empty when the station has closed."""
        async with asyncio.timeout(10):
            try:
                head = await self.reader.readexactly(2)
                return head + await self.reader.readexactly(head[1])
            except (OSError, asyncio.IncompleteReadError):
                return b""

    async def asdu(self):
        """Next ASDU, acknowledged; None when the station has closed."""
        while data := await self.frame():
            if not data[2] & 1:
                self.received += 1
                self.writer.write(s_frame(self.received % 32768))
                return Asdu.parse(data[6:])
        return None

    async def start(self):
        self.writer.write(u_frame(UFunction.STARTDT_ACT))
        assert await self.frame() == u_frame(UFunction.STARTDT_CON)
        return self

    def close(self):
        self.writer.close()


class Remarks(list):
    """What a server remarks, to be waited for."""

    def __init__(self):
        super().__init__()
        self.event = asyncio.Event()

    def add(self, text):
        self.append(text)
        self.event.set()

    async def some(self):
        async with asyncio.timeout(10):
            await self.event.wait()


@pytest.fixture
async def serve(build):
    """Start a station of ten single points behind a server; (station, server, remarks)."""
    servers = []

    async def start(*, groups=(), count=10, queue=None, **options):
        station = Outstation([build.point(i, 100 + i, 1) for i in range(count)], [], SystemClock(), groups=groups, queue=queue)
        station.update(range(count), 0)
        remarks = Remarks()
        server = OutstationServer(station, port=0, on_remark=remarks.add, **options)
        await server.start()
        servers.append(server)
        return station, server, remarks

    yield start
    for server in servers:
        await server.close()


async def test_item_01_masters_that_are_not_configured_are_turned_away(serve):
    _, server, remarks = await serve(groups=[RedundancyGroup("centre", ("10.0.0.1",))])
    stranger = await SocketMaster.to(server.port)
    assert await stranger.frame() == b""
    assert "belongs to no redundancy group" in remarks[0]
    stranger.close()
    _, few, remarks = await serve(max_masters=2)
    masters = [await (await SocketMaster.to(few.port)).start() for _ in range(2)]
    third = await SocketMaster.to(few.port)
    assert await third.frame() == b""
    assert "2 masters are connected" in remarks[0]
    masters.append(third)
    for master in masters:
        master.close()
    with pytest.raises(PortInUseError):
        await OutstationServer(few.outstation, port=few.port).start()


async def test_item_27_a_master_that_reads_nothing_holds_no_other_group_up(serve, tmp_path):
    queue = StoredEventQueue(tmp_path, "up", 50_000)
    groups = [RedundancyGroup("quick", ("127.0.0.1",)), RedundancyGroup("blocked", ("127.0.0.2",))]
    station, server, _ = await serve(groups=groups, count=1000, queue=queue)
    blocked = await (await SocketMaster.to(server.port, local_addr=("127.0.0.2", 0))).start()
    quick = await (await SocketMaster.to(server.port)).start()

    async def change():
        for burst in range(100):
            pids = [(burst * 100 + i) % 1000 for i in range(100)]
            station.update(pids, (burst // 10 + 1) % 2)
            await asyncio.sleep(0)

    task = asyncio.create_task(change())
    heard = []
    while len(heard) < 10_000:
        heard += objects([await quick.asdu()])
    await task
    assert [ioa for ioa, _ in heard] == [100 + i % 1000 for i in range(10_000)]
    by_name = {group.name: group for group in station.report()}
    assert by_name["blocked"].queued == 10_000
    assert by_name["blocked"].lost == 0
    again = []
    while len(again) < 10_000:
        again += objects([await blocked.asdu()])
    assert again == heard
    for master in (quick, blocked):
        master.close()
    queue.close()


async def connect_from(server, host):
    return await SocketMaster.to(server.port, local_addr=(host, 0))


async def test_a_host_that_takes_every_connection_keeps_no_other_out(serve):
    _, server, remarks = await serve(max_masters=3)
    crowd = [await (await connect_from(server, "127.0.0.2")).start() for _ in range(3)]
    other = await (await connect_from(server, "127.0.0.3")).start()
    assert await crowd[2].asdu() is not None  # end of initialisation
    assert await crowd[2].asdu() is None, "its newest gave way"
    assert "127.0.0.2" in remarks[0]
    again = await connect_from(server, "127.0.0.2")
    assert await again.frame() == b"", "it holds more than its share already"
    third = await (await connect_from(server, "127.0.0.4")).start()
    fourth = await connect_from(server, "127.0.0.5")
    assert await fourth.frame() == b"", "now every host has one"
    for master in (*crowd, other, again, third, fourth):
        master.close()


async def test_a_stop_during_the_start_leaves_nothing_open(serve):
    station, _, _ = await serve()
    server = OutstationServer(station, port=0)
    await asyncio.gather(server.start(), server.close())
    assert not server.listening
    assert server._ticker is None


class Transport(asyncio.Transport):
    """A socket whose peer reads nothing."""

    def __init__(self, host="127.0.0.1"):
        super().__init__({"peername": (host, 1)})
        self.reading, self.closed, self.aborted = True, False, False

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def write(self, data):
        pass

    def close(self):
        self.closed = True

    def abort(self):
        self.aborted = True


async def carried(serve):
    """A server and a connection of a :class:`Transport`."""
    station, server, remarks = await serve()
    station.clock = VirtualClock()
    connection, transport = _Connection(server), Transport()
    connection.connection_made(transport)
    return server, connection, transport, remarks


async def test_a_master_that_asks_and_reads_nothing_is_not_read_either(serve):
    _, connection, transport, _ = await carried(serve)
    connection.pause_writing()
    assert not transport.reading, "else its test frames would fill the memory with answers"
    connection.resume_writing()
    assert transport.reading
    connection.connection_lost(None)


async def test_a_closed_link_whose_peer_reads_nothing_does_not_stay(serve):
    server, connection, transport, remarks = await carried(serve)
    connection.data_received(b"nonsense")
    assert remarks
    assert (transport.closed, transport.aborted) == (True, False), "the last frames may still leave"
    server.outstation.clock.advance(10.0)
    connection.tick()
    assert transport.aborted
    connection.connection_lost(None)


async def test_a_fault_of_one_connection_costs_no_other_its_timers(serve, monkeypatch):
    server, connection, transport, remarks = await carried(serve)
    other, healthy = _Connection(server), Transport()
    other.connection_made(healthy)

    def fail():
        raise RuntimeError("a fault")

    monkeypatch.setattr(connection, "tick", fail)
    monkeypatch.setattr(connection, "pump", fail)
    ticked = []
    monkeypatch.setattr(other, "tick", lambda: ticked.append(1) or [])
    server.beat()
    server.flush()
    assert transport.aborted
    assert not healthy.aborted
    assert ticked
    assert "RuntimeError: a fault" in remarks[0]
    for one in (connection, other):
        one.connection_lost(None)


async def test_a_peer_that_is_gone_before_it_is_asked_who_it_is(serve):
    _, server, _ = await serve()
    connection, transport = _Connection(server), Transport()
    transport._extra["peername"] = None
    connection.connection_made(transport)
    assert transport.aborted


async def test_a_second_link_of_the_group_takes_over(serve):
    groups = [RedundancyGroup("centre", ("127.0.0.1", "127.0.0.2"))]
    station, server, remarks = await serve(groups=groups)
    one = await (await SocketMaster.to(server.port)).start()
    two = await SocketMaster.to(server.port, local_addr=("127.0.0.2", 0))
    two.writer.write(u_frame(UFunction.TESTFR_ACT))
    assert await two.frame() == u_frame(UFunction.TESTFR_CON)
    assert (await one.asdu()).type_id == 70
    station.update([0], 1)
    assert objects([await one.asdu()])[0][0] == 100
    one.close()
    station.update([1], 1)
    await two.start()
    assert objects([await two.asdu()])[0][0] == 101
    two.close()
    assert remarks == []


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    base = tmp_path_factory.mktemp("tls")
    for folder in ("pki", "stranger"):
        make_authority(base / folder, NOW_NS)
        for name in ("server", "centre", "revoked", "other"):
            issue(base / folder, name, NOW_NS)
        issue(base / folder, "old", NOW_NS, days=-1)
    revoke(base / "pki", ["revoked"], NOW_NS)
    return base / "pki"


def files(folder, **more):
    return TlsFiles(
        folder / "ca.pem", folder / "server.pem", folder / "server.key", folder / "crl.pem", where="station upstream", **more
    )


def client(folder, name, **options):
    """A client's context by the standard library alone."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.check_hostname = False
    if name:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    for option, value in options.items():
        setattr(context, option, value)
    return context


async def test_item_28_a_master_is_known_by_its_certificate(serve, pki):
    groups = [RedundancyGroup("centre", ("centre",)), RedundancyGroup("other", ("other",))]
    station, server, _ = await serve(groups=groups, tls=server_context(files(pki)))
    one = await (await SocketMaster.to(server.port, ssl=client(pki, "centre"))).start()
    two = await (await SocketMaster.to(server.port, ssl=client(pki, "other"))).start()
    assert [(group.name, link.subject) for group in station.report() for link in group.links] == [
        ("centre", "centre"),
        ("other", "other"),
    ]
    assert station.sessions[0].master == "centre"
    assert (await one.asdu()).type_id == 70
    one.writer.write(i_frame(0, 1, interrogation().encode()))
    assert [(await one.asdu()).cause for _ in range(3)] == [7, 20, 10]
    for master in (one, two):
        master.close()


@pytest.mark.parametrize(
    ("folder", "name", "options", "reason"),
    [
        ("pki", "", {}, "the peer showed no certificate"),
        ("pki", "old", {}, "expired"),
        ("pki", "revoked", {}, "revoked"),
        ("stranger", "centre", {}, "not in tls_ca"),
        ("pki", "other", {}, "belongs to no redundancy group"),
        ("pki", "centre", {"maximum_version": ssl.TLSVersion.TLSv1_2}, "TLS"),
    ],
    ids=["none", "expired", "revoked", "unknown CA", "no group", "TLS 1.2 where 1.3 is wanted"],
)
async def test_item_28_whom_the_station_does_not_know_it_does_not_serve(serve, pki, folder, name, options, reason):
    groups = [RedundancyGroup("centre", ("centre",))]
    station, server, remarks = await serve(groups=groups, tls=server_context(files(pki, minimum="1.3")))
    context = client(pki.parent / folder, name, **options)
    context.verify_mode = ssl.CERT_NONE  # the client trusts anyone; the station must not
    try:
        master = await SocketMaster.to(server.port, ssl=context)
    except OSError:
        pass  # refused in the handshake
    else:
        master.writer.write(u_frame(UFunction.STARTDT_ACT))
        assert await master.frame() == b""
        master.close()
    await remarks.some()
    assert reason in remarks[0], remarks
    assert station.sessions == []
    assert all(not group.links for group in station.report())


async def test_item_28_octets_that_are_no_tls_are_refused(serve, pki):
    station, server, remarks = await serve(tls=server_context(files(pki)))
    plain = await SocketMaster.to(server.port)
    plain.writer.write(u_frame(UFunction.STARTDT_ACT))
    assert await plain.frame() == b""
    plain.close()
    await remarks.some()
    assert "refused" in remarks[0]
    assert station.sessions == []


async def test_item_28_a_certificate_without_a_name_is_nobodys(serve):
    groups = [RedundancyGroup("centre", ("127.0.0.1",))]
    _, server, remarks = await serve(groups=groups)
    connection, transport = _Connection(server), Transport()
    transport._extra["peercert"] = {"subject": ((("organizationName", "Dispatch"),),)}
    connection.connection_made(transport)
    assert transport.aborted
    assert "names nobody" in remarks[0]


async def test_item_28_a_certificate_that_is_revoked_ends_its_connection(serve, pki, tmp_path):
    context = server_context(files(pki))
    station, server, remarks = await serve(tls=context)
    master = await (await SocketMaster.to(server.port, ssl=client(pki, "centre"))).start()
    context.refusal = lambda peer, now_ns: "the certificate was revoked" if peer and now_ns else ""
    server._rechecked = -1e9  # it is time to look again
    server._recheck()
    while await master.frame():
        pass
    assert remarks == ["link closed: the certificate was revoked"]
    assert station.sessions == []
    master.close()


# ---------------------------------------------------------------- kill -9


class Killed:
    """One life of the station process, and what a master heard in it."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, str(PROCESS), str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        port = int(self.process.stdout.readline())
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.rest = b""
        self.behind = [None]
        """Number behind the last event of each I frame so far."""
        self.numbers = []
        self.acknowledged = 0
        """I frames that the station may know to be acknowledged."""
        self.known = 0
        """I frames whose acknowledgement was followed by a test frame that was confirmed."""
        self.socket.sendall(u_frame(UFunction.STARTDT_ACT))

    def read(self):
        self.rest += self.socket.recv(65_536)
        while len(self.rest) >= 2 and len(self.rest) >= 2 + self.rest[1]:
            frame, self.rest = self.rest[: 2 + self.rest[1]], self.rest[2 + self.rest[1] :]
            if frame[2] == UFunction.TESTFR_CON:
                self.known = self.asked
            elif not frame[2] & 1:
                from_cp56 = [
                    (clock_of(element) - 1_780_000_000_000_000_000) // 10**6 for _, element in objects([Asdu.parse(frame[6:])])
                ]
                self.numbers += from_cp56 if frame[6] == 30 else []
                self.behind.append(self.numbers[-1] + 1 if self.numbers else None)

    def acknowledge(self, *, test):
        self.acknowledged = len(self.behind) - 1
        self.socket.sendall(s_frame(self.acknowledged))
        if test:
            self.asked = self.acknowledged
            self.socket.sendall(u_frame(UFunction.TESTFR_ACT))

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.socket.close()


@pytest.mark.e2e
def test_item_26_nothing_is_lost_or_repeated_over_kill_9(tmp_path):
    heard, floor, ceiling = 0, 0, 0
    for life, wanted in enumerate((1500, 700, 1)):
        station = Killed(tmp_path)
        try:
            turn = 0
            while len(station.numbers) < wanted or (life < 2 and station.known < 20):
                station.read()
                turn += 1
                if turn % 3:  # sometimes the window fills up
                    station.acknowledge(test=turn % 4 == 0)
        finally:
            station.kill()
        first = station.numbers[0]
        assert station.numbers == list(range(first, first + len(station.numbers)))  # in order, without a hole
        assert floor <= first <= ceiling or (life == 0 and first == 0)  # not before what it knew to be acknowledged
        assert first <= heard  # nothing between two lives is missing
        heard = station.numbers[-1] + 1
        floor = station.behind[station.known] or first
        ceiling = station.behind[station.acknowledged] or first
    queue = StoredEventQueue(tmp_path, "upstream", 200_000)
    events = queue.read(queue.oldest, 200_000)
    assert queue.next == queue.source_seq  # each change of the source is one event, none is missing and none is there twice
    assert ((events["time"] - 1_780_000_000_000_000_000) // 10**6).tolist() == list(range(queue.oldest, queue.next))
    queue.close()
