"""What an order of a mode needs and what it is about: its rights, and its row of the audit log."""

from __future__ import annotations

import math

from scadapb.v1 import scada_pb2 as pb

from scada.control.records import ModeReply, Principal
from scada.model_cim.tables import ModelTables
from scada.security.audit import AuditRow
from scada.security.roles import Right, order_rights

REFUSED = " refused"
"""What the step of a row ends with that says that the order before it changed nothing."""
ACCEPTED = " accepted"
"""What the step of a row ends with that says that the order before it holds: what was ordered earlier is over."""


def mode_rights(request: pb.SetModeRequest, tables: ModelTables) -> frozenset[Right]:
    """Rights that an order needs, all of them.

    A base point and a test value are values that a unit gets: they need the right to send set-points too, or, for a device that
    is switched or stepped, the right to command it.
    """
    target = request.WhichOneof("target")
    if target == "channel":
        return order_rights(request.channel.action, request.channel.arguments)
    if target == "unit" and request.unit.base_mode == "BASE":
        return frozenset({Right.MODE, Right.SETPOINT})
    if target == "loop" and request.loop.loop == "test":
        device = any(one.mrid == request.loop.mrid for zone in tables.zones for one in zone.devices)
        return frozenset({Right.MODE, Right.CONTROL if device else Right.SETPOINT})
    return frozenset({Right.MODE})


def mode_row(request: pb.SetModeRequest, principal: Principal, tables: ModelTables, evidence: bytes) -> AuditRow:
    """The order as the audit log has it before it acts: on what, what is asked, and the value if there is one."""
    target = request.WhichOneof("target") or ""
    mrid, path, value = "", "", math.nan
    match target:
        case "channel":
            channel = request.channel
            path = channel.channel
            words = " ".join((channel.action, *(f"{name}={one}" for name, one in sorted(channel.arguments.items()))))
        case "unit":
            unit = request.unit
            mrid, words, value = unit.unit, f"{unit.base_mode} {unit.reg_mode}", unit.base_point_mw
            value = value if unit.base_mode == "BASE" else math.nan
        case "loop":
            mrid, words = request.loop.mrid, request.loop.loop
            value = request.loop.test_value if words == "test" else math.nan
        case "benchmarks":
            mrid, words = request.benchmarks.unit, ", ".join(request.benchmarks.members)
        case "unlock":
            mrid, words = request.unlock, ""
        case _:
            path, words = request.area, getattr(request, target)
    return AuditRow(
        "mode",
        target,
        principal.name,
        principal.station,
        principal.session,
        mrid=mrid[:64],
        path=(path or _name(tables, mrid))[:1000],
        value=value,
        reason=words[:1000],
        evidence=evidence,
    )


def outcome_row(asked: AuditRow, reply: ModeReply) -> AuditRow:
    """What became of an order; what was ordered before one that was refused still stands, over a restart too."""
    return AuditRow(
        asked.kind,
        asked.step + (ACCEPTED if reply.accepted else REFUSED),
        asked.actor,
        asked.station,
        asked.session,
        mrid=asked.mrid,
        path=asked.path,
        value=asked.value,
        code=reply.code,
        reason=reply.reason[:1000],
        evidence=asked.evidence,
    )


def _name(tables: ModelTables, mrid: str) -> str:
    """Name of a unit, source or device."""
    units = {unit.mrid: unit.name for area in tables.areas for unit in area.units}
    sources = {one.mrid: one.name for zone in tables.zones for one in zone.sources}
    devices = {one.mrid: one.name for zone in tables.zones for one in zone.devices}
    return (devices | sources | units).get(mrid, "") if mrid else ""
