"""What the faces tell the audit log: who came and went, and what was refused, also in a flood."""

from __future__ import annotations

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api import refusals
from scada.api.faults import CallError
from scada.api.refusals import SecurityReporter
from scada.security.audit_evidence import EvidenceChecker, Proof
from scada.security.authorities import load_authorities


def told(backend, step):
    return [row for row in backend.audit.told if row.kind == "security" and row.step == step]


async def test_a_login_leaves_its_envelope_and_the_end_of_its_session(operator, backend, key_folder):
    await operator.call("Realtime/GetStatus", pb.GetStatusRequest())
    (row,) = told(backend, "login")
    assert row.actor == "operator"
    assert row.session == operator.session.session
    checker = EvidenceChecker(load_authorities(key_folder))
    checker.learn(row)
    assert checker.check(row).proof is Proof.PROVEN
    await operator.close()
    assert [each.session for each in told(backend, "logout")] == [row.session]


async def test_a_flood_of_refusals_is_counted_and_hides_no_login(backend):
    reporter = SecurityReporter(backend)
    for number in range(refusals.BURST + 30):
        reporter.refused(method="/m", code="bad_mac", reason="x" * 5000, peer=f"p{number}", sender="wang")
    reporter.login(name="li", peer="p", station="ws", session="ab", evidence=b"e")
    reporter.ended(name="li", station="ws", reason="revoked")
    reporter.close()
    rows = told(backend, "refused")
    assert len(rows) == refusals.BURST
    assert (rows[0].actor, rows[0].code) == ("wang", "bad_mac")
    assert len(rows[0].reason) <= 256
    # counted: the refusals beyond the burst, and the events of login and end that had no room either
    assert sum(row.value for row in told(backend, "flood")) == 32
    assert [row.evidence for row in told(backend, "login")] == [b"e"]
    assert [row.reason for row in told(backend, "session_ended")] == ["revoked"]


async def test_reading_the_audit_log_is_a_right_of_its_own(operator, backend):
    for method, request in (
        ("Audit/Query", pb.AuditQuery()),
        ("Audit/Prove", pb.AuditProofRequest(record=1)),
    ):
        with pytest.raises(CallError) as refused:
            await operator.call(method, request)
        assert refused.value.code == "unauthorised"
