"""What a restart finds of controls: which sequences the last run left unfinished. None of them is repeated."""

from __future__ import annotations

from collections.abc import Iterable

from scada.control.effects import Audit, Effect, Report
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.security.audit import AuditRecord, AuditRow


def interrupted(records: Iterable[AuditRecord], tables: ModelTables, now_ns: int) -> list[Effect]:
    """What to write and to tell of every sequence without a result.

    Args:
        records: the audit log, oldest first.
        tables: the model.
        now_ns: stamp of the events, ns UTC.
    """
    last: dict[str, AuditRow] = {}
    for record in records:
        row = record.row
        if row.kind != "control" or not row.sequence_id:
            continue
        if row.step in ("result", "refused", "interrupted"):
            last.pop(row.sequence_id, None)
        elif row.step in ("select", "check_back", "confirm", "execute"):
            last[row.sequence_id] = row
    return [effect for row in last.values() for effect in _interrupted(row, tables, now_ns)]


def _interrupted(row: AuditRow, tables: ModelTables, now_ns: int) -> list[Effect]:
    executed = row.step == "execute"
    reason = (
        "the control path stopped after the execute was sent: whether it operated is not known, it is not repeated"
        if executed
        else "the control path stopped before the execute: nothing was operated"
    )
    trace = AuditRow(
        kind="control",
        step="interrupted",
        actor=row.actor,
        station=row.station,
        sequence_id=row.sequence_id,
        mrid=row.mrid,
        path=row.path,
        value=row.value,
        code="interrupted:executing" if executed else "interrupted:selected",
        reason=reason,
    )
    control = tables.control_by_mrid.get(row.mrid)
    event = Event(
        time_ns=now_ns,
        kind=EventKind.CONTROL,
        alarm_class=AlarmClass.ABNORMAL if executed else AlarmClass.NOTICE,
        priority=2 if executed else 3,
        key="control.interrupted",
        parameters={"sequence": row.sequence_id, "object": row.path, "reason": reason, "operator": row.actor},
        mrid=row.mrid,
        station=control.station if control else "",
        path=row.path,
        value=row.value,
        actor=row.actor,
    )
    return [Audit(row.sequence_id, trace), Report(event)]
