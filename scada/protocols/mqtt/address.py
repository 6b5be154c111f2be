"""Addresses of MQTT points and controls, as they stand in ``sc:RemotePoint.address``.

``plant/meter7/power`` is a topic whose payload is the value; ``plant/meter7#total.kwh`` a field of its JSON payload.
``spBv1.0/GROUP/NODE#METRIC`` is a Sparkplug metric of an edge node, ``spBv1.0/GROUP/NODE/DEVICE#METRIC`` one of its devices. The
``#`` cannot occur in a topic's name (MQTT 5.0, 4.7.1), but a metric's name may hold slashes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scada.core.errors import ProtocolError

NAMESPACE: Final = "spBv1.0"


class MqttAddressError(ProtocolError):
    """An address that is none."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A plain topic.

    Attributes:
        name: of the topic.
        path: field of the JSON payload, names and list indices with dots between; empty = the payload is the value.
    """

    name: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A Sparkplug edge node."""

    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"


@dataclass(frozen=True, slots=True)
class Metric:
    """A Sparkplug metric; ``device`` is empty for one of the edge node itself."""

    node: Node
    device: str
    name: str

    def __str__(self) -> str:
        return "/".join((str(self.node), self.device) if self.device else (str(self.node),)) + f"#{self.name}"


def parse_address(text: str) -> Topic | Metric:
    """Read an address.

    >>> parse_address("spBv1.0/East/Gateway/PV1#Inverter/P")
    Metric(node=Node(group='East', name='Gateway'), device='PV1', name='Inverter/P')
    >>> parse_address("meters/7#p.0")
    Topic(name='meters/7', path='p.0')

    Raises:
        MqttAddressError: with what is wrong, to follow "address ...".
    """
    topic, _, path = text.partition("#")
    parts = topic.split("/")
    if not topic or "+" in topic or "\0" in text or len(topic.encode()) > 65_535:
        raise MqttAddressError("is no topic name: it is empty or has a wildcard")
    if parts[0] != NAMESPACE:
        return Topic(topic, path)
    if len(parts) not in {3, 4} or not all(parts) or not path:
        raise MqttAddressError(f"is not {NAMESPACE}/GROUP/NODE#METRIC or {NAMESPACE}/GROUP/NODE/DEVICE#METRIC")
    return Metric(Node(parts[1], parts[2]), parts[3] if len(parts) == 4 else "", path)
