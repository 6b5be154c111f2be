"""A client's connections: mutual TLS 1.3, pinned to the certificate that the server showed.

grpc does not tell a client whose certificate it saw. So a handshake of our own asks first, proves the certificate by the
authority, the server's name and the revocation list, and the channel then accepts this one certificate and no other: what the
login binds is what the channel speaks to. A server that has taken a new certificate is asked again when it cannot be reached.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Final

import grpc

from scada.api.faults import CallError
from scada.core.api_settings import LOOPBACK
from scada.core.errors import SecurityError
from scada.security.tls import handshake_fault
from scada.security.tls_trust import ClientTls

CLIENT_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 1500),
    ("grpc.http2.ping_timeout_ms", 1500),
    # a fixed window instead of one that grows to megabytes of old frames in front of a slow reader; one that holds several
    # frames, or each of them would make the client tell the server how much more it may send
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 256 * 1024),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3000),
    ("grpc.enable_http_proxy", 0),
    # two clients of one process must not share a connection: a stalled one would hold up the other
    ("grpc.use_local_subchannel_pool", 1),
)

HANDSHAKE_S: Final = 10.0


class Connections:
    """Channels of one client, by target ``host:port``.

    Args:
        tls: certificates; None = without TLS, to this machine only.
        options: of the channels.
    """

    def __init__(self, tls: ClientTls | None, options: Sequence[tuple[str, Any]] = CLIENT_OPTIONS) -> None:
        self._tls = tls
        self._options = options
        self._channels: dict[str, Any] = {}
        self._digests: dict[str, bytes] = {}
        self._doubted: set[str] = set()
        self._lock = asyncio.Lock()

    async def channel(self, target: str) -> Any:
        """The channel to a target.

        Raises:
            CallError: the server does not answer, or is not the one that the authority certified.
        """
        if target in self._channels and target not in self._doubted:
            return self._channels[target]
        async with self._lock:
            if self._tls is None:
                self._channels.setdefault(target, self._plain(target))
            elif target not in self._channels or target in self._doubted:
                await self._pin(target, self._tls)
            return self._channels[target]

    async def digest(self, target: str) -> bytes:
        """SM3 of the DER of the certificate that the channel to a target accepts; empty without TLS.

        Raises:
            CallError: as :meth:`channel`.
        """
        await self.channel(target)
        return self._digests.get(target, b"")

    def doubt(self, target: str) -> None:
        """A call found the target away: before the next one its certificate is looked at again."""
        if self._tls is not None:
            self._doubted.add(target)

    def doubt_all(self) -> None:
        """The server says that it has another certificate by now: each is looked at again."""
        for target in self._channels:
            self.doubt(target)

    async def close(self) -> None:
        """Close every channel; safe to call twice."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()

    async def _pin(self, target: str, tls: ClientTls) -> None:
        tls.renew()
        pem, digest = await self._look(target, tls)
        self._doubted.discard(target)
        if target in self._channels and digest == self._digests[target]:
            return
        old = self._channels.pop(target, None)
        material = tls.material
        credentials = grpc.ssl_channel_credentials(pem, material.key, material.certificate)
        options = (*self._options, ("grpc.ssl_target_name_override", tls.server_name))
        self._channels[target] = grpc.aio.secure_channel(target, credentials, options=options)
        self._digests[target] = digest
        if old is not None:
            await old.close()

    @staticmethod
    async def _look(target: str, tls: ClientTls) -> tuple[bytes, bytes]:
        """The certificate that the server shows, proven, as PEM, and its digest."""
        host, _, port = target.rpartition(":")
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                _, writer = await asyncio.open_connection(
                    host.strip("[]"), int(port), ssl=tls.context(), server_hostname=tls.server_name
                )
        except ssl.SSLError as error:
            raise _untrusted(target, handshake_fault(error)) from error
        except (OSError, TimeoutError) as error:
            raise CallError(
                grpc.StatusCode.UNAVAILABLE, "unavailable", f"the server {target} does not answer", mend="is it running?"
            ) from error
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.transport.abort()  # the server waits for a first frame, and a farewell would wait for the server
        try:
            return tls.server_certificate(der)
        except SecurityError as error:
            raise _untrusted(target, error.what) from error

    def _plain(self, target: str) -> Any:
        host = target.rpartition(":")[0].strip("[]")
        if host not in LOOPBACK:
            raise CallError(
                grpc.StatusCode.UNAUTHENTICATED, "no_tls", f"without TLS no server but on this machine is called, not {host}"
            )
        return grpc.aio.insecure_channel(target, options=self._options)


def _untrusted(target: str, why: str) -> CallError:
    return CallError(
        grpc.StatusCode.UNAUTHENTICATED,
        "server_untrusted",
        f"the server {target} cannot be trusted: {why}",
        mend="compare tls-ca.pem of both sides, or use --plain if the server runs without TLS",
    )
