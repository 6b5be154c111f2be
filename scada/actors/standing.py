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
    """The last order of each kind."""

    modes: tuple[pb.SetModeRequest, ...]
    """Of AGC and AVC, their areas, units, sources and devices, in the order in which they were given."""
    quarantined: Mapping[str, str]
    """Channel name -> user who took it out."""


def standing_orders(records: Iterable[AuditRecord]) -> Standing:
    """The orders in force. A test of a unit, source or device ends with the life it was ordered in: its loop is open then.

    Args:
        records: the audit log, oldest first; the evidence of a mode order is its envelope as it was verified.
    """
    modes: dict[tuple[str, str], pb.SetModeRequest] = {}
    quarantined: dict[str, str] = {}
    for record in records:
        if record.row.kind != "mode" or not record.row.evidence:
            continue
        request = pb.SetModeRequest.FromString(pb.Signed.FromString(record.row.evidence).body)
        target = request.WhichOneof("target")
        match target:
            case "channel" if request.channel.action == "quarantine":
                quarantined[request.channel.channel] = record.row.actor
            case "channel" if request.channel.action == "release":
                quarantined.pop(request.channel.channel, None)
            case "agc" | "avc" | "control_mode" | "unit" | "loop" | "benchmarks":
                if request.loop.loop == "test":
                    request.loop.loop = "open"
                key = (target, request.unit.unit or request.loop.mrid or request.benchmarks.unit or request.area)
                modes.pop(key, None)
                modes[key] = request
    return Standing(tuple(modes.values()), quarantined)
