"""Conformance of the controlling station on several networks: items 24, 25, 27 and 28 (docs/protocols/redundancy.md, tls.md)."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocols.iec104.two_networks import TWO, K, Queue, Rig

from scada.core.clock import SystemClock, make_clock
from scada.core.errors import SecurityError
from scada.model_cim.tables import ChannelSpec
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.iec104.driver import Iec104Driver
from scada.protocols.iec104.outstation import Outstation
from scada.protocols.iec104.server import OutstationServer
from scada.security.tls import TlsFiles, server_context
from scada.security.tls_authority import issue, make_authority, revoke

# ---------------------------------------------------------------- 24 and 25: clause 10 from the controlling side


def test_25_a_failure_of_tcp_of_t1_or_by_hand_loses_and_doubles_nothing(build):
    rig = Rig(build, Queue(), **TWO)
    rig.connect("A", "B")
    serial = 0

    def happen(count):
        nonlocal serial
        for _ in range(count):
            serial += 1
            rig.queue.events.append((2 + serial % 2, serial, serial // 2 % 2))
            rig.pump()

    happen(30)
    rig.stations["A"].mute = True  # what we send is lost from here on, what the station sends still comes
    happen(K + 5)
    began = rig.clock.monotonic()
    rig.cut("A", "connection reset by peer")
    rig.pump()
    happen(20)
    assert rig.clock.monotonic() - began < 2
    rig.stations["A"].mute = False
    rig.connect("A")
    rig.switch("A")
    happen(20)
    rig.stations["A"].mute = True
    happen(3)
    rig.pass_time(9)
    happen(10)
    assert rig.link_states()["B"] is LinkState.UP
    assert rig.statistics.duplicates > 0
    assert told(rig) == plan(serial)
    assert all(events == sorted(events) for events in rig.histories().values())
    assert LinkState.DOWN not in rig.states


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("happen"), st.integers(1, 20)),
        st.tuples(st.sampled_from(["cut", "connect", "mute", "hear", "switch", "deny"]), st.sampled_from("AB")),
        st.tuples(st.just("pass"), st.sampled_from([0.2, 0.6, 2.5, 7.0])),
        st.tuples(st.just("slow"), st.booleans()),
    ),
    max_size=30,
)
CALM = [("slow", False), ("hear", "A"), ("hear", "B"), ("pass", 10.0), ("connect", "A"), ("connect", "B"), ("pass", 10.0)]


def plan(serial):
    """Time and value of every event so far."""
    return [(at, at // 2 % 2) for at in range(1, serial + 1)]


def told(rig):
    """Time and value of every event that came, in order of time."""
    return sorted(event for events in rig.histories().values() for event in events)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_24_and_25_at_most_one_link_is_started_and_every_event_comes_once_whatever_happens(build, steps):
    rig = Rig(build, Queue(), **TWO)
    rig.connect("A", "B")
    serial = 0
    for step, what in [*steps, *CALM]:
        match step:
            case "happen":
                for _ in range(what):
                    serial += 1
                    rig.queue.events.append((2 + serial % 2, serial, serial // 2 % 2))
            case "cut" if rig.stations[what].connected:
                rig.cut(what)
            case "connect" if not rig.stations[what].connected:
                rig.connect(what)
            case "mute":
                rig.stations[what].mute = True
            case "hear" if rig.stations[what].mute:
                # a stream that lost octets never goes on: the station has closed it, or does so now
                rig.stations[what].mute = False
                if rig.stations[what].connected:
                    rig.cut(what)
            case "deny":
                rig.stations[what].refuses_to_stop = True
            case "switch":
                rig.switch(what)
            case "pass":
                rig.pass_time(what)
            case "slow":
                rig.slow = what
                rig.run(rig.delivered())
        rig.pump()
        started = [name for name, state in rig.link_states().items() if state is LinkState.UP]
        assert len(started) <= 1
        assert sum(one.started and one.connected for one in rig.stations.values()) <= 1
        if rig.states[-1] is LinkState.DOWN:
            assert started == []
    assert sorted(state.value for state in rig.link_states().values()) == ["standby", "up"]
    assert told(rig) == plan(serial)
    assert all(events == sorted(events) for events in rig.histories().values())


@pytest.mark.interop
async def test_25_a_foreign_station_is_switched_to_and_fro(build):
    """c104 2.2.1 (lib60870), in a process of its own; its standby connection must take STOPDT and answer tests."""
    pytest.importorskip("c104")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    peer = Path(__file__).with_name("c104_peer.py")
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, str(peer), "station", str(port), stdin=pipe, stdout=pipe)
    await process.stdout.readline()  # it is ready
    params = {"host_b": "localhost", "t1": 2, "t2": 1, "t3": 0.5, "clock_sync_s": 0}
    spec = ChannelSpec(0, "m", "north", "iec104", "127.0.0.1", port, "S", params)
    sink = Sink()
    driver = Iec104Driver(spec, [build.point(1, 700, 13)], [], sink, SystemClock())
    running = asyncio.ensure_future(driver.run())

    def links():
        return {report.name: report.state.value for report in driver.links()}

    try:
        await sink.until(lambda: sorted(links().values()) == ["standby", "up"] and sink.count, poll=True)
        for turn in range(4):
            other = next(name for name, state in links().items() if state == "standby")
            before = sink.count
            assert (await driver.switch(other)).outcome is Outcome.CONFIRMED
            await sink.until(lambda before=before: sink.count > before)  # the interrogation after the switch
            assert links()[other] == "up"
            assert driver.statistics.switches == turn + 1
        await asyncio.sleep(1.5)  # real time: tests on both links, with a library that has its own timers
        assert sorted(links().values()) == ["standby", "up"]
        assert driver.statistics.connects == 2
        assert not [state for state, _ in sink.states if state is LinkState.DOWN]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        process.stdin.close()
        await process.communicate()
        process._transport.close()


# ---------------------------------------------------------------- 27: a slow database


def test_27_a_slow_database_closes_the_window_of_the_station_and_loses_nothing(build):
    rig = Rig(build, Queue(), **TWO)
    rig.connect("A", "B")
    rig.queue.events += [(2, at, at % 2) for at in range(1, 10_001)]
    rig.slow = True
    rig.pump()
    rig.pass_time(2.5)
    assert len(rig.events()) == K  # taken, and not acknowledged even after t2, because not committed
    assert rig.queue.acknowledged == 0
    rig.slow = False
    rig.run(rig.delivered())
    while rig.queue.acknowledged < 9_990:
        rig.pump()
        rig.pass_time(0.1)
    assert rig.histories()[2] == [(at, at % 2) for at in range(1, 10_001)]
    assert rig.statistics.duplicates == 0


# ---------------------------------------------------------------- 28: IEC 62351-3


class Sink:
    """Remembers states and notices."""

    def __init__(self):
        self.states, self.notices, self.count = [], [], 0
        self.changed = asyncio.Event()

    def deliver(self, batch):
        self.count += len(batch)
        self.changed.set()

    async def ready(self):
        pass

    def state(self, state, reason):
        self.states.append((state, reason))
        self.changed.set()

    def notice(self, kind, text):
        self.notices.append((kind, text))
        self.changed.set()

    async def until(self, condition, *, poll=False):
        async with asyncio.timeout(15):
            while not condition():
                self.changed.clear()
                await (asyncio.sleep(0.02) if poll else self.changed.wait())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base, now_ns = tmp_path_factory.mktemp("tls"), SystemClock().now_ns()
    for folder in ("pki", "stranger"):
        make_authority(base / folder, now_ns)
        for name in ("station", "centre", "other"):
            issue(base / folder, name, now_ns)
        issue(base / folder, "old", now_ns, days=-1)
    return base


@pytest.fixture
def pki(made, tmp_path):
    return shutil.copytree(made, tmp_path / "made") / "pki"


@contextlib.asynccontextmanager
async def link(build, pki, *, clock=None, theirs="station", ours="centre", centre=None, **params):
    """Our master and our station over TLS."""
    clock = clock or SystemClock()
    points = [build.point(i, i, 13) for i in range(10)]
    station = Outstation(points, [], clock)
    station.update(range(10), 1.0)
    files = TlsFiles(pki / "ca.pem", pki / f"{theirs}.pem", pki / f"{theirs}.key", pki / "crl.pem", frozenset({"centre"}))
    server = OutstationServer(station, port=0, tls=server_context(files))
    await server.start()
    centre = centre or pki
    given = {"tls": 1, "tls_ca": pki / "ca.pem", "tls_certificate": centre / f"{ours}.pem", "tls_key": centre / f"{ours}.key"}
    given |= {"tls_crl": pki / "crl.pem", "tls_peer_name": "station", **params}
    spec = ChannelSpec(
        0, "m", "north", "iec104", "127.0.0.1", server.port, "S", {name: str(what) for name, what in given.items()}
    )
    sink = Sink()
    running = asyncio.ensure_future(Iec104Driver(spec, points, [], sink, clock).run())
    try:
        yield sink
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.close()


async def test_28_values_flow_between_ends_that_prove_themselves(build, pki):
    async with link(build, pki) as sink:
        await sink.until(lambda: sink.count >= 10)
        assert sink.states[-1][0] is LinkState.UP


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"theirs": "other"}, "TLS: the peer is 'other', not station (tls_peer_name)"),
        ({"theirs": "old"}, "TLS: the peer's certificate has expired"),
        ({"tls_peer_name": ""}, "names another address"),
        ({"tls_ca": "stranger"}, "not in tls_ca"),
    ],
)
async def test_28_a_station_that_does_not_prove_itself_gets_no_octet(build, pki, change, said):
    if "tls_ca" in change:
        change = dict.fromkeys(change, pki.parent / "stranger" / "ca.pem") | {"tls_crl": pki.parent / "stranger" / "crl.pem"}
    async with link(build, pki, **change) as sink:
        await sink.until(lambda: any(state is LinkState.DOWN for state, _ in sink.states))
        assert said in next(reason for state, reason in sink.states if state is LinkState.DOWN)
        assert sink.count == 0


@pytest.mark.parametrize(("ours", "folder"), [("other", "pki"), ("old", "pki"), ("centre", "stranger")])
async def test_28_a_master_that_does_not_prove_itself_gets_no_value(build, pki, ours, folder):
    async with link(build, pki, ours=ours, centre=pki.parent / folder) as sink:
        await sink.until(lambda: any(state is LinkState.DOWN for state, _ in sink.states))
        assert sink.count == 0


async def test_28_a_revoked_station_is_dropped_from_a_standing_link_and_not_let_in_again(build, pki):
    clock = make_clock(60.0, SystemClock().now_ns())
    async with link(build, pki, clock=clock) as sink:
        await sink.until(lambda: sink.count >= 10)
        revoke(pki, ["station"], SystemClock().now_ns())
        await sink.until(lambda: any("was revoked" in reason for _, reason in sink.states))
        await sink.until(
            lambda: any("cannot connect: TLS: the peer's certificate was revoked" in reason for _, reason in sink.states)
        )


async def test_28_files_that_cannot_be_taken_are_told_once_and_the_link_stands(build, pki):
    clock = make_clock(60.0, SystemClock().now_ns())
    async with link(build, pki, clock=clock) as sink:
        await sink.until(lambda: sink.count >= 10)
        (pki / "crl.pem").write_text("half a")
        await sink.until(lambda: sink.notices)
        assert [kind for kind, _ in sink.notices if kind != "end_of_initialisation"] in ([], ["tls_files"])
        await sink.until(lambda: any(kind == "tls_files" for kind, _ in sink.notices))
        assert sink.states[-1][0] is LinkState.UP


def test_28_a_channel_that_was_meant_to_be_secured_never_runs_open(build, pki):
    spec = ChannelSpec(0, "m", "north", "iec104", "127.0.0.1", 19998, "S", {"tls": 1, "tls_ca": str(pki / "ca.pem")})
    with pytest.raises(SecurityError, match="channel north: tls = 1 without tls_certificate and tls_key"):
        Iec104Driver(spec, [], [], Sink(), SystemClock())


async def test_a_channel_with_one_link_cannot_be_switched(build):
    spec = ChannelSpec(0, "m", "north", "iec104", "127.0.0.1", 2404, "S")
    driver = Iec104Driver(spec, [], [], Sink(), SystemClock())
    assert driver.links() == ()
    assert (await driver.switch("B")).outcome is Outcome.UNSUPPORTED
