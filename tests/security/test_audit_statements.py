"""Rows of the audit log held against the signed bodies that they keep."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.security.audit import AuditLog, AuditRow
from scada.security.audit_checking import check_log
from scada.security.audit_evidence import EvidenceChecker, Proof
from scada.security.audit_statements import _READERS, compare
from scada.security.authorities import load_authorities
from scada.security.envelope import seal
from scada.security.identities import load_identity
from scada.security.roles import METHOD_RIGHTS

SESSION = b"0123456789abcdef"
NAN = math.nan
GUARD = pb.ConfirmRequest(sequence_id="q1", control="m1", value=2.0)
REFUSES = pb.ConfirmRequest(sequence_id="q1", control="m1", value=2.0, refuse=True)
UNIT = pb.SetModeRequest(unit=pb.UnitMode(unit="u1", base_mode="BASE", reg_mode="A", base_point_mw=55.0))
ORDER = pb.AreaSetpoint(area="East", interchange_mw=40.0, order_id="o1")

TRUE = [
    ("Session/Login", pb.LoginRequest(station="desk 1"), {"kind": "security", "step": "login", "station": "desk 1"}),
    (
        "Control/Select",
        pb.SelectRequest(control="m1", value=2.0),
        {"kind": "control", "step": "select", "mrid": "m1", "value": 2.0},
    ),
    (
        "Control/Select",
        pb.SelectRequest(control="m1", value=2.0),
        {"kind": "control", "step": "refused", "mrid": "m1", "value": 2.0},
    ),
    (
        "Control/Select",
        pb.SelectRequest(control="m" * 90, value=2.0),
        {"kind": "control", "step": "refused", "mrid": "m" * 64, "value": 2.0},
    ),
    ("Control/Confirm", GUARD, {"kind": "control", "step": "confirm", "sequence_id": "q1", "mrid": "m1", "value": 2.0}),
    ("Control/Confirm", GUARD, {"kind": "control", "step": "confirm_refused", "sequence_id": "q1", "mrid": "m1", "value": 1.0}),
    ("Control/Confirm", REFUSES, {"kind": "control", "step": "result", "sequence_id": "q1", "mrid": "m1", "value": 2.0}),
    ("Control/Execute", pb.ExecuteRequest(sequence_id="q1"), {"kind": "control", "step": "execute", "sequence_id": "q1"}),
    ("Control/Cancel", pb.CancelRequest(sequence_id="q1"), {"kind": "control", "step": "result", "sequence_id": "q1"}),
    ("Control/Adjust", pb.AdjustRequest(control="m1"), {"kind": "control", "step": "select", "mrid": "m1", "value": 7.0}),
    ("Control/SetMode", UNIT, {"kind": "mode", "step": "unit", "mrid": "u1", "value": 55.0, "reason": "BASE A"}),
    ("Control/SetMode", UNIT, {"kind": "mode", "step": "unit refused", "mrid": "u1", "value": 55.0, "reason": "locked"}),
    (
        "Control/SetMode",
        pb.SetModeRequest(agc="off", area="East"),
        {"kind": "mode", "step": "agc", "path": "East", "reason": "off"},
    ),
    (
        "Events/Acknowledge",
        pb.AcknowledgeRequest(alarm_ids=[4, 7]),
        {"kind": "acknowledge", "step": "acknowledge", "path": "4 7", "value": 2.0},
    ),
    (
        "Events/Shelve",
        pb.ShelveRequest(alarms=[pb.AlarmName(mrid="m1")], reason="r"),
        {"kind": "alarm", "step": "shelve", "mrid": "m1", "path": "m1", "reason": "r"},
    ),
    (
        "OperatorData/Hold",
        pb.HoldRequest(point="p1", value=3.0, reason=" r "),
        {"kind": "operator", "step": "substitute", "mrid": "p1", "value": 3.0, "reason": "r"},
    ),
    (
        "OperatorData/Hold",
        pb.HoldRequest(point="p1", block=True),
        {"kind": "operator", "step": "block_refused", "mrid": "p1", "reason": "no right"},
    ),
    (
        "OperatorData/PlaceTag",
        pb.TagRequest(object="b1", type="repair", reason="r"),
        {"kind": "operator", "step": "tag", "mrid": "b1", "code": "accepted:repair", "reason": "r"},
    ),
    (
        "OperatorData/Remove",
        pb.RemoveRequest(mark_id=9, reason="r"),
        {"kind": "operator", "step": "remove", "sequence_id": "9", "mrid": "b1", "reason": "r"},
    ),
    (
        "Programmes/Command",
        pb.ProgrammeCommand(run="r1", action="pause"),
        {"kind": "programme", "step": "pause", "sequence_id": "r1"},
    ),
    ("Dispatch/SendSetpoint", ORDER, {"kind": "dispatch", "step": "order", "sequence_id": "o1", "mrid": "East", "value": 40.0}),
    ("Dispatch/WithdrawOrder", pb.WithdrawOrder(order_id="o1"), {"kind": "dispatch", "step": "withdraw", "sequence_id": "o1"}),
    (
        "Engineering/Rollback",
        pb.RollbackRequest(reason="r"),
        {"kind": "model", "step": "rollback", "sequence_id": "3", "reason": "r"},
    ),
    (
        "Security/SetUser",
        pb.UserOrder(user=pb.UserInfo(name="li"), reason="r"),
        {"kind": "security", "step": "set user", "mrid": "li", "reason": "r"},
    ),
]


def evidence(method, body, identity=None, **more):
    given = {"sender": "operator", "recipient": "demo", "method": f"/scadapb.v1.{method}", "session": SESSION, **more}
    if method == "Session/Login":
        del given["session"]
    body = body if isinstance(body, bytes) else body.SerializeToString()
    if identity is None:
        return pb.Signed(header=pb.Header(**given).SerializeToString(), body=body, sig=bytes(64)).SerializeToString()
    return seal(identity.signer, pb.Header(**given), body, None).SerializeToString()


def row(method, body, said, **more):
    return AuditRow(**{"actor": "operator", "session": SESSION.hex(), "evidence": evidence(method, body, **more), **said})


@pytest.mark.parametrize(("method", "body", "said"), TRUE)
def test_a_true_row_agrees_and_no_other_object_value_order_step_or_person_does(method, body, said):
    true = row(method, body, said)
    assert compare(true, "demo").why == ""
    lies = [{"actor": "wang"}, {"actor": ""}, {"kind": "history"}, {"step": "check_back"}]
    if not said["step"].endswith("refused") or method == "Control/Select":
        changed = {"mrid": "m9", "value": 9.0, "sequence_id": "q9", "station": "desk 9"}
        names = set(said) & set(changed)
        if method in {"Control/Adjust", "Engineering/Rollback"} or said["step"] == "result":
            names &= {"mrid"} if method == "Control/Adjust" else {"sequence_id"} if said["step"] == "result" else set()
        names -= {"mrid"} if method == "OperatorData/Remove" else set()  # the body names the mark, not its object
        lies += [{name: changed[name]} for name in names]
    if method != "Session/Login":
        lies.append({"session": "00" * 16})
    for lie in lies:
        assert compare(replace(true, **lie), "demo").why, lie
    assert "not 'elsewhere'" in compare(true, "elsewhere").why


def test_every_signed_call_that_leaves_a_row_can_be_compared():
    """Those that are left out only look, or leave rows that keep no envelope."""
    left = {name for name in METHOD_RIGHTS if name not in _READERS}
    signed = {
        f"/scadapb.v1.{service.name}/{method.name}"
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.input_type.name == "Signed"
    }
    assert left & signed == {"/scadapb.v1.Session/Rekey", "/scadapb.v1.Dispatch/GetOrder"}
    assert set(_READERS) <= signed


def test_what_is_not_known_is_said_and_never_passes_as_true():
    later = AuditRow("control", "select", "operator", session=SESSION.hex(), evidence=evidence("Control/Teleport", b""))
    found = compare(later)
    assert (found.known, found.why, found.method) == (False, "", "/scadapb.v1.Control/Teleport")
    assert compare(replace(later, actor="wang")).why  # who it was is known all the same
    assert compare(AuditRow("control", "select", evidence=b'{"asdu": "2d"}')) is None
    assert compare(AuditRow("control", "result")) is None
    broken = AuditRow("control", "select", "operator", session=SESSION.hex(), evidence=evidence("Control/Select", b"\xff"))
    assert "cannot be read" in compare(broken).why


def test_verify_names_the_first_row_that_lies_with_or_without_proving_signatures(tmp_path, clock, made_keys):
    """Its chain, its checkpoint and the signature of its envelope are all right: the server's own key was used for it."""
    identity = load_identity(made_keys, "operator", clock)
    certificates = [identity.certificate]
    now = clock.now_ns() // 1000
    rows = [row(*one, identity=identity, time_us=now) for one in TRUE[1:]]
    odd = AuditRow("control", "x", "operator", session=SESSION.hex(), evidence=evidence("Later/Call", b"", identity, time_us=now))
    with AuditLog(tmp_path / "audit", clock) as log:
        log.sign_with(load_identity(made_keys, "server", clock), "demo", clock)
        log.append_many([AuditRow("system", "start", "system"), *rows, odd])
        log.append_many([replace(rows[0], value=1.0), replace(rows[0], actor=""), replace(rows[0], mrid="m9")])
    first = len(rows) + 3
    for checker in (None, EvidenceChecker(load_authorities(made_keys), certificates)):
        report = check_log(tmp_path / "audit", authorities=load_authorities(made_keys), evidence=checker)
        assert [(finding.code, finding.record) for finding in report.findings] == [
            ("row", first),
            ("row", first + 1),
            ("row", first + 2),
        ]
        assert "value 1.0, the envelope 2.0" in report.findings[0].what
        assert (report.compared, report.lying) == (len(rows) + 3, 3)
        assert report.uncompared == {"/scadapb.v1.Later/Call": 1}
        assert any("1 of /scadapb.v1.Later/Call" in note for note in report.notes)
    assert checker.check(rows[0]).proof is Proof.PROVEN
    assert checker.check(replace(rows[0], value=1.0)).proof is Proof.FALSE


def test_an_envelope_of_another_site_is_no_evidence_here(tmp_path, clock, made_keys):
    with AuditLog(tmp_path / "audit", clock) as log:
        log.sign_with(load_identity(made_keys, "server", clock), "demo", clock)
        log.append(row(*TRUE[1], recipient="another-site"))
    report = check_log(tmp_path / "audit")
    assert "signed for site 'another-site'" in report.findings[0].what
