"""What a person who acted a while ago may do now: the certificate is proven again, and the table is asked again."""

from __future__ import annotations

from scada.control.records import Principal
from scada.core.clock import Clock
from scada.core.errors import SecurityError
from scada.security.certificates import parse_certificate
from scada.security.trust import Trust


class StandingRights:
    """Asks the trust about a principal of an earlier moment.

    Args:
        trust: what is trusted now.
        clock: the host's.
    """

    def __init__(self, trust: Trust, clock: Clock) -> None:
        self._trust = trust
        self._clock = clock

    def __call__(self, principal: Principal) -> Principal | None:
        """The same person with present rights and areas; None if the identity is no longer valid.

        Applications and masters have standing rights of the configuration: they come back as they are. A person whose certificate
        is not known has none.
        """
        if not principal.is_person:
            return principal
        try:
            certificate = parse_certificate(principal.certificate)
            self._trust.check(certificate, self._clock.now_ns())
            station, session, peer = principal.station, principal.session, principal.peer
            return self._trust.principal(certificate, station=station, session=session, peer=peer)
        except SecurityError:
            return None
