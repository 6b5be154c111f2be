"""What operators ordered and what must outlive a restart, read back from the audit log, where it was stored before it acted.

A server that starts again must not switch on what a person switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scadapb.v1 import scada_pb2 as pb

from scada.actors.mode_orders import ACCEPTED, REFUSED
from scada.security.audit import AuditRecord


@dataclass(frozen=True, slots=True)
class Standing:
    """The last order of each kind."""

    modes: tuple[pb.SetModeRequest, ...]
    """Of AGC and AVC, their areas, units, sources and devices, in the order in which they were given.

    To be ordered again one after the other: a refused one is refused again, and then the one before it holds.
    """
    quarantined: Mapping[str, str]
    """Channel name -> user who took it out."""


def standing_orders(records: Iterable[AuditRecord]) -> Standing:
    """The orders in force: of each kind the last one that was accepted, and after it those of which that is not known.

    Not known is what a crash left between an order and its outcome.

    A test of a unit, source or device ends with the life it was ordered in: its loop is open then.

    Args:
        records: the audit log, oldest first; the evidence of a mode order is its envelope as it was verified.
    """
    modes: dict[tuple[str, str], list[tuple[int, bytes, pb.SetModeRequest]]] = {}
    quarantined: dict[str, str] = {}
    for place, record in enumerate(records):
        row = record.row
        if row.kind != "mode" or not row.evidence:
            continue
        request = pb.SetModeRequest.FromString(pb.Signed.FromString(row.evidence).body)
        target = request.WhichOneof("target")
        match target:
            case "channel" if request.channel.action == "quarantine":
                quarantined[request.channel.channel] = row.actor
            case "channel" if request.channel.action == "release":
                quarantined.pop(request.channel.channel, None)
            case "agc" | "avc" | "control_mode" | "unit" | "loop" | "benchmarks":
                if request.loop.loop == "test":
                    request.loop.loop = "open"
                key = (target, request.unit.unit or request.loop.mrid or request.benchmarks.unit or request.area)
                given = modes.setdefault(key, [])
                if row.step.endswith(REFUSED):
                    modes[key] = [one for one in given if one[1] != row.evidence]
                elif row.step.endswith(ACCEPTED):
                    here = next((at for at, one in enumerate(given) if one[1] == row.evidence), 0)
                    del given[:here]
                else:
                    given.append((place, row.evidence, request))
    left = sorted((one for given in modes.values() for one in given), key=lambda one: one[0])
    return Standing(tuple(request for _, _, request in left), quarantined)
