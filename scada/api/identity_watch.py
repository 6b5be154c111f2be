"""Tells the operator of the server's own certificates: renewed, cannot be taken, about to end; once each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from scada.actors.backend import Backend
from scada.core.clock import NS_PER_S
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.security.audit import AuditRow
from scada.security.identities import Identity
from scada.security.revocation import day_text

SOON_NS: Final = 30 * 86_400 * NS_PER_S
"""So long before a certificate ends the operator is told."""

_RENEWED: Final = ("security.identity_renewed", AlarmClass.NOTICE, 3)
_FAULT: Final = ("security.identity_fault", AlarmClass.ABNORMAL, 1)
_DUE: Final = ("security.identity_due", AlarmClass.ABNORMAL, 2)
_OVER: Final = ("security.identity_over", AlarmClass.ABNORMAL, 1)
_log = structlog.get_logger("scada.api.security")


class IdentityWatch:
    """Compares the server's identity with what was told last. For one thread at a time.

    Args:
        backend: takes events and rows.
        identity: with which the server began.
    """

    def __init__(self, backend: Backend, identity: Identity) -> None:
        self._backend = backend
        self._known = identity
        self._fault = ""
        self._told: dict[str, tuple[str, AlarmClass, int]] = {}

    def look(self, identity: Identity, fault: str, ends: Mapping[str, int], now_ns: int) -> None:
        """Tell what has changed since.

        Args:
            identity: in force.
            fault: why files that changed could not be taken, empty if they could.
            ends: end of validity, ns UTC, of each certificate of the server by its name.
            now_ns: ns UTC of the host.
        """
        if identity.certificate.encoded != self._known.certificate.encoded:
            self._known = identity
            until, serial = day_text(identity.certificate.not_after_ns), f"{identity.certificate.serial:x}"
            self._backend.audit.tell(AuditRow("security", "identity_changed", "system", reason=f"serial {serial}, until {until}"))
            self._tell(_RENEWED, serial=serial, until=until)
        if fault != self._fault:
            self._fault = fault
            if fault:
                self._backend.audit.tell(AuditRow("security", "identity_refused", "system", reason=fault[:1000]))
                self._tell(_FAULT, reason=fault)
        for name, until_ns in ends.items():
            self._look_at_end(name, until_ns, now_ns)

    def _look_at_end(self, name: str, until_ns: int, now_ns: int) -> None:
        if now_ns < until_ns - SOON_NS:
            self._told.pop(name, None)
            return
        state = _OVER if now_ns >= until_ns else _DUE
        if self._told.get(name) != state:
            self._told[name] = state
            self._tell(state, certificate=name, until=day_text(until_ns))

    def _tell(self, what: tuple[str, AlarmClass, int], **parameters: str) -> None:
        key, alarm_class, priority = what
        (_log.info if alarm_class is AlarmClass.NOTICE else _log.warning)("identity of the server", key=key, **parameters)
        now_ns = self._backend.clock.now_ns()
        self._backend.report(Event(now_ns, EventKind.SECURITY, alarm_class, priority, key, parameters=parameters))
