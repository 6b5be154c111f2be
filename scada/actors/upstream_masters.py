"""Masters of an upstream station: who they are and may, who is connected, and what they were refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.upstream_dispatch import is_for_dispatch
from scada.actors.upstream_orders import evidence_of
from scada.control.records import Principal
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.settings import MasterSettings
from scada.model_cim.tables import AlarmClass
from scada.protocols.iec104.groups import GroupReport
from scada.protocols.iec104.operate import CommandAsked, CommandRefused
from scada.security.audit import AuditLog, AuditRow
from scada.security.roles import DEFAULT_ROLES, RoleTable

_log = structlog.get_logger("upstream")

RECORDED: Final = 60
"""Refusals a minute of a master that are each audited and told; of more only the number is: nobody fills the audit log from
outside, and no master hides another. All that the configuration does not name count as one."""
_WINDOW_S: Final = 60.0
_REMARK_S: Final = 10.0
_STARTED: Final = "started"

Tell = Callable[[str, AlarmClass, int, Mapping[str, str]], None]
"""Stores an event: key, class, priority, parameters."""


def standing_principals(masters: Mapping[str, MasterSettings], roles: RoleTable = DEFAULT_ROLES) -> dict[str, Principal]:
    """Identities of the configured masters, by host or certificate name; ``roles``: those of the product and the site.

    Raises:
        SecurityError: a role does not exist.
    """
    return {
        master: Principal(
            f"upstream:{grant.name or master}", frozenset(grant.roles), roles.rights_of(grant.roles), frozenset(grant.areas)
        )
        for master, grant in masters.items()
    }


class Masters:
    """Who a master is.

    Args:
        station: name of the upstream station.
        principals: as of :func:`standing_principals`.
    """

    def __init__(self, station: str, principals: Mapping[str, Principal]) -> None:
        self._station = station
        self._principals = principals

    def principal(self, asked: CommandAsked | CommandRefused) -> Principal:
        """The standing identity of a master, at its connection; one without a grant has no right at all."""
        nobody = Principal(f"upstream:{asked.master}", frozenset(), frozenset(), frozenset())
        return replace(self._principals.get(asked.master, nobody), station=f"{self._station} {asked.peer}")

    def knows(self, master: str) -> bool:
        """The configuration names it."""
        return master in self._principals

    def started(self, groups: Sequence[GroupReport]) -> frozenset[str]:
        """Names of the masters that have a started connection."""
        links = [link for group in groups for link in group.links if link.state == _STARTED]
        named = {link.subject or link.peer.rpartition(":")[0].strip("[]") for link in links}
        return frozenset(self._principals[master].name for master in named if master in self._principals)


class CommandRate:
    """How many commands each master may send: a bucket that is refilled as time passes (selects count like executes).

    Args:
        per_minute: commands a minute, and as many at once.
        clock: the time that passes.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def allows(self, master: str) -> bool:
        """One more of a master; counts it if so."""
        now = self._clock.monotonic()
        left, at = self._left.get(master, (self.per_minute, now))
        left = min(left + (now - at) / 60.0 * self.per_minute, self.per_minute)
        allowed = left >= 1.0
        self._left[master] = (left - 1.0 if allowed else left, now)
        return allowed


class Refusals:
    """Audits and tells what masters were refused before the control desk was asked.

    Args:
        masters: who they are.
        audit: the audit log.
        tell: stores events.
        clock: counts by the minute.
    """

    def __init__(self, masters: Masters, audit: AuditLog, tell: Tell, clock: Clock) -> None:
        self._masters = masters
        self._audit = audit
        self._tell = tell
        self._clock = clock
        self._began = clock.monotonic()
        self._counts: Counter[str] = Counter()

    def step(self, asked: CommandAsked, reason: str) -> None:
        """A step of a command was refused, and why."""
        said = (asked.control, asked.master, asked.group, asked.asdu, asked.peer)
        self.note(CommandRefused(*said, reason, value=asked.value, issued_ns=asked.issued_ns))

    def note(self, refused: CommandRefused) -> bool:
        """A command was refused; False if it is only counted."""
        whose = refused.master if self._masters.knows(refused.master) else ""
        self._counts[whose] += 1
        if self._counts[whose] > RECORDED:
            return False
        principal, control = self._masters.principal(refused), refused.control
        row = AuditRow(
            kind="dispatch" if control is not None and is_for_dispatch(control) else "control",
            step="refused",
            actor=principal.name,
            station=principal.station,
            mrid=control.mrid if control else "",
            path=control.path if control else "",
            value=refused.value,
            code=f"refused:{refused.code or 'telecontrol'}",
            reason=refused.reason,
            evidence=evidence_of(refused),
        )
        try:
            self._audit.append(row)
        except ScadaError as error:
            _log.error("a refused command cannot be audited", cause=str(error), master=refused.master, reason=refused.reason)
        told = {"master": refused.master, "object": control.path if control else refused.asdu.hex(), "reason": refused.reason}
        self._tell("upstream.refused", AlarmClass.ABNORMAL, 3, told | {"code": refused.code})
        return True

    def tick(self) -> None:
        """Say how many were only counted."""
        if self._clock.monotonic() - self._began < _WINDOW_S:
            return
        more = sum(max(count - RECORDED, 0) for count in self._counts.values())
        self._counts.clear()
        self._began = self._clock.monotonic()
        if more > 0:
            self._tell("upstream.refusals", AlarmClass.ABNORMAL, 2, {"count": str(more)})


class Remarks:
    """Stores what the station says of its masters: refused connections, closed links, odd frames.

    Args:
        station: name of the upstream station.
        tell: stores events.
        clock: limits them.
    """

    def __init__(self, station: str, tell: Tell, clock: Clock) -> None:
        self._station = station
        self._tell = tell
        self._clock = clock
        self._last = float("-inf")
        self._held = 0

    def note(self, text: str) -> None:
        """A remark; one in ten seconds is stored, and says how many were held back before it."""
        now = self._clock.monotonic()
        if now - self._last < _REMARK_S:
            self._held += 1
            return
        self._last, held, self._held = now, self._held, 0
        more = f" ({held} more before)" if held else ""
        _log.info("upstream", station=self._station, text=text + more)
        self._tell("upstream.remark", AlarmClass.NOTICE, 3, {"text": text + more})


class MasterWatch:
    """Says which groups gain or lose their master, and which lose events.

    Args:
        tell: stores events.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._served: dict[str, str] = {}
        self._lost: dict[str, int] = {}

    def look(self, groups: Sequence[GroupReport]) -> None:
        """How the groups stand now."""
        for group in groups:
            peer = next((link.peer for link in group.links if link.state == _STARTED), "")
            before = self._served.get(group.name, "")
            if peer and peer != before:
                self._tell("upstream.connected", AlarmClass.NOTICE, 4, {"group": group.name, "peer": peer})
            elif before and not peer:
                self._tell("upstream.lost", AlarmClass.ABNORMAL, 2, {"group": group.name, "peer": before})
            self._served[group.name] = peer
            known = self._lost.get(group.name, group.lost)
            if group.lost > known:  # it goes back where a link that was lost still acknowledges
                told = {"group": group.name, "count": str(group.lost - known)}
                self._tell("upstream.overflow", AlarmClass.ABNORMAL, 2, told)
            self._lost[group.name] = max(group.lost, known)


def shown_group(group: GroupReport) -> pb.UpstreamGroup:
    """A group for a status page."""
    return pb.UpstreamGroup(
        name=group.name,
        masters=group.masters,
        queued=group.queued,
        lost=group.lost,
        links=[
            pb.UpstreamLink(
                peer=link.peer,
                subject=link.subject,
                state=link.state,
                since_ns=link.since_ns,
                frames_in=link.frames_in,
                frames_out=link.frames_out,
                unacknowledged=link.unacknowledged,
            )
            for link in group.links
        ],
    )
