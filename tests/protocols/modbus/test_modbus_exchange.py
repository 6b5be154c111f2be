"""Matching of answers without a socket: cut and joined streams, late, foreign and damaged frames; never another's value."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from scada.core.errors import ProtocolError
from scada.protocols.modbus import exchange
from scada.protocols.modbus.exchange import FramingError, MbapExchange, RtuExchange


def mbap(transaction, unit, pdu):
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def rtu(unit, pdu):
    frame = bytes([unit]) + pdu
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def holding(*words):
    return struct.pack(f">BB{len(words)}H", 3, 2 * len(words), *words)


READ = exchange.read(1, "holding", 10, 2)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (exchange.read(1, "coil", 0, 9), 1),
        (exchange.read(1, "discrete", 0, 9), 2),
        (exchange.read(1, "holding", 7, 125), 3),
        (exchange.read(1, "input", 7, 1), 4),
        (exchange.write_coils(1, 3, [1], multiple=False), 5),
        (exchange.write_registers(1, 3, [7], multiple=False), 6),
        (exchange.write_coils(1, 3, [1], multiple=True), 15),
        (exchange.write_registers(1, 3, [7], multiple=True), 16),
        (exchange.write_registers(1, 3, [7, 8], multiple=False), 16),
        (exchange.mask_write(1, 3, 0x0040, 0x00F0), 22),
        (exchange.read_write(1, 3, [7, 8]), 23),
    ],
)
def test_requests_are_those_that_pymodbus_understands(request_, code):
    assert request_.function == code
    message = DecodePDU(True).decode(request_.pdu)
    assert message.function_code == code
    frame = MbapExchange().begin(request_)
    assert FramerSocket(DecodePDU(True)).decode(frame)[1:] == (1, 1, request_.pdu)
    assert FramerRTU(DecodePDU(True)).decode(RtuExchange().begin(request_))[1:] == (1, 0, request_.pdu)


def test_a_mask_write_leaves_the_other_bits():
    pdu = exchange.mask_write(1, 3, 0x0040, 0x00F0).pdu
    register, and_mask, or_mask = struct.unpack(">HHH", pdu[1:])
    assert register == 3
    assert 0x1234 & and_mask | or_mask & ~and_mask == 0x1244


def test_requests_that_modbus_has_no_room_for():
    with pytest.raises(ProtocolError):
        exchange.read(1, "holding", 0, 126)
    with pytest.raises(ProtocolError):
        exchange.read(1, "coil", 0, 2001)


@given(st.lists(st.integers(1, 40), max_size=8), st.booleans())
@settings(max_examples=100, deadline=None)
def test_an_answer_is_whole_however_the_stream_is_cut(cuts, is_rtu):
    link = RtuExchange() if is_rtu else MbapExchange()
    link.begin(READ)
    stream = rtu(1, holding(5, 6)) if is_rtu else mbap(1, 1, holding(5, 6))
    found = []
    while stream:
        size = cuts.pop() if cuts else len(stream)
        answer = link.feed(stream[:size])
        stream = stream[size:]
        found += [answer] if answer else []
    assert [answer.registers().tolist() for answer in found] == [[5, 6]]


def test_a_late_answer_is_not_that_to_the_next_request_even_joined_with_it():
    link = MbapExchange()
    link.begin(READ)
    assert link.give_up()
    link.begin(exchange.read(1, "holding", 90, 2))
    answer = link.feed(mbap(1, 1, holding(5, 6)) + mbap(2, 1, holding(7, 8)))
    assert answer.registers().tolist() == [7, 8]
    assert link.strays == 1


@pytest.mark.parametrize(
    ("transaction", "unit", "pdu", "fault"),
    [
        (2, 1, holding(5, 6), None),
        (0, 1, holding(5, 6), None),
        (1, 2, holding(5, 6), None),
        (1, 0, holding(5, 6), None),
        (1, 1, holding(5), "malformed answer"),
        (1, 1, holding(5, 6, 7), "malformed answer"),
        (1, 1, b"\x04" + holding(5, 6)[1:], "malformed answer"),
        (1, 1, b"\x03\x02" + holding(5, 6)[2:], "malformed answer"),
        (1, 1, b"\x84\x02", "malformed answer"),
    ],
)
def test_what_is_not_the_answer_gives_no_value(transaction, unit, pdu, fault):
    link = MbapExchange()
    link.begin(READ)
    answer = link.feed(mbap(transaction, unit, pdu))
    if fault is None:
        assert answer is None
        assert link.strays == 1
        assert link.feed(mbap(1, 1, holding(5, 6))).good
    else:
        assert (answer.fault, answer.data) == (fault, b"")


def test_exceptions_are_answers():
    link = MbapExchange()
    link.begin(READ)
    answer = link.feed(mbap(1, 1, b"\x83\x02"))
    assert (answer.exception, answer.good, str(answer)) == (2, False, "exception 2 (illegal data address)")


@pytest.mark.parametrize("octets", [b"HTTP/1.1 400", b"\x00\x01\x00\x00\x00\x01\x01", b"\x00\x01\x00\x00\xff\xff\x01"])
def test_a_stream_that_is_no_modbus_ends_the_connection(octets):
    link = MbapExchange()
    link.begin(READ)
    with pytest.raises(FramingError):
        link.feed(octets)


def test_half_a_frame_when_the_time_is_over_ends_the_connection():
    link = MbapExchange()
    link.begin(READ)
    link.feed(mbap(1, 1, holding(5, 6))[:9])
    assert not link.give_up()
    whole = MbapExchange()
    whole.begin(READ)
    assert whole.feed(mbap(1, 1, holding(5, 6))).good
    assert whole.give_up()


def test_transaction_numbers_go_round_without_0():
    link = MbapExchange()
    seen = {int.from_bytes(link.begin(READ)[:2], "big") for _ in range(0x10001)}
    assert seen == set(range(1, 0x10000))


def test_rtu_finds_the_answer_between_noise_and_refuses_a_damaged_one():
    link = RtuExchange()
    link.begin(READ)
    assert link.feed(b"\x00\xff\x01\x03" + rtu(1, holding(5, 6)) + b"\x00").registers().tolist() == [5, 6]
    link.begin(READ)
    damaged = bytearray(rtu(1, holding(5, 6)))
    damaged[4] ^= 1
    assert link.feed(bytes(damaged)) is None
    link.give_up()
    assert link.strays == 1
    link.begin(READ)
    assert link.feed(rtu(2, holding(5, 6))) is None, "another unit"
    assert link.feed(rtu(1, holding(5))) is None, "another length"
    assert link.feed(rtu(1, b"\x83\x06")).exception == 6


def test_rtu_drops_what_comes_before_it_asks():
    link = RtuExchange()
    link.begin(READ)
    link.give_up()
    assert link.feed(rtu(1, holding(5, 6))) is None
    link.begin(exchange.read(1, "holding", 90, 2))
    assert link.feed(rtu(1, holding(7, 8))).registers().tolist() == [7, 8]
    assert link.strays == 1


def test_an_echo_of_the_adapter_is_no_answer():
    link = RtuExchange(echo=True)
    write = exchange.write_registers(1, 3, [7], multiple=False)
    frame = link.begin(write)
    assert link.feed(frame[:3]) is None
    assert link.feed(frame[3:]) is None, "the echo of a single write looks like its answer"
    assert link.feed(frame).good


@given(st.binary(max_size=60), st.booleans(), st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_answers_never_give_a_wrong_value(noise, is_rtu, data):
    link = RtuExchange() if is_rtu else MbapExchange()
    link.begin(READ)
    stream = bytearray(rtu(1, holding(5, 6)) if is_rtu else mbap(1, 1, holding(5, 6)))
    at = data.draw(st.integers(0, len(stream) - 1 if is_rtu else 8))  # Modbus/TCP has no check of its data beside TCP's
    stream[at] ^= data.draw(st.integers(1, 255))
    try:
        answer = link.feed(noise + bytes(stream) if is_rtu else bytes(stream) + noise)
    except FramingError:
        return
    assert answer is None or answer.fault or answer.exception or answer.registers().tolist() == [5, 6]


def test_coils_come_with_the_lowest_bit_first():
    link = MbapExchange()
    link.begin(exchange.read(1, "coil", 0, 10))
    assert link.feed(mbap(1, 1, b"\x01\x02\x05\x02")).bits(10).tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]
