"""The local socket between the plant and an outstation process: length, kind, payload.

Down go values (:data:`scada.core.batch.POINT_DTYPE` as it stands in memory), answers and faults; up go commands and remarks. Both
ends are processes of one program on one host, started together: the set-up is pickled, everything after it is plain.
"""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from scada.core.batch import POINT_DTYPE, Records
from scada.model_cim.tables import ChannelSpec, Control, Point

_HEAD = struct.Struct("!IB")
_ANSWER_S = 3.0
"""Longest wait for the plant's answer to a command; then it counts as refused."""


class Kind(IntEnum):
    """Kind of a frame."""

    SETUP = 1
    VALUES = 2
    ANSWER = 3
    DROP = 4
    COMMAND = 5
    READY = 6
    FAILED = 7


@dataclass(frozen=True, slots=True)
class Setup:
    """What an outstation process is told first.

    Attributes:
        spec: its channel; ``host`` and ``port`` are where it listens.
        implementation: ``iec104``, ``c104``, ``modbus-tcp`` or ``opcua``.
        points: its points.
        controls: its commands and set-points.
        rate: of the simulated clock.
        epoch_ns: of the simulated clock.
        values: first reading of every point.
    """

    spec: ChannelSpec
    implementation: str
    points: Sequence[Point]
    controls: Sequence[Control]
    rate: float
    epoch_ns: int
    values: Records


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """Bytes of one frame."""
    return _HEAD.pack(len(payload), kind) + payload


def json_frame(kind: Kind, **fields: Any) -> bytes:
    """A frame whose payload is a JSON object."""
    return frame(kind, json.dumps(fields).encode())


def values_frame(records: Records) -> bytes:
    """A frame of values."""
    return frame(Kind.VALUES, records.tobytes())


def setup_frame(setup: Setup) -> bytes:
    """The first frame."""
    return frame(Kind.SETUP, pickle.dumps(setup))


def parse_values(payload: bytes) -> Records:
    """Values of a frame."""
    return np.frombuffer(payload, dtype=POINT_DTYPE)


async def read_frame(reader: asyncio.StreamReader) -> tuple[Kind, bytes]:
    """Next frame.

    Raises:
        asyncio.IncompleteReadError: the other end is gone.
    """
    length, kind = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    return Kind(kind), await reader.readexactly(length)


class PlantLink:
    """An outstation's end of the socket, used from its event loop.

    Args:
        sock: connected to the plant.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._waiting: deque[tuple[Kind, bytes]] = deque()
        self._number = 0
        self._on_frame: Callable[[Kind, bytes], None] = lambda _kind, _payload: None
        self.closed = asyncio.Event()

    def receive_setup(self) -> Setup:
        """Wait for the set-up (before the event loop serves).

        Raises:
            ConnectionError: the plant is gone.
        """
        while not self._waiting:
            self._read(blocking=True)
        kind, payload = self._waiting.popleft()
        assert kind is Kind.SETUP
        setup = pickle.loads(payload)  # noqa: S301 - from the process that started us, over our own socket pair
        assert isinstance(setup, Setup)
        return setup

    def serve(self, on_frame: Callable[[Kind, bytes], None]) -> None:
        """Hand every further frame to ``on_frame``; :attr:`closed` is set when the plant is gone."""
        self._on_frame = on_frame
        asyncio.get_running_loop().add_reader(self._sock, self._readable)

    def send(self, data: bytes) -> None:
        """Send a frame."""
        self._sock.setblocking(True)
        try:
            self._sock.sendall(data)
        except OSError:
            self.closed.set()

    def command(self, control: Control, value: float, select_only: bool) -> bool:
        """Ask the plant to do or only to check a command; True if it accepts.

        The loop waits for the answer, as it comes within the plant's next turn. What arrives before it is handed on
        later in order.
        """
        self._number += 1
        self.send(json_frame(Kind.COMMAND, id=self._number, cid=control.cid, value=value, select=select_only))
        deadline = asyncio.get_running_loop().time() + _ANSWER_S
        while not self.closed.is_set() and (left := deadline - asyncio.get_running_loop().time()) > 0:
            for at, (kind, payload) in enumerate(self._waiting):
                if kind is Kind.ANSWER:
                    del self._waiting[at]
                    answer = json.loads(payload)
                    if answer["id"] == self._number:
                        self._hand_on_soon()
                        return bool(answer["accepted"])
                    break
            else:
                self._read(blocking=True, timeout=left)
        self._hand_on_soon()
        logging.getLogger(__name__).warning("%s: the plant did not answer, refused", control.path)
        return False

    def _hand_on_soon(self) -> None:
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._hand_on)

    def _readable(self) -> None:
        self._read(blocking=False)
        self._hand_on()

    def _hand_on(self) -> None:
        while self._waiting:
            kind, payload = self._waiting.popleft()
            if kind is not Kind.ANSWER:  # an answer that came too late
                self._on_frame(kind, payload)

    def _read(self, *, blocking: bool, timeout: float | None = None) -> None:
        if blocking and not select.select([self._sock], [], [], timeout)[0]:
            return
        try:
            data = self._sock.recv(1 << 20)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._gone()
            return
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._buffer)
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            self._waiting.append((Kind(kind), bytes(self._buffer[_HEAD.size : end])))
            del self._buffer[:end]

    def _gone(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConnectionError("the plant is gone") from None
        loop.remove_reader(self._sock)
        self.closed.set()
