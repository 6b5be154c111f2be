"""Zones of workstations: which rights may be used from where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scada.core.errors import SecurityError
from scada.security.peer import Peer
from scada.security.roles import Right
from scada.security.rule_files import names_of, parse_toml, read_guarded, table_of

ALL: Final = "*"
WITHOUT_ZONE: Final = frozenset({Right.VIEW})
"""What may be used from a workstation of no zone, or of a zone that is not the user's."""


@dataclass(frozen=True, slots=True)
class Zone:
    """Workstations that count alike.

    Attributes:
        name: of the zone.
        workstations: names that they give at login, ``"*"`` = any; empty = their certificate alone counts. A name is not proven.
        certificates: common names of their TLS certificates, ``"*"`` = any that is trusted; empty = the name alone counts.
        rights: that may be used from there.
    """

    name: str
    workstations: frozenset[str]
    certificates: frozenset[str]
    rights: frozenset[Right]

    def holds(self, station: str, peer: Peer) -> bool:
        """True if the workstation is of this zone: what the zone asks for, name or certificate or both, is right."""
        named = not self.workstations or ALL in self.workstations or station in self.workstations
        proven = not self.certificates or (bool(peer.name) and bool(self.certificates & {ALL, peer.name}))
        return named and proven


DEFAULT_ZONES: Final = (Zone("control-room", frozenset({ALL}), frozenset(), frozenset(Right)),)
"""Where no zones are engineered: every workstation may use every right of its user."""


def zone_of(zones: tuple[Zone, ...], station: str, peer: Peer) -> Zone | None:
    """The first zone that holds a workstation."""
    return next((zone for zone in zones if zone.holds(station, peer)), None)


def load_zones(path: Path | None) -> tuple[Zone, ...]:
    """Zones of a file, in its order; None = :data:`DEFAULT_ZONES`.

    Each table ``[NAME]`` has ``rights`` (``["*"]`` = all) and ``workstations`` or ``certificates`` or both.

    Raises:
        SecurityError: the file cannot be read, is empty, or names an unknown right or key.
    """
    if path is None:
        return DEFAULT_ZONES
    zones = tuple(_zone(name, entry, f"{path} [{name}]") for name, entry in parse_toml(read_guarded(path), str(path)).items())
    if not zones:
        raise SecurityError("the file has no zone", where=str(path), mend="remove it, or name a zone")
    return zones


def _zone(name: str, entry: object, where: str) -> Zone:
    found = table_of(entry, {"workstations", "certificates", "rights"}, where)
    workstations = names_of(found.get("workstations", []), "workstations", where)
    certificates = names_of(found.get("certificates", []), "certificates", where)
    rights = names_of(found.get("rights", []), "rights", where)
    if not workstations and not certificates:
        raise SecurityError("the zone has no workstation", where=where, mend='give workstations or certificates; ["*"] = any')
    if unknown := rights - {ALL, *Right}:
        raise SecurityError(f"unknown right {', '.join(sorted(unknown))}", where=where, mend=f"rights are {', '.join(Right)}")
    return Zone(name, workstations, certificates, frozenset(Right) if ALL in rights else frozenset(map(Right, rights)))
