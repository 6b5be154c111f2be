"""What is known of a session, what a site demands of all of them, and a proven message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scada.control.records import Principal
from scada.security.certificates import Certificate
from scada.security.identities import Identity
from scada.security.peer import Peer
from scada.security.roles import Right
from scada.security.sequence import SequenceWindow
from scada.security.session_keys import KeyRing
from scada.security.sm2 import Sm2PublicKey

_UNATTENDED = frozenset({Right.VIEW, Right.HISTORY, Right.REPLAY, Right.DISPATCH, Right.AUDIT})
"""Rights of machines and onlookers: who has no other is not locked when idle, and may come from several places."""


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """What a site demands of its sessions.

    Attributes:
        secrecy: bodies and replies are enciphered by SM4-GCM; nothing less is taken.
        idle_s: without an order for so long a session of a person only looks until the next login, s; 0 = never.
        one_control_session: a login of a person at another workstation leaves the sessions before to look only.
        rekey_after_s: the client is asked to renew its keys after so long; after twice as long the session ends, s.
        rekey_after_messages: the same by the number of orders or replies.
        tls_names: by identity, the TLS certificates besides its own by whose names it may come.
    """

    secrecy: bool = False
    idle_s: float = 0.0
    one_control_session: bool = False
    rekey_after_s: float = 3600.0
    rekey_after_messages: int = 1 << 24
    tls_names: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Session:
    """One live session on the server."""

    identifier: bytes = field(repr=False)
    principal: Principal
    public_key: Sm2PublicKey = field(repr=False)
    ring: KeyRing = field(repr=False)
    began_ns: int
    """ns UTC."""
    expires_ns: int
    """ns UTC, as told to the client."""
    deadline: float
    """The same on the monotonic clock, which no one can set back."""
    certificate: Certificate = field(repr=False)
    peer: Peer
    """The connection of the login."""
    server: Identity = field(repr=False)
    """Who we were at the login: the client knows us by this key."""
    last_order: float
    """Monotonic s of the last order, or of the login."""
    last_order_ns: int = 0
    """ns UTC of the last order; 0 = none yet."""
    superseded_by: list[bytes] = field(default_factory=list, repr=False)
    """Later sessions of the identity at other workstations, the latest last."""
    renewed_at: int = 0
    """:attr:`messages` at the last renewal of the keys."""
    window: SequenceWindow = field(default_factory=SequenceWindow, repr=False)

    @property
    def messages(self) -> int:
        """Orders and replies so far."""
        return self.window.highest + self.ring.number

    @property
    def attended(self) -> bool:
        """A person with rights to act, not a machine or an onlooker."""
        return is_attended(self.principal)


@dataclass(frozen=True, slots=True)
class Order:
    """A proven message of a session.

    Attributes:
        session: by which it came.
        body: the serialised request; parse it now, not before.
        evidence: serialised ``Signed`` with the plain body, provable from itself and the certificate alone.
    """

    session: Session
    body: bytes
    evidence: bytes


def is_attended(principal: Principal) -> bool:
    """True for a person with rights to act, False for a machine or an onlooker."""
    return bool(principal.rights - _UNATTENDED)
