"""Logins and refusals: logged, stored as SECURITY events and in the audit log, and kept from flooding either."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from scada.actors.backend import Backend
from scada.api.faults import LONGEST
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.security.audit import AuditRow

BURST = 50
RATE_PER_S = 10.0
"""Events stored a second in the long run; what exceeds it is logged and counted into one event."""

_AUDITED = frozenset({"security.login", "security.logout", "security.session_ended", "security.superseded"})
"""Told to the audit log whether or not the event log has room for them: they are of somebody who was proven."""

_log = structlog.get_logger("scada.api.security")


class SecurityReporter:
    """Writes what the faces see of logins and refusals to the log, the event log and the audit log."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._tokens = float(BURST)
        self._filled_at = backend.clock.monotonic()
        self._uncounted = 0
        self._summary: asyncio.TimerHandle | None = None

    def refused(self, *, method: str, code: str, reason: str, peer: str, sender: str) -> None:
        """A control message, a login or a call without a right was refused."""
        _log.warning("refused", method=method, code=code, reason=reason, peer=peer, sender=sender)
        self._store("security.refused", 2, sender, method=method, code=code, reason=reason, peer=peer, sender=sender)

    def login(
        self, *, name: str, peer: str, station: str, session: str = "", evidence: bytes = b"", elsewhere: Iterable[str] = ()
    ) -> None:
        """A session was opened; the envelope of the login bears the certificate that proves every later one.

        Args:
            name: whose.
            peer: connection.
            station: workstation.
            session: hex.
            evidence: the login as it came.
            elsewhere: workstations at which the identity only looks from now on.
        """
        _log.info("login", name=name, peer=peer, station=station)
        places = ", ".join(sorted({place or "?" for place in elsewhere}))[:LONGEST]
        reason = f"only looks: {places}" if places else ""
        row = AuditRow("security", "login", name, station, session, path=peer, evidence=evidence, reason=reason)
        self._backend.audit.tell(row)
        self._store("security.login", 4, name, name=name, peer=peer, station=station)
        if places:
            _log.warning("superseded", name=name, station=station, elsewhere=places)
            self._store("security.superseded", 3, name, name=name, station=station, elsewhere=places)

    def logout(self, *, name: str, peer: str, session: str = "") -> None:
        """A session was closed by its owner."""
        _log.info("logout", name=name, peer=peer)
        self._backend.audit.tell(AuditRow("security", "logout", name, session=session, path=peer))
        self._store("security.logout", 4, name, name=name, peer=peer)

    def limited(self, *, peer: str, name: str, kind: str, count: int, closed: int = 0) -> None:
        """A peer asked too much: it was refused ``count`` times since it was told last, and lost ``closed`` connections."""
        _log.warning("rate limited", peer=peer, name=name, kind=kind, count=count, closed=closed)
        parameters = {"peer": peer, "name": name, "kind": kind, "count": str(count), "closed": str(closed or "")}
        self._store("security.rate_limited", 2, name, **parameters)

    def ended(self, *, name: str, station: str, reason: str) -> None:
        """A session was ended by the server."""
        _log.warning("session ended", name=name, station=station, reason=reason)
        self._backend.audit.tell(AuditRow("security", "session_ended", name, station, reason=reason))
        self._store("security.session_ended", 2, name, name=name, station=station, reason=reason)

    def tls(self, *, reason: str) -> None:
        """The TLS files changed and cannot be used."""
        _log.error("TLS files", reason=reason)
        self._backend.audit.tell(AuditRow("security", "tls_refused", "system", reason=reason[:1000]))
        self._store("security.tls_files", 1, "", reason=reason)

    def tls_taken(self, *, certificate: str, revoked: int) -> None:
        """TLS files changed and are in force: our certificate (SM3 of its DER, hex) and how many are revoked."""
        _log.info("TLS files taken", certificate=certificate, revoked=revoked)
        reason = f"certificate SM3 {certificate}; {revoked} revoked"
        self._backend.audit.tell(AuditRow("security", "tls_changed", "system", value=float(revoked), reason=reason))

    def close(self) -> None:
        """Write what is still only counted."""
        if self._summary is not None:
            self._summary.cancel()
            self._write_summary()

    def _store(self, key: str, priority: int, actor: str, **parameters: str) -> None:
        now = self._backend.clock.monotonic()
        self._tokens = min(float(BURST), self._tokens + (now - self._filled_at) * RATE_PER_S)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            self._report(key, priority, actor, parameters)
            return
        self._uncounted += 1
        if self._summary is None:
            self._summary = asyncio.get_running_loop().call_later(1.0, self._write_summary)

    def _write_summary(self) -> None:
        self._summary = None
        count, self._uncounted = self._uncounted, 0
        self._report("security.flood", 2, "", {"count": str(count)})

    def _report(self, key: str, priority: int, actor: str, parameters: dict[str, str]) -> None:
        clock = self._backend.clock
        if key not in _AUDITED:
            row = AuditRow(
                "security",
                key.removeprefix("security."),
                actor,
                path=f"{parameters.get('method', '')} {parameters.get('peer', '')}".strip()[:LONGEST],
                value=float(parameters.get("count", "nan")),
                code=parameters.get("code", "")[:LONGEST],
                reason=parameters.get("reason", "")[:LONGEST],
            )
            self._backend.audit.tell(row)
        alarm_class = AlarmClass.ABNORMAL if priority < 3 else AlarmClass.NOTICE
        self._backend.report(
            Event(clock.now_ns(), EventKind.SECURITY, alarm_class, priority, key, parameters=parameters, actor=actor)
        )
