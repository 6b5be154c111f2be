"""MQTT driver: one connection to a broker, for plain topics and Sparkplug B edge nodes (extra ``mqtt``).

Parameters: :class:`~scada.protocols.mqtt.parameters.MqttParameters`; TLS: :class:`~scada.security.tls.TlsFiles`. A message of
QoS 1 is acknowledged only after its status changes are committed; while the database is behind, the socket is not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.model_cim.addresses import PlainAddress
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point
from scada.protocols.cancellation import end_if_cancelled
from scada.protocols.driver import CommandResult, Describer, Driver, LinkState, Outcome, Sink
from scada.protocols.mqtt.address import NAMESPACE, Metric, MqttAddressError, Node, Topic, parse_address
from scada.protocols.mqtt.broker import Client, Message, MqttError, Reader, enter, expiring, grant_code, make_client
from scada.protocols.mqtt.host import HostEffect, Notice, Publish, Seen, SparkplugHost
from scada.protocols.mqtt.packets import MqttDescriber, publish_packet
from scada.protocols.mqtt.parameters import MqttParameters
from scada.protocols.mqtt.plain import PayloadError, PlainTopics, command_payload, response_of
from scada.protocols.mqtt.readings import GONE, LastValues, Reading, command_value
from scada.protocols.mqtt.sparkplug import SparkplugError, Value, in_single
from scada.security.tls import TlsFiles, client_context

_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 30.0
_GOODBYE_S: Final = 1.0
"""Real seconds for telling the broker that we go."""
_UNSURE: Final = "it is not known whether the device acted"
_READ_AT_ONCE: Final = 500


class MqttDriver(Driver):
    """The client of one broker.

    Retained messages and births carry ``REFRESH``, historical metrics ``BACKFILL``; a change of a status carries ``EVENT``. When
    an edge node or device dies, its points keep their last value and are not topical.
    """

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        super().__init__(spec, points, controls, sink, clock)
        self.parameters = MqttParameters.of(spec)
        files = TlsFiles.of(spec.params, Path(), f"channel {spec.name}")
        self._tls = client_context(files) if files is not None else None
        self._targets = {control.cid: _address(control.address, control.path) for control in controls}
        self._plain, self._host = self._sides(points)
        self._last = LastValues(points)
        self._client: Client | None = None
        self._arrived: asyncio.Queue[Message] = asyncio.Queue()
        self._reader = Reader()
        self._tickets = 0
        self._waiting: list[_Waiting] = []
        self._progress = asyncio.Event()
        self._kept: set[str] = set()
        self._unseen: set[str] = set()

    @classmethod
    def check_address(cls, address: str) -> str:
        """See :mod:`scada.protocols.mqtt.address`."""
        try:
            parse_address(address)
        except MqttAddressError as error:
            return f"has address {address!r}, which {error.what}"
        return ""

    def _sides(self, points: Sequence[Point]) -> tuple[PlainTopics, SparkplugHost]:
        plain: list[tuple[Topic, Point]] = []
        metrics: dict[Metric, list[Point]] = {target: [] for target in self._targets.values() if isinstance(target, Metric)}
        for point in points:
            address = _address(point.address, point.path)
            if isinstance(address, Topic):
                self._check_echo(address, point)
                plain.append((address, point))
            else:
                metrics.setdefault(address, []).append(point)
        nodes: list[Node] = list(dict.fromkeys(metric.node for metric in metrics))
        return PlainTopics(plain, self.parameters.payload_fields), SparkplugHost(metrics, nodes, self.statistics)

    def _check_echo(self, address: Topic, point: Point) -> None:
        """The broker gives us our own commands back on their topic: a wish would pass for a value."""
        for control in self.controls:
            target = self._targets[control.cid]
            if isinstance(target, Topic) and target.name == address.name:
                text = f"is read from {address.name}, to which the commands of {control.path} go"
                raise ConfigError(text, where=point.path, mend="name the topic on which the device tells its state")

    # ------------------------------------------------------------------ connection

    def _real(self, seconds: float) -> float:
        """Real seconds for a time-out; a simulation that runs fast does not make the line faster."""
        return max(self.clock.real_delay(seconds), min(seconds, 1.0))

    async def run(self) -> None:
        """Connect, subscribe, hand on; reconnect with back-off; ends only by cancellation, saying good-bye."""
        delay = _FIRST_RETRY_S
        while True:
            self.sink.state(LinkState.CONNECTING, f"connecting to {self.spec.host}:{self.spec.port}")
            connects = self.statistics.connects
            reason = await self._session()
            end_if_cancelled()
            self.statistics.disconnects.append((self.clock.now_ns(), reason))
            self.sink.state(LinkState.DOWN, reason)
            delay = _FIRST_RETRY_S if self.statistics.connects > connects else delay
            await asyncio.sleep(self.clock.real_delay(delay))
            delay = min(2 * delay, _LAST_RETRY_S)

    async def _session(self) -> str:
        """One connection from its beginning to its end; returns why it ended."""
        since_ms = self.clock.now_ns() // 1_000_000
        self._arrived = asyncio.Queue()
        will = (self._state_topic, _state(since_ms, online=False)) if self.parameters.host_id else None
        seconds = self._real(self.parameters.timeout_s), self._real(self.parameters.keep_alive_s)
        try:
            client = make_client(self.spec, self.parameters, self._arrived, will, self._tls, seconds)
            self._reader.attach(client, seconds[0])
            await enter(client)
        except (MqttError, ConfigError, ValueError) as error:  # a password not there yet, a name that is no host's
            return f"cannot connect: {error}"
        self.statistics.connects += 1
        try:
            await self._subscribe(client)
            await self._announce(client, since_ms, online=True)
            self._client = client
            self.sink.state(LinkState.UP, f"connected to {self.spec.host}:{self.spec.port}")
            self._carry_out(self._host.connected(self.clock.now_ns()))
            reminder = asyncio.create_task(self._remind())
            try:
                await self._serve(client, since_ms)
            finally:
                reminder.cancel()
        except MqttError as error:
            return f"connection lost: {error.__cause__ or error}"
        finally:
            self._client = None
            self._end_waiting()
            await self._leave(client, since_ms)
        return "connection lost"

    @property
    def _state_topic(self) -> str:
        return f"{NAMESPACE}/STATE/{self.parameters.host_id}"

    async def _announce(self, client: Client, since_ms: int, *, online: bool) -> None:
        """Tell edge nodes whether their primary host is there."""
        if self.parameters.host_id:
            await self._publish(client, Publish(self._state_topic, _state(since_ms, online=online)), qos=1, retain=True)

    async def _subscribe(self, client: Client) -> None:
        """Everything at once; the broker answers each filter with what it grants."""
        wanted = [(name, int(self.parameters.qos)) for name in self._plain.names]
        wanted += [(name, 1) for name in self._host.subscriptions]
        if self.parameters.confirm == "readback":
            targets = {target.name for target in self._targets.values() if isinstance(target, Topic)}
            wanted += [(name + self.parameters.response_suffix, 1) for name in sorted(targets)]
        if self.parameters.host_id:
            wanted.append((self._state_topic, 1))
        for start in range(0, len(wanted), 100):
            chunk = wanted[start : start + 100]
            granted = await client.subscribe(chunk)
            for (name, _), code in zip(chunk, granted, strict=True):
                if grant_code(code) >= 0x80:
                    self.sink.notice("subscription_refused", f"the broker refuses {name}")

    async def _leave(self, client: Client, since_ms: int) -> None:
        """Say that we go (a clean end has no last will), then close; a broker that does not listen is not waited for."""
        with contextlib.suppress(MqttError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._announce(client, since_ms, online=False)
        client.timeout = _GOODBYE_S
        with contextlib.suppress(MqttError):
            await client.__aexit__(None, None, None)

    # ------------------------------------------------------------------ messages

    async def _serve(self, client: Client, since_ms: int) -> None:
        """Hand over what arrived, wait for the database, acknowledge, read on; ends by an error of the connection."""
        async for first in client.messages:
            messages = [first]
            while len(messages) < _READ_AT_ONCE and not self._arrived.empty():
                messages.append(self._arrived.get_nowait())
            before = self.statistics.values_in
            for message in messages:
                await self._take(client, message, since_ms)
            if self.statistics.values_in > before:
                self._reader.pause()
                await self.sink.ready()
                self._reader.resume()
            for message in messages:
                self._reader.acknowledge(message)
            end_if_cancelled()

    async def _take(self, client: Client, message: Message, since_ms: int) -> None:
        now_ns, topic = self.clock.now_ns(), message.topic.value
        payload = (
            bytes(message.payload) if isinstance(message.payload, bytes | bytearray) else str(message.payload or "").encode()
        )
        packet = publish_packet(topic, payload, qos=message.qos, retained=message.retain, mid=message.mid)
        if self.tee is not None:
            self.tee("", True, now_ns, packet)
        self.statistics.frames_in += 1
        self.statistics.bytes_in += len(packet)
        self.statistics.last_receive_ns = now_ns
        if topic == self._state_topic and self.parameters.host_id:
            if not message.retain and payload != _state(since_ms, online=True):  # our own earlier will came late (clause 5.4)
                await self._announce(client, since_ms, online=True)
        elif topic.startswith(f"{NAMESPACE}/"):
            if message.retain:
                self.sink.notice("retained", f"{topic} is retained, which Sparkplug forbids; passed over")
            else:
                self._carry_out(self._host.feed(topic, payload, now_ns))
        else:
            self._take_plain(topic, payload, retained=message.retain)
        self._progress.set()

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(self._real(1.0))
            self._carry_out(self._host.tick(self.clock.now_ns()))

    def _take_plain(self, topic: str, payload: bytes, *, retained: bool) -> None:
        for waiting in self._waiting if not retained else ():  # what the broker kept is older than the command
            waiting.hear_response(topic, payload)
        try:
            readings = self._plain.read(topic, payload, retained=retained)
        except PayloadError as error:
            self.statistics.malformed += 1
            self.sink.notice("malformed", str(error))
            return
        if retained:
            self._kept.add(topic)
            self._unseen.discard(topic)
        self._deliver(readings)

    def _carry_out(self, effects: Iterable[HostEffect]) -> None:
        """Do what the host machine wants done; readings that stand together make one batch."""
        readings: list[Reading] = []
        for effect in effects:
            match effect:
                case Reading():
                    readings.append(effect)
                case Seen(metric, value):
                    for waiting in self._waiting:
                        waiting.hear_metric(metric, value)
                case Notice(kind, text):
                    self.sink.notice(kind, text)
                case Publish():
                    self._send(effect)
        self._deliver(readings)

    def _deliver(self, readings: Sequence[Reading]) -> None:
        told = [one for one in readings if one.quality & GONE != GONE or self._last.known(one.point)]
        if told:
            self.statistics.values_in += len(told)
            self.sink.deliver(self._last.batch(told, self.clock.now_ns(), self.spec.index, self.spec.name))

    def _send(self, message: Publish) -> None:
        """Publish without waiting, QoS 0: what cannot be sent now is not sent later."""
        if self._client is not None:
            self._out(message, qos=0)
            self._reader.publish(message)

    async def _publish(self, client: Client, message: Publish, *, qos: int, retain: bool = False, expiry_s: int = 0) -> None:
        properties = expiring(expiry_s) if expiry_s and self.parameters.mqtt_version == "5" else None
        self._out(message, qos=qos, retained=retain)
        await client.publish(message.topic, message.payload, qos=qos, retain=retain, properties=properties)

    def _out(self, message: Publish, *, qos: int, retained: bool = False) -> None:
        packet = publish_packet(message.topic, message.payload, qos=qos, retained=retained)
        if self.tee is not None:
            self.tee("", False, self.clock.now_ns(), packet)
        self.statistics.frames_out += 1
        self.statistics.bytes_out += len(packet)

    def describer(self) -> Describer:
        """Topics with their payloads, Sparkplug decoded."""
        return MqttDescriber()

    # ------------------------------------------------------------------ commands

    async def select(self, control: Control, value: float) -> CommandResult:
        """MQTT knows no selection: what can be checked here is checked, nothing is sent."""
        try:
            self._order(control, value, 0)
        except SparkplugError as error:
            return CommandResult(Outcome.REFUSED, error.what)
        if self._client is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected to the broker")
        return CommandResult(Outcome.CONFIRMED, "MQTT knows no selection; the device is asked at execute")

    async def execute(self, control: Control, value: float) -> CommandResult:
        """Publish the command; confirmed when the device tells the value back (``confirm = broker``: when the broker has it)."""
        client = self._client
        if client is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected to the broker")
        self._tickets += 1
        try:
            message, waiting = self._order(control, value, self._tickets)
        except SparkplugError as error:
            return CommandResult(Outcome.REFUSED, error.what)
        return await self._operate(client, message, waiting)

    async def _operate(self, client: Client, message: Publish, waiting: _Waiting) -> CommandResult:
        qos = 0 if isinstance(waiting.target, Metric) else int(self.parameters.qos)
        self._waiting.append(waiting)
        limit = self._real(self.parameters.command_timeout_s)
        try:
            async with asyncio.timeout(limit):
                await self._publish(client, message, qos=qos, expiry_s=math.ceil(limit))
                if self.parameters.confirm == "broker":
                    return CommandResult(Outcome.CONFIRMED, "the broker has it; the device was not asked for an answer")
                return await asyncio.shield(waiting.answer)
        except MqttError as error:
            fault = CommandResult(Outcome.TIMEOUT, f"not confirmed by the broker: {error}; {_UNSURE}")
            return waiting.answer.result() if waiting.answer.done() else fault
        except TimeoutError:
            text = f"no answer within {self.parameters.command_timeout_s:g} s; {_UNSURE}"
            return CommandResult(Outcome.TIMEOUT, text)
        finally:
            self._waiting.remove(waiting)

    async def cancel(self, control: Control, value: float) -> CommandResult:
        """Nothing was left anywhere by :meth:`select`."""
        del control, value
        return CommandResult(Outcome.CONFIRMED, "nothing was selected at the device")

    def _order(self, control: Control, value: float, ticket: int) -> tuple[Publish, _Waiting]:
        """The message of a command, and what it waits for.

        Raises:
            SparkplugError: the device cannot take it.
        """
        target, now_ns = self._targets[control.cid], self.clock.now_ns()
        truth = isinstance(target, Metric) and self._host.is_boolean(target)
        raw = command_value(control.kind, value, scale=control.scale, offset=control.offset, truth=truth)
        waiting = _Waiting(target, raw, ticket, self.parameters.response_suffix)
        if isinstance(target, Metric):
            return self._host.command(target, raw, now_ns), waiting
        if control.kind is not ControlKind.SETPOINT and float(raw).is_integer():
            raw = int(raw)
        return Publish(target.name, command_payload(target, raw, ticket, now_ns)), waiting

    def _end_waiting(self) -> None:
        for waiting in self._waiting:
            waiting.end(CommandResult(Outcome.TIMEOUT, f"the connection ended before the device answered; {_UNSURE}"))
        self._progress.set()

    async def interrogate(self) -> CommandResult:
        """Every edge node is asked to be born again, and the broker for what it retains."""
        client = self._client
        if client is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected to the broker")
        self._unseen = set(self._kept)
        self._carry_out(self._host.interrogate(self.clock.now_ns()))
        try:
            async with asyncio.timeout(self._real(self.parameters.timeout_s)):
                if self._plain.names:
                    await client.subscribe([(name, int(self.parameters.qos)) for name in self._plain.names])
                while (self._unseen or self._host.awaited) and self._client is client:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            nodes = sorted({str(node) for node, _ in self._host.awaited})
            silent = ", ".join(nodes or sorted(self._unseen))
            return CommandResult(Outcome.TIMEOUT, f"no answer within {self.parameters.timeout_s:g} s from {silent}")
        except MqttError as error:
            return CommandResult(Outcome.LINK_DOWN, str(error))
        if self._client is not client:
            return CommandResult(Outcome.LINK_DOWN, "the connection ended")
        return CommandResult(Outcome.CONFIRMED)


class _Waiting:
    """A command that waits for its device."""

    def __init__(self, target: Topic | Metric, value: Value, ticket: int, suffix: str) -> None:
        self.target = target
        self.answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._value = value
        self._ticket = ticket
        self._suffix = suffix

    def hear_response(self, topic: str, payload: bytes) -> None:
        """A message on a plain topic."""
        if isinstance(self.target, Topic) and topic == self.target.name + self._suffix and not isinstance(self._value, str):
            result = response_of(self.target, payload, self._value, self._ticket)
            if result is not None:
                self.end(result)

    def hear_metric(self, metric: Metric, value: Value | None) -> None:
        """A device told this of a metric."""
        if metric != self.target:
            return
        if value is None:
            self.end(CommandResult(Outcome.TIMEOUT, f"the edge node or device died before it told the value back; {_UNSURE}"))
        elif _same(value, self._value):
            self.end(CommandResult(Outcome.CONFIRMED))

    def end(self, result: CommandResult) -> None:
        """The first answer counts."""
        if not self.answer.done():
            self.answer.set_result(result)


def _address(address: object, path: str) -> Topic | Metric:
    if not isinstance(address, PlainAddress):
        raise ConfigError("no MQTT address", where=path, mend="give it sc:RemotePoint.address")
    try:
        return parse_address(address.text)
    except MqttAddressError as error:
        raise ConfigError(f"address {address.text!r} {error.what}", where=path, mend="see docs/protocols/mqtt.md") from error


def _state(since_ms: int, *, online: bool) -> bytes:
    """Payload of STATE (6.4.25): death and birth of one session have the same time."""
    return json.dumps({"online": online, "timestamp": since_ms}).encode()


def _same(told: Value, sent: Value) -> bool:
    """Told back as sent, within what single precision can hold."""
    if isinstance(told, str) or isinstance(sent, str):
        return str(told) == str(sent)
    try:
        near = in_single(float(sent))
    except SparkplugError:
        near = float(sent)
    return float(told) in {float(sent), near}
