"""Tells what happens to the files of the policy: edits by hand, edits that cannot be used, areas that name nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

import structlog

from scada.actors.backend import Backend
from scada.core.errors import ScadaError
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.security.audit import AuditRow
from scada.security.policy import Policy, findings
from scada.security.trust import Trust
from scada.security.users import UserTable, text_of_user

_log = structlog.get_logger("scada.api.security")


class PolicyWatch:
    """Compares what is in force with what was told last. Safe to call from several threads; it writes to the audit log.

    Args:
        backend: takes events and rows.
        trust: holds the policy.
    """

    def __init__(self, backend: Backend, trust: Trust) -> None:
        self._backend = backend
        self._trust = trust
        self._lock = Lock()
        self._told = ""
        self._known: Policy = trust.policy
        self._judged: tuple[Policy, ModelTables] | None = None

    @contextmanager
    def ordered(self, name: str) -> Iterator[None]:
        """While the entry of a user is changed and taken by order: who ordered it tells it, and of nothing else."""
        with self._lock:
            yield
            self._expect(name)

    def _expect(self, name: str) -> None:
        known = self._known.users
        users = {**known.users, name: self._trust.policy.users.users.get(name)}
        told = {key: user for key, user in users.items() if user is not None}
        self._known = replace(self._known, users=UserTable(told, known.roles))

    def look(self) -> None:
        """Tell what has changed since; cheap if nothing has."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        fault, policy, tables = self._trust.fault, self._trust.policy, self._backend.tables
        if fault != self._told:
            self._told = fault
            if fault:
                _log.error("files of keys and rights cannot be used, what was read last goes on", fault=fault)
                self._tell("security.trust_fault", 1, reason=fault)
        if policy is not self._known:
            known, self._known = self._known, policy
            for name, entry in _changes(known.users, policy.users):
                self._edited(name, entry)
            if (known.roles, known.zones) != (policy.roles, policy.zones):
                self._edited("", "roles or zones of workstations")
        if self._judged is None or self._judged[0] is not policy or self._judged[1] is not tables:
            self._judged = policy, tables
            for found in findings(policy, tables):
                _log.warning("rights", finding=found)

    def _edited(self, name: str, entry: str) -> None:
        row = AuditRow("security", "file edited", mrid=name[:64], path=entry[:1000])
        try:
            self._backend.record(row)
        except ScadaError as error:
            _log.error("the audit log cannot be written", cause=str(error))
        _log.warning("the table of users was edited outside of the server", user=name, entry=entry)
        self._tell("security.table_edited", 2, entry=entry, **({"user": name} if name else {}))

    def _tell(self, key: str, priority: int, **parameters: str) -> None:
        now = self._backend.clock.now_ns()
        self._backend.report(Event(now, EventKind.SECURITY, AlarmClass.ABNORMAL, priority, key, parameters=parameters))


def _changes(before: UserTable, after: UserTable) -> list[tuple[str, str]]:
    """Name and new entry of each user that differs."""
    names = [name for name in {**before.users, **after.users} if before.users.get(name) != after.users.get(name)]
    return [(name, text_of_user(after.users[name]) if name in after.users else "removed") for name in names]
