"""Versions of the model over real gRPC: two engineers, forged and replayed orders, apply, rollback, restart."""

import os
import signal
from pathlib import Path

import pytest
from actors.small_grid import write_grid
from scadapb.v1 import scada_pb2 as pb
from system.engineering_rig import Plant, make_keys

from scada.api.faults import CallError
from scada.api.gate import PACKAGE
from scada.model_cim.version_files import unpack_model

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys") / "keys")


@pytest.fixture
def plant(tmp_path, keys):
    plants = []

    def start(**model):
        plants.append(Plant(tmp_path, keys, **model))
        return plants[-1]

    yield start
    for one in plants:
        one.close()


def test_two_engineers_from_an_upload_to_the_running_model_and_back(plant, tmp_path):
    site = plant(approval=True)
    before = site.run(site.client("operator").call("Model/GetModel", pb.GetModelRequest()))
    reply = site.propose("ann", site.edit("one", "Beishan"))
    assert (reply.accepted, reply.version) == (True, 2)
    version = site.settled(2)
    assert (version.state, version.maker, list(version.stations)) == ("ready", "ann", ["Beishan"])
    assert version.needs_approval
    assert site.apply("ann", version).code == "approval"
    approval = pb.ApproveRequest(version=2, digest=version.digest)
    assert site.order("ann", "Approve", approval).code == "same_person"
    assert site.order("eve", "Approve", approval).code == "no_area"
    with pytest.raises(CallError) as refused:
        site.order("operator", "Approve", approval)
    assert refused.value.code == "unauthorised"
    assert site.order("bob", "Approve", approval).accepted

    assert site.apply("ann", version).accepted
    version = site.settled(2)
    assert (version.state, version.current, version.approver, version.applied_by) == ("applied", True, "bob", "ann")
    assert ("Beishan", "U ab") in site.names()
    after = site.run(site.client("operator").call("Model/GetModel", pb.GetModelRequest()))
    assert after.version != before.version

    assert site.order("bob", "Rollback", pb.RollbackRequest(reason="wrong name")).accepted
    assert site.version(1).current
    assert ("Beishan", "U ab") not in site.names()
    assert site.run(site.client("operator").call("Model/GetModel", pb.GetModelRequest())).version == before.version
    steps = [entry.step for entry in site.call("operator", "GetLog", pb.VersionLogRequest(number=2)).entries]
    assert steps == ["applied", "applying", "approved", "checked", "proposed"]
    rows = [(one.row.step, one.row.actor) for one in site.system.audit.records() if one.row.kind == "model"]
    assert ("apply", "ann") in rows
    assert all(one.row.evidence for one in site.system.audit.records() if one.row.kind == "model" and one.row.step == "apply")
    data = site.run(site.client("ann").download(2))
    (tmp_path / "back.zip").write_bytes(data)
    unpack_model(tmp_path / "back.zip", tmp_path / "back", 1 << 20)
    assert "U ab" in (tmp_path / "back" / "SC-Beishan.xml").read_text("utf-8")


def test_two_engineers_on_two_stations_merge_and_a_restart_keeps_it(plant):
    site = plant()
    ann = site.propose("ann", site.edit("one", "Beishan")).version
    eve = site.propose("eve", site.edit("two", "Longtan")).version
    first, second = site.settled(ann), site.settled(eve)
    assert site.apply("ann", first).accepted
    assert site.settled(ann).current
    assert site.apply("eve", second).code == "stale"
    again = site.order("eve", "Propose", pb.ProposeRequest(version=eve, description="on top")).version
    merged = site.settled(again)
    assert (merged.state, list(merged.stations)) == ("ready", ["Longtan"])
    assert site.apply("eve", merged).accepted
    assert site.settled(again).current
    assert {("Beishan", "U ab"), ("Longtan", "U ab")} <= site.names()
    site.stop()
    site.start()
    assert site.version(again).current
    assert {("Beishan", "U ab"), ("Longtan", "U ab")} <= site.names()


def test_an_engineer_of_one_area_changes_no_other_and_a_conflict_is_named(plant):
    site = plant()
    refused = site.settled(site.propose("eve", site.edit("foreign", "Beishan")).version)
    assert refused.state == "refused"
    assert "Beishan" in refused.result
    first = site.settled(site.propose("ann", site.edit("one", "Beishan")).version)
    assert site.apply("ann", first).accepted
    site.settled(first.number)
    other = site.edit("two", "Beishan", new="U_ab")
    conflict = site.settled(site.propose("bob", other, base=1).version)
    assert conflict.state == "refused"
    assert "U ab" in conflict.result
    assert site.version(first.number).current


def test_a_forged_and_a_replayed_order_do_nothing(plant):
    site = plant()
    version = site.settled(site.propose("ann", site.edit("one", "Beishan")).version)
    client = site.client("ann")
    request = pb.ApplyRequest(version=version.number, digest=version.digest)
    envelope = client.session.seal(f"/{PACKAGE}.Engineering/Apply", request)
    forged = envelope.replace(version.digest.encode()[:8], b"00000000")
    assert forged != envelope
    with pytest.raises(CallError) as refused:
        site.run(client._unary(client.control, "Engineering/Apply", forged, 10))
    assert refused.value.code not in {"", "internal"}
    with pytest.raises(CallError):
        site.run(client._unary(client.control, "Engineering/Withdraw", envelope, 10))
    assert site.version(version.number).state == "ready"

    withdrawal = client.session.seal(f"/{PACKAGE}.Engineering/Withdraw", pb.WithdrawRequest(version=version.number))
    site.run(client._unary(client.control, "Engineering/Withdraw", withdrawal, 10))
    with pytest.raises(CallError) as replayed:
        site.run(client._unary(client.control, "Engineering/Withdraw", withdrawal, 10))
    assert replayed.value.code == "replayed"


def test_what_is_too_large_or_from_the_wrong_person_is_not_taken_in(plant):
    site = plant(upload_mb=1)
    with pytest.raises(CallError, match="upload_mb") as refused:
        site.run(site.client("ann").upload([b"x" * (200 << 10)] * 8))
    assert refused.value.code == "upload"
    assert list(site.system.running.store.uploads.iterdir()) == []
    with pytest.raises(CallError) as refused:
        site.run(site.client("operator").upload([b"x"]))
    assert refused.value.code == "unauthorised"
    with pytest.raises(CallError, match="empty"):
        site.run(site.client("ann").upload([]))
    with pytest.raises(CallError) as refused:
        site.run(site.client("operator").download(1))
    assert refused.value.code == "unauthorised"
    with pytest.raises(CallError) as refused:
        site.call("operator", "GetVersion", pb.GetVersionRequest(number=9))
    assert refused.value.code == "not_found"


def test_a_lost_worker_refuses_the_version_and_the_next_one_is_checked(plant):
    site = plant()
    number = site.propose("ann", site.edit("one", "Beishan")).version
    for pid in _workers():
        os.kill(pid, signal.SIGKILL)
    assert site.settled(number).state == "refused"
    again = site.settled(site.propose("ann", site.edit("again", "Beishan")).version)
    assert again.state == "ready"


def _workers():
    """Worker processes of this one."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            line = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"scada.actors.model_work" in line:
            found.append(int(stat.parent.name))
    return found


def test_keys_that_the_model_names_are_beside_its_folder_not_in_the_version(plant, tmp_path):
    grid = write_grid(tmp_path / "grid")
    path = grid / "SC-Beishan.xml"
    entry = "<sc:RemoteUnit.protocol>iec104</sc:RemoteUnit.protocol>"
    text = path.read_text("utf-8").replace(entry, f"{entry}\n  <sc:RemoteUnit.tlsCa>ca.pem</sc:RemoteUnit.tlsCa>", 1)
    path.write_text(text, "utf-8")
    (grid / "ca.pem").write_text("no certificate", "utf-8")
    site = plant()
    spec = next(view.spec for view in site.system.channel_views if view.spec.name == "Beishan RTU")
    assert spec.params.get("tls_ca") == str(grid / "ca.pem")
    assert not list((tmp_path / "model").rglob("ca.pem"))
