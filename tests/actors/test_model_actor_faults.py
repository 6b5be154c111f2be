"""Model actor: what runs is what the log says and what was checked, whatever goes wrong between two steps."""

import pytest
from actors.model_rig import ANN, BOB, Rig, engineer
from scadapb.v1 import scada_pb2 as pb

from scada.core.errors import ScadaError, StoreError
from scada.model_cim.version_log import State, Step
from scada.model_cim.versions import VersionStore

NAME = "<cim:IdentifiedObject.name>{}</cim:IdentifiedObject.name>"


@pytest.fixture
def rig(tmp_path):
    one = Rig(tmp_path, diagrams=False, keep_versions=2)
    yield one
    one.close()


def propose(rig, folder, who=ANN, **more):
    reply = rig.ask(pb.ProposeRequest(sha256=rig.upload(folder), description="rename", **more), who)
    assert reply.accepted, reply
    return reply.version


def apply(rig, number, who=ANN):
    version = rig.version(number)
    return rig.ask(pb.ApplyRequest(version=number, digest=version.digest, confirm=sorted(version.dangers)), who)


def run(rig, folder):
    number = propose(rig, folder)
    rig.work()
    assert apply(rig, number).accepted
    rig.work()
    assert rig.store.current == number
    return number


def renamed(rig, to, station="Beishan", old="Uab"):
    return rig.edit(f"{station}-{to}", NAME.format(old), NAME.format(to), file=f"SC-{station}.xml")


def fails(monkeypatch, *steps):
    """The store can no longer write these steps."""
    note = VersionStore.note

    def noted(self, step, number, **more):
        if step in steps:
            raise StoreError("no space left")
        return note(self, step, number, **more)

    monkeypatch.setattr(VersionStore, "note", noted)


def test_a_rollback_during_a_check_begins_the_check_anew(rig):
    run(rig, renamed(rig, "wrong"))
    number = propose(rig, renamed(rig, "mine", "Longtan"), base=1)
    assert rig.ask(pb.RollbackRequest(), BOB).accepted
    rig.work()
    version = rig.version(number)
    assert (version.checked_on, version.stations) == (1, ("Longtan",))
    assert "wrong" not in (rig.store.path(number) / "SC-Beishan.xml").read_text("utf-8"), "it was laid over what ran before"


def test_taking_a_version_again_does_not_bring_back_what_was_rolled_back(rig):
    run(rig, renamed(rig, "wrong"))
    first = propose(rig, renamed(rig, "mine", "Longtan"), base=1)
    rig.work()
    assert rig.version(first).checked_on == 2
    assert rig.ask(pb.RollbackRequest(), BOB).accepted
    again = rig.ask(pb.ProposeRequest(version=first, description="on top")).version
    rig.work()
    version = rig.version(again)
    assert version.state is State.READY, version.result
    assert version.stations == ("Longtan",)
    assert NAME.format("mine") in (rig.store.path(again) / "SC-Longtan.xml").read_text("utf-8")
    assert NAME.format("wrong") not in (rig.store.path(again) / "SC-Beishan.xml").read_text("utf-8")


def test_old_versions_that_cannot_be_removed_do_not_undo_an_apply(rig, monkeypatch):
    run(rig, renamed(rig, "one"))
    number = propose(rig, renamed(rig, "two"))
    rig.work()
    assert apply(rig, number).accepted
    fails(monkeypatch, Step.PRUNED)
    rig.work()
    assert (rig.server.runs, rig.store.current) == (number, number)


def test_an_apply_whose_end_cannot_be_written_down_does_not_stand_in_the_way_for_ever(rig, monkeypatch):
    number = propose(rig, renamed(rig, "one"))
    rig.work()
    apply(rig, number)
    with monkeypatch.context() as patched:
        fails(patched, Step.APPLIED, Step.FAILED)
        rig.work()
        rig.tick(1)
        assert (rig.server.runs, rig.version(number).state) == (1, State.APPLYING)
    rig.tick(1)
    assert rig.version(number).state is State.READY
    assert apply(rig, number).accepted
    rig.work()
    assert rig.store.current == number


def test_it_is_said_when_not_even_the_way_back_works(rig, monkeypatch):
    number = propose(rig, renamed(rig, "one"))
    rig.work()
    apply(rig, number)
    fails(monkeypatch, Step.APPLIED)

    def broken(_):
        raise ScadaError("not this time")

    monkeypatch.setattr(rig.server, "readopt", broken)
    rig.work()
    told = [event for message in rig.events.got for event in message.events if event.key == "model.failed"]
    assert "no space left" in told[0].parameters["reason"]
    assert "not this time" in told[0].parameters["reason"]
    assert told[0].priority == 1


def test_a_version_taken_from_the_folder_is_not_taken_back_by_an_engineer_of_one_area(rig):
    folder = renamed(rig, "by-folder")
    rig.store.note(Step.APPLIED, rig.store.take_folder(folder, "start").number)
    eve = engineer("eve", areas=("Longtan",))
    assert rig.ask(pb.RollbackRequest(), eve).code == "no_area"
    assert rig.ask(pb.RollbackRequest(), BOB).accepted


def test_versions_that_never_ran_do_not_stand_in_the_way_of_a_rollback(rig):
    mine = engineer("eve", areas=("Longtan",))
    ran = propose(rig, renamed(rig, "mine", "Longtan"))
    rig.work()
    apply(rig, ran)
    rig.work()
    propose(rig, renamed(rig, "waits"), base=1)
    rig.work()
    assert rig.ask(pb.RollbackRequest(), mine).accepted
    assert rig.ask(pb.RollbackRequest(version=ran), mine).accepted, "only changes of the own station lie between"


def test_the_version_that_a_proposal_takes_is_kept_while_it_is_checked(rig):
    taken = propose(rig, renamed(rig, "one"))
    rig.work()
    rig.ask(pb.WithdrawRequest(version=taken))
    for name in ("two", "three"):
        number = propose(rig, renamed(rig, name))
        rig.work()
        rig.ask(pb.WithdrawRequest(version=number))
    again = rig.ask(pb.ProposeRequest(version=taken, description="after all")).version
    rig.work()
    assert rig.version(again).state is State.READY, rig.version(again).result


@pytest.mark.parametrize("ends", ["withdrawn", "too long"])
def test_work_given_up_leaves_nothing_on_the_disk(rig, ends):
    number = propose(rig, renamed(rig, "one"))
    staging = rig.jobs[0].job.staging
    for place in (staging, staging.with_name(f"{staging.name}-own")):
        place.mkdir()
        (place / "EQ.xml").write_text("half")
    if ends == "withdrawn":
        assert rig.ask(pb.WithdrawRequest(version=number)).accepted
    else:
        rig.tick(3600)
        assert rig.version(number).state is State.REFUSED
    assert [path.name for path in staging.parent.iterdir()] == [rig.version(1).folder_name]


def test_drawings_that_come_along_are_everyones(rig):
    """A drawing binds pictures to equipment by mRID: who draws another's station shows its operators something else."""
    folder = renamed(rig, "mine", "Longtan")
    (folder / "diagrams").mkdir()
    (folder / "diagrams" / "Beishan.svg").write_text("<svg/>")
    number = propose(rig, folder, engineer("eve", areas=("Longtan",)))
    rig.work()
    assert rig.version(number).state is State.REFUSED
    assert "what belongs to no station" in rig.version(number).result
    number = propose(rig, folder)
    rig.work()
    assert rig.version(number).stations == ("*", "Longtan")
    assert apply(rig, number).accepted
    rig.work()
    (folder / "SC-Longtan.xml").write_text((folder / "SC-Longtan.xml").read_text("utf-8").replace(">Ua<", ">U a<"), "utf-8")
    number = propose(rig, folder, engineer("eve", areas=("Longtan",)))
    rig.work()
    assert rig.version(number).stations == ("Longtan",), "the drawings that are in use already are nobody's change"


def test_a_check_whose_end_cannot_be_written_down_ends_as_soon_as_it_can(rig, monkeypatch):
    number = propose(rig, renamed(rig, "one"))
    with monkeypatch.context() as patched:
        fails(patched, Step.CHECKED, Step.REFUSED)
        rig.work()
        rig.tick(1)
        assert rig.version(number).state is State.CHECKING
    rig.tick(1)
    assert rig.version(number).state is State.REFUSED
    assert "propose it anew" in rig.version(number).result


@pytest.mark.parametrize("name", ["ANN", "\uff41nn", "ann "])
def test_a_name_written_otherwise_is_no_second_person(rig, name):
    number = propose(rig, renamed(rig, "one"))
    rig.work()
    request = pb.ApproveRequest(version=number, digest=rig.version(number).digest)
    assert rig.ask(request, engineer(name)).code == "same_person"
    assert rig.ask(request, BOB).accepted
