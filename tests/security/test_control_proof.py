"""One control proven from the audit log alone: three envelopes that name each other, two persons."""

from dataclasses import replace

import pytest
from click.testing import CliRunner
from scadapb.v1 import scada_pb2 as pb

from scada.cli.audit import command
from scada.security.audit import AuditLog, AuditRow
from scada.security.audit_evidence import EvidenceChecker, Proof
from scada.security.authorities import load_authorities
from scada.security.control_proof import prove_control
from scada.security.envelope import seal
from scada.security.identities import load_identity
from scada.security.sm3 import sm3

PLACES = {"operator": "desk 1", "guardian": "desk 2", "leader": "desk 3"}


@pytest.fixture
def case(made_keys, clock, tmp_path):
    return Case(made_keys, clock, tmp_path)


class Case:
    """The rows of one control, each of which a test may forge before they are kept."""

    def __init__(self, keys, clock, folder):
        self.keys, self.clock, self.folder = keys, clock, folder
        self.identities = {name: load_identity(keys, name, clock) for name in PLACES}
        self.rows = {}
        select = self.signed("operator", "Select", pb.SelectRequest(control="m", value=2.0, device_number="2211"))
        self.row("select", "operator", select)
        self.row("check_back", "operator", b"")
        word = {"sequence_id": "q1", "control": "m", "value": 2.0, "device_number": "2211"}
        self.word = pb.ConfirmRequest(select_digest=sm3(select), **word)
        self.row("confirm", "guardian", self.signed("guardian", "Confirm", self.word))
        self.executed("operator")
        self.row("result", "operator", b"")

    def signed(self, who, method, body):
        identity, now = self.identities[who], self.clock.now_ns() // 1000
        header = pb.Header(sender=who, recipient="demo", method=f"/scadapb.v1.Control/{method}", time_us=now)
        return seal(identity.signer, header, body.SerializeToString(), None).SerializeToString()

    def row(self, step, who, evidence, **more):
        given = {"station": PLACES[who], "sequence_id": "q1", "mrid": "m", "value": 2.0, "evidence": evidence, **more}
        self.rows[step] = AuditRow("control", step, who, **given)

    def executed(self, who):
        told = pb.ExecuteRequest(sequence_id="q1", confirm_digest=sm3(self.rows["confirm"].evidence))
        self.row("execute", who, self.signed(who, "Execute", told))

    def proof(self, sequence="q1", *, order=("select", "check_back", "confirm", "execute", "result")):
        with AuditLog(self.folder / "audit", self.clock) as log:
            log.append(AuditRow("control", "select", "leader", sequence_id="q0"))
            log.append_many([self.rows[step] for step in order if step in self.rows])
            found = list(log.records())
        certificates = [one.certificate for one in self.identities.values()]
        return prove_control(found, sequence, EvidenceChecker(load_authorities(self.keys), certificates))


def test_both_persons_are_named(case):
    found = case.proof()
    assert (found.operator, found.guardian, found.faults) == ("operator", "guardian", ())
    assert found.two_persons
    assert [step.record.row.step for step in found.steps] == ["select", "check_back", "confirm", "execute", "result"]
    assert [step.proof for step in found.steps] == [Proof.PROVEN, Proof.NONE, Proof.PROVEN, Proof.PROVEN, Proof.NONE]


def forged_word(case, **more):
    word = pb.ConfirmRequest()
    word.CopyFrom(case.word)
    for name, value in more.items():
        setattr(word, name, value)
    case.row("confirm", "guardian", case.signed("guardian", "Confirm", word))
    case.executed("operator")


def by_one(case):
    case.row("confirm", "operator", case.signed("operator", "Confirm", case.word), station="desk 2")
    case.executed("operator")


def of_another_call(case):
    case.row("confirm", "guardian", case.signed("guardian", "Cancel", case.word))


def spoilt(case):
    evidence = pb.Signed.FromString(case.rows["confirm"].evidence)
    evidence.body += b"\x3a\x01x"
    case.rows["confirm"] = replace(case.rows["confirm"], evidence=evidence.SerializeToString())


@pytest.mark.parametrize(
    ("forge", "fault"),
    [
        (lambda case: forged_word(case, select_digest=bytes(32)), "another selection"),
        (lambda case: forged_word(case, sequence_id="q2"), "sequence_id 'q1', the envelope 'q2'"),
        (lambda case: forged_word(case, value=1.0), "value 2.0, the envelope 1.0"),
        (lambda case: forged_word(case, refuse=True), "control confirm, the envelope was signed for"),
        (lambda case: forged_word(case, device_number="2212"), "selected another object"),
        (by_one, "one person"),
        (lambda case: case.row("confirm", "guardian", case.rows["confirm"].evidence, station=" Desk 1"), "one workstation"),
        (lambda case: case.row("confirm", "leader", case.rows["confirm"].evidence), "confirm is false"),
        (lambda case: case.executed("leader"), "somebody else executed"),
        (
            lambda case: case.row("execute", "operator", case.signed("operator", "Execute", pb.ExecuteRequest(sequence_id="q1"))),
            "another confirmation",
        ),
        (of_another_call, "signed for /scadapb.v1.Control/Cancel"),
        (spoilt, "confirm is false"),
        (lambda case: case.rows.pop("select"), "no selection"),
    ],
)
def test_what_does_not_belong_together_proves_nothing(case, forge, fault):
    forge(case)
    found = case.proof()
    assert any(fault in one for one in found.faults), found.faults
    assert not found.two_persons
    assert (found.operator, found.guardian) == ("", "")


def test_a_word_that_came_after_the_execute_confirms_nothing(case):
    found = case.proof(order=("select", "execute", "confirm", "result"))
    assert found.faults == ("it was executed before it was confirmed",)


def test_the_terminal_proves_it_without_a_server(case):
    case.proof()
    words = ["control", "--folder", str(case.folder / "audit"), "--ca", str(case.keys), "--certificates", str(case.keys)]
    done = CliRunner().invoke(command, [*words, "q1"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "operator operator, guardian guardian"
    assert "confirm  guardian at desk 2" in done.output
    assert CliRunner().invoke(command, [*words, "q9"]).exit_code == 1
    by_one(case)
    case.proof()
    done = CliRunner().invoke(command, [*words, "q1"])
    assert (done.exit_code, "operator not proven, guardian not proven" in done.output) == (3, True)
    assert "does not belong together: operator and guardian are one person" in done.output


def test_one_person_alone_is_named_alone(case):
    del case.rows["confirm"]
    found = case.proof()
    assert (found.operator, found.guardian, found.two_persons, found.faults) == ("operator", "", False, ())


def test_of_an_unknown_sequence_nothing_is_known(case):
    found = case.proof("q9")
    assert (found.steps, found.operator, found.two_persons) == ((), "", False)
