"""Model actor: proposal, check, second person, apply, rollback; what is refused and why; what survives a restart."""

import shutil

import pytest
from actors.model_rig import ANN, BOB, Rig, engineer
from scadapb.v1 import scada_pb2 as pb

from scada.actors.model_change import alike
from scada.core.errors import StoreError
from scada.core.settings import ModelSettings
from scada.model_cim.numbers import kept_numbers
from scada.model_cim.points import load_model
from scada.model_cim.version_log import State
from scada.model_cim.versions import VersionStore
from scada.security.audit import AuditLog

NAME = "<cim:IdentifiedObject.name>Uab</cim:IdentifiedObject.name>"
RENAMED = "<cim:IdentifiedObject.name>U ab</cim:IdentifiedObject.name>"
VALUE = " <cim:AnalogValue "


@pytest.fixture
def rig(tmp_path):
    rigs = []

    def make(**settings):
        rigs.append(Rig(tmp_path, **settings))
        return rigs[-1]

    yield make
    for one in rigs:
        one.close()


def propose(rig, folder, who=ANN, **more):
    return rig.ask(pb.ProposeRequest(sha256=rig.upload(folder), description="rename", **more), who)


def ready(rig, folder, who=ANN, **more):
    """A version that was checked."""
    reply = propose(rig, folder, who, **more)
    assert reply.accepted, reply
    rig.work()
    assert rig.version(reply.version).state is State.READY, rig.version(reply.version).result
    return rig.version(reply.version)


def apply(rig, version, who=ANN, confirm=()):
    confirm = confirm or sorted(version.dangers)
    return rig.ask(pb.ApplyRequest(version=version.number, digest=version.digest, confirm=confirm, reason="now"), who)


def approve(rig, version, who):
    return rig.ask(pb.ApproveRequest(version=version.number, digest=version.digest), who)


def renamed(rig, name="edit", station="Beishan"):
    return rig.edit(name, NAME, RENAMED, file=f"SC-{station}.xml")


def without_a_point(rig, name="less"):
    """The grid without the first analog value of Beishan, and what feeds it."""
    folder = renamed(rig, name)
    path = folder / "SC-Beishan.xml"
    text = path.read_text("utf-8")
    begin = text.index(VALUE)
    mrid = text[begin:].split('rdf:ID="_', 1)[1].split('"', 1)[0]
    text = text[:begin] + text[text.index("</cim:AnalogValue>", begin) + len("</cim:AnalogValue>\n") :]
    begin = text.rindex(" <cim:RemoteSource ", 0, text.index(mrid))
    text = text[:begin] + text[text.index("</cim:RemoteSource>", begin) + len("</cim:RemoteSource>\n") :]
    path.write_text(text, "utf-8")
    return folder, mrid


def test_from_a_proposal_to_the_running_version_and_back(rig):
    one = rig()
    version = ready(one, renamed(one))
    assert version.number == 2
    assert version.stations == ("Beishan",)
    assert version.lost == ()
    detail = one.reader.detail(pb.GetVersionRequest(number=2, difference=True))
    assert "U ab" in detail.difference_xml
    assert detail.shadow.done
    assert one.events.keys() == ["model.proposed", "model.ready"]
    assert list(one.store.uploads.iterdir()) == [], "what was checked is kept as a version, not as an upload"

    assert apply(one, version).accepted
    assert one.version(2).state is State.APPLYING
    one.work()
    assert (one.store.current, one.server.runs) == (2, 2)
    assert one.version(2).applied_by == "ann"
    assert any(point.name == "U ab" for point in one.server.tables.points)

    assert one.ask(pb.RollbackRequest(reason="wrong name"), BOB).accepted
    assert one.jobs == [], "the version before is still in memory"
    assert (one.store.current, one.server.runs, one.store.previous) == (1, 1, 0)
    assert one.rows() == [
        ("propose", "ann", ""),
        ("apply", "ann", ""),
        ("runs", "ann", "done"),
        ("rollback", "bob", ""),
        ("runs", "bob", "done"),
    ]
    assert one.events.keys()[2:] == ["model.applied", "model.rolled_back"]


def test_apply_then_rollback_is_identity_on_digest_and_tables(rig):
    one = rig()
    before = load_model(one.store.path(1), kept_numbers(one.folder))
    version = ready(one, renamed(one))
    apply(one, version)
    one.work()
    one.server.before = 0  # no longer in memory: it must be built
    assert one.ask(pb.RollbackRequest(), ANN).accepted
    one.work()
    assert one.store.current == 1
    assert one.server.tables.version == before[0].digest
    assert alike(one.server.tables, before[1])
    one.store.check_files(1)


def test_the_second_person_is_another_engineer_who_saw_this_version(rig):
    one = rig(approval=True)
    version = ready(one, renamed(one))
    assert apply(one, version).code == "approval"
    assert approve(one, version, ANN).code == "same_person"
    assert approve(one, version, engineer("ANN")).code == "same_person"
    assert approve(one, version, engineer("eve", rights=())).code == "no_right"
    assert approve(one, version, engineer("eve", areas=("Longtan",))).code == "no_area"
    assert one.ask(pb.ApproveRequest(version=2, digest="00"), BOB).code == "digest"
    assert one.reader.versions().versions[0].needs_approval
    assert one.version(2).approver == ""
    assert approve(one, version, BOB).accepted
    assert apply(one, version).accepted
    one.work()
    assert (one.store.current, one.version(2).approver) == (2, "bob")
    refused = [row for row in one.rows() if row[0] == "refused"]
    assert [code for _, _, code in refused] == ["approval", "same_person", "same_person", "no_right", "no_area", "digest"]


def test_what_is_dangerous_must_be_named(rig):
    one = rig()
    folder, mrid = without_a_point(one)
    version = ready(one, folder)
    assert version.lost == (mrid,)
    one.alarmed = {7: mrid}
    reply = apply(one, version, confirm=["something else"])
    assert (reply.accepted, reply.code) == (False, "unconfirmed")
    keys = [danger.key for danger in reply.unconfirmed]
    assert "lost-alarms" in keys
    assert one.store.current == 1
    assert apply(one, version, confirm=keys).accepted


def test_errors_are_not_applied_unless_configured(rig):
    one = rig()
    folder = one.edit("bad", "<sc:RemotePoint.ioa>", "<sc:RemotePoint.ioa>x", file="SC-Beishan.xml")
    version = ready(one, folder)
    assert version.counts["new"] == version.counts["error"] >= 1
    findings = one.reader.detail(pb.GetVersionRequest(number=2, severity="error")).findings
    assert any(finding.place.startswith("SC-Beishan.xml:") for finding in findings)
    assert apply(one, version).code == "errors"
    one.actor._settings = ModelSettings(apply_with_errors=True)
    assert apply(one, version).accepted


def test_a_broken_file_is_refused_with_its_findings(rig):
    one = rig()
    folder = renamed(one)
    text = (folder / "SC-Beishan.xml").read_text("utf-8")
    (folder / "SC-Beishan.xml").write_text(text[: len(text) // 2], "utf-8")
    reply = propose(one, folder)
    one.work()
    version = one.version(reply.version)
    assert version.state is State.REFUSED
    assert "SC-Beishan.xml" in version.result
    assert one.reader.detail(pb.GetVersionRequest(number=2)).findings[0].severity == "fatal"
    assert apply(one, version).code == "state"
    assert one.events.keys()[-1] == "model.refused"


def test_no_zip_no_model(rig):
    one = rig()
    path = one.folder / "x"
    path.write_bytes(b"PK no zip")
    reply = propose(one, path)
    one.work()
    assert "not a readable zip" in one.version(reply.version).result


def test_an_engineer_changes_only_the_own_stations(rig):
    one = rig()
    eve = engineer("eve", areas=("Longtan",))
    reply = propose(one, renamed(one), eve)
    one.work()
    version = one.version(reply.version)
    assert version.state is State.REFUSED
    assert "Beishan" in version.result
    assert ready(one, renamed(one, "own", "Longtan"), eve).stations == ("Longtan",)


def test_a_template_or_waiver_is_everyones(rig):
    one = rig()
    folder = renamed(one, "own", "Longtan")
    (folder / "waivers.toml").write_text('[severity]\n"point.source" = "info"\n', "utf-8")
    reply = propose(one, folder, engineer("eve", areas=("Longtan",)))
    one.work()
    assert "what belongs to no station" in one.version(reply.version).result


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (pb.ProposeRequest(sha256="00" * 32, description="x"), "no_upload"),
        (pb.ProposeRequest(sha256="../../etc/passwd", description="x"), "no_upload"),
        (pb.ProposeRequest(version=1, description=" "), "no_description"),
        (pb.ProposeRequest(version=1, description="x" * 2000), "too_long"),
        (pb.ProposeRequest(description="x"), "source"),
        (pb.ProposeRequest(version=1, base=9, description="x"), "unknown"),
        (pb.ApplyRequest(version=7), "unknown"),
        (pb.ApplyRequest(version=1), "state"),
        (pb.RollbackRequest(), "unknown"),
        (pb.RollbackRequest(version=1), "state"),
        (pb.WithdrawRequest(version=1), "state"),
    ],
)
def test_orders_that_make_no_sense_are_refused_and_written_down(rig, request_, code):
    one = rig()
    reply = one.ask(request_)
    assert (reply.accepted, reply.code) == (False, code)
    assert one.rows()[-1] == ("refused", "ann", code)
    assert one.store.current == 1


def test_nothing_is_done_that_cannot_be_written_to_the_audit_log(rig, monkeypatch):
    one = rig()
    name = one.upload(renamed(one))

    def full(*_):
        raise StoreError("cannot write the audit log: No space left on device")

    monkeypatch.setattr(AuditLog, "append", full)
    reply = one.ask(pb.ProposeRequest(sha256=name, description="x"))
    assert reply.code == "audit_failed"
    assert len(one.store.versions) == 1
    assert one.events.keys() == ["audit.fault"]


def test_an_apply_that_does_not_run_leaves_the_old_version(rig):
    one = rig()
    version = ready(one, renamed(one))
    one.server.refuses = "a channel cannot be made"
    apply(one, version)
    one.work()
    assert (one.store.current, one.server.runs) == (1, 1)
    assert one.version(2).state is State.READY
    assert one.version(2).result == "a channel cannot be made"
    assert one.events.keys()[-1] == "model.failed"
    one.server.refuses = ""
    assert apply(one, version).accepted


def test_what_cannot_be_written_down_does_not_run(rig, monkeypatch):
    one = rig()
    version = ready(one, renamed(one))
    apply(one, version)
    note = VersionStore.note

    def full(store, step, *arguments, **more):
        if step == "applied":
            raise StoreError("no space left to write")
        return note(store, step, *arguments, **more)

    monkeypatch.setattr(VersionStore, "note", full)
    one.work()
    assert (one.server.runs, one.store.current) == (1, 1)
    assert one.events.keys()[-1] == "model.failed"


def test_the_worker_may_die_or_take_too_long(rig):
    one = rig(work_minutes=1.0)
    propose(one, renamed(one))
    one.tick(59)
    assert one.killed == 0
    one.tick(2)
    assert one.killed == 1
    assert one.version(2).state is State.REFUSED
    assert "longer than 1 minutes" in one.version(2).result
    one.deliver()
    assert one.version(2).state is State.REFUSED, "what the dead one still said counts no more"


def test_a_proposal_survives_a_restart_and_an_interrupted_apply_is_told(rig):
    one = rig()
    first = ready(one, renamed(one))
    propose(one, renamed(one, "later", "Longtan"))
    apply(one, first)
    one.store.close()
    one.open()
    one.begin()
    assert one.version(2).state is State.READY
    assert one.events.keys() == ["model.failed"]
    assert [work.job.number for work in one.jobs] == [3]
    one.work()
    assert one.version(3).state is State.READY
    assert one.store.current == 1


def test_applying_comes_before_a_check_that_runs_and_the_check_begins_anew(rig):
    one = rig()
    first = ready(one, renamed(one))
    second = propose(one, renamed(one, "later", "Longtan"))
    apply(one, first)
    assert one.killed == 1
    assert one.jobs[-1].job.number == 2
    assert propose(one, renamed(one, "third")).accepted
    one.work()
    assert one.store.current == 2
    assert one.version(second.version).checked_on == 2, "checked on what runs now"


def test_one_version_is_applied_at_a_time(rig):
    one = rig()
    first = ready(one, renamed(one))
    second = ready(one, renamed(one, "b", "Longtan"))
    assert apply(one, first).accepted
    assert apply(one, second).code == "busy"
    assert one.ask(pb.RollbackRequest(version=1)).code == "busy"
    assert one.ask(pb.WithdrawRequest(version=2)).accepted
    assert one.killed == 1
    assert one.version(2).state is State.WITHDRAWN
    assert apply(one, second).accepted
    one.work()
    assert one.store.current == 3


def test_only_the_maker_or_who_has_all_areas_withdraws(rig):
    one = rig()
    version = ready(one, renamed(one))
    assert one.ask(pb.WithdrawRequest(version=2), engineer("eve", areas=("Beishan",))).code == "no_area"
    assert one.ask(pb.WithdrawRequest(version=2), BOB).accepted
    assert apply(one, version).code == "state"


def test_two_engineers_on_two_stations_both_come_through(rig):
    one = rig()
    ann = ready(one, renamed(one, "a", "Beishan"), ANN)
    bob = ready(one, renamed(one, "b", "Longtan"), BOB)
    apply(one, ann)
    one.work()
    assert apply(one, bob, BOB).code == "stale"
    again = one.ask(pb.ProposeRequest(version=bob.number, description="on top of ann's"), BOB)
    assert again.accepted
    one.work()
    merged = one.version(again.version)
    assert merged.state is State.READY, merged.result
    assert merged.stations == ("Longtan",)
    assert apply(one, merged, BOB).accepted
    one.work()
    names = {(point.station, point.name) for point in one.server.tables.points}
    assert {("Beishan", "U ab"), ("Longtan", "U ab")} <= names


def test_two_engineers_on_the_same_value_the_conflict_is_named(rig):
    one = rig()
    ann = ready(one, renamed(one, "a"), ANN)
    folder = one.edit("b", NAME, NAME.replace("Uab", "U_ab"), file="SC-Beishan.xml")
    apply(one, ann)
    one.work()
    reply = propose(one, folder, BOB, base=1)
    one.work()
    version = one.version(reply.version)
    assert version.state is State.REFUSED
    assert "U ab" in version.result
    assert "Uab" in version.result
    assert one.store.current == 2
    assert not (one.store.folder / "files" / ".new-000003").exists()


def test_a_difference_model_is_a_proposal_too(rig):
    one = rig()
    version = ready(one, renamed(one))
    apply(one, version)
    one.work()
    xml = one.folder / "diff.xml"
    xml.write_bytes(one.store.report(2, "difference"))
    refused = one.ask(pb.ProposeRequest(sha256=one.upload(xml), difference=True, description="once more"))
    one.work()
    assert one.version(refused.version).state is State.REFUSED, "it is applied already"
    one.ask(pb.RollbackRequest())
    reply = one.ask(pb.ProposeRequest(sha256=one.upload(xml), difference=True, description="again"))
    one.work()
    again = one.version(reply.version)
    assert again.state is State.READY, again.result
    assert again.stations == ("Beishan",)
    assert sorted(again.files) == sorted(name for name in one.version(1).files)


def test_too_many_open_versions_are_refused(rig):
    one = rig()
    name = one.upload(renamed(one))
    for _ in range(32):
        assert one.ask(pb.ProposeRequest(sha256=name, description="x")).accepted
    assert one.ask(pb.ProposeRequest(sha256=name, description="x")).code == "too_many"


def test_old_versions_go_when_a_new_one_runs(rig):
    one = rig(keep_versions=2)
    for number in range(3):
        folder = renamed(one, f"e{number}")
        (folder / "waivers.toml").write_text(f"# {number}\n", "utf-8")
        version = ready(one, folder)
        apply(one, version)
        one.work()
        shutil.rmtree(folder)
    assert [version.kept for version in one.store.versions.values()] == [False, False, True, True]
    assert one.ask(pb.RollbackRequest(version=1)).code == "unknown"
    assert one.ask(pb.RollbackRequest()).accepted


def test_what_cannot_be_kept_is_refused_and_the_next_one_is_checked(rig, monkeypatch):
    one = rig()
    propose(one, renamed(one))
    with monkeypatch.context() as patched:
        patched.setattr(VersionStore, "take", _full)
        one.work()
    assert one.version(2).state is State.REFUSED
    assert "no space left" in one.version(2).result
    assert ready(one, renamed(one, "again")).number == 3


def _full(*_, **__):
    raise StoreError("no space left to write a model version")


def test_a_rollback_that_cannot_be_written_down_is_taken_back(rig, monkeypatch):
    one = rig()
    version = ready(one, renamed(one))
    apply(one, version)
    one.work()
    monkeypatch.setattr(VersionStore, "note", _full)
    reply = one.ask(pb.RollbackRequest())
    assert (reply.accepted, reply.code) == (False, "failed")
    assert (one.server.runs, one.store.current) == (2, 2)


def test_a_proposal_whose_base_is_gone_at_the_start_is_refused(rig):
    one = rig()
    propose(one, renamed(one))
    shutil.rmtree(one.store.path(1))
    one.begin()
    one.work()
    assert one.version(2).state is State.REFUSED


def test_the_base_of_an_open_version_is_kept(rig):
    one = rig(keep_versions=2)
    waiting = ready(one, renamed(one, "waits", "Longtan"))
    for number in range(3):
        folder = renamed(one, f"e{number}")
        (folder / "waivers.toml").write_text(f"# {number}\n", "utf-8")
        apply(one, ready(one, folder))
        one.work()
    assert one.version(1).kept
    again = one.ask(pb.ProposeRequest(version=waiting.number, description="on top"))
    one.work()
    assert one.version(again.version).state is State.READY
