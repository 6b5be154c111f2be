"""Sparkplug host application: births give names to aliases, data is checked for gaps, deaths make points not topical.

A pure machine: messages and times in, effects out. Specification 3.0, clauses 5 (operation) and 6.4 (messages).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scada.core.batch import RecordFlag
from scada.core.clock import NS_PER_S
from scada.model_cim.tables import Point
from scada.protocols.driver import ChannelStatistics
from scada.protocols.mqtt.address import NAMESPACE, Metric, Node
from scada.protocols.mqtt.readings import GONE, Reading, number_of
from scada.protocols.mqtt.sparkplug import BOOLEAN, Message, MetricValue, SparkplugError, Value, decode, encode_command

REBIRTH: Final = "Node Control/Rebirth"
BD_SEQ: Final = "bdSeq"
REBIRTH_NS: Final = 10 * NS_PER_S
"""Shortest time between two requests to one node."""
_SEQUENCE: Final = 256


@dataclass(frozen=True, slots=True)
class Publish:
    """Send this."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should read once."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A device told this of a metric; commands wait for it. ``value`` None = the metric is gone with its node or device."""

    metric: Metric
    value: Value | None


HostEffect = Publish | Notice | Seen | Reading


@dataclass(slots=True)
class _Birth:
    """What a birth said of a metric."""

    metric: Metric
    alias: int | None
    datatype: int


@dataclass(slots=True)
class _Node:
    """What is known of an edge node. ``trusted``: no message is missing since its birth, so aliases mean what they say."""

    born: bool = False
    trusted: bool = False
    bd_seq: int = -1
    next_seq: int = 0
    asked_ns: int = -REBIRTH_NS
    needed: bool = False
    """Its birth is wanted, because something it said cannot be understood."""
    devices: set[str] = field(default_factory=set)
    aliases: dict[tuple[str, int], _Birth] = field(default_factory=dict)
    """By device and number: a metric is told on the topic of its own device, and some nodes number each device by itself."""
    births: dict[Metric, _Birth] = field(default_factory=dict)


class SparkplugHost:
    """The Sparkplug side of a channel.

    Args:
        points: the channel's points by metric; a metric that is only commanded has none.
        nodes: every edge node that points or controls name.
        statistics: counts lost messages, unknown metrics and what cannot be read.
    """

    def __init__(self, points: Mapping[Metric, Sequence[Point]], nodes: Sequence[Node], statistics: ChannelStatistics) -> None:
        self._points = points
        self._nodes = {node: _Node() for node in nodes}
        self._statistics = statistics
        self._strangers: set[Metric] = set()
        self._wanted: set[tuple[Node, str]] = set()

    @property
    def subscriptions(self) -> list[str]:
        """Topic filters of everything the edge nodes publish."""
        return [f"{NAMESPACE}/{node.group}/+/{node.name}/#" for node in self._nodes]

    @property
    def awaited(self) -> set[tuple[Node, str]]:
        """Nodes and devices whose births an interrogation still waits for."""
        return self._wanted

    def connected(self, now_ns: int) -> list[HostEffect]:
        """A new connection: births are not kept by the broker, so every node is asked for its own."""
        effects: list[HostEffect] = []
        for node in self._nodes:
            self._nodes[node] = _Node()
            effects += self._ask(node, now_ns, force=True)
        return effects

    def interrogate(self, now_ns: int) -> list[HostEffect]:
        """Ask every node to be born again; :attr:`awaited` says who has not answered."""
        self._wanted = {(name, device) for name, node in self._nodes.items() for device in ("", *node.devices)}
        return [effect for node in self._nodes for effect in self._ask(node, now_ns, force=True)]

    def tick(self, now_ns: int) -> list[HostEffect]:
        """Ask again where a birth is still needed: requests have no acknowledgement."""
        return [effect for name, node in self._nodes.items() if node.needed for effect in self._ask(name, now_ns)]

    def command(self, metric: Metric, value: Value, now_ns: int) -> Publish:
        """The message that commands a metric.

        Raises:
            SparkplugError: the metric was not in a birth, its node is away, or it cannot take the value.
        """
        node = self._nodes.get(metric.node)
        birth = node.births.get(metric) if node is not None else None
        if node is None or not node.born or (metric.device and metric.device not in node.devices):
            raise SparkplugError("the edge node or device is not connected")
        if birth is None or not node.trusted:
            raise SparkplugError("the edge node has not told this metric in its birth")
        kind, tail = ("DCMD", f"/{metric.device}") if metric.device else ("NCMD", "")
        payload = encode_command(metric.name, birth.alias, birth.datatype, value, now_ns)
        return Publish(f"{NAMESPACE}/{metric.node.group}/{kind}/{metric.node.name}{tail}", payload)

    def is_boolean(self, metric: Metric) -> bool:
        """The birth said that the metric is a truth value."""
        node = self._nodes.get(metric.node)
        birth = node.births.get(metric) if node is not None else None
        return birth is not None and birth.datatype == BOOLEAN

    def feed(self, topic: str, payload: bytes, now_ns: int) -> list[HostEffect]:
        """A message from the broker; what is for others is passed over."""
        parts = topic.split("/")
        if len(parts) not in {4, 5} or parts[0] != NAMESPACE:
            return []
        name, device, kind = Node(parts[1], parts[3]), parts[4] if len(parts) == 5 else "", parts[2]
        node = self._nodes.get(name)
        if node is None or kind not in _KINDS or (kind[0] == "D") != bool(device):
            return []
        try:
            return self._message(name, device, kind, payload, now_ns)
        except SparkplugError as error:
            self._statistics.malformed += 1
            return [Notice("malformed", f"{kind} of {name}: {error}")]

    def _message(self, name: Node, device: str, kind: str, payload: bytes, now_ns: int) -> list[HostEffect]:
        node = self._nodes[name]

        def type_of(metric: str, alias: int | None) -> int:
            birth = (
                node.births.get(Metric(name, device, metric))
                if metric
                else node.aliases.get((device, -1 if alias is None else alias))
            )
            return 0 if birth is None or not kind.endswith("DATA") else birth.datatype

        message = decode(payload, type_of)
        if message.time_ns:
            self._statistics.clock_skew_s = (message.time_ns - now_ns) / NS_PER_S
        if kind == "NBIRTH":
            return self._node_birth(name, message)
        if kind == "NDEATH":
            return self._node_death(name, message)
        effects = self._in_order(name, message, now_ns)
        if kind == "DBIRTH":
            return effects + self._device_birth(name, device, message)
        if kind == "DDEATH":
            node.devices.discard(device)
            self._wanted.discard((name, device))
            return effects + self._gone(name, device)
        if device and device not in node.devices:
            effects += self._ask(name, now_ns)  # it will be born again
        return effects + self._data(name, device, message)

    # ------------------------------------------------------------------ births and deaths

    def _node_birth(self, name: Node, message: Message) -> list[HostEffect]:
        node = self._nodes[name]
        effects: list[HostEffect] = []
        bd_seq = next((int(m.value) for m in message.metrics if m.name == BD_SEQ and isinstance(m.value, int)), -1)
        if node.born and bd_seq != node.bd_seq:  # a new session: its devices have yet to be born in it
            effects += [effect for device in sorted(node.devices) for effect in self._gone(name, device)]
            node.devices.clear()
        node.born = node.trusted = True
        node.needed, node.asked_ns = False, -REBIRTH_NS
        node.bd_seq = bd_seq
        node.next_seq = (max(message.seq, 0) + 1) % _SEQUENCE
        kept = {metric: birth for metric, birth in node.births.items() if metric.device in node.devices and metric.device}
        node.births = kept
        node.aliases = {key: birth for key, birth in node.aliases.items() if kept.get(birth.metric) is birth}
        self._wanted.discard((name, ""))
        return effects + self._birth(name, "", message)

    def _device_birth(self, name: Node, device: str, message: Message) -> list[HostEffect]:
        node = self._nodes[name]
        if not node.born:
            return []  # the request that went out brings the device again, after its node
        node.devices.add(device)
        for metric in [metric for metric in node.births if metric.device == device]:
            del node.births[metric]
        node.aliases = {key: birth for key, birth in node.aliases.items() if key[0] != device}
        self._wanted.discard((name, device))
        return self._birth(name, device, message)

    def _birth(self, name: Node, device: str, message: Message) -> list[HostEffect]:
        node = self._nodes[name]
        effects: list[HostEffect] = []
        doubtful: dict[int, str] = {}
        for said in message.metrics:
            if not said.name:
                continue
            birth = _Birth(Metric(name, device, said.name), said.alias, said.datatype)
            node.births[birth.metric] = birth
            if said.alias is not None:
                other = node.aliases.setdefault((device, said.alias), birth)
                if other.metric == birth.metric:
                    node.aliases[device, said.alias] = birth
                else:
                    doubtful[said.alias] = f"{other.metric.name!r} and {said.name!r}"
            effects += self._readings(birth.metric, said, int(RecordFlag.BACKFILL if said.historical else RecordFlag.REFRESH))
        for alias, names in doubtful.items():  # nobody can say whose value it brings
            del node.aliases[device, alias]
            effects.append(Notice("doubtful_alias", f"the birth of {name}/{device} gives alias {alias} to {names}"))
        missing = [m for m in self._points if (m.node, m.device) == (name, device) and m not in node.births]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            effects.append(Notice("unknown_metric", f"the birth of {name}/{device} does not have {missing[0].name!r}{more}"))
        return effects

    def _node_death(self, name: Node, message: Message) -> list[HostEffect]:
        """A death counts only for the session it belongs to: the will of the one before may come late (6.4.20)."""
        node = self._nodes[name]
        bd_seq = next((m.value for m in message.metrics if m.name == BD_SEQ), None)
        if not node.born or (node.bd_seq >= 0 and bd_seq is not None and bd_seq != node.bd_seq):
            return []
        devices = ["", *sorted(node.devices)]
        self._nodes[name] = _Node(asked_ns=node.asked_ns)
        return [effect for device in devices for effect in self._gone(name, device)]

    def _gone(self, name: Node, device: str) -> list[HostEffect]:
        """Commands on their way end, and the points are not topical."""
        metrics = [metric for metric in self._points if (metric.node, metric.device) == (name, device)]
        return [*self._not_topical(name, device), *(Seen(metric, None) for metric in metrics)]

    def _not_topical(self, name: Node, device: str) -> list[HostEffect]:
        return [
            Reading(point, float("nan"), GONE)
            for metric, points in self._points.items()
            if (metric.node, metric.device) == (name, device)
            for point in points
        ]

    # ------------------------------------------------------------------ data

    def _in_order(self, name: Node, message: Message, now_ns: int) -> list[HostEffect]:
        """Check the sequence number. After a gap nobody knows what the aliases mean, until the node is born again."""
        node = self._nodes[name]
        if not node.born:
            return self._ask(name, now_ns)
        missing = (message.seq - node.next_seq) % _SEQUENCE if message.seq >= 0 else 0
        if message.seq >= 0:
            node.next_seq = (message.seq + 1) % _SEQUENCE
        if not missing:
            return [] if node.trusted else self._ask(name, now_ns)
        node.trusted = False
        self._statistics.lost_frames += missing
        text = f"{name}: {missing} messages are missing before number {message.seq}; it is asked to be born again"
        doubtful = [effect for device in ("", *sorted(node.devices)) for effect in self._not_topical(name, device)]
        return [Notice("sequence", text), *doubtful, *self._ask(name, now_ns)]

    def _data(self, name: Node, device: str, message: Message) -> list[HostEffect]:
        node = self._nodes[name]
        effects: list[HostEffect] = []
        for said in message.metrics:
            metric = Metric(name, device, said.name)
            if not said.name:
                birth = node.aliases.get((device, said.alias)) if said.alias is not None and node.trusted else None
                if birth is None:
                    self._statistics.lost_frames += not node.trusted
                    self._statistics.unknown_addresses += node.trusted
                    effects += self._stranger(Metric(name, device, f"alias {said.alias}")) if node.trusted else []
                    continue
                metric = birth.metric
            flags = int(RecordFlag.BACKFILL) if said.historical else 0
            if metric not in self._points:
                self._statistics.unknown_addresses += 1
                effects += self._stranger(metric)
            effects += self._readings(metric, said, flags)
        return effects

    def _readings(self, metric: Metric, said: MetricValue, flags: int) -> list[HostEffect]:
        raw = float("nan") if said.value is None else said.value
        effects: list[HostEffect] = [
            Reading(point, number_of(point, raw), said.quality, said.time_ns, flags) for point in self._points.get(metric, ())
        ]
        if said.value is not None and not said.historical:
            effects.append(Seen(metric, said.value))
        return effects

    def _stranger(self, metric: Metric) -> list[HostEffect]:
        if metric in self._strangers:
            return []
        self._strangers.add(metric)
        return [Notice("unknown_metric", f"{metric} is told, and the model does not have it")]

    def _ask(self, name: Node, now_ns: int, *, force: bool = False) -> list[HostEffect]:
        """Ask a node for its birth, not more often than every ten seconds."""
        node = self._nodes[name]
        node.needed |= not force
        if not force and now_ns - node.asked_ns < REBIRTH_NS:
            return []
        node.asked_ns = now_ns
        payload = encode_command(REBIRTH, None, BOOLEAN, value=True, now_ns=now_ns)
        return [Publish(f"{NAMESPACE}/{name.group}/NCMD/{name.name}", payload)]


_KINDS: Final = {"NBIRTH", "NDEATH", "NDATA", "DBIRTH", "DDEATH", "DDATA"}
