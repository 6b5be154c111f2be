"""Who may do what, from where, as the files of a site say now: roles, zones of workstations and the table of users together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scada.control.records import Principal
from scada.model_cim.tables import ModelTables
from scada.security.areas import AreaTree
from scada.security.certificates import Certificate
from scada.security.peer import NO_PEER, Peer
from scada.security.roles import Right, RoleTable, load_roles
from scada.security.users import ROLES_FILE, User, UserRefusedError, UserTable, alike
from scada.security.users_file import load_users
from scada.security.zones import ALL, WITHOUT_ZONE, Zone, load_zones, zone_of

SITE_ROLES_FILE: Final = "site-roles.toml"
ZONES_FILE: Final = "zones.toml"


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """Where the files of a policy are.

    Attributes:
        folder: of identities; holds the table of users.
        site_roles: what the site adds to the roles or takes from them; None = ``site-roles.toml`` in the folder, if it is there.
        site_zones: of workstations; None = ``zones.toml`` in the folder, if it is there.
    """

    folder: Path
    site_roles: Path | None = None
    site_zones: Path | None = None

    @property
    def roles(self) -> Path | None:
        """The file of roles, None = there is none."""
        return self.site_roles or _present(self.folder / SITE_ROLES_FILE)

    @property
    def zones(self) -> Path | None:
        """The file of zones, None = there is none."""
        return self.site_zones or _present(self.folder / ZONES_FILE)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that says something: the policy is read again when one changes."""
        return (self.folder / ROLES_FILE, *(path for path in (self.roles, self.zones) if path is not None))


@dataclass(frozen=True)
class Policy:
    """What is in force.

    Attributes:
        users: the table of users, with the roles.
        zones: of workstations; the first that holds a workstation counts.
    """

    users: UserTable
    zones: tuple[Zone, ...]

    @property
    def roles(self) -> RoleTable:
        """The roles of the product and of the site."""
        return self.users.roles

    def principal(
        self, certificate: Certificate, now_ns: int, *, station: str = "", session: str = "", peer: Peer = NO_PEER
    ) -> Principal:
        """What a proven certificate may do from a workstation.

        The rights are those of the roles that both the table and the certificate name, as far as the zone of the workstation
        lets them be used; from a workstation of no zone, or of a zone that is not the user's, one may only look.

        Raises:
            SecurityError: the table does not know the name, has disabled it, or its entry is over.
        """
        user = self.users.find(certificate.name, now_ns)
        roles = user.roles & certificate.roles
        zone = zone_of(self.zones, station, peer)
        usable = zone.rights if zone is not None and user.zones & {ALL, zone.name} else WITHOUT_ZONE
        rights: frozenset[str] = self.roles.rights_of(roles) & usable
        return Principal(
            name=certificate.name,
            roles=roles,
            rights=rights,
            areas=user.areas,
            station=station,
            session=session,
            zone=zone.name if zone else "",
            certificate=certificate.encoded,
            peer=peer,
        )


def findings(policy: Policy, tables: ModelTables | None = None) -> list[str]:
    """What of a policy grants nothing, or leaves something to nobody: one sentence each.

    Args:
        policy: to be judged.
        tables: of the model, for the areas; without them areas are not judged.
    """
    zones, found = {ALL, *(zone.name for zone in policy.zones)}, []
    named = {area for user in policy.users.users.values() for area in user.areas}
    areas = {} if tables is None else AreaTree.of(tables).faults(named, tables)
    for user in policy.users.users.values():
        found += [f"{user.name}: {areas[area]}" for area in sorted(user.areas & areas.keys())]
        found += [f"{user.name}: there is no zone {zone!r}" for zone in sorted(user.zones - zones)]
        if not user.roles and not user.disabled:
            found.append(f"{user.name}: has no role")
    for zone in policy.zones:
        if zone.workstations - {ALL} and not zone.certificates and zone.rights - WITHOUT_ZONE:
            found.append(f"zone {zone.name}: a workstation is believed the name that it gives; name certificates")
    names = sorted(policy.users.users)
    found += [f"{one}: would be taken for {other}" for at, one in enumerate(names) for other in names[:at] if alike(one, other)]
    for right, what in ((Right.SECURITY, "administers the rights"), (Right.CONTROL, "operates"), (Right.GUARD, "guards")):
        if not any(right in policy.roles.rights_of(user.roles) and not user.disabled for user in policy.users.users.values()):
            found.append(f"nobody {what}: no user that is not disabled has the right {right}")
    return found


def changed_table(
    table: UserTable,
    zones: tuple[Zone, ...],
    user: User,
    *,
    remove: bool,
    actor: str,
    reason: str,
    based_on: int,
    now_ns: int,
) -> UserTable:
    """The table after an order.

    Args:
        table: as it is.
        zones: that there are.
        user: the entry wanted; only its name counts if it is removed.
        remove: it goes.
        actor: who orders.
        reason: why.
        based_on: revision of the table that the one who orders has seen, 0 = not said.
        now_ns: ns UTC.

    Raises:
        UserRefusedError: ``stale``, ``no_reason``, ``unknown_zone``, or as :meth:`UserTable.with_user`.
    """
    if based_on and based_on != table.revision:
        raise UserRefusedError("stale", "the table has changed meanwhile", mend="look at it again")
    if not reason.strip():
        raise UserRefusedError("no_reason", "a reason must be given")
    if remove:
        return table.without(user.name, actor=actor, now_ns=now_ns)
    if unknown := user.zones - {ALL, *(zone.name for zone in zones)}:
        raise UserRefusedError("unknown_zone", f"unknown zone {', '.join(sorted(unknown))}")
    return table.with_user(user, actor=actor, now_ns=now_ns)


def load_policy(files: PolicyFiles) -> Policy:
    """Read what is in force.

    Raises:
        SecurityError: a file is missing or wrong.
    """
    return Policy(load_users(files.folder, load_roles(files.roles)), load_zones(files.zones))


def _present(path: Path) -> Path | None:
    return path if path.exists() else None
