"""Commands step by step: which function is sent, what each answer means, and that a write is never repeated."""

import math

import pytest

from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import Control, ControlKind
from scada.protocols.driver import CommandResult, Outcome
from scada.protocols.modbus.exchange import NO_ANSWER, Answer
from scada.protocols.modbus.limits import ChannelLimits, UnitLimits
from scada.protocols.modbus.registers import RegisterError
from scada.protocols.modbus.write import Pause, check, operate


def control(address, kind=ControlKind.SETPOINT, **more):
    return Control(0, "c", "S/c", "c", kind, "", "", "", "S", 0, address, None, "", **more)


def limits(**unit):
    return ChannelLimits(common=UnitLimits(**unit))


class Device:
    """Registers that answer requests as a device would; ``say`` puts other answers in, by function code."""

    def __init__(self, registers=None, coils=None, say=None):
        self.registers, self.coils = dict(registers or {}), dict(coils or {})
        self.say = {code: list(answers) for code, answers in (say or {}).items()}
        self.asked, self.pauses = [], 0

    def answer(self, request):
        pdu = request.pdu
        self.asked.append(pdu[0])
        scripted = self.say.get(pdu[0])
        if scripted:
            said = scripted.pop(0)
            if said is not None:
                return said
        first, second = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        match pdu[0]:
            case 1:
                return Answer(bytes([sum(self.coils.get(first + at, 0) << at for at in range(second))]))
            case 3:
                return Answer(b"".join(self.registers.get(first + at, 0).to_bytes(2, "big") for at in range(second)))
            case 5:
                self.coils[first] = int(second == 0xFF00)
            case 6:
                self.registers[first] = second
            case 15:
                self.coils.update({first + at: pdu[6] >> at & 1 for at in range(second)})
                return Answer(pdu[:5])
            case 16:
                self._store(first, pdu[6:])
                return Answer(pdu[:5])
            case 22:
                or_mask = int.from_bytes(pdu[5:7], "big")
                self.registers[first] = self.registers.get(first, 0) & second | or_mask & ~second
            case 23:
                self._store(int.from_bytes(pdu[5:7], "big"), pdu[10:])
                return Answer(b"".join(self.registers[first + at].to_bytes(2, "big") for at in range(second)))
        return Answer(pdu)

    def _store(self, first, data):
        for at in range(0, len(data), 2):
            self.registers[first + at // 2] = int.from_bytes(data[at : at + 2], "big")

    def carry_out(self, steps) -> CommandResult:
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    self.pauses += 1
                    step = next(steps)
                else:
                    step = steps.send(self.answer(step))
        except StopIteration as end:
            return end.value


HOLDING = ModbusAddress(1, "holding", 10, "int16")
FLOAT = ModbusAddress(1, "holding", 10, "float32")
COIL = ModbusAddress(1, "coil", 4, "bit")
FIELD = ModbusAddress(1, "holding", 10, "bit", bit=4, bits=3)


@pytest.mark.parametrize(
    ("address", "value", "unit", "functions", "registers"),
    [
        (HOLDING, -2, {}, [6, 3], {10: 0xFFFE}),
        (HOLDING, -2, {"write_multiple": True}, [16, 3], {10: 0xFFFE}),
        (HOLDING, -2, {"read_back": False}, [6], {10: 0xFFFE}),
        (HOLDING, -2, {"read_write": True}, [23], {10: 0xFFFE}),
        (FLOAT, 1.5, {}, [16, 3], {10: 0x3FC0, 11: 0}),
        (FIELD, 5, {}, [22, 3], {10: 0x5A5F}),
        (FIELD, 5, {"mask_write": False, "read_modify_write": True}, [3, 6, 3], {10: 0x5A5F}),
        (ModbusAddress(1, "holding", 10, "uint8", bit=8), 1, {}, [22, 3], {10: 0x010F}),
        (ModbusAddress(1, "holding", 9, "uint32", bit=3), 1, {}, [22, 3], {10: 0x5A0F}),
    ],
)
def test_functions_by_table_width_and_device(address, value, unit, functions, registers):
    device = Device({10: 0x5A0F})
    assert device.carry_out(operate(control(address), value, limits(**unit))).outcome is Outcome.CONFIRMED
    assert device.asked == functions
    assert {at: word for at, word in device.registers.items() if at in registers} == registers


@pytest.mark.parametrize(("multiple", "functions"), [(False, [5, 1]), (True, [15, 1])])
def test_coils(multiple, functions):
    device = Device()
    order = control(COIL, ControlKind.DOUBLE)
    assert device.carry_out(operate(order, 2, limits(write_multiple=multiple))).outcome is Outcome.CONFIRMED
    assert (device.coils[4], device.asked) == (1, functions)


def test_bits_without_mask_write_are_refused_unless_the_model_allows_read_modify_write():
    say = {22: [Answer(exception=1)] * 2}
    device = Device({10: 0x5A0F}, say=say)
    result = device.carry_out(operate(control(FIELD), 5, limits()))
    assert result.outcome is Outcome.REFUSED
    assert "read_modify_write is not allowed; nothing was written" in result.reason
    assert device.registers == {10: 0x5A0F}
    device = Device({10: 0x5A0F}, say=say)
    assert device.carry_out(operate(control(FIELD), 5, limits(read_modify_write=True))).outcome is Outcome.CONFIRMED
    assert device.registers == {10: 0x5A5F}


def test_bits_in_two_registers_cannot_be_written_at_once():
    address = ModbusAddress(1, "holding", 10, "uint32", bit=14, bits=4)
    device = Device()
    assert "2 registers" in device.carry_out(operate(control(address), 5, limits())).reason
    assert device.asked == []


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        (Answer(exception=1), Outcome.REFUSED, "illegal function"),
        (Answer(exception=2), Outcome.REFUSED, "illegal data address"),
        (Answer(exception=3), Outcome.REFUSED, "illegal data value"),
        (Answer(exception=4), Outcome.TIMEOUT, "not known whether"),
        (Answer(exception=6), Outcome.REFUSED, "nothing was written, and it is not repeated"),
        (Answer(exception=7), Outcome.REFUSED, "negative acknowledge"),
        (Answer(exception=8), Outcome.TIMEOUT, "not known whether"),
        (Answer(exception=10), Outcome.LINK_DOWN, "did not send it"),
        (Answer(exception=11), Outcome.TIMEOUT, "not known whether"),
        (Answer(exception=99), Outcome.REFUSED, "exception 99 (unknown)"),
        (NO_ANSWER, Outcome.TIMEOUT, "no answer within 3 s; it is not known whether the station acted"),
        (Answer(fault="malformed answer"), Outcome.TIMEOUT, "malformed answer; it is not known"),
    ],
)
def test_what_an_answer_to_a_write_means_and_that_it_is_sent_once(answer, outcome, words):
    device = Device(say={6: [answer]})
    result = device.carry_out(operate(control(HOLDING), 5, limits()))
    assert result.outcome is outcome
    assert words in result.reason
    assert device.asked == [6]


def test_a_device_that_is_still_working_is_read_until_it_holds_the_value():
    device = Device({10: 5}, say={6: [Answer(exception=5)], 3: [Answer(b"\x00\x00"), Answer(exception=6), None]})
    assert device.carry_out(operate(control(HOLDING), 5, limits())).outcome is Outcome.CONFIRMED
    assert device.asked == [6, 3, 3, 3]
    assert device.pauses == 3
    device = Device(say={6: [Answer(exception=5)]})
    result = device.carry_out(operate(control(HOLDING), 5, limits()))
    assert (result.outcome, "accepted it but holds 0 after 10 s" in result.reason) == (Outcome.TIMEOUT, True)
    assert device.asked.count(6) == 1
    told = Device(say={6: [Answer(exception=5)]}).carry_out(operate(control(HOLDING), 5, limits(read_back=False)))
    assert (told.outcome, told.reason) == (Outcome.CONFIRMED, "the station is still working on it; not read back")


def test_a_write_that_is_not_found_afterwards_is_told():
    device = Device(say={3: [Answer(b"\x00\x07")]})
    result = device.carry_out(operate(control(HOLDING), 5, limits()))
    assert (result.outcome, result.reason) == (Outcome.REFUSED, "the station holds 7 after the write")
    device = Device(say={3: [NO_ANSWER]})
    result = device.carry_out(operate(control(HOLDING), 5, limits()))
    assert result.outcome is Outcome.TIMEOUT
    assert result.reason.startswith("written, but it could not be read back (no answer)")
    clamped = Device(say={6: [Answer(b"\x06\x00\x0a\x00\x07")]})
    result = clamped.carry_out(operate(control(HOLDING), 5, limits(read_back=False)))
    assert "another value" in result.reason
    assert result.outcome is not Outcome.CONFIRMED


def test_the_power_of_ten_of_the_device_is_read_first():
    address = ModbusAddress(1, "holding", 10, "uint16", exponent_register=12)
    device = Device({12: 0xFFFE})
    assert device.carry_out(operate(control(address), 62.5, limits())).outcome is Outcome.CONFIRMED
    assert device.registers[10] == 6250
    with pytest.raises(RegisterError, match="no power of ten"):
        Device({12: 0x8000}).carry_out(operate(control(address), 62.5, limits()))
    assert Device(say={3: [NO_ANSWER]}).carry_out(operate(control(address), 1, limits())).reason.endswith("nothing was written")


def test_an_enumeration_is_written_by_its_raw_number():
    address = ModbusAddress(1, "holding", 10, values=((7, 1), (9, 2)))
    device = Device()
    assert device.carry_out(operate(control(address, ControlKind.DOUBLE), 2, limits())).outcome is Outcome.CONFIRMED
    assert device.registers == {10: 9}
    with pytest.raises(RegisterError, match="not in the enumeration"):
        device.carry_out(operate(control(address, ControlKind.DOUBLE), 3, limits()))


@pytest.mark.parametrize(
    ("order", "value"),
    [
        (control(HOLDING), 40000),
        (control(HOLDING), math.nan),
        (control(HOLDING, minimum=0.0, maximum=100.0), 101),
        (control(HOLDING, minimum=0.0, maximum=100.0), -1),
        (control(ModbusAddress(1, "input", 10)), 1),
        (control(COIL), 2),
        (control(COIL, ControlKind.DOUBLE), 0),
        (control(HOLDING, scale=0.0), 1),
        (control(ModbusAddress(1, "holding", 10, "string")), 1),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_sent(order, value):
    for begin in (check, operate):
        device = Device()
        with pytest.raises(RegisterError):
            device.carry_out(begin(order, value, limits()))
        assert device.asked == []


def test_a_broadcast_is_refused_on_a_serial_line():
    order = control(ModbusAddress(0, "holding", 10))
    with pytest.raises(RegisterError, match="nobody would confirm"):
        Device().carry_out(operate(order, 1, ChannelLimits(lowest_unit=1)))


def test_a_selection_reads_and_writes_nothing():
    device = Device()
    assert device.carry_out(check(control(HOLDING), 5, limits())).outcome is Outcome.CONFIRMED
    assert device.asked == [3]
    refused = Device(say={3: [Answer(exception=2)]}).carry_out(check(control(HOLDING), 5, limits()))
    assert (refused.outcome, "illegal data address" in refused.reason) == (Outcome.REFUSED, True)
    assert Device().carry_out(check(control(HOLDING), 5, limits(read_back=False))).outcome is Outcome.CONFIRMED
