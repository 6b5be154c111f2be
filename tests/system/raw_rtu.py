"""A station on a raw socket: it says what a test tells it to, frame by frame, right or wrong."""

import contextlib
import socket
import struct
import threading

STARTDT_CON, STOPDT_CON, TESTFR_CON = 0x0B, 0x23, 0x83
CONFIRMED, TERMINATED, SPONTANEOUS, INTERROGATED = 7, 10, 3, 20


def asdu(type_id, cause, common_address, *objects, vsq=None):
    """ASDU with single objects (ioa, element octets)."""
    body = b"".join(ioa.to_bytes(3, "little") + element for ioa, element in objects)
    return bytes([type_id, len(objects) if vsq is None else vsq, cause, 0]) + common_address.to_bytes(2, "little") + body


def float_element(value, quality=0):
    return struct.pack("<f", value) + bytes([quality])


class RawRtu:
    """Answers start, test, interrogation and clock synchronisation; everything else is sent on request.

    Args:
        common_address: of the station.
        image: ASDUs sent as answer to an interrogation.
    """

    def __init__(self, common_address, image=()):
        self.common_address = common_address
        self.image = list(image)
        self.connections = 0
        self.received = []
        self._socket = None
        self._send = self._receive = 0
        self._lock = threading.RLock()
        self._started = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    # -- what a test does

    def wait_started(self, seconds=10.0):
        assert self._started.wait(seconds), "nobody started data transfer"

    def raw(self, data):
        with self._lock:
            self._socket.sendall(data)

    def send(self, data, skip=0):
        """One I-frame; ``skip`` falsifies N(S)."""
        with self._lock:
            number, self._send = self._send + skip, self._send + skip + 1
            self.raw(bytes([0x68, len(data) + 4]) + struct.pack("<HH", number << 1, self._receive << 1) + data)

    def analog(self, ioa, value, type_id=13, quality=0):
        self.send(asdu(type_id, SPONTANEOUS, self.common_address, (ioa, float_element(value, quality))))

    def double(self, ioa, value):
        self.send(asdu(3, SPONTANEOUS, self.common_address, (ioa, bytes([value]))))

    def close(self):
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with contextlib.suppress(OSError, AttributeError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    # -- what the station does by itself

    def _serve(self):
        while not self._closing:
            try:
                self._socket, _ = self._listener.accept()
            except OSError:
                return
            self._send = self._receive = 0
            self.connections += 1
            with contextlib.suppress(OSError), self._socket:
                self._talk()
            self._started.clear()

    def _talk(self):
        rest = b""
        while data := self._socket.recv(4096):
            rest += data
            while len(rest) >= 2 and len(rest) >= rest[1] + 2:
                frame, rest = rest[2 : rest[1] + 2], rest[rest[1] + 2 :]
                self._on_frame(frame)

    def _on_frame(self, frame):
        if frame[0] & 3 == 3:
            answer = {0x07: STARTDT_CON, 0x13: STOPDT_CON, 0x43: TESTFR_CON}.get(frame[0])
            if answer:
                self.raw(bytes([0x68, 4, answer, 0, 0, 0]))
            if frame[0] == 0x07:
                self._started.set()
        elif frame[0] & 1 == 0:
            with self._lock:
                self._receive += 1
                self._on_asdu(frame[4:])

    def _on_asdu(self, data):
        self.received.append(data)
        if data[0] in {100, 101, 103}:
            self.send(data[:2] + bytes([CONFIRMED]) + data[3:])
        if data[0] == 100:
            for values in self.image:
                self.send(values)
        if data[0] in {100, 101}:
            self.send(data[:2] + bytes([TERMINATED]) + data[3:])
