"""Tells the operator of revocation lists before they are overdue, when they are, and when they were renewed; once each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from scada.actors.backend import Backend
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.security.revocation import ListTerm, day_text

_OVERDUE: Final = ("security.list_overdue", AlarmClass.ABNORMAL, 1)
_DUE: Final = ("security.list_due", AlarmClass.ABNORMAL, 2)
_RENEWED: Final = ("security.list_renewed", AlarmClass.NOTICE, 3)
_log = structlog.get_logger("scada.api.security")


class ListWatch:
    """Compares how the lists are with what was told last. For one thread at a time.

    Args:
        backend: takes events.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._told: frozenset[ListTerm] = frozenset()

    def look(self, terms: Iterable[ListTerm]) -> None:
        """Tell what has changed since; ``terms`` are all lists that are overdue or soon will be."""
        known, self._told = self._told, frozenset(terms)
        for term in sorted(self._told - known):
            self._tell(_OVERDUE if term.overdue else _DUE, term.authority, day_text(term.due_ns) if term.due_ns else "")
        for authority in sorted({term.authority for term in known} - {term.authority for term in self._told}):
            self._tell(_RENEWED, authority)

    def _tell(self, what: tuple[str, AlarmClass, int], authority: str, due: str = "") -> None:
        key, alarm_class, priority = what
        _log.warning("revocation list", key=key, authority=authority, due=due)
        parameters = {"authority": authority} | ({"due": due} if due else {})
        now_ns = self._backend.clock.now_ns()
        self._backend.report(Event(now_ns, EventKind.SECURITY, alarm_class, priority, key, parameters=parameters))
