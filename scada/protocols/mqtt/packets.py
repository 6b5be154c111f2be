"""PUBLISH packets (MQTT 3.1.1, 3.3), for who listens on the wire: the library keeps the octets of the socket to itself.

The tee of an MQTT channel hears the application messages in this form; handshakes, pings and acknowledgements are not in it.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from scadapb.sparkplug import payload_pb2 as pb

from scada.protocols.driver import Describer, Frame
from scada.protocols.mqtt.address import NAMESPACE

_PUBLISH: Final = 0x30
_LONGEST_TEXT: Final = 400


def publish_packet(topic: str, payload: bytes, *, qos: int = 0, retained: bool = False, mid: int = 0) -> bytes:
    """The octets of a message.

    >>> publish_packet("a/b", b"1").hex()
    '30060003612f6231'
    """
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + (mid.to_bytes(2, "big") if qos else b"") + payload
    length, rest = bytearray(), len(body)
    while True:
        rest, digit = rest >> 7, rest & 0x7F
        length.append(digit | (0x80 if rest else 0))
        if not rest:
            break
    return bytes([_PUBLISH | qos << 1 | retained]) + bytes(length) + body


class MqttDescriber(Describer):
    """Frames of PUBLISH packets; each direction keeps its rest."""

    def __init__(self) -> None:
        self._rest = {True: b"", False: b""}

    def feed(self, data: bytes, *, received: bool) -> list[Frame]:
        """Whole packets come out, topic and payload decoded beside."""
        data = self._rest[received] + data
        frames: list[Frame] = []
        while data:
            end = _packet_end(data)
            if end < 0:
                frames.append(Frame(data, "no MQTT packet"))
                data = b""
            elif end == 0 or end > len(data):
                break
            else:
                frames.append(Frame(data[:end], _describe(data[:end])))
                data = data[end:]
        self._rest[received] = data
        return frames


def _body_start(data: bytes) -> tuple[int, int]:
    """Where the body starts and how long it is; start 0 = the length is not all there, -1 = it is none."""
    length = 0
    for place in range(1, 5):
        if place >= len(data):
            return 0, 0
        length |= (data[place] & 0x7F) << 7 * (place - 1)
        if not data[place] & 0x80:
            return place + 1, length
    return -1, 0


def _packet_end(data: bytes) -> int:
    start, length = _body_start(data)
    return start + length if start > 0 else start


def _describe(packet: bytes) -> str:
    if packet[0] & 0xF0 != _PUBLISH:
        return f"packet type {packet[0] >> 4}"
    start, _ = _body_start(packet)
    body, qos = packet[start:], packet[0] >> 1 & 3
    size = int.from_bytes(body[:2], "big")
    topic = body[2 : 2 + size].decode("utf-8", "replace")
    payload = body[2 + size + (2 if qos else 0) :]
    kept = " retained" if packet[0] & 1 else ""
    sparkplug = topic.startswith(f"{NAMESPACE}/") and not topic.startswith(f"{NAMESPACE}/STATE/")
    said = _sparkplug(payload) if sparkplug else payload.decode("utf-8", "replace")
    return f"PUBLISH {topic} QoS {qos}{kept}: {said}"[:_LONGEST_TEXT]


def _sparkplug(payload: bytes) -> str:
    try:
        message = pb.Payload.FromString(payload)
    except DecodeError:
        return "no Sparkplug payload"
    metrics = []
    for metric in message.metrics:
        kind = metric.WhichOneof("value")
        value = "null" if metric.is_null or kind is None else getattr(metric, kind)
        metrics.append(f"{metric.name or f'alias {metric.alias}'} = {value}{' (historical)' if metric.is_historical else ''}")
    return f"seq {message.seq if message.HasField('seq') else '-'}; " + ", ".join(metrics)
