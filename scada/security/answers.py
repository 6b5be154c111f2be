"""The server's signed answers of the handshakes: to a login and to a renewal of keys."""

from __future__ import annotations

import secrets
from typing import Final

from scadapb.v1 import scada_pb2 as pb

from scada.control.records import Principal
from scada.core.clock import Clock
from scada.security.envelope import now_us, seal, span_us
from scada.security.identities import Identity
from scada.security.logins import NONCE_SIZE, WINDOW_S
from scada.security.session_records import SessionPolicy, is_attended
from scada.security.sm2 import Sm2PublicKey

LOGIN: Final = "/scadapb.v1.Session/Login"
REKEY: Final = "/scadapb.v1.Session/Rekey"


class Answers:
    """Makes them.

    Args:
        site: our name.
        clock: ours.
        policy: what the client is told of it.
    """

    def __init__(self, site: str, clock: Clock, policy: SessionPolicy) -> None:
        self._site = site
        self._clock = clock
        self._policy = policy

    def login(
        self,
        server: Identity,
        request: pb.LoginRequest,
        principal: Principal,
        *,
        secret: bytes,
        digest: bytes,
        expires_ns: int,
    ) -> bytes:
        """Serialised Signed{LoginReply}.

        Args:
            server: signs it.
            request: proven.
            principal: who has logged in.
            secret: of the session, enciphered to the client's fresh key here.
            digest: SM3 of the request as it came.
            expires_ns: end of the session, ns UTC.
        """
        policy = self._policy
        body = pb.LoginReply(
            session=bytes.fromhex(principal.session),
            request_digest=digest,
            nonce=secrets.token_bytes(NONCE_SIZE),
            sealed_secret=Sm2PublicKey(request.ephemeral_key).encrypt(secret),
            certificate=server.certificate.encoded,
            roles=sorted(principal.roles),
            rights=sorted(principal.rights),
            areas=sorted(principal.areas),
            expires_ns=expires_ns,
            site=self._site,
            rekey_after_s=round(policy.rekey_after_s),
            rekey_after_messages=policy.rekey_after_messages,
            secrecy=policy.secrecy,
            zone=principal.zone,
            idle_s=round(policy.idle_s) if is_attended(principal) else 0,
        )
        return self._signed(server, principal.name, LOGIN, body.session, 0, body.SerializeToString())

    def rekey(
        self, server: Identity, ephemeral: Sm2PublicKey, principal: Principal, *, secret: bytes, digest: bytes, epoch: int
    ) -> bytes:
        """Serialised Signed{RekeyReply}; arguments as of :meth:`login`, ``epoch`` of the new keys."""
        body = pb.RekeyReply(
            request_digest=digest,
            nonce=secrets.token_bytes(NONCE_SIZE),
            sealed_secret=ephemeral.encrypt(secret),
            epoch=epoch,
        )
        return self._signed(server, principal.name, REKEY, bytes.fromhex(principal.session), epoch, body.SerializeToString())

    def _signed(self, server: Identity, recipient: str, method: str, session: bytes, epoch: int, body: bytes) -> bytes:
        now = now_us(self._clock)
        header = pb.Header(
            sender=server.name,
            recipient=recipient,
            method=method,
            time_us=now,
            session=session,
            expires_us=now + span_us(self._clock, WINDOW_S),
            epoch=epoch,
        )
        return seal(server.signer, header, body, None).SerializeToString()
