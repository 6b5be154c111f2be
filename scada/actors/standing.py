"""What operators ordered and what must outlive a restart, read back from the audit log, where it was stored before it acted.

A server that starts again must not switch on what a person switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scadapb.v1 import scada_pb2 as pb

from scada.security.audit import AuditRecord


@dataclass(frozen=True, slots=True)
class Standing:
    """The last order of each kind; empty or absent where there is none."""

    agc: str
    """``on`` or ``off``."""
    avc: str
    unit_modes: Mapping[str, pb.UnitMode]
    """By mRID of the unit."""
    quarantined: Mapping[str, str]
    """Channel name -> user who took it out."""


def standing_orders(records: Iterable[AuditRecord]) -> Standing:
    """The orders in force.

    Args:
        records: the audit log, oldest first; the evidence of a mode order is its envelope as it was verified.
    """
    last = {"agc": "", "avc": ""}
    units: dict[str, pb.UnitMode] = {}
    quarantined: dict[str, str] = {}
    for record in records:
        if record.row.kind != "mode" or not record.row.evidence:
            continue
        request = pb.SetModeRequest.FromString(pb.Signed.FromString(record.row.evidence).body)
        match request.WhichOneof("target"):
            case "agc":
                last["agc"] = request.agc
            case "avc":
                last["avc"] = request.avc
            case "unit":
                units[request.unit.unit] = request.unit
            case "channel" if request.channel.action == "quarantine":
                quarantined[request.channel.channel] = record.row.actor
            case "channel" if request.channel.action == "release":
                quarantined.pop(request.channel.channel, None)
    return Standing(last["agc"], last["avc"], units, quarantined)
