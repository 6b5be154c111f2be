"""Rights, roles (IEC 62351-8 plus our own, `data/roles.toml`), areas of responsibility and what each remote call needs.

Everything here is data; whatever is not named is denied.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

from scada.control.records import Principal
from scada.core.errors import SecurityError
from scada.security.rule_files import names_of, parse_toml, read_guarded, table_of

ALL_AREAS: Final = "*"


class Right(StrEnum):
    """One permission. The value is the name in :attr:`Principal.rights`."""

    VIEW = "VIEW"
    """Values, model, alarms, status."""
    HISTORY = "HISTORY"
    REPLAY = "REPLAY"
    ACK = "ACK"
    """Acknowledge alarms."""
    SHELVE = "SHELVE"
    """Shelve alarms for a time."""
    SUPPRESS = "SUPPRESS"
    """Take alarms out of service and back."""
    SUBSTITUTE = "SUBSTITUTE"
    """Substitute and block values."""
    TAG = "TAG"
    """Place and remove tags and notes."""
    CONTROL = "CONTROL"
    """Switching and step commands."""
    SETPOINT = "SETPOINT"
    MODE = "MODE"
    """AGC, AVC and unit modes."""
    CHANNEL = "CHANNEL"
    """Interrogate, reconnect, quarantine, trace and record a channel; what acts on its device needs ENGINEER too."""
    GUARD = "GUARD"
    """Confirm another's control as the second person."""
    EMERGENCY = "EMERGENCY"
    """Operate without the second person, with a reason."""
    BYPASS = "BYPASS"
    """Operate against interlocks, with a reason."""
    DISPATCH = "DISPATCH"
    """Area set-points and schedules from upstream."""
    ENGINEER = "ENGINEER"
    """Change model and configuration."""
    SECURITY = "SECURITY"
    """Assign roles, manage certificates."""
    AUDIT = "AUDIT"
    """Read the audit log."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Nobody has a right of ``rights`` and one of ``excludes``; a role of ``alone`` goes with no other."""

    why: str
    rights: frozenset[Right] = frozenset()
    excludes: frozenset[Right] = frozenset()
    alone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RoleTable:
    """Roles with their rights, and which cannot be one person's.

    Attributes:
        rights: by role.
        exclusions: separations of duties.
    """

    rights: Mapping[str, frozenset[Right]]
    exclusions: tuple[Exclusion, ...]

    def rights_of(self, roles: Iterable[str]) -> frozenset[Right]:
        """Union of the rights of roles.

        Raises:
            SecurityError: a role does not exist.
        """
        rights: frozenset[Right] = frozenset()
        for role in roles:
            if role not in self.rights:
                raise SecurityError(f"unknown role {role!r}", mend=f"roles are {', '.join(self.rights)}")
            rights |= self.rights[role]
        return rights

    def conflict(self, roles: Collection[str]) -> str:
        """Why one person cannot have these roles together, in one sentence; empty if one can.

        >>> DEFAULT_ROLES.conflict({"SECADM", "OPERATOR"}).partition(":")[0]
        'who says who may act does not act'

        Raises:
            SecurityError: a role does not exist.
        """
        rights = self.rights_of(roles)
        for one in self.exclusions:
            if one.rights & rights and (also := one.excludes & rights):
                return f"{one.why}: {', '.join(sorted(one.rights & rights))} excludes {', '.join(sorted(also))}"
            if len(set(roles)) > 1 and (alone := one.alone & set(roles)):
                return f"{one.why}: {', '.join(sorted(alone))} goes with no other role"
        return ""

    def excluded(self, role: str) -> list[str]:
        """Roles that nobody has together with this one."""
        return [other for other in self.rights if other != role and self.conflict({role, other})]


def load_roles(site: Path | None = None) -> RoleTable:
    """The roles of this product, with what a site adds and takes away.

    A table ``[ROLE]`` of the site's file makes a new role by ``rights``, or takes rights from a known one by ``without``;
    ``[[exclusion]]`` adds a separation of duties. Nothing gives a known role more, and no exclusion goes away.

    Raises:
        SecurityError: the file cannot be read, or names an unknown right or key, or gives one role what excludes itself.
    """
    packaged = files("scada.security") / "data" / "roles.toml"
    rights: dict[str, frozenset[Right]] = {}
    exclusions: list[Exclusion] = []
    _take_roles(parse_toml(packaged.read_bytes(), "roles.toml"), "roles.toml", rights, exclusions)
    if site is not None:
        _take_roles(parse_toml(read_guarded(site), str(site)), str(site), rights, exclusions)
    table = RoleTable(MappingProxyType(rights), tuple(exclusions))
    for role in rights:
        if why := table.conflict({role}):
            raise SecurityError(f"the role excludes itself: {why}", where=f"{site or packaged} [{role}]")
    return table


def _take_roles(
    document: Mapping[str, object], where: str, rights: dict[str, frozenset[Right]], exclusions: list[Exclusion]
) -> None:
    for name, entry in document.items():
        place = f"{where} [{name}]"
        if name == "exclusion":
            exclusions += [_exclusion(one, place) for one in (entry if isinstance(entry, list) else [entry])]
            continue
        if not _ROLE.fullmatch(name):
            raise SecurityError("a role has a name of capital letters, digits and underscores", where=place)
        if name not in rights:
            rights[name] = _rights(table_of(entry, {"rights"}, place).get("rights", []), place)
        else:
            taken = _rights(table_of(entry, {"without"}, place).get("without", []), place)
            if absent := taken - rights[name]:
                raise SecurityError(f"the role never had {', '.join(sorted(absent))}", where=place)
            rights[name] -= taken
    for one in exclusions:
        if unknown := one.alone - rights.keys():
            raise SecurityError(f"unknown role {', '.join(sorted(unknown))}", where=f"{where} [[exclusion]]")


def _exclusion(entry: object, where: str) -> Exclusion:
    found = table_of(entry, {"why", "rights", "excludes", "alone"}, where)
    one = Exclusion(
        str(found.get("why") or "they exclude each other"),
        _rights(found.get("rights", []), where),
        _rights(found.get("excludes", []), where),
        names_of(found.get("alone", []), "alone", where),
    )
    if not one.alone and not (one.rights and one.excludes):
        raise SecurityError("it excludes nothing: give rights and excludes, or alone", where=where)
    return one


def _rights(value: object, where: str) -> frozenset[Right]:
    names = names_of(value, "rights", where)
    if unknown := names - set(Right):
        raise SecurityError(f"unknown right {', '.join(sorted(unknown))}", where=where, mend=f"rights are {', '.join(Right)}")
    return frozenset(map(Right, names))


_ROLE = re.compile(r"[A-Z][A-Z0-9_]{0,31}")

DEFAULT_ROLES: Final = load_roles()
"""The roles of this product, without a site's own."""

ROLES: Final = DEFAULT_ROLES.rights
"""Their rights."""

_VIEW = frozenset({Right.VIEW})
_OPERATE = frozenset({Right.CONTROL, Right.SETPOINT})
_REPLAY = frozenset({Right.REPLAY})
_HISTORY = frozenset({Right.HISTORY})
_SECURITY = frozenset({Right.SECURITY})
_AUDIT = frozenset({Right.AUDIT})
_GUARD = frozenset({Right.GUARD})
_SUBSTITUTE = frozenset({Right.SUBSTITUTE})
_TAG = frozenset({Right.TAG})
_DISPATCH = frozenset({Right.DISPATCH})
_ENGINEER = frozenset({Right.ENGINEER})
ANY_SESSION: Final[frozenset[Right]] = frozenset()
"""The call needs a live session and no right (``Session.Login`` makes that session)."""

METHOD_RIGHTS: Final[Mapping[str, frozenset[Right]]] = MappingProxyType(
    {
        "/scadapb.v1.Session/Login": ANY_SESSION,
        "/scadapb.v1.Session/Logout": ANY_SESSION,
        "/scadapb.v1.Session/Rekey": ANY_SESSION,
        "/scadapb.v1.Session/GetChallenge": ANY_SESSION,
        "/scadapb.v1.Model/GetModel": _VIEW,
        "/scadapb.v1.Model/ListPoints": _VIEW,
        "/scadapb.v1.Model/ListControls": _VIEW,
        "/scadapb.v1.Model/GetDiagram": _VIEW,
        "/scadapb.v1.Model/Search": _VIEW,
        "/scadapb.v1.Realtime/Read": _VIEW,
        "/scadapb.v1.Realtime/Subscribe": _VIEW,
        "/scadapb.v1.Realtime/GetStatus": _VIEW,
        "/scadapb.v1.Events/ListAlarms": _VIEW,
        "/scadapb.v1.Events/ListEvents": _VIEW,
        "/scadapb.v1.Events/Subscribe": _VIEW,
        "/scadapb.v1.Events/Acknowledge": frozenset({Right.ACK}),
        "/scadapb.v1.Events/Shelve": frozenset({Right.SHELVE}),
        "/scadapb.v1.Events/Unshelve": frozenset({Right.SHELVE}),
        "/scadapb.v1.Events/SetAlarmService": frozenset({Right.SUPPRESS}),
        "/scadapb.v1.Events/ListSuppressed": _VIEW,
        "/scadapb.v1.Events/GetAlarmKpi": _HISTORY,
        "/scadapb.v1.Events/Recall": _HISTORY,
        "/scadapb.v1.Events/ListRecalls": _HISTORY,
        "/scadapb.v1.OperatorData/Hold": _SUBSTITUTE,
        "/scadapb.v1.OperatorData/Release": _SUBSTITUTE,
        "/scadapb.v1.OperatorData/PlaceTag": _TAG,
        "/scadapb.v1.OperatorData/AddNote": _TAG,
        "/scadapb.v1.OperatorData/Remove": _TAG,
        "/scadapb.v1.OperatorData/List": _VIEW,
        "/scadapb.v1.Control/Select": _OPERATE,
        "/scadapb.v1.Control/Confirm": _GUARD,
        "/scadapb.v1.Control/Execute": _OPERATE,
        "/scadapb.v1.Control/Cancel": _OPERATE,
        "/scadapb.v1.Control/Adjust": _OPERATE,
        "/scadapb.v1.Control/SetMode": frozenset({Right.MODE, Right.CHANNEL}),
        "/scadapb.v1.Control/ListSequences": _VIEW,
        "/scadapb.v1.Control/CheckInterlocks": _VIEW,
        "/scadapb.v1.Programmes/ListProgrammes": _VIEW,
        "/scadapb.v1.Programmes/GetProgramme": _VIEW,
        "/scadapb.v1.Programmes/ListRuns": _VIEW,
        "/scadapb.v1.Programmes/Save": frozenset({Right.CONTROL, Right.SETPOINT, Right.ENGINEER}),
        "/scadapb.v1.Programmes/Start": _OPERATE,
        "/scadapb.v1.Programmes/Confirm": _GUARD,
        "/scadapb.v1.Programmes/Command": _OPERATE,
        "/scadapb.v1.Regulation/GetAgc": _VIEW,
        "/scadapb.v1.Regulation/GetAvc": _VIEW,
        "/scadapb.v1.Regulation/Explain": _VIEW,
        "/scadapb.v1.Regulation/WhatIf": _REPLAY,
        "/scadapb.v1.Regulation/GetPerformance": _HISTORY,
        "/scadapb.v1.Regulation/GetReport": _HISTORY,
        "/scadapb.v1.Dispatch/SendSetpoint": _DISPATCH,
        "/scadapb.v1.Dispatch/SendSchedule": _DISPATCH,
        "/scadapb.v1.Dispatch/SendMode": _DISPATCH,
        "/scadapb.v1.Dispatch/WithdrawOrder": _DISPATCH,
        "/scadapb.v1.Dispatch/Decide": frozenset({Right.MODE}),
        "/scadapb.v1.Dispatch/GetOrder": _VIEW,
        "/scadapb.v1.Dispatch/GetDispatch": _VIEW,
        "/scadapb.v1.Dispatch/EditSchedule": frozenset({Right.MODE}),
        "/scadapb.v1.Dispatch/ListSchedules": _VIEW,
        "/scadapb.v1.Dispatch/GetSchedule": _VIEW,
        "/scadapb.v1.History/Query": _HISTORY,
        "/scadapb.v1.History/Backfill": _ENGINEER,
        "/scadapb.v1.History/GetHistoryStatus": _HISTORY,
        "/scadapb.v1.Channels/GetChannel": _VIEW,
        "/scadapb.v1.Channels/Trace": frozenset({Right.CHANNEL}),
        "/scadapb.v1.Channels/ListRecordings": _REPLAY,
        "/scadapb.v1.Channels/GetUpstream": _VIEW,
        "/scadapb.v1.Engineering/ListVersions": _VIEW,
        "/scadapb.v1.Engineering/GetVersion": _VIEW,
        "/scadapb.v1.Engineering/GetLog": _VIEW,
        "/scadapb.v1.Engineering/Download": _ENGINEER,
        "/scadapb.v1.Engineering/Upload": _ENGINEER,
        "/scadapb.v1.Engineering/Propose": _ENGINEER,
        "/scadapb.v1.Engineering/Approve": _ENGINEER,
        "/scadapb.v1.Engineering/Withdraw": _ENGINEER,
        "/scadapb.v1.Engineering/Apply": _ENGINEER,
        "/scadapb.v1.Engineering/Rollback": _ENGINEER,
        "/scadapb.v1.Replay/Start": _REPLAY,
        "/scadapb.v1.Replay/Command": _REPLAY,
        "/scadapb.v1.Replay/GetState": _REPLAY,
        "/scadapb.v1.Replay/Read": _REPLAY,
        "/scadapb.v1.Security/ListUsers": _SECURITY | _AUDIT,
        "/scadapb.v1.Security/SetUser": _SECURITY,
        "/scadapb.v1.Security/GetPolicy": _VIEW | _SECURITY,
        "/scadapb.v1.Security/ListSessions": _SECURITY | _AUDIT,
        "/scadapb.v1.Security/EndSession": _SECURITY,
        "/scadapb.v1.Security/LoadRevocations": _SECURITY,
        "/scadapb.v1.Audit/Query": _AUDIT,
        "/scadapb.v1.Audit/Export": _AUDIT,
        "/scadapb.v1.Audit/GetCheckpoint": _VIEW | _AUDIT,
        "/scadapb.v1.Audit/Prove": _AUDIT,
    }
)
"""Any one of these rights opens the call; what it acts on (control or set-point, which area) is checked where it acts."""


_HARMLESS_ORDERS: Final = frozenset(
    {
        "interrogate",
        "cancel_interrogation",
        "synchronise_clock",
        "reconnect",
        "quarantine",
        "release",
        "switch",
        "record",
        "stop_recording",
        "read_counters",
        "read",
        "test",
    }
)
"""Orders to a channel that change nothing in the device; what is not here is taken to act on it."""


def order_rights(action: str, arguments: Mapping[str, str]) -> frozenset[Right]:
    """Rights that an order to a channel needs, all of them: what acts on the device is an engineer's.

    >>> [right.value for right in sorted(order_rights("read_counters", {"mode": "reset"}))]
    ['CHANNEL', 'ENGINEER']
    """
    freezes = action == "read_counters" and arguments.get("mode", "") not in {"", "read"}
    harmless = action in _HARMLESS_ORDERS and not freezes
    return frozenset({Right.CHANNEL}) if harmless else frozenset({Right.CHANNEL, Right.ENGINEER})


def may_call(principal: Principal, method: str) -> bool:
    """True if the principal may make the call ``/scadapb.v1.Service/Method``; an unlisted call is denied.

    >>> may_call(system_principal("agc", {Right.SETPOINT}), "/scadapb.v1.Control/Erase")
    False
    """
    needed = METHOD_RIGHTS.get(method)
    return needed is not None and (not needed or bool(needed & principal.rights))


def is_responsible(principal: Principal, *places: str) -> bool:
    """True if one of the places (control area, station) is within the principal's areas of responsibility."""
    return ALL_AREAS in principal.areas or any(place in principal.areas for place in places if place)


def rights_of(roles: Iterable[str], table: RoleTable = DEFAULT_ROLES) -> frozenset[Right]:
    """Union of the rights of roles.

    Raises:
        SecurityError: a role does not exist.
    """
    return table.rights_of(roles)


def system_principal(name: str, rights: Iterable[Right]) -> Principal:
    """The standing identity of an application of the server itself, e.g. ``system:agc``, for every area.

    >>> system_principal("agc", {Right.SETPOINT}).name
    'system:agc'
    """
    return Principal(f"system:{name}", frozenset(), frozenset(rights), frozenset({ALL_AREAS}))
