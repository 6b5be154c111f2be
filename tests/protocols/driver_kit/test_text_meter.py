"""The example driver of docs/protocols/drivers.md passes the whole conformance kit; the kit finds drivers that break a rule."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from scada.core.errors import ConfigError
from scada.model_cim.addresses import PlainAddress
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.protocols import conformance, conformance_rig
from scada.protocols.conformance import CHECKS
from scada.protocols.conformance_rig import ConformanceError, Device, running
from scada.protocols.registry import Drivers, make_driver

DRIVER = Path(__file__).parents[3] / "examples" / "drivers" / "text_meter.py"
DRIVERS = Drivers({"text-meter": f"{DRIVER}:TextMeterDriver"})


def point(pid, name, kind):
    return Point(pid, f"m{pid}", f"S/{name}", name, kind, "", "", "", "", "S", "", 0, PlainAddress(name))


def control(cid, name):
    return Control(
        cid, f"c{cid}", f"S/{name}", name, ControlKind.SETPOINT, "", "", "", "S", 0, PlainAddress(name), None, "", select=False
    )


class Meter(Device):
    """The meter, as the test plays it."""

    drivers = DRIVERS

    def __init__(self):
        self.analog, self.status = point(0, "P", PointKind.ANALOG), point(1, "S", PointKind.STATUS)
        self.setpoint, self.forbidden = control(0, "SP"), control(1, "NO")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.values, self.done, self.writers = {"P": 12.5, "S": 0.0}, [], set()
        self.server, self.silent = None, False

    @property
    def spec(self):
        return ChannelSpec(3, "m", "meter", "text-meter", "127.0.0.1", self.port, "S", {"timeout_s": 1})

    def make(self, sink, clock):
        return make_driver(self.spec, self.points, self.controls, sink, clock, self.drivers)

    async def start(self):
        self.silent = False
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)

    async def stop(self):
        if self.server is not None:
            self.server.close()
            for writer in self.writers:
                writer.transport.abort()
            await self.server.wait_closed()
            self.server = None

    async def serve(self, reader, writer):
        self.writers.add(writer)
        with contextlib.suppress(OSError):
            while line := (await reader.readline()).decode().split():
                match line:
                    case ["get"]:
                        for name, value in self.values.items():
                            writer.write(f"now {name} {value} 0\n".encode())
                        writer.write(b"end\n")
                    case ["set", ticket, "SP", value]:
                        self.done.append((0, float(value)))
                        if not self.silent:
                            writer.write(f"ok {ticket}\n".encode())
                    case ["set", ticket, "NO", _]:
                        writer.write(f"no {ticket} locked by its seal\n".encode())
        self.writers.discard(writer)
        writer.close()

    async def tell(self, data):
        for writer in self.writers:
            writer.write(data)
            await writer.drain()

    async def put(self, point, value, time_ns):
        self.values[point.name] = value
        await self.tell(f"{point.name} {value} {time_ns // 1_000_000}\n".encode())

    async def obeyed(self):
        return self.done

    async def mute(self):
        self.silent = True

    async def garbage(self):
        await self.tell(b"P twelve 0\n\xff\xfe\n")

    async def stray(self):
        await self.tell(b"Q 1 0\n")

    async def connections(self):
        return len(self.writers)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_example_driver_conforms(check):
    await check(Meter())


async def test_a_time_beyond_all_measure_is_counted_and_ends_nothing():
    async with running(Meter()) as run:
        await run.all_known()
        await run.device.tell(f"P 5 {10**30}\nP 6 -5\n".encode())
        await run.sink.until(lambda: run.driver.statistics.malformed == 2, "both are counted")
        await run.device.put(run.device.analog, 7.0, 0)
        await run.sink.until(lambda: run.sink.of(run.device.analog)[-1].value == 7.0, "the next one arrives")


def test_the_example_checks_its_addresses_and_parameters():
    assert DRIVERS.check_address("text-meter", "P") == ""
    assert "no spaces" in DRIVERS.check_address("text-meter", "P Q")
    meter = Meter()
    meter.spec.params["timeout_s"] = "long"
    broken = ChannelSpec(3, "m", "meter", "text-meter", "127.0.0.1", 1, "S", {"timeout_s": "long"})
    with pytest.raises(ConfigError, match="channel meter: timeout_s"):
        make_driver(broken, [], [], None, None, DRIVERS)


# --- a kit that finds nothing is worth nothing: the example with one rule broken each

BREAKS = [
    ("status_changes_are_events_in_order", "return [(point.pid,", "event = 0\n        return [(point.pid,"),
    ("first_values_are_refresh", "RecordFlag.REFRESH if refresh else event", "event"),
    ("a_slow_database_pauses_the_driver", "await self.sink.ready()", "await asyncio.sleep(0)"),
    (
        "silence_is_a_time_out",
        "timeout=self.clock.real_delay(self.timeout_s))\n        if done",
        "timeout=None)\n        if done",
    ),
    ("a_lost_link_is_told_and_comes_back", "self.sink.state(LinkState.DOWN, reason)", ""),
    (
        "cancelling_closes_the_connection",
        'except OSError as error:\n            return f"conn',
        'except (OSError, asyncio.CancelledError) as error:\n            return f"conn',
    ),
    ("it_never_blocks_the_loop", "await asyncio.sleep(self.clock", "__import__('time').sleep(self.clock"),
    ("an_unknown_address_is_counted_and_told_once", "self.strangers.add(name)", ""),
    ("garbage_is_survived", "self.malformed(line)\n            return []", "number, time_ns = 0.0, 0"),
    ("the_tee_sees_both_directions", 'self.tee("", False', '(lambda *_: None)("", False'),
    ("a_refusal_has_a_reason", "Outcome.REFUSED", "Outcome.CONFIRMED"),
    ("an_interrogation_brings_every_value", "self.interrogation.set_result(CommandResult(Outcome.CONFIRMED))", "pass"),
]


@pytest.mark.parametrize(("name", "old", "new"), BREAKS, ids=[row[0] for row in BREAKS])
async def test_the_kit_finds_a_driver_that_breaks_a_rule(tmp_path, monkeypatch, name, old, new):
    text = DRIVER.read_text()
    assert old in text
    (tmp_path / "broken.py").write_text(text.replace(old, new))
    monkeypatch.setattr(conformance_rig, "PATIENCE_S", 2.0)
    monkeypatch.setattr(conformance, "LONGEST_STALL_S", 0.5)
    meter = Meter()
    meter.drivers = Drivers({"text-meter": f"{tmp_path / 'broken.py'}:TextMeterDriver"})
    check = next(one for one in CHECKS if one.__name__ == name)
    with pytest.raises(ConformanceError):
        await check(meter)
    await meter.stop()
