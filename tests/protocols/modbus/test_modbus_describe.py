"""Frames in words, whatever way the stream is cut."""

import struct

import pytest
from pymodbus.framer import FramerRTU

from scada.protocols.modbus import exchange
from scada.protocols.modbus.describe import ModbusDescriber
from scada.protocols.modbus.exchange import MbapExchange, RtuExchange
from scada.protocols.modbus.limits import ChannelLimits, UnitLimits
from scada.protocols.modbus.order import ReadOrder, read_order


def answer(request, pdu, transaction=1, *, is_rtu=False):
    if is_rtu:
        frame = bytes([request.unit_id]) + pdu
        return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, request.unit_id) + pdu


CASES = [
    (exchange.read(7, "holding", 100, 2), b"\x03\x04\x00\x01\xff\xff", "read holding registers 100..101 (2)", ": 0001 ffff"),
    (
        exchange.read(7, "input", 0, 1),
        b"\x84\x0b",
        "read input registers 0..0 (1)",
        ": exception 11 (gateway target did not respond)",
    ),
    (exchange.read(7, "coil", 3, 9), b"\x01\x02\x05\x01", "read coils 3..11 (9)", ": 101000001"),
    (exchange.write_coils(7, 3, [1], multiple=False), None, "write coil 3: on", ": done"),
    (exchange.write_registers(7, 3, [9], multiple=False), None, "write register 3: 0009", ": done"),
    (exchange.write_registers(7, 3, [9, 8], multiple=False), None, "write registers 3..4 (2): 0009 0008", ": done"),
    (exchange.mask_write(7, 3, 1, 3), None, "mask write register 3: and 0xfffc or 0x0001", ": done"),
]


@pytest.mark.parametrize("is_rtu", [False, True])
@pytest.mark.parametrize(("request_", "pdu", "asked", "said"), CASES)
def test_request_and_answer_in_a_line_each(request_, pdu, asked, said, is_rtu):
    describer = ModbusDescriber(rtu=is_rtu)
    sent = (RtuExchange() if is_rtu else MbapExchange()).begin(request_)
    head = "unit 7 " if is_rtu else "[1] unit 7 "
    (frame,) = describer.feed(sent, received=False)
    assert (frame.data, frame.text) == (sent, head + asked)
    echo = request_.pdu[:5] if request_.function in (15, 16) else request_.pdu
    came = answer(request_, pdu or echo, is_rtu=is_rtu)
    assert describer.feed(came[:4], received=True) == []
    (frame,) = describer.feed(came[4:], received=True)
    assert frame.data == came
    assert frame.text.startswith(head + asked.split(":")[0])
    assert frame.text.endswith(said)


@pytest.mark.parametrize("is_rtu", [False, True])
def test_joined_frames_part_and_noise_is_shown_as_it_is(is_rtu):
    describer = ModbusDescriber(rtu=is_rtu)
    request = exchange.read(1, "holding", 0, 1)
    one = answer(request, b"\x03\x02\x00\x05", is_rtu=is_rtu)
    assert [frame.data for frame in describer.feed(one + one, received=True)] == [one, one]
    noise = b"\x01\x99\x07\x07\x07\x07\x07\x07"
    (frame,) = describer.feed(noise, received=True)
    assert (frame.data, frame.text[:9]) == (noise, "no Modbus")


def test_an_answer_to_an_unknown_request_has_no_address():
    (frame,) = ModbusDescriber(rtu=False).feed(answer(exchange.read(1, "holding", 0, 1), b"\x03\x02\x00\x05"), received=True)
    assert frame.text == "[1] unit 1 read holding registers: 0005"


def test_the_scan_can_be_left_out_but_no_command():
    describer = ModbusDescriber(rtu=False)
    link = MbapExchange()
    assert describer.only_values(link.begin(exchange.read(1, "coil", 0, 1)), received=False)
    assert describer.only_values(answer(exchange.read(1, "coil", 0, 1), b"\x01\x01\x01"), received=True)
    assert not describer.only_values(answer(exchange.read(1, "coil", 0, 1), b"\x81\x02"), received=True)
    assert not describer.only_values(link.begin(exchange.write_registers(1, 0, [1], multiple=False)), received=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "register is missing"),
        ({"register": "x"}, "whole numbers"),
        ({"register": "5", "count": "65"}, "count 65"),
        ({"register": "65535", "count": "2"}, "outside 0..65535"),
        ({"register": "5", "table": "coils"}, "table 'coils'"),
        ({"register": "5", "unit": "0"}, "unit 0 is outside 1..255"),
        ({"register": "5", "reg": "5"}, "no arguments but"),
        ({"register": "95", "count": "6"}, "must not be read"),
    ],
)
def test_orders_that_cannot_be(arguments, words):
    limits = ChannelLimits(lowest_unit=1, common=UnitLimits(holes=(("holding", 100, 110),)))
    assert words in read_order(arguments, limits)


def test_the_order_read_takes_hexadecimal_numbers_and_has_defaults():
    order = read_order({"register": "0x10"}, ChannelLimits())
    assert order == ReadOrder(exchange.read(1, "holding", 16, 1), "holding", 16)
    assert order.result(exchange.Answer(b"\x01\x00")).reason == "unit 1 holding 16: 256(0x0100)"
