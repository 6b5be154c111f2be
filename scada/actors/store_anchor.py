"""The head of the store of orders in the audit log: a store that was cut or put back to an older state is known by it."""

from __future__ import annotations

import structlog

from scada.apps.dispatch.order_store import NO_HEAD
from scada.apps.dispatch.store_head import StoreHead
from scada.core.errors import ScadaError
from scada.security.audit import AuditLog, AuditRow
from scada.security.audit_query import AuditFilter, AuditReader

_log = structlog.get_logger("dispatch")

_ACTOR = "system:dispatch"
_STEP = "dispatch store"


def keep_head(audit: AuditLog, head: StoreHead) -> None:
    """Write a head to the audit log, behind the change; one that cannot be written is under the next."""
    row = AuditRow("system", _STEP, _ACTOR, value=float(head.changes), code=str(head.changes), reason=head.tag.hex())
    try:
        audit.append(row)
    except ScadaError as error:
        _log.error("the audit log cannot be written", cause=str(error), changes=head.changes)


def known_head(reader: AuditReader) -> StoreHead:
    """The last head that an audit log knows.

    Raises:
        ScadaError: the log cannot be read.
    """
    found, _ = reader.newest(AuditFilter(kinds=frozenset({"system"}), actor=_ACTOR), 1)
    if not found:
        return NO_HEAD
    row = found[0].record.row
    return StoreHead(int(row.code), bytes.fromhex(row.reason))
