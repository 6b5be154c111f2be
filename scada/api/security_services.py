"""The service Security: users, policy and sessions, by those who manage rights; every change is in the audit log first."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import grpc
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api.faults import CallError, check_texts, malformed
from scada.api.gate import Gate, Method
from scada.api.policy_watch import PolicyWatch
from scada.api.user_messages import user_info, user_of
from scada.control.records import Principal
from scada.core.clock import SystemClock
from scada.core.control_settings import TwoPersonRule
from scada.core.errors import ScadaError, SecurityError
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.security.areas import AreaTree
from scada.security.audit import AuditRow
from scada.security.policy import changed_table
from scada.security.roles import Right
from scada.security.session import Session, SessionServer
from scada.security.sm3 import sm3
from scada.security.users import User, UserRefusedError, UserTable, text_of_user
from scada.security.users_file import change_users

MOST_NAMES = 256
"""Roles, areas or zones of one user in an order."""
_LOGINS = 10_000
"""Events of logins looked through for the last one of each user."""
_ID = 8

_log = structlog.get_logger("scada.api.security")


class SecurityServices:
    """Methods of the service Security, in the order of the proto file.

    Args:
        backend: the running server.
        sessions: with the trust that they stand on.
    """

    def __init__(self, backend: Backend, sessions: SessionServer) -> None:
        self._backend = backend
        self._sessions = sessions
        self._trust = sessions.trust
        self.watch = PolicyWatch(backend, self._trust)
        """Owner of the housekeeping: calls its ``look``."""

    # ------------------------------------------------------------------ queries

    async def list_users(self, request: pb.ListUsersRequest, principal: Principal) -> pb.UserList:
        """The table of users, who of them is here now, and when each came last."""
        del request, principal
        table = self._trust.policy.users
        live = self._sessions.sessions()
        count = Counter(session.principal.name for session in live)
        last = await self._last_logins()
        for session in live:
            last[session.principal.name] = max(last.get(session.principal.name, 0), session.began_ns)
        users = [user_info(user, count[user.name], last.get(user.name, 0)) for user in table.users.values()]
        return pb.UserList(users=users, revision=table.revision)

    async def get_policy(self, request: pb.PolicyRequest, principal: Principal) -> pb.Policy:
        """Roles, zones of workstations, what areas there are, and which controls need two persons."""
        del request, principal
        policy = self._trust.policy
        known = policy.roles
        return pb.Policy(
            roles=[pb.RoleInfo(name=one, rights=sorted(known.rights[one]), excludes=known.excluded(one)) for one in known.rights],
            zones=[
                pb.ZoneInfo(
                    name=zone.name,
                    workstations=[*sorted(zone.workstations), *(f"tls:{name}" for name in sorted(zone.certificates))],
                    rights=sorted(zone.rights),
                )
                for zone in policy.zones
            ],
            areas=AreaTree.of(self._backend.tables).names(),
            two_person=[_rule_text(rule) for rule in self._backend.two_person],
        )

    async def list_sessions(self, request: pb.ListSessionsRequest, principal: Principal) -> pb.SessionList:
        """Live sessions, the oldest first."""
        del request
        live = sorted(self._sessions.sessions(), key=lambda session: session.began_ns)
        return pb.SessionList(sessions=[self._session_info(session, principal) for session in live])

    # ------------------------------------------------------------------ orders

    async def set_user(self, request: pb.UserOrder, principal: Principal, evidence: bytes) -> pb.SecurityReply:
        """Put in, change or remove an entry of the table of users."""
        user = request.user
        check_texts(user.name, request.reason, *user.roles, *user.areas, *user.zones)
        if not user.name or max(map(len, (user.roles, user.areas, user.zones))) > MOST_NAMES:
            raise malformed(f"an order names a user, and at most {MOST_NAMES} roles, areas and zones")
        wanted = user_of(user)

        def _change(table: UserTable) -> UserTable:
            now_ns = SystemClock().now_ns()
            if not table.holds(principal.name, Right.SECURITY, now_ns):  # changed while the order waited for its turn
                raise UserRefusedError("unauthorised", "the right to do this has been taken meanwhile", where=principal.name)
            return changed_table(
                table,
                self._trust.policy.zones,
                wanted,
                remove=request.remove,
                actor=principal.name,
                reason=request.reason,
                based_on=request.based_on,
                now_ns=now_ns,
            )

        step, entry = ("remove user", "removed") if request.remove else ("set user", text_of_user(wanted))
        row = _row(step, principal, evidence, request.reason, mrid=user.name[:64], path=entry)

        def _act() -> None:
            with self.watch.ordered(user.name):
                change_users(self._trust.folder, self._trust.policy.roles, _change, before=lambda: self._backend.record(row))
                self._trust.refresh()

        if refusal := await self._done(row, _act):
            return refusal
        self._tell("security.user_changed", principal, user=user.name, entry=entry, reason=request.reason)
        remarks = [] if request.remove else self._area_faults(wanted)
        return self._accepted("; ".join([*remarks, self._trust.fault] if self._trust.fault else remarks))

    async def end_session(self, request: pb.EndSessionRequest, principal: Principal, evidence: bytes) -> pb.SecurityReply:
        """End somebody's session."""
        check_texts(request.reason)
        found = next(
            (one for one in self._sessions.sessions() if hmac.compare_digest(_digest(one), request.id_digest)),
            None,
        )
        if found is None:
            return pb.SecurityReply(code="unknown_session", reason="there is no such session")
        if not request.reason.strip():
            return pb.SecurityReply(code="no_reason", reason="a reason must be given")
        row = _row(
            "end session", principal, evidence, request.reason, mrid=found.principal.name[:64], path=found.principal.station
        )

        def _act() -> None:
            self._backend.record(row)
            self._sessions.end(found.identifier, f"ended by {principal.name}: {request.reason}")

        return await self._done(row, _act) or self._accepted()

    async def load_revocations(self, request: pb.RevocationListFile, principal: Principal, evidence: bytes) -> pb.SecurityReply:
        """Take a revocation list, and end the sessions of whom it names."""
        row = _row("load revocations", principal, evidence, "", path=f"SM3 {sm3(request.crl).hex()}")

        def _act() -> None:
            self._backend.record(row)
            self._trust.load_crl(request.crl)

        if refusal := await self._done(row, _act):
            return refusal
        self._tell("security.revocations", principal, user=principal.name)
        return self._accepted()

    # ------------------------------------------------------------------ parts

    async def _done(self, row: AuditRow, act: Callable[[], None]) -> pb.SecurityReply | None:
        """Act in a thread and let the sessions feel it; a refusal is audited too."""
        try:
            await asyncio.to_thread(act)
            await asyncio.to_thread(self._sessions.revalidate)
        except SecurityError as error:
            code = getattr(error, "code", "refused")
            refused = replace(row, step=f"{row.step} refused", code=code, reason=error.what[:1000], evidence=b"")
            await asyncio.to_thread(self._backend.record, refused)
            _log.warning("refused", step=row.step, actor=row.actor, code=code, reason=error.what)
            return pb.SecurityReply(code=code, reason=str(error), revision=self._trust.policy.users.revision)
        except ScadaError as error:
            _log.error("the audit log cannot be written, nothing was done", cause=str(error))
            what = "the audit log cannot be written, so nothing was done"
            raise CallError(grpc.StatusCode.FAILED_PRECONDITION, "audit_failed", what) from error
        return None

    def _accepted(self, remark: str = "") -> pb.SecurityReply:
        return pb.SecurityReply(accepted=True, reason=remark, revision=self._trust.policy.users.revision)

    def _tell(self, key: str, principal: Principal, **parameters: str) -> None:
        now = self._backend.clock.now_ns()
        given = {"name": principal.name, **{name: text for name, text in parameters.items() if text}}
        self._backend.report(Event(now, EventKind.SECURITY, AlarmClass.NOTICE, 3, key, parameters=given, actor=principal.name))

    def _area_faults(self, user: User) -> list[str]:
        tables = self._backend.tables
        return list(AreaTree.of(tables).faults(sorted(user.areas), tables).values())

    def _session_info(self, session: Session, principal: Principal) -> pb.SessionInfo:
        who = session.principal
        return pb.SessionInfo(
            id_digest=_digest(session),
            name=who.name,
            workstation=who.station,
            zone=who.zone,
            peer=session.peer.address,
            began_ns=session.began_ns,
            expires_ns=session.expires_ns,
            last_order_ns=session.last_order_ns,
            roles=sorted(who.roles),
            locked=bool(self._sessions.only_looks(session)),
            mine=who.session == principal.session,
        )

    async def _last_logins(self) -> dict[str, int]:
        """Ns UTC of the last login of each name that the event log has, the newest ones looked through."""
        asked = pb.ListEventsRequest(text="security.login", kinds=[EventKind.SECURITY])
        last: dict[str, int] = {}
        for event in await self._backend.events_page(asked, _LOGINS):
            if event.key == "security.login":
                last[event.actor] = max(last.get(event.actor, 0), event.time_ns)
        return last

    # ------------------------------------------------------------------ tables

    def view_methods(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers."""
        return (
            gate.query("Security/ListUsers", pb.ListUsersRequest, self.list_users),
            gate.query("Security/GetPolicy", pb.PolicyRequest, self.get_policy),
            gate.query("Security/ListSessions", pb.ListSessionsRequest, self.list_sessions),
        )

    def orders(self, gate: Gate) -> tuple[Method, ...]:
        """What the control server offers."""
        return (
            gate.order("Security/SetUser", pb.UserOrder, self.set_user),
            gate.order("Security/EndSession", pb.EndSessionRequest, self.end_session),
            gate.order("Security/LoadRevocations", pb.RevocationListFile, self.load_revocations),
        )


def _row(step: str, principal: Principal, evidence: bytes, reason: str, *, mrid: str = "", path: str = "") -> AuditRow:
    who = (principal.name, principal.station, principal.session)
    return AuditRow("security", step, *who, mrid=mrid, path=path[:1000], reason=reason[:1000], evidence=evidence)


def _digest(session: Session) -> bytes:
    return sm3(session.identifier)[:_ID]


def _rule_text(rule: TwoPersonRule) -> str:
    which = [f"{name}={value}" for name, value in rule.model_dump().items() if name in _WHICH and value]
    return f"{' '.join(which) or 'everything'}: {'two persons' if rule.needed else 'one person'}"


_WHICH = ("station", "equipment", "control_type", "control")
