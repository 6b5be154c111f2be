"""Each transport against pymodbus' server of it, and against peers that answer late, cut, damaged or for somebody else."""

import asyncio
import contextlib
import os
import struct
import time
import tty

import pytest
from pymodbus.framer import FramerRTU, FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from scada.core.clock import SystemClock
from scada.core.errors import ConfigError, SecurityError
from scada.core.quality import Quality
from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.modbus.driver import ModbusDriver
from scada.security.tls import TlsFiles, server_context
from scada.security.tls_authority import issue, make_authority, revoke

pytestmark = pytest.mark.interop


class Sink:
    """Keeps what the driver says; tests wait for it."""

    def __init__(self):
        self.values, self.states, self.notices, self.history = {}, [], [], []
        self.changed = asyncio.Event()

    def deliver(self, batch):
        for record in batch.records:
            self.values[int(record["pid"])] = (float(record["value"]), int(record["quality"]))
            self.history.append((int(record["pid"]), float(record["value"]), int(record["quality"])))
        self.changed.set()

    async def ready(self):
        await asyncio.sleep(0)

    def state(self, state, reason):
        self.states.append((state, reason))
        self.changed.set()

    def notice(self, kind, text):
        self.notices.append((kind, text))
        self.changed.set()

    async def until(self, condition, seconds=15):
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


def point(pid, register, unit=1, **more):
    where = ModbusAddress(unit, "holding", register, **more)
    return Point(pid, f"m{pid}", f"S/{pid}", str(pid), PointKind.ANALOG, "", "", "", "", "S", "", 0, where)


def setpoint(register, unit=1, **more):
    where = ModbusAddress(unit, "holding", register, **more)
    return Control(0, "c", "S/c", "c", ControlKind.SETPOINT, "", "", "", "S", 0, where, None, "")


def devices(*units):
    """Units whose holding register r holds 100 * unit + r."""
    return [
        SimDevice(unit, simdata=[SimData(0, values=[100 * unit + at for at in range(60)], datatype=DataType.REGISTERS)])
        for unit in units
    ]


@contextlib.asynccontextmanager
async def running(protocol, host, port, points, **params):
    sink = Sink()
    params = {"scan_ms": 50.0, "timeout_s": 0.3} | params
    driver = ModbusDriver(ChannelSpec(3, "m", "DEV", protocol, host, port, "S", params), points, (), sink, SystemClock())
    task = asyncio.create_task(driver.run())
    try:
        yield driver, sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def reads_and_writes(driver, sink):
    """What every transport must do."""
    await sink.until(lambda: sink.values == {0: (105.0, 0), 1: (110 * 65536.0 + 111, 0)})
    assert (await driver.execute(setpoint(5), 4711)).outcome is Outcome.CONFIRMED
    await sink.until(lambda: sink.values[0] == (4711.0, 0))
    assert (await driver.execute(setpoint(5, bit=0, bits=4, data_type="bit"), 9)).outcome is Outcome.CONFIRMED
    await sink.until(lambda: sink.values[0] == (4711.0 - 7 + 9, 0))
    refused = await driver.execute(setpoint(99), 1)
    assert (refused.outcome, "illegal data address" in refused.reason) == (Outcome.REFUSED, True)
    told = await driver.order("read", {"register": "6", "count": "2"})
    assert told.reason == "unit 1 holding 6: 106(0x006a) 107(0x006b)"
    assert (await driver.order("dance", {})).outcome is Outcome.UNSUPPORTED
    assert any(state is LinkState.UP for state, _ in sink.states)


POINTS = (point(0, 5), point(1, 10, data_type="uint32"))


@contextlib.asynccontextmanager
async def serving(server):
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1] if hasattr(server.transport, "sockets") else 0
    finally:
        await server.shutdown()


async def test_tcp():
    async with (
        serving(ModbusTcpServer(devices(1), address=("127.0.0.1", 0))) as port,
        running("modbus-tcp", "127.0.0.1", port, POINTS) as (driver, sink),
    ):
        await reads_and_writes(driver, sink)


async def test_rtu_over_tcp():
    server = ModbusTcpServer(devices(1), framer=FramerType.RTU, address=("127.0.0.1", 0))
    async with serving(server) as port, running("modbus-rtu-tcp", "127.0.0.1", port, POINTS) as (driver, sink):
        await reads_and_writes(driver, sink)


@contextlib.contextmanager
def serial_line():
    """Two serial ports with a cable between them; a pseudo-terminal has no parity, so both ends do without."""
    (near, near_port), (far, far_port) = os.openpty(), os.openpty()
    loop = asyncio.get_running_loop()
    for end in (near, far, near_port, far_port):
        tty.setraw(end)
    line = {"open": True}

    def carry(source, target):
        data = os.read(source, 4096)
        if line["open"]:
            os.write(target, data)

    loop.add_reader(near, carry, near, far)
    loop.add_reader(far, carry, far, near)
    try:
        yield os.ttyname(near_port), os.ttyname(far_port), line
    finally:
        for end in (near, far):
            loop.remove_reader(end)
        for end in (near, far, near_port, far_port):
            os.close(end)


async def test_serial_line():
    with serial_line() as (near, far, line):
        server = ModbusSerialServer(devices(1, 2), port=far, baudrate=19200, parity="N")
        points = (*POINTS, point(2, 7, 2))
        async with serving(server), running("modbus-rtu", near, 0, points, settle_s=0.1, parity="N") as (driver, sink):
            await sink.until(lambda: 2 in sink.values)
            assert sink.values.pop(2) == (207.0, 0)
            points = sink.values
            await sink.until(lambda: points.get(1) == (110 * 65536.0 + 111, 0))
            assert (await driver.execute(setpoint(5), 4711)).outcome is Outcome.CONFIRMED
            await sink.until(lambda: sink.values[0] == (4711.0, 0))
            line["open"] = False
            await sink.until(lambda: sink.values[0][1] == Quality.NOT_TOPICAL)
            await sink.until(lambda: sink.states[-1][0] is LinkState.DOWN)
            assert "no answer" in sink.states[-1][1]
            line["open"] = True
            await sink.until(lambda: sink.values[0] == (4711.0, 0))


async def test_a_serial_port_that_is_not_there_is_told():
    async with running("modbus-rtu", "/dev/no-such-port", 0, POINTS) as (_, sink):
        await sink.until(lambda: any(state is LinkState.DOWN for state, _ in sink.states))
        assert "cannot connect to /dev/no-such-port" in sink.states[1][1]


@pytest.mark.parametrize("params", [{"parity": "X"}, {"stop_bits": 3.0}, {"baud": 7.0}])
def test_line_parameters_that_cannot_be(params):
    with pytest.raises(ConfigError, match="channel DEV"):
        ModbusDriver(ChannelSpec(3, "m", "DEV", "modbus-rtu", "/dev/x", 0, "S", params), (), (), Sink(), SystemClock())


# ------------------------------------------------------------ TLS


@pytest.fixture
def authority(tmp_path):
    now = time.time_ns()  # noqa: TID251 - certificates are valid by the host's clock
    make_authority(tmp_path, now)
    issue(tmp_path, "station", now, hosts=["127.0.0.1"])
    issue(tmp_path, "master", now)
    issue(tmp_path, "stranger", now)
    return tmp_path


def tls(folder, who):
    return {
        "tls_ca": str(folder / "ca.pem"),
        "tls_certificate": str(folder / f"{who}.pem"),
        "tls_key": str(folder / f"{who}.key"),
        "tls_crl": str(folder / "crl.pem"),
    }


def station_context(folder):
    files = TlsFiles.of({"tls": 1.0, "tls_peer_name": "master", **tls(folder, "station")}, folder, "station")
    return server_context(files)


async def test_tls_with_certificates_of_both_sides(authority):
    server = ModbusTlsServer(devices(1), sslctx=station_context(authority), framer=FramerType.SOCKET, address=("127.0.0.1", 0))
    async with serving(server) as port:
        async with running("modbus-tls", "127.0.0.1", port, POINTS, timeout_s=2.0, **tls(authority, "master")) as (driver, sink):
            await reads_and_writes(driver, sink)
        async with running("modbus-tls", "127.0.0.1", port, POINTS, **tls(authority, "stranger")) as (_, sink):
            await sink.until(lambda: any(state is LinkState.DOWN for state, _ in sink.states))
            assert sink.values == {}
        revoke(authority, ["station"], time.time_ns())  # noqa: TID251
        async with running("modbus-tls", "127.0.0.1", port, POINTS, **tls(authority, "master")) as (_, sink):
            await sink.until(lambda: any(state is LinkState.DOWN for state, _ in sink.states))
            assert "revoked" in next(reason for state, reason in sink.states if state is LinkState.DOWN)
            assert sink.values == {}


async def test_tls_without_its_files_is_refused():
    with pytest.raises(SecurityError, match="tls_ca"):
        ModbusDriver(ChannelSpec(3, "m", "DEV", "modbus-tls", "h", 802, "S", {}), (), (), Sink(), SystemClock())


async def test_tls_parameters_of_an_open_channel_are_refused():
    with pytest.raises(ConfigError, match="say modbus-tls"):
        ModbusDriver(ChannelSpec(3, "m", "DEV", "modbus-tcp", "h", 502, "S", {"tls": 1.0}), (), (), Sink(), SystemClock())


# ------------------------------------------------------------ peers that misbehave


def mbap(transaction, unit, pdu):
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def rtu(unit, pdu):
    frame = bytes([unit]) + pdu
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


@contextlib.asynccontextmanager
async def peer(behave, ssl=None, greet=lambda writer: None):
    """A TCP peer: ``behave(request octets, writer)`` is called for each read. Registers hold their own number."""
    tasks = set()

    async def serve(reader, writer):
        greet(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(300):
                tasks.add(asyncio.create_task(behave(data, writer)))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.close()


def honest(pdu):
    start, count = struct.unpack(">HH", pdu[1:5])
    return struct.pack(f">BB{count}H", pdu[0], 2 * count, *range(start, start + count))


FAR_APART = tuple(point(at, 100 * at) for at in range(4))


def truthful(sink):
    """No point ever had another's value: register 100 * pid holds 100 * pid."""
    return all(value == 100 * pid or value != value for pid, value, _ in sink.history)


@pytest.mark.parametrize(
    "lie",
    [
        lambda t, u, pdu: mbap(t - 1, u, pdu),
        lambda t, u, pdu: mbap(0, u, pdu),
        lambda t, u, pdu: mbap(t, u + 1, pdu),
        lambda t, u, pdu: mbap(t, u, b"\x04" + pdu[1:]),
        lambda t, u, pdu: mbap(t, u, pdu + b"\x00\x00"),
        lambda t, u, pdu: mbap(t, u, pdu)[:-1],
        lambda t, u, pdu: b"\xff" * 20,
    ],
    ids=["transaction", "transaction 0", "unit", "function", "length", "cut", "noise"],
)
async def test_a_false_answer_is_never_a_value(lie):
    lying = {"on": False}

    async def behave(data, writer):
        transaction, unit, pdu = int.from_bytes(data[:2], "big"), data[6], data[7:]
        other = honest(struct.pack(">BHH", 3, 7777, 1)) if lying["on"] else honest(pdu)
        writer.write(lie(transaction, unit, other) if lying["on"] else mbap(transaction, unit, other))

    async with peer(behave) as port, running("modbus-tcp", "127.0.0.1", port, FAR_APART, timeout_s=0.1) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4)
        lying["on"] = True
        # told point by point, or, where the stream itself is broken, by the end of the connection
        await sink.until(
            lambda: (
                sink.states[-1][0] is LinkState.DOWN or all(quality & Quality.NOT_TOPICAL for _, quality in sink.values.values())
            )
        )
        lying["on"] = False
        seen = len(sink.history)
        await sink.until(lambda: len(sink.history) > seen + 8 and all(quality == 0 for _, quality in sink.values.values()))
        assert truthful(sink)
        assert driver.statistics.lost_frames + driver.statistics.malformed + len(driver.statistics.disconnects) > 0


@pytest.mark.parametrize("protocol", ["modbus-tcp", "modbus-rtu-tcp"])
async def test_answers_that_come_too_late_are_not_those_to_the_next_request(protocol):
    delay = {"s": 0.0}

    async def behave(data, writer):
        await asyncio.sleep(delay["s"])
        if protocol == "modbus-tcp":
            writer.write(mbap(int.from_bytes(data[:2], "big"), data[6], honest(data[7:])))
        else:
            writer.write(rtu(data[0], honest(data[1:-2])))

    async with peer(behave) as port, running(protocol, "127.0.0.1", port, FAR_APART, timeout_s=0.1) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4)
        delay["s"] = 0.15
        await sink.until(lambda: any(kind == "late_answer" for kind, _ in sink.notices))
        await sink.until(lambda: all(quality & Quality.NOT_TOPICAL for _, quality in sink.values.values()))
        assert driver.statistics.refused > 0
        delay["s"] = 0.0
        await sink.until(lambda: all(quality == 0 for _, quality in sink.values.values()))
        assert truthful(sink)


async def test_an_answer_that_comes_on_the_next_connection_is_not_that_to_its_first_request():
    """A gateway keeps its serial line when we connect anew: what was asked before may still be answered there."""
    held = []
    quiet = {"on": False}

    async def behave(data, writer):
        answer = rtu(data[0], honest(data[1:-2]))
        if quiet["on"]:
            held[:] = [answer]
        else:
            writer.write(answer)

    def greet(writer):
        quiet["on"] = False
        for answer in held:
            writer.write(answer)

    points = [point(at, 100 * at) for at in (1, 2)]
    gateway = peer(behave, greet=greet)
    async with (
        gateway as port,
        running("modbus-rtu-tcp", "127.0.0.1", port, points, timeout_s=0.1, settle_s=0.6) as (driver, sink),
    ):
        await sink.until(lambda: len(sink.values) == 2)
        quiet["on"] = True
        await sink.until(lambda: driver.statistics.connects == 2)
        await sink.until(lambda: all(quality == 0 for _, quality in sink.values.values()))
        assert truthful(sink)
        assert held


async def test_a_late_answer_that_dribbles_in_is_waited_for_to_its_end():
    late = {"on": False}
    asked = []

    async def behave(data, writer):
        loop = asyncio.get_running_loop()
        asked.append(loop.time())
        frame = rtu(data[0], honest(data[1:-2]))
        if not late["on"]:
            writer.write(frame)
            return
        late["on"] = False
        await asyncio.sleep(0.25)
        for octet in frame:
            writer.write(bytes([octet]))
            await asyncio.sleep(0.03)
        asked.append(-loop.time())

    async with peer(behave) as port, running("modbus-rtu-tcp", "127.0.0.1", port, FAR_APART, timeout_s=0.2) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4)
        late["on"] = True
        await sink.until(lambda: any(kind == "late_answer" for kind, _ in sink.notices))
        await sink.until(lambda: all(quality == 0 for _, quality in sink.values.values()) and min(asked) < 0)
        over = asked.index(min(asked))
        assert asked[over + 1] > -min(asked), "nothing is asked while the late answer is still coming"
        assert truthful(sink)
        assert driver.statistics.refused >= 7


@pytest.mark.parametrize("secure", [False, True])
async def test_answers_in_pieces_and_joined_with_strays(secure, authority):
    async def behave(data, writer):
        frame = mbap(int.from_bytes(data[:2], "big"), data[6], honest(data[7:]))
        stray = mbap(0xFFFF, data[6], honest(struct.pack(">BHH", 3, 9999, 1)))
        writer.write(stray + frame[:4])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(frame[4:] + stray)

    context = station_context(authority) if secure else None
    params = tls(authority, "master") if secure else {}
    protocol = "modbus-tls" if secure else "modbus-tcp"
    async with (
        peer(behave, context) as port,
        running(protocol, "127.0.0.1", port, FAR_APART, timeout_s=5.0, **params) as (d, sink),
    ):
        await sink.until(lambda: len(sink.values) == 4 and d.statistics.frames_out > 12)
        assert {pid: value for pid, (value, _) in sink.values.items()} == {0: 0, 1: 100, 2: 200, 3: 300}
        assert truthful(sink)
        assert d.statistics.lost_frames == 0


async def test_a_dead_unit_behind_a_gateway_leaves_the_others_alone():
    dead = {2}

    async def behave(data, writer):
        if data[6] not in dead:
            writer.write(mbap(int.from_bytes(data[:2], "big"), data[6], honest(data[7:])))

    points = [point(10 * unit + at, 100 * (10 * unit + at), unit) for unit in (1, 2, 3) for at in range(3)]
    params = {"unit.2.timeout_s": 0.2, "timeout_s": 5.0}
    async with peer(behave) as port, running("modbus-tcp", "127.0.0.1", port, points, **params) as (driver, sink):
        await sink.until(lambda: any(kind == "unit_silent" for kind, _ in sink.notices))
        assert "unit 2: no answer; 3 points are not topical" in [text for _, text in sink.notices]
        seen = len(sink.history)
        await sink.until(lambda: len(sink.history) > seen + 120)
        assert all(sink.values[pid][1] == 0 for pid in (10, 11, 12, 30, 31, 32))
        assert all(sink.values[pid][1] & Quality.NOT_TOPICAL for pid in (20, 21, 22))
        assert sum(state is LinkState.UP for state, _ in sink.states) == 1
        assert driver.statistics.lost_frames <= 6
        dead.clear()
        await sink.until(lambda: all(sink.values[pid][1] == 0 for pid in (20, 21, 22)))
        assert ("unit_back", "unit 2 answers again") in sink.notices
        assert truthful(sink)


async def test_a_gateway_that_says_its_target_is_gone_and_a_busy_one():
    said = {"code": 11, "unit": 2}

    async def behave(data, writer):
        pdu = bytes([data[7] | 0x80, said["code"]]) if data[6] == said["unit"] else honest(data[7:])
        writer.write(mbap(int.from_bytes(data[:2], "big"), data[6], pdu))

    points = [point(1, 100, 1), point(2, 200, 2)]
    async with peer(behave) as port, running("modbus-tcp", "127.0.0.1", port, points) as (_, sink):
        await sink.until(lambda: 2 in sink.values and 1 in sink.values)
        assert sink.values[2][1] & Quality.NOT_TOPICAL
        assert any("exception 11" in text for kind, text in sink.notices if kind == "unit_silent")
        said["code"] = 6
        await sink.until(lambda: sink.values[1] == (100.0, 0))
        said["unit"] = 0
        await sink.until(lambda: sink.values[2] == (200.0, 0))
        said["unit"], said["code"] = 2, 6
        await sink.until(lambda: sink.values[2][1] == Quality.NOT_TOPICAL)
        assert sink.values[2][0] == 200.0


async def test_a_command_whose_link_goes_is_not_known_and_never_repeated():
    writes = []

    async def behave(data, writer):
        if data[7] == 6:
            writes.append(data)
            writer.close()
        else:
            writer.write(mbap(int.from_bytes(data[:2], "big"), data[6], honest(data[7:])))

    async with peer(behave) as port, running("modbus-tcp", "127.0.0.1", port, FAR_APART) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4)
        result = await driver.execute(setpoint(5), 1)
        assert (result.outcome, "not known whether the station acted" in result.reason) == (Outcome.TIMEOUT, True)
        connects = driver.statistics.connects
        await sink.until(lambda: driver.statistics.connects > connects and len(sink.history) > 20)
        assert len(writes) == 1


async def test_a_command_is_not_written_long_after_it_was_given(monkeypatch):
    """The one before it may take long; who gave this one has been told of a time-out by then."""
    monkeypatch.setattr("scada.protocols.modbus.driver._LONGEST_WAIT_S", 0.05)
    asked = []

    async def behave(data, writer):
        asked.append(data[7])
        writer.write(mbap(int.from_bytes(data[:2], "big"), data[6], honest(data[7:])))

    async with peer(behave) as port, running("modbus-tcp", "127.0.0.1", port, [point(0, 0)]) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 1)
        lock = driver._commands.setdefault(1, asyncio.Lock())
        async with lock:
            result = await driver.execute(setpoint(5), 5)
        assert (result.outcome, "nothing was sent" in result.reason) == (Outcome.REFUSED, True)
        assert set(asked) == {3}
        assert not lock.locked()


async def test_what_goes_over_the_wire_is_told_to_the_tee():
    async with (
        serving(ModbusTcpServer(devices(1), address=("127.0.0.1", 0))) as port,
        running("modbus-tcp", "127.0.0.1", port, (point(0, 5),)) as (driver, sink),
    ):
        heard = []
        driver.tee = lambda link, received, at, data: heard.append((received, data))
        await sink.until(lambda: len(heard) >= 4)
        describer = driver.describer()
        lines = [frame.text for received, data in heard for frame in describer.feed(data, received=received)]
        assert any(line.endswith("read holding registers 5..5 (1): 0069") for line in lines)
