"""One OPC UA session that can outlive its TCP connection (OPC 10000-4, 6.7), on asyncua's client.

What asyncua's own reconnection does is not used: it asks for missed notifications without end where a server answers an unknown
number with an empty message (asyncua's server does), it takes over a subscription of the same number that a restarted server may
have given to somebody else, and it does not see a gap while the connection stands.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.client.ua_session import UaSession
from asyncua.common.shortcuts import Shortcuts
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from scada.core.clock import Clock
from scada.core.errors import SecurityError
from scada.protocols.opcua.security import SecurityPolicy, SecurityWish, choose_endpoint, read_key, read_login
from scada.protocols.opcua.trust import Peer, TrustList, application_uri, parse_der, read_certificate

# The library logs every lost connection with a traceback; what an operator needs of it goes through the sink.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)

FAILURES: Final = (OSError, TimeoutError, UaError)
"""What the library raises when a server is not there, does not answer, or answers no."""

DEFAULT_URI: Final = "urn:scada-ems:client"
_START_TIME: Final = ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_StartTime))
_PUBLISHING: Final = 2
"""Requests on their way besides the allowed ones: one publish request waits at the server, one may be renewed."""

OnWire = Callable[[bool, bytes], None]
"""Told of octets: (True = received, octets)."""


class Connection(Client):
    """Opens, resumes and closes a session.

    Args:
        url: ``opc.tcp://host:port/path``; we connect there, whatever address the server's endpoints show.
        wish: policy, mode, files and login.
        clock: for the validity of certificates.
        timeout_s: of one request.
        session_timeout_s: asked of the server.
        max_requests: on their way at once.
        on_wire: told of everything read and written.
    """

    def __init__(
        self,
        url: str,
        wish: SecurityWish,
        clock: Clock,
        *,
        timeout_s: float,
        session_timeout_s: float = 60.0,
        max_requests: int = 10,
        on_wire: OnWire | None = None,
    ) -> None:
        super().__init__(url, timeout=timeout_s)
        self._wish = wish
        self._wall = clock
        self._born: object = None
        self._prove: Callable[[], None] = _trusted
        self.namespaces: Sequence[str] = ()
        """The server's namespace array."""
        self.uaclient = _Transport(timeout_s, on_wire)
        self.uaclient.set_max_concurrent_requests(max_requests + _PUBLISHING)
        self.nodes = Shortcuts(self.uaclient.session)
        self.name = self.description = "scada"
        self.application_uri = DEFAULT_URI
        self.session_timeout = round(session_timeout_s * 1000)

    @property
    def session(self) -> UaSession:
        """Services of the session."""
        return self.uaclient.session

    @property
    def is_open(self) -> bool:
        """The TCP connection stands."""
        protocol = self.uaclient.protocol
        return protocol is not None and protocol.transport is not None

    # ------------------------------------------------------------ opening

    async def open(self) -> None:
        """Prove the server, open a secure channel and a new session.

        Raises:
            SecurityError: our files cannot be used, or the server is not the trusted one or offers less than is wished.
            OSError, TimeoutError, UaError: it is not there or refuses.
        """
        login = read_login(self._wish.credentials)
        if login is not None:
            self.set_user(login.user)
            self.set_password(login.password)
        if self._wish.user_certificate is not None and self._wish.user_key is not None:
            self.user_certificate = read_certificate(self._wish.user_certificate)
            self.user_private_key = read_key(self._wish.user_key)
        try:
            if self._wish.policy is not SecurityPolicy.NONE:
                await self._secure()
            await self._connect_sequence()
            self._born = await self._server_start()
            self.namespaces = [str(uri) for uri in await self.get_namespace_array()]
        except BaseException:
            await self.close()
            raise

    async def _secure(self) -> None:
        wish = self._wish
        assert wish.certificate is not None
        assert wish.key is not None
        assert wish.trust is not None
        own, key = read_certificate(wish.certificate), read_key(wish.key)
        if own.public_key() != key.public_key():
            raise SecurityError("the key is not the one of the certificate", where=str(wish.key), mend="name the pair")
        self.application_uri = application_uri(own)
        if not self.application_uri:
            raise SecurityError("our certificate has no application URI", where=str(wish.certificate), mend="make another")
        self.set_secure_policy(None)
        endpoint = choose_endpoint(await self.connect_and_get_server_endpoints(), wish)
        server = parse_der(bytes(endpoint.ServerCertificate or b""))
        peer = Peer(str(endpoint.Server.ApplicationUri or ""), server=True, host=str(self.server_url.hostname or ""))
        trust = TrustList(wish.trust, allow_deprecated=wish.allow_deprecated)
        self._prove = lambda: trust.check(server, peer, self._wall.now_ns())
        self._prove()
        self.set_secure_policy(wish.policy.implementation(server, own, key, wish.message_mode))

    def set_secure_policy(self, policy: Any) -> None:
        """Secure the next channel so; None = not at all, which serves to ask for endpoints only."""
        self.security_policy = policy or SecurityPolicy.NONE.implementation()
        self.uaclient.set_security(self.security_policy)

    def _add_user_auth(self, params: ua.ActivateSessionParameters, username: str | None, password: str | None) -> None:
        """Send a password only where it is encrypted, by the channel or by itself, and by a policy that is safe."""
        asked = self.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
        policy = SecurityPolicy.named(asked) if asked else SecurityPolicy.NONE
        is_clear = policy is SecurityPolicy.NONE and self.security_policy.Mode != ua.MessageSecurityMode.SignAndEncrypt
        if policy is None or is_clear or (policy.deprecated and not self._wish.allow_deprecated):
            text = f"the server wants the password by policy {asked or 'None'}, in a channel {self._wish.mode}; it is not sent"
            raise SecurityError(text, mend="use security_mode SignAndEncrypt")
        super()._add_user_auth(params, username, password)

    # ------------------------------------------------------------ resuming

    async def resume(self) -> bool:
        """Open a new connection and go on with the session.

        Returns:
            False if the server no longer has the session, is another one than before, or is no longer trusted: everything must
            be made anew.

        Raises:
            OSError, TimeoutError, UaError: no connection; try again.
        """
        await self.drop()
        try:
            self._prove()
        except SecurityError:
            return False
        await self.connect_socket()
        try:
            await self.send_hello()
            await self.open_secure_channel()
            self.session.rebind_authentication_token()
            try:
                await self._activate_with_credentials()
            except UaStatusCodeError:
                return False
            self._start_renew_loop()
            # a restarted server numbers from the beginning: our session and subscription would be another client's
            return self._born is not None and await self._server_start() == self._born
        except BaseException:
            self.disconnect_socket()
            raise

    async def drop(self) -> None:
        """Close the TCP connection; the session lives on at the server."""
        await self._teardown_transport_only()

    async def close(self) -> None:
        """Close session and connection; never raises for a server that is gone."""
        with contextlib.suppress(*FAILURES):
            if self.is_open:
                await self.disconnect()
            else:
                await self.drop()

    async def _server_start(self) -> object:
        """When this life of the server began; None if it does not say."""
        found = (await self.session.read_attributes([_START_TIME], AttributeIds.Value))[0]
        good = found.StatusCode is not None and found.StatusCode.is_good()
        return found.Value.Value if good and found.Value is not None else None


def _trusted() -> None:
    """Without security there is nothing to prove."""


class _Session(UaSession):
    """Without the library's publish loop: it acknowledges before the database has taken over."""

    def ensure_publish_loop(self) -> None:
        """The driver publishes."""


class _Transport(UaClient):
    """Makes protocols that tell what goes over the wire."""

    def __init__(self, timeout: float, on_wire: OnWire | None) -> None:
        super().__init__(timeout)
        self._on_wire = on_wire
        self.session = _Session(self)

    def _make_protocol(self) -> UASocketProtocol:
        protocol = super()._make_protocol()
        if self._on_wire is not None:
            protocol.__class__ = _Listening
            assert isinstance(protocol, _Listening)
            protocol.on_wire = self._on_wire
        return protocol


class _Listening(UASocketProtocol):
    """Tells what is read and written."""

    on_wire: OnWire

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Transmitter(transport, self.on_wire))  # type: ignore[arg-type] # it does what the real one does

    def data_received(self, data: bytes) -> None:
        self.on_wire(True, data)
        super().data_received(data)


class _Transmitter:
    """A transport that tells what is written."""

    def __init__(self, transport: Any, on_wire: OnWire) -> None:
        self._transport = transport
        self._on_wire = on_wire

    def write(self, data: bytes) -> None:
        self._on_wire(False, bytes(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
