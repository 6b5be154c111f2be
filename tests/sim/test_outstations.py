"""The simulator's outstations as the world sees them: through protocols, by clients we did not write where there are any."""

from __future__ import annotations

import asyncio
import dataclasses
import struct

import pytest

from scada.core.clock import make_clock
from scada.core.quality import Quality
from scada.protocols.driver import LinkState, Outcome

pytestmark = [pytest.mark.slow, pytest.mark.interop, pytest.mark.timeout(180)]


class Collector:
    """A sink that keeps the newest of each point."""

    def __init__(self):
        self.values, self.states, self.order = {}, [], []

    def deliver(self, batch):
        for record in batch.records:
            self.values[int(record["pid"])] = (float(record["value"]), int(record["quality"]), int(record["source_time"]))
            self.order.append((int(record["pid"]), float(record["value"])))

    async def ready(self):
        return

    def state(self, state, reason):
        self.states.append(state)

    def notice(self, kind, text):
        return


async def _for(condition, seconds=15.0):
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen in time")


def _channel(tables, sim, name):
    spec = next(spec for spec in tables.channels if spec.name == name)
    return dataclasses.replace(spec, port=sim.base + spec.index)


class Master:
    """Our driver on one channel, as the server runs it."""

    def __init__(self, tables, sim, name):
        from scada.protocols.registry import make_driver

        self.spec = _channel(tables, sim, name)
        self.points = tables.points_of_channel(self.spec.index)
        self.sink = Collector()
        controls = tables.controls_of_channel(self.spec.index)
        self.driver = make_driver(self.spec, self.points, controls, self.sink, make_clock())

    async def __aenter__(self):
        self.task = asyncio.create_task(self.driver.run())
        await _for(lambda: LinkState.UP in self.sink.states)
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def _reads_everything(demo_model, sim, name):
    """All points arrive, good, from a channel; counters by their own interrogation."""
    tables = demo_model[1]
    async with Master(tables, sim, name) as master:
        expected = {int(p.pid) for p in master.points}
        await _for(lambda: expected <= set(master.sink.values))
        bad = [p.path for p in master.points if int(p.pid) in expected and master.sink.values[int(p.pid)][1] & 0xC0]
        assert not bad
        return {p.path: master.sink.values.get(int(p.pid)) for p in master.points}


@pytest.mark.parametrize("name", ["Beishan RTU", "Longtan RTU", "Qingyuan PPC", "Fenghe plant"])
async def test_every_kind_of_outstation_gives_all_its_values_good(demo_model, sim, name):
    found = await _reads_everything(demo_model, sim, name)
    frequencies = [value[0] for path, value in found.items() if path.endswith("/Frequency")]
    assert frequencies
    assert all(49.5 < f < 50.5 for f in frequencies)
    volts = [value[0] for path, value in found.items() if "110kV/Bus" in path and path.endswith(("Uab", "Ubc"))]
    assert volts
    assert all(105 < v < 121 for v in volts)


async def _operate(master, control, value):
    if control.select:
        selected = await master.driver.select(control, value)
        assert selected.outcome in (Outcome.CONFIRMED, Outcome.UNSUPPORTED), selected
    return await master.driver.execute(control, value)


@pytest.mark.parametrize(
    ("channel", "path", "flow"),
    [
        ("Longtan RTU", "Longtan/110kV/Beishan 1/1110", "Longtan/110kV/Beishan 1/P"),
        ("Beishan RTU", "Beishan/10kV/F1/9110", "Beishan/10kV/F1/P"),
    ],
)
async def test_a_breaker_opens_and_closes_with_check_back_and_flows_follow(demo_model, sim, channel, path, flow):
    tables = demo_model[1]
    control = next(c for c in tables.controls if c.path == path)
    pid, flow_pid = int(control.feedback), int(tables.by_path[flow].pid)
    async with Master(tables, sim, channel) as master:
        values = master.sink.values
        await _for(lambda: pid in values and flow_pid in values)
        assert values[pid][0] == 2
        assert abs(values[flow_pid][0]) > 1
        try:
            assert (await _operate(master, control, 1.0)).outcome is Outcome.CONFIRMED
            await _for(lambda: values[pid][0] == 1)
            assert values[pid][2] > 0
            await _for(lambda: abs(values[flow_pid][0]) < 1e-3)
        finally:
            assert (await _operate(master, control, 2.0)).outcome is Outcome.CONFIRMED
        await _for(lambda: values[pid][0] == 2)
        await _for(lambda: abs(values[flow_pid][0]) > 1)


async def test_a_disconnector_under_load_is_refused_and_a_free_one_travels(demo_model, sim):
    tables = demo_model[1]
    by_path = {c.path: c for c in tables.controls}
    async with Master(tables, sim, "Beishan RTU") as master:
        loaded = await master.driver.select(by_path["Beishan/220kV/Heishan 1/2111"], 1.0)
        assert loaded.outcome is Outcome.REFUSED
        free = by_path["Beishan/10kV/Section/9101"]
        pid = int(free.feedback)
        await _for(lambda: pid in master.sink.values)
        assert (await _operate(master, free, 1.0)).outcome is Outcome.CONFIRMED
        await _for(lambda: master.sink.values[pid][0] == 1)
        path = [value for p, value in master.sink.order if p == pid]
        assert path[-2:] == [0, 1]
        assert (await _operate(master, free, 2.0)).outcome is Outcome.CONFIRMED
        await _for(lambda: master.sink.values[pid][0] == 2)


async def test_a_tap_moves_one_step_and_the_voltage_follows(demo_model, sim):
    tables = demo_model[1]
    control = next(c for c in tables.controls if c.station == "Nanping" and c.control_type == "TapPosition")
    tap = int(control.feedback)
    volts = int(tables.by_path["Nanping/10kV/Bus I/Uab"].pid)
    async with Master(tables, sim, "Nanping RTU") as master:
        values = master.sink.values
        await _for(lambda: tap in values and volts in values)
        step, before = values[tap][0], values[volts][0]
        assert (await _operate(master, control, 2.0)).outcome is Outcome.CONFIRMED
        await _for(lambda: values[tap][0] == step + 1)
        await _for(lambda: values[volts][0] < before - 0.05)
        assert (await _operate(master, control, 1.0)).outcome is Outcome.CONFIRMED
        await _for(lambda: values[tap][0] == step)


async def test_modbus_by_pymodbus_client(demo_model, sim):
    from pymodbus.client import AsyncModbusTcpClient

    tables = demo_model[1]
    spec = _channel(tables, sim, "Qingyuan PPC")
    client = AsyncModbusTcpClient("127.0.0.1", port=spec.port)
    assert await client.connect()
    try:
        power = tables.by_path["Qingyuan/35kV/PV1/P"].address
        order = next(c for c in tables.controls if c.path == "Qingyuan/PV1/P set-point")
        echo = next(p for p in tables.points if p.pid == order.feedback).address

        async def read(address):
            reply = await client.read_input_registers(address.register, count=2, device_id=address.unit_id)
            return struct.unpack(">f", struct.pack(">2H", *reply.registers))[0]

        assert 0 <= await read(power) <= 60

        async def write(value):
            words = list(struct.unpack(">2H", struct.pack(">f", value)))
            return await client.write_registers(order.address.register, words, device_id=order.address.unit_id)

        assert not (await write(20.0)).isError()
        for _ in range(100):
            if abs(await read(echo) - 20.0) < 1e-6:
                break
            await asyncio.sleep(0.1)
        assert await read(echo) == pytest.approx(20.0)
        assert (await write(500.0)).isError(), "outside the limits of the unit"
        assert await read(echo) == pytest.approx(20.0)
        status = await client.read_discrete_inputs(0, count=37, device_id=1)
        assert not status.isError()
        unknown = await client.write_register(9, 7, device_id=1)
        assert unknown.isError(), "7 is no switch command"
    finally:
        client.close()


async def test_opcua_by_asyncua_client(demo_model, sim):
    from asyncua import Client, ua

    tables = demo_model[1]
    spec = _channel(tables, sim, "Fenghe plant")
    order = next(c for c in tables.controls if c.path == "Fenghe/B1/P set-point")
    async with Client(f"opc.tcp://127.0.0.1:{spec.port}") as client:
        power = client.get_node(tables.by_path["Fenghe/35kV/B1/P"].address.node_id)
        data = await power.read_data_value()
        assert data.StatusCode.is_good()
        assert data.SourceTimestamp is not None
        node = client.get_node(order.address.node_id)
        await node.write_value(ua.Variant(-10.0, ua.VariantType.Double))
        for _ in range(100):
            if (value := await power.read_value()) < -9.9:
                break
            await asyncio.sleep(0.1)
        assert value == pytest.approx(-10.0, abs=0.1)
        with pytest.raises(ua.UaStatusCodeError):
            await node.write_value(ua.Variant(900.0, ua.VariantType.Double))
        with pytest.raises(ua.UaStatusCodeError):
            await node.write_value(ua.Variant(float("nan"), ua.VariantType.Double))
        await node.write_value(ua.Variant(0.0, ua.VariantType.Double))


async def test_iec104_own_station_by_c104_client(demo_model, sim):
    c104 = pytest.importorskip("c104")
    from scada.protocols.iec104.asdu import untagged

    tables = demo_model[1]
    spec = _channel(tables, sim, "Heishan RTU")
    got = {}

    def receive(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
        got[point.io_address] = (message.info.value, message.cot)
        return c104.ResponseState.SUCCESS

    receive.__annotations__ = {
        "point": c104.Point,
        "previous_info": c104.Information,
        "message": c104.IncomingMessage,
        "return": c104.ResponseState,
    }
    client = c104.Client()
    connection = client.add_connection(ip="127.0.0.1", port=spec.port, init=c104.Init.ALL)
    station = connection.add_station(common_address=3)
    types = {kind.value: kind for kind in c104.Type.__members__.values()}
    points = [p for p in tables.points_of_channel(spec.index) if p.address.type_id != 37]
    for point in points:
        station.add_point(point.address.ioa, types[untagged(point.address.type_id)]).on_receive(receive)
    client.start()
    try:
        for _ in range(200):
            if connection.state == c104.ConnectionState.OPEN_MUTED:
                connection.unmute()  # its start-up race
            if len(got) == len(points):
                break
            await asyncio.sleep(0.1)
        assert len(got) == len(points)
        frequency = tables.by_path["Heishan/220kV/Bus I/Frequency"].address.ioa
        assert got[frequency][0] == pytest.approx(50.0, abs=0.5)
    finally:
        client.stop()


async def test_faults_of_meters_reach_the_master_and_go_again(demo_model, sim):
    tables = demo_model[1]
    path = "Donghu/220kV/Bus I/Uab"
    pid = int(tables.by_path[path].pid)
    async with Master(tables, sim, "Donghu RTU") as master:
        values = master.sink.values
        with sim.client() as desk:
            await _for(lambda: pid in values)
            desk.do("value", path, 123.0)
            await _for(lambda: values[pid][0] == pytest.approx(123.0))
            desk.do("clear")
            await _for(lambda: values[pid][0] > 200)
            desk.do("quality", path, "INVALID")
            await _for(lambda: values[pid][1] & int(Quality.INVALID))
            number = desk.do("noise", path, 5.0)
            assert {fault["number"] for fault in desk.do("list")} >= {number}
            desk.do("clear")
            await _for(lambda: not values[pid][1] and 200 < values[pid][0] < 240)
            desk.do("freeze", path)
            await asyncio.sleep(0.5)
            frozen = values[pid][0]
            desk.do("noise", path, 5.0)
            await asyncio.sleep(0.5)
            assert values[pid][0] == frozen
            desk.do("clear")
            assert desk.do("list") == []


async def test_local_stations_refuse(demo_model, sim):
    tables = demo_model[1]
    control = next(c for c in tables.controls if c.path == "Donghu/35kV/F1/3110")
    async with Master(tables, sim, "Donghu RTU") as master:
        with sim.client() as desk:
            desk.do("local", "Donghu RTU")
            try:
                assert (await master.driver.select(control, 1.0)).outcome is Outcome.REFUSED
                local = int(tables.by_path["Donghu/35kV/F1/Local control"].pid)
                await _for(lambda: master.sink.values[local][0] == 1)
            finally:
                desk.do("remote", "Donghu RTU")


@pytest.mark.parametrize("name", ["West RTU", "Longtan RTU", "Fenghe plant", "Qingyuan PPC"])
async def test_dropped_links_come_back(demo_model, sim, name):
    async with Master(demo_model[1], sim, name) as master:
        with sim.client() as desk:
            desk.do("drop", name, 10.0)  # two real seconds
        await _for(lambda: master.sink.states[-1] is not LinkState.UP)
        await _for(lambda: master.sink.states[-1] is LinkState.UP, 30.0)


async def test_a_killed_outstation_stays_down_until_restored(demo_model, sim):
    async with Master(demo_model[1], sim, "Donghu RTU") as master:
        with sim.client() as desk:
            before = desk.status()["channels"]["Donghu RTU"]
            desk.do("kill", "Donghu RTU")
            await _for(lambda: master.sink.states[-1] is not LinkState.UP)
            await asyncio.sleep(1.5)
            assert not desk.status()["channels"]["Donghu RTU"]["ready"]
            desk.do("restore", "Donghu RTU")
            await _for(lambda: master.sink.states[-1] is LinkState.UP, 40.0)
            after = desk.status()["channels"]["Donghu RTU"]
            assert after["ready"]
            assert after["pid"] != before["pid"]
            assert desk.do("list") == []
