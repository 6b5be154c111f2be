"""The connection to a broker, on aiomqtt and the paho client within it (extra ``mqtt``)."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from scada.core.errors import ConfigError
from scada.model_cim.tables import ChannelSpec
from scada.protocols.mqtt.host import Publish
from scada.protocols.mqtt.parameters import MqttParameters
from scada.security.tls import TlsContext

try:
    import aiomqtt
    from aiomqtt import Client, Message, MqttError
    from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
except ImportError as missing:  # pragma: no cover - the extra is installed where tests run
    raise ConfigError("the MQTT driver needs the extra mqtt", mend="pip install 'scada-ems[mqtt]'") from missing

_NEVER = 0xFFFF_FFFF

__all__ = ["Client", "Message", "MqttError", "Reader", "enter", "expiring", "grant_code", "make_client"]


def make_client(
    spec: ChannelSpec,
    parameters: MqttParameters,
    arrived: asyncio.Queue[Message],
    will: tuple[str, bytes] | None,
    tls: TlsContext | None,
    seconds: tuple[float, float],
) -> Client:
    """A client of its own for every connection, so that nothing unsent can be repeated on the next one.

    Args:
        spec: where the broker is.
        parameters: of the channel.
        arrived: where received messages go.
        will: topic and payload the broker retains for us when we are gone.
        tls: None = in the open.
        seconds: real time-out of an answer, and between pings.

    Raises:
        ConfigError: the password cannot be read.
    """
    five, clean = parameters.mqtt_version == "5", parameters.session == "clean"
    properties: Any = None
    if five and not clean:
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = _NEVER
    return Client(
        spec.host,
        spec.port,
        username=parameters.username or None,
        password=parameters.known_password(f"channel {spec.name}"),
        identifier=parameters.client_id or None,
        queue_type=cast("Any", lambda maxsize: arrived),  # noqa: ARG005 - aiomqtt gives it by name
        protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
        will=aiomqtt.Will(*will, qos=1, retain=True) if will is not None else None,
        clean_session=None if five else clean,
        clean_start=clean if five else MQTT_CLEAN_START_FIRST_ONLY,
        properties=properties,
        timeout=seconds[0],
        keepalive=max(1, round(seconds[1])),
        tls_context=tls,
    )


def expiring(seconds: int) -> Any:
    """Properties of a message that the broker throws away after so long."""
    properties = _properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = seconds
    return properties


def grant_code(code: Any) -> int:
    """What the broker answered to a filter: a number in MQTT 3.1.1, an object in 5; 0x80 and above are refusals."""
    return code if isinstance(code, int) else int(code.value)


def _properties(kind: int) -> Any:
    return cast("Any", Properties)(kind)


class Reader:
    """Reads the socket for the library, pauses, and acknowledges when told: the library itself does neither.

    It works on the paho client within the aiomqtt client, through paho's public calls.
    """

    def __init__(self) -> None:
        self._paho: Any = None
        self._descriptor = -1

    def attach(self, client: Client, connect_timeout_s: float) -> None:
        """Take over a client before it connects."""
        paho: Any = client._client  # noqa: SLF001 - aiomqtt has no other way to its paho client
        self._paho, self._descriptor = paho, -1
        paho.connect_timeout = connect_timeout_s
        paho.manual_ack_set(True)
        opened: Any = paho.on_socket_open

        def on_open(source: Any, userdata: Any, sock: Any) -> None:
            self._descriptor = sock.fileno()
            opened(source, userdata, sock)

        paho.on_socket_open = on_open

    def pause(self) -> None:
        """Read nothing: the kernel's buffers fill, and the broker keeps the rest."""
        if self._open:
            asyncio.get_running_loop().remove_reader(self._descriptor)

    def resume(self) -> None:
        """Read again."""
        if self._open:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    @property
    def _open(self) -> bool:
        sock = self._paho.socket()
        return sock is not None and sock.fileno() == self._descriptor >= 0

    def _read(self) -> None:
        """Paho tells aiomqtt itself when the connection is gone."""
        while self._paho.loop_read() == 0:
            sock = self._paho.socket()
            if not (hasattr(sock, "pending") and sock.pending()):
                break

    def acknowledge(self, message: Message) -> None:
        """Let the broker forget a message."""
        if message.qos and self._open:
            self._paho.ack(message.mid, message.qos)

    def publish(self, message: Publish) -> None:
        """Send at QoS 0."""
        self._paho.publish(message.topic, message.payload, 0)


async def enter(client: Client) -> None:
    """Connect. The library does so in a thread that cannot be stopped; if we are cancelled meanwhile, it is closed afterwards."""
    entering = asyncio.create_task(cast("Any", client).__aenter__())
    try:
        await asyncio.shield(entering)
    except asyncio.CancelledError:
        entering.add_done_callback(lambda done: _close_late(client, done))
        raise
    except MqttError:
        client._client.disconnect()  # noqa: SLF001 - a broker that took the connection and says nothing is left
        raise


def _close_late(client: Client, done: asyncio.Future[Any]) -> None:
    if not done.cancelled() and done.exception() is None:
        client._client.disconnect()  # noqa: SLF001 - nobody is left to wait for the answer
