"""What asyncua's server lets a client do, narrowed to looking.

The library checks rights by request type only, keeps predictable session tokens, lets any session use any subscription, and
serves a client that has not logged in, or that came without security although no such endpoint is offered. Each is closed here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole
from asyncua.crypto.security_policies import SecurityPolicyFactory
from asyncua.server.address_space import AttributeService
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.user_managers import UserManager
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import BadUserAccessDenied

from scada.core.errors import SecurityError
from scada.protocols.opcua.admission import CONNECTIONS
from scada.protocols.opcua.trust import application_uri

_ALLOWED: Final = (
    "CreateSession",
    "ActivateSession",
    "CloseSession",
    "CloseSecureChannel",
    "GetEndpoints",
    "FindServers",
    "Read",
    "Browse",
    "TranslateBrowsePathsToNodeIds",
    "RegisterNodes",
    "UnregisterNodes",
    "Write",  # answered by BadNotWritable
    "CreateSubscription",
    "ModifySubscription",
    "DeleteSubscriptions",
    "SetPublishingMode",
    "CreateMonitoredItems",
    "ModifyMonitoredItems",
    "DeleteMonitoredItems",
    "SetMonitoringMode",
    "Publish",
    "Republish",
)
ANONYMOUS: Final = ""
"""Name of who has none; nobody can log in by it."""
_SCRYPT: Final = {"n": 2**14, "r": 8, "p": 1}


class LookOnly(SimpleRoleRuleset):
    """Rights by request type; what is not named is denied: methods, history, node management, transfer of subscriptions."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        numbers = [getattr(ObjectIds, f"{name}Request_Encoding_DefaultBinary") for name in _ALLOWED]
        self._allowed = {ua.NodeId(ua.Int32(number)) for number in numbers}

    def check_validity(self, user: User, action_type: ua.NodeId, body: Any) -> bool:
        """True if a request of this type is answered."""
        del user, body
        return action_type in self._allowed


class ReadOnlyAttributes(AttributeService):
    """Nobody writes over the wire."""

    async def write(self, params: ua.WriteParameters, user: User = User(role=UserRole.Admin)) -> list[ua.StatusCode]:  # noqa: B008 - as the library has it
        """Our own writes go through; a client's are refused one by one."""
        if user.role == UserRole.Admin:
            return await super().write(params, user)
        return [ua.StatusCode(ua.UInt32(StatusCodes.BadNotWritable)) for _ in params.NodesToWrite]


class ViewerSession(InternalSession):
    """A session of a third party: it must be activated, has a token nobody guesses, and reaches only its own subscriptions."""

    def __init__(self, server: ViewerServer, name: str) -> None:
        super().__init__(server, server.aspace, server.subscription_service, name, user=User(UserRole.Anonymous), external=False)
        self._viewers = server
        self.peer: bytes | None = None
        """Certificate of the application that activated it; None = a connection without security."""
        self.external = True
        self.auth_token = ua.NodeId(ua.ByteString(secrets.token_bytes(32)), ua.Int16(0), ua.NodeIdType.ByteString)
        server.register_external_session(self)

    def activate_session(self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None) -> ua.ActivateSessionResult:
        """Log in; a session is taken up again only by the application that had it."""
        peer_certificate = peer_certificate or None
        if peer_certificate is None and not self._viewers.allow_open:
            raise ServiceError(StatusCodes.BadSecurityPolicyRejected)
        if self.is_activated() and peer_certificate != self.peer:
            raise ServiceError(StatusCodes.BadSecurityChecksFailed)
        before = self.user if self.is_activated() else None
        result = super().activate_session(params, peer_certificate)
        if before is not None and before.name != self.user.name:
            self.user = before
            raise ServiceError(StatusCodes.BadIdentityTokenRejected)
        self.peer = peer_certificate
        return result

    def _own(self, *subscriptions: int) -> None:
        """Refuse who has not logged in, and subscriptions of others."""
        if not self.is_activated():
            raise ServiceError(StatusCodes.BadSessionNotActivated)
        known = self.subscription_service.subscriptions
        if any(number in known and known[number].session_id != self.session_id for number in subscriptions):
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Read attributes."""
        self._own()
        return await super().read(params)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Refused, see :class:`ReadOnlyAttributes`."""
        self._own()
        return await super().write(params)

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """Browse."""
        self._own()
        return await super().browse(params)

    async def translate_browsepaths_to_nodeids(self, params: list[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        """Translate browse paths."""
        self._own()
        return await super().translate_browsepaths_to_nodeids(params)

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Callable[..., Any],
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:
        """Subscribe, not faster than we publish."""
        self._own()
        params.RequestedPublishingInterval = max(params.RequestedPublishingInterval, self._viewers.fastest_ms)
        return await super().create_subscription(params, callback, request_callback)

    async def create_monitored_items(self, params: ua.CreateMonitoredItemsParameters) -> list[ua.MonitoredItemCreateResult]:
        """Monitor in a subscription of one's own."""
        self._own(params.SubscriptionId)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(self, params: ua.ModifyMonitoredItemsParameters) -> list[ua.MonitoredItemModifyResult]:
        """Change one's own items."""
        self._own(params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        """Delete one's own items."""
        self._own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[ua.StatusCode]:
        """Set the mode of one's own items."""
        self._own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        """Pause one's own subscriptions."""
        self._own(*params.SubscriptionIds)
        return await super().set_publishing_mode(params)

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        """Change one's own subscription."""
        self._own(params.SubscriptionId)
        return super().modify_subscription(params)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """A message of one's own subscription once more."""
        self._own(params.SubscriptionId)
        return super().republish(params)

    def publish(self, acks: Any = None) -> tuple[int, list[ua.StatusCode]]:
        """Wait for messages; acknowledge one's own."""
        self._own(*(each.SubscriptionId for each in acks or ()))
        return super().publish(acks)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """Delete one's own subscriptions; closing a session does it too."""
        if self.is_activated():
            self._own(*ids)
        return await super().delete_subscriptions(ids)

    async def transfer_subscriptions(self, params: Any, callback: Any = None) -> list[ua.TransferResult]:
        """Never: the library does not ask whose they are."""
        del params, callback
        raise ServiceError(StatusCodes.BadServiceUnsupported)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Never: nothing is done over OPC UA."""
        del params
        raise ServiceError(StatusCodes.BadUserAccessDenied)

    async def history_read(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        """Never; the history has its own service."""
        del params
        raise ServiceError(StatusCodes.BadHistoryOperationUnsupported)

    async def history_update(self, params: ua.HistoryUpdateParameters) -> list[ua.HistoryUpdateResult]:
        """Never."""
        del params
        raise ServiceError(StatusCodes.BadHistoryOperationUnsupported)

    async def add_nodes(self, params: list[ua.AddNodesItem]) -> list[ua.AddNodesResult]:
        """Never."""
        del params
        raise ServiceError(StatusCodes.BadUserAccessDenied)

    async def delete_nodes(self, params: ua.DeleteNodesParameters) -> list[ua.StatusCode]:
        """Never."""
        del params
        raise ServiceError(StatusCodes.BadUserAccessDenied)

    async def add_references(self, params: list[ua.AddReferencesItem]) -> list[ua.StatusCode]:
        """Never."""
        del params
        raise ServiceError(StatusCodes.BadUserAccessDenied)

    async def delete_references(self, params: list[ua.DeleteReferencesItem]) -> list[ua.StatusCode]:
        """Never."""
        del params
        raise ServiceError(StatusCodes.BadUserAccessDenied)


class ViewerServer(InternalServer):
    """Makes viewer sessions.

    Args:
        users: who may log in.
        allow_open: sessions without security are served.
        fastest_ms: shortest publishing interval.
    """

    def __init__(self, users: Users, *, allow_open: bool, fastest_ms: float) -> None:
        super().__init__(user_manager=users)
        self.allow_open = allow_open
        self.fastest_ms = fastest_ms
        self.attribute_service = ReadOnlyAttributes(self.aspace)
        self.max_connections = CONNECTIONS
        self.supported_tokens = users.tokens  # type: ignore[assignment] # the library's type is its default

    def create_session(self, name: str, user: User | None = None, external: bool = False) -> InternalSession:
        """A session of a client; our own is made by the library."""
        del user
        assert external
        return ViewerSession(self, name)

    def register_server(self, server: Any, conf: Any = None) -> None:
        """Never: we are no directory; the library would tell everybody what anybody registers."""
        del server, conf
        raise ServiceError(StatusCodes.BadServiceUnsupported)


class Users(UserManager):
    """Who may look.

    Args:
        path: file of users; None = none. Read anew at each login, so that who is taken out stays out.
        anonymous: without a name too.
        refused: told of wrong logins.

    Raises:
        SecurityError: the file cannot be read.
    """

    def __init__(self, path: Path | None, *, anonymous: bool, refused: Callable[[str], None]) -> None:
        self._path = path
        self._anonymous = anonymous
        self._refused = refused
        self._by_name = bool(read_users(path))
        self._nobody = hash_password(secrets.token_hex(16))

    @property
    def tokens(self) -> tuple[type[Any], ...]:
        """Kinds of login that are offered."""
        return (
            *((ua.AnonymousIdentityToken,) if self._anonymous else ()),
            *((ua.UserNameIdentityToken,) if self._by_name else ()),
        )

    def get_user(
        self, iserver: InternalServer, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        """The user, None if the login is wrong. An unknown name takes as long as a wrong password."""
        del iserver, certificate
        if username is None:
            return User(UserRole.User, ANONYMOUS) if self._anonymous else None
        hashes = self._hashes()
        right = verify_password(password or "", hashes.get(username, self._nobody))
        if right and username in hashes:
            return User(UserRole.User, username)
        # a name that we do not know may be a password in the wrong field
        self._refused(f"wrong password of user {username!r}" if username in hashes else "login by an unknown name")
        return None

    def may_stay(self, name: str) -> bool:
        """True if who logged in by this name still could."""
        return self._anonymous if name == ANONYMOUS else name in self._hashes()

    def _hashes(self) -> dict[str, str]:
        try:
            return read_users(self._path)
        except SecurityError as error:
            self._refused(str(error))
            return {}


def read_users(path: Path | None) -> dict[str, str]:
    """User names and password hashes from a TOML file.

    Raises:
        SecurityError: it cannot be read, or others may.
    """
    if path is None:
        return {}
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecurityError("others may read the users", where=str(path), mend=f"chmod 600 {path}")
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SecurityError(f"cannot read the users: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SecurityError("the users are no TOML", where=str(path)) from error
    if not all(isinstance(each, str) and each.startswith("scrypt$") for each in found.values()):
        raise SecurityError("a user without a password hash", where=str(path), mend="make it with `scada opcua user`")
    return found


def hash_password(password: str) -> str:
    """A salted hash (scrypt) of a password."""
    salt = secrets.token_bytes(16)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(_scrypt(password, salt)).decode()}"


def verify_password(password: str, known: str) -> bool:
    """True if the hash is of this password."""
    try:
        _, salt, wanted = known.split("$")
        return hmac.compare_digest(_scrypt(password, base64.b64decode(salt)), base64.b64decode(wanted))
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)


class ProvingFactory(SecurityPolicyFactory):
    """Opens a secure channel only to an application that is proven.

    The library asks for a client's certificate in CreateSession, and only if the client shows one there; the channel itself
    would be open to anybody.
    """

    def __init__(self, *given: Any, prove: Callable[[bytes], None], **named: Any) -> None:
        super().__init__(*given, **named)  # type: ignore[no-untyped-call]
        self._prove = prove

    def create(self, peer_certificate: bytes | None) -> Any:
        """A policy for one client."""
        try:
            self._prove(bytes(peer_certificate or b""))
        except SecurityError as error:
            raise BadUserAccessDenied from error  # the library closes the connection
        return super().create(peer_certificate)  # type: ignore[no-untyped-call]


async def check_uri(certificate: Any, description: ua.ApplicationDescription) -> None:
    """The application says what its certificate says.

    Raises:
        ServiceError: BadCertificateUriInvalid.
    """
    if application_uri(certificate) != description.ApplicationUri:
        raise ServiceError(StatusCodes.BadCertificateUriInvalid)
