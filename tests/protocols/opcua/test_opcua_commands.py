"""What a server's answer to a write means, and how frames are described."""

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary, uatcp_to_binary
from protocols.opcua.rig import Station, control, running, up

from scada.model_cim.tables import ControlKind
from scada.protocols.driver import Outcome
from scada.protocols.opcua.commands import written
from scada.protocols.opcua.describe import OpcUaDescriber

pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning")]

CODES = ua.StatusCodes


@pytest.mark.parametrize(
    ("code", "outcome", "text"),
    [
        (CODES.Good, Outcome.CONFIRMED, ""),
        (CODES.GoodCompletesAsynchronously, Outcome.CONFIRMED, "later"),
        (CODES.BadUserAccessDenied, Outcome.REFUSED, "our user"),
        (CODES.BadNotWritable, Outcome.REFUSED, "cannot be written"),
        (CODES.BadOutOfRange, Outcome.REFUSED, "outside"),
        (CODES.BadTypeMismatch, Outcome.REFUSED, "another type"),
        (CODES.BadInternalError, Outcome.REFUSED, "BadInternalError"),
        (CODES.BadTimeout, Outcome.TIMEOUT, "not known whether"),
        (CODES.BadCommunicationError, Outcome.TIMEOUT, "not known whether"),
        (CODES.BadTimeout | 0x0400, Outcome.TIMEOUT, "BadTimeout; it is not known whether"),
        (CODES.UncertainInitialValue, Outcome.TIMEOUT, "not known whether"),
    ],
)
def test_status_codes_of_a_write(code, outcome, text):
    result = written(ua.StatusCode(code))
    assert result.outcome is outcome
    assert text in result.reason


@pytest.mark.interop
async def test_read_back():
    station = Station()
    await station.start()
    async with running(station, read_back=1) as (driver, sink):
        await sink.until(up(sink))
        assert (await driver.execute(control(0, "Setpoint"), 0.1)).outcome is Outcome.CONFIRMED
        assert (await driver.execute(control(1, "Switch", ControlKind.SINGLE), 1)).outcome is Outcome.CONFIRMED
        # the device takes the order and goes its own way
        station.server.set_attribute_value_setter(station.nodes["Setpoint"].nodeid, lambda *_: None)
        result = await driver.execute(control(0, "Setpoint"), 9.0)
        assert result.outcome is Outcome.TIMEOUT
        assert "holds" in result.reason
    await station.stop()


@pytest.mark.interop
async def test_a_variable_that_changes_its_type_is_commanded_by_the_new_one():
    station = Station()
    await station.start()
    async with running(station) as (driver, sink):
        await sink.until(up(sink))
        switch = control(0, "Switch")
        assert (await driver.execute(switch, 1)).outcome is Outcome.CONFIRMED
        await station.server.delete_nodes([station.nodes["Switch"]])
        again = await station.server.nodes.objects.add_variable(ua.NodeId("Switch", 2), "Switch", 0, ua.VariantType.Int32)
        await again.set_writable()
        assert (await driver.execute(switch, 1)).outcome is Outcome.REFUSED
        assert (await driver.execute(switch, 1)).outcome is Outcome.CONFIRMED
        assert await again.read_value() == 1
    await station.stop()


@pytest.mark.interop
async def test_an_answer_that_does_not_come_is_no_refusal():
    station = Station()
    await station.start()
    async with running(station, timeout_s=0.3) as (driver, sink):
        await sink.until(up(sink))

        assert (await driver.select(control(0, "Setpoint"), 1.0)).outcome is Outcome.CONFIRMED
        driver._writer._connection.session.write_attributes = never_answered
        result = await driver.execute(control(0, "Setpoint"), 1.0)
        assert result.outcome is Outcome.TIMEOUT
        assert "not known whether" in result.reason
    await station.stop()


async def never_answered(*_):
    raise TimeoutError


def test_frames_are_cut_and_named_whatever_the_pieces():
    hello = uatcp_to_binary(ua.MessageType.Hello, ua.Hello(EndpointUrl="opc.tcp://x"))
    error = uatcp_to_binary(ua.MessageType.Error, ua.ErrorMessage(ua.StatusCode(CODES.BadTimeout), ""))
    body = struct_to_binary(ua.ReadRequest())
    header = (7).to_bytes(4, "little") + (1).to_bytes(4, "little") + (42).to_bytes(4, "little") + (3).to_bytes(4, "little")
    message = b"MSGF" + (8 + len(header) + len(body)).to_bytes(4, "little") + header + body
    stream = hello + error + message
    for size in (1, 5, len(stream)):
        describer = OpcUaDescriber()
        frames = [
            frame
            for start in range(0, len(stream), size)
            for frame in describer.feed(stream[start : start + size], received=True)
        ]
        assert [frame.text for frame in frames] == ["hello", "error BadTimeout", "ReadRequest request 3 sequence 42"]
        assert b"".join(frame.data for frame in frames) == stream
    assert OpcUaDescriber(encrypted=True).feed(message, received=False)[0].text == "channel 7 token 1: encrypted"
    assert OpcUaDescriber().feed(b"\x16\x03\x01\x00\x10garbage", received=True)[0].text == "no OPC UA message"


@pytest.mark.interop
async def test_the_wire_is_told_and_counted():
    station = Station()
    await station.start()
    async with running(station) as (driver, sink):
        told = []
        driver.tee = lambda link, received, time_ns, data: told.append((received, data))
        await sink.until(up(sink))
        describers = driver.describer()
        texts = {frame.text.split(" request")[0] for received, data in told for frame in describers.feed(data, received=received)}
        assert {"hello", "open secure channel", "CreateSessionRequest", "CreateSubscriptionResponse"} <= texts
        assert driver.statistics.bytes_in >= sum(len(data) for received, data in told if received) > 0
        assert driver.statistics.bytes_out >= sum(len(data) for received, data in told if not received) > 0
    await station.stop()
