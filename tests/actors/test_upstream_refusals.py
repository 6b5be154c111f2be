"""A master that floods the station hides no other master in the audit log."""

from __future__ import annotations

import contextlib

from scada.actors.upstream_masters import RECORDED, Masters, Refusals
from scada.control.records import Principal
from scada.core.clock import VirtualClock
from scada.protocols.iec104.operate import CommandRefused
from scada.security.audit import AuditLog


def test_a_flood_of_one_master_leaves_the_refusals_of_another_in_the_audit_log(tmp_path):
    clock, told = VirtualClock(), []
    masters = Masters("up", {name: Principal(f"upstream:{name}", *[frozenset()] * 3) for name in ("loud", "quiet")})
    with contextlib.closing(AuditLog(tmp_path, clock)) as audit:
        refusals = Refusals(masters, audit, lambda key, *_: told.append(key), clock)

        def refused(master):
            refusals.note(CommandRefused(None, master, "A", bytes(12), f"{master}:1", "unknown address"))

        for number in range(3 * RECORDED):
            refused("loud")
            refused(f"10.0.0.{number}")
        refused("quiet")
        rows = [record.row.actor for record in audit.records()]
        assert rows.count("upstream:loud") == RECORDED
        assert len(rows) == 2 * RECORDED + 1, "all that nobody named count as one"
        assert rows[-1] == "upstream:quiet"
        clock.advance(61)
        refusals.tick()
        assert told[-1] == "upstream.refusals"
        refused("loud")
        assert [record.row.actor for record in audit.records()][-1] == "upstream:loud"
