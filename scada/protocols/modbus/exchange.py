"""One request and its answer on a link: what is sent, and which octets are the answer to it (no socket here).

Requests are pymodbus' messages. Matching is ours, because pymodbus' client takes an answer with transaction number 0, of another
function, or too long, and on a serial line one that comes late, for the answer to whatever was asked last: a value of another
point. Here an answer counts only if transaction, unit, function, length and, of a write, the address are those of the request.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pymodbus.framer import FramerRTU
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    ReadWriteMultipleRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from scada.core.errors import ProtocolError

EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge: still working",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}
"""Exception codes (MODBUS Application Protocol Specification V1.1b3, clause 7)."""

MASK_WRITE: Final = 22
READ_WRITE: Final = 23
_LONGEST_PDU: Final = 253
_RTU_BUFFER: Final = 1024


class FramingError(ProtocolError):
    """What came is no Modbus: a stream of frames cannot be found again, the connection must be closed."""


def exception_text(code: int) -> str:
    """``exception 2 (illegal data address)``."""
    return f"exception {code} ({EXCEPTIONS.get(code, 'unknown')})"


@dataclass(frozen=True, slots=True)
class Request:
    """A request to one unit.

    Attributes:
        unit_id: Modbus unit.
        pdu: function code and data.
        head: how the answer must begin: function and length, or the echo.
        size: octets of the answer's PDU.
        count: registers or coils it brings; 0 of a write.
    """

    unit_id: int
    pdu: bytes
    head: bytes
    size: int
    count: int = 0

    @property
    def function(self) -> int:
        """Function code."""
        return self.pdu[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended: with data (the echo of a write), an exception code, or a fault (nobody answered, or nonsense did)."""

    data: bytes = b""
    exception: int = 0
    fault: str = ""

    @property
    def good(self) -> bool:
        """The device did what was asked."""
        return not self.exception and not self.fault

    def registers(self) -> npt.NDArray[np.uint16]:
        """Registers that were read."""
        return np.frombuffer(self.data, dtype=">u2").astype(np.uint16)

    def bits(self, count: int) -> npt.NDArray[np.uint16]:
        """Coils that were read, as 0 and 1."""
        return np.unpackbits(np.frombuffer(self.data, dtype=np.uint8), bitorder="little")[:count].astype(np.uint16)

    def __str__(self) -> str:
        return self.fault or (exception_text(self.exception) if self.exception else "done")


NO_ANSWER: Final = Answer(fault="no answer")


# ------------------------------------------------------------ requests

_READS: Final[dict[str, type[ModbusPDU]]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}


def read(unit_id: int, table: str, start: int, count: int) -> Request:
    """Functions 1 to 4."""
    octets = (count + 7) // 8 if table in ("coil", "discrete") else 2 * count
    return _request(unit_id, _READS[table](address=start, count=count), octets, count)


def write_coils(unit_id: int, start: int, states: list[int], *, multiple: bool) -> Request:
    """Function 5, or 15 where ``multiple``."""
    bits = [bool(state) for state in states]
    if multiple or len(states) > 1:
        return _request(unit_id, WriteMultipleCoilsRequest(address=start, bits=bits))
    return _request(unit_id, WriteSingleCoilRequest(address=start, bits=bits))


def write_registers(unit_id: int, start: int, words: list[int], *, multiple: bool) -> Request:
    """Function 6 for one register, 16 for several or where ``multiple``."""
    if multiple or len(words) > 1:
        return _request(unit_id, WriteMultipleRegistersRequest(address=start, registers=words))
    return _request(unit_id, WriteSingleRegisterRequest(address=start, registers=words))


def mask_write(unit_id: int, register: int, word: int, mask: int) -> Request:
    """Function 22: the bits of ``mask`` become those of ``word``, the others stay."""
    return _request(unit_id, MaskWriteRegisterRequest(address=register, and_mask=~mask & 0xFFFF, or_mask=word & mask))


def read_write(unit_id: int, start: int, words: list[int]) -> Request:
    """Function 23: write, then read the same registers, in one request."""
    count = len(words)
    message = ReadWriteMultipleRegistersRequest(read_address=start, read_count=count, write_address=start, write_registers=words)
    return _request(unit_id, message, 2 * count, count)


def _request(unit_id: int, message: ModbusPDU, octets: int = 0, count: int = 0) -> Request:
    try:
        pdu = bytes([message.function_code]) + message.encode()
    except (ValueError, struct.error) as error:
        raise ProtocolError(f"no such request: {error}", mend="correct address and count") from error
    if count:
        return Request(unit_id, pdu, bytes([pdu[0], octets]), 2 + octets, count)
    # 15 and 16 echo address and count; the others all of it, but some devices put in what the register holds afterwards
    return Request(unit_id, pdu, pdu[:5], 5) if pdu[0] in (15, 16) else Request(unit_id, pdu, pdu[:3], len(pdu))


# ------------------------------------------------------------ framing


class Exchange(ABC):
    """The outstanding request of one link. One at a time: the next one begins when this one is answered or given up."""

    def __init__(self) -> None:
        self.pending: Request | None = None
        self.strays = 0
        """Frames that were no answer to the pending request: late, of another unit, or noise."""

    @abstractmethod
    def begin(self, request: Request) -> bytes:
        """The octets to send."""

    @abstractmethod
    def feed(self, data: bytes) -> Answer | None:
        """Octets that came; the answer as soon as it is there.

        Raises:
            FramingError: the connection must be closed.
        """

    def give_up(self) -> bool:
        """The request is over; an answer that still comes is a stray. False if the stream stopped within a frame."""
        self.pending = None
        return True

    def _judge(self, request: Request, pdu: bytes) -> Answer:
        """The answer in a PDU that came for this request."""
        self.pending = None
        if len(pdu) == 2 and pdu[0] == request.function | 0x80:
            return Answer(exception=pdu[1])
        if len(pdu) == request.size and pdu.startswith(request.head):
            return Answer(pdu[2:] if request.count else pdu)
        return Answer(fault="malformed answer")


class MbapExchange(Exchange):
    """Frames with the Modbus/TCP header: transaction, protocol 0, length, unit (Messaging on TCP/IP V1.0b, 3.1.3)."""

    def __init__(self) -> None:
        super().__init__()
        self._transaction = 0
        self._buffer = b""

    def begin(self, request: Request) -> bytes:
        """The frame, with a transaction number of its own."""
        self.pending = request
        self._transaction = self._transaction % 0xFFFF + 1
        return struct.pack(">HHHB", self._transaction, 0, len(request.pdu) + 1, request.unit_id) + request.pdu

    def give_up(self) -> bool:
        """False with half a frame in hand: what comes next would be taken for its rest."""
        given_up = self.pending is not None
        super().give_up()
        return not (given_up and self._buffer)

    def feed(self, data: bytes) -> Answer | None:
        """Whole frames are taken one by one, however the stream was cut."""
        self._buffer += data
        answer = None
        while len(self._buffer) >= 7:
            transaction, protocol, length, unit_id = struct.unpack_from(">HHHB", self._buffer)
            if protocol or not 3 <= length <= _LONGEST_PDU + 1:
                head = self._buffer[:7].hex(" ")
                self._buffer = b""
                raise FramingError(f"no Modbus/TCP frame: {head}", mend="check what listens there")
            if len(self._buffer) < 6 + length:
                break
            pdu, self._buffer = self._buffer[7 : 6 + length], self._buffer[6 + length :]
            request = self.pending
            if request is None or transaction != self._transaction or unit_id != request.unit_id:
                self.strays += 1
            else:
                answer = self._judge(request, pdu)
        return answer


class RtuExchange(Exchange):
    """Frames with unit and CRC; their ends are known only from what was asked (Modbus over serial line V1.02, 2.5.1).

    Args:
        echo: the adapter lets us hear what we send.
    """

    def __init__(self, *, echo: bool = False) -> None:
        super().__init__()
        self._echo = echo
        self._own = b""
        self._buffer = b""

    def begin(self, request: Request) -> bytes:
        """The frame; what the line still held is noise."""
        self._drop()
        self.pending = request
        frame = bytes([request.unit_id]) + request.pdu
        frame += FramerRTU.compute_CRC(frame).to_bytes(2, "big")
        self._own = frame if self._echo else b""
        return frame

    def feed(self, data: bytes) -> Answer | None:
        """The answer may stand between noise, but not in pieces with a gap."""
        self._buffer += data
        if self._own:
            if len(self._buffer) < len(self._own) and self._own.startswith(self._buffer):
                return None
            self._buffer = self._buffer.removeprefix(self._own)
            self._own = b""
        request = self.pending
        if request is None:
            self._drop()
            return None
        for at in range(len(self._buffer) - 4):
            pdu = self._frame(at, request)
            if pdu is not None:
                self._buffer = b""
                return self._judge(request, pdu)
        self._buffer = self._buffer[-_RTU_BUFFER:]
        return None

    def give_up(self) -> bool:
        """The rest of the buffer is noise."""
        self._drop()
        return super().give_up()

    def _frame(self, at: int, request: Request) -> bytes | None:
        """The PDU of a frame that answers the request and begins here."""
        buffer = self._buffer
        if buffer[at] != request.unit_id:
            return None
        if buffer[at + 1] == request.function | 0x80:
            size = 2
        elif buffer[at + 1 : at + 1 + len(request.head)] == request.head:
            size = request.size
        else:
            return None
        end = at + 1 + size
        if len(buffer) < end + 2 or FramerRTU.compute_CRC(buffer[at:end]) != int.from_bytes(buffer[end : end + 2], "big"):
            return None
        return buffer[at + 1 : end]

    def _drop(self) -> None:
        if self._buffer:
            self.strays += 1
        self._buffer = b""
