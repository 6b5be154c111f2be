from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
import threading

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.actors.audit_desk import AuditDesk, AuditKeeper
from scada.api.audit_services import AuditServices
from scada.api.faults import CallError
from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.core.settings import Settings
from scada.security import audit_writer
from scada.security.audit import AuditError, AuditLog, AuditRow, read_audit, verify
from scada.security.checkpoints import CheckpointError, parse_checkpoint
from scada.security.client import SessionClient
from scada.security.identities import init_identities, load_identity
from scada.security.issuing import revoke
from scada.security.trust import Trust


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit-desk") / "keys"
    init_identities(folder, VirtualClock())
    return folder


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def keys(made, tmp_path):
    return shutil.copytree(made, tmp_path / "keys")


@pytest.fixture
def reported():
    return []


@pytest.fixture
def desk(tmp_path, clock, keys, reported):
    with AuditLog(tmp_path / "audit", clock) as log:
        desk = AuditDesk(log, clock)
        desk.trust = Trust(keys)
        desk.keep(load_identity(keys, "server", clock), Settings(), clock, reported.append)
        yield desk
        desk.close()


def login_row(keys, clock, name="operator"):
    """The row of a login with its envelope, and a signer of the same session."""
    identity = load_identity(keys, name, clock)
    envelope = SessionClient(identity, "demo", Trust(keys).authorities, clock, station="ws-1").login_request()
    return AuditRow("security", "login", name, "ws-1", evidence=envelope), identity


def order_row(identity, clock, actor=""):
    from scada.security.envelope import now_us, seal

    now = now_us(clock)
    header = pb.Header(sender=identity.name, recipient="demo", method="/scadapb.v1.Control/Select", time_us=now, expires_us=now)
    body = pb.SelectRequest(control="q1", value=2.0).SerializeToString()
    evidence = seal(identity.signer, header, body, None).SerializeToString()
    return AuditRow("control", "select", actor or identity.name, mrid="q1", path="East/Q1", value=2.0, evidence=evidence)


async def test_the_start_is_the_first_row_with_version_and_digest_of_the_settings(desk, tmp_path):
    first = next(iter(read_audit(tmp_path / "audit"))).row
    assert (first.kind, first.step) == ("system", "start")
    assert first.code.startswith("scada ")
    assert len(first.reason.rpartition(" ")[2]) == 64


async def test_a_log_that_was_cut_gets_no_row_of_the_start_that_it_stops(tmp_path, clock, keys):
    """It is evidence: not even the server that finds it out adds to it."""
    folder, server = tmp_path / "audit", load_identity(keys, "server", clock)
    with AuditLog(folder, clock) as log:
        log.sign_with(server, "demo", clock)
        log.append_many([AuditRow("control", "execute")] * 3)
    path = folder / "audit.000001.log"
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    with AuditLog(folder, clock):
        pass  # what looks like the work of a crash is moved aside
    cut = path.read_bytes()
    with AuditLog(folder, clock) as log:
        desk = AuditDesk(log, clock)
        with pytest.raises(AuditError, match="truncated"):
            desk.keep(server, Settings(), clock, print)
        desk.close()
    assert path.read_bytes() == cut


async def test_what_is_told_is_stored_in_order_and_before_the_desk_is_closed(tmp_path, clock):
    with AuditLog(tmp_path / "audit", clock) as log:
        desk = AuditDesk(log, clock)
        threads = [
            threading.Thread(target=lambda: [desk.tell(AuditRow("security", "login")) for _ in range(20)]) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        desk.tell(AuditRow("security", "logout"))
        desk.close()
        desk.tell(AuditRow("security", "late"))
    steps = [record.row.step for record in read_audit(tmp_path / "audit")]
    assert steps == ["login"] * 60 + ["logout", "late"]
    assert verify(tmp_path / "audit") is None


async def test_a_page_says_what_each_envelope_is_worth(desk, keys, clock):
    login, operator = login_row(keys, clock)
    _, guardian = login_row(keys, clock, "guardian")
    await desk.store(login, order_row(operator, clock), order_row(guardian, clock), order_row(operator, clock, actor="wang"))
    await desk.store(AuditRow("control", "select", "operator", evidence=b'{"asdu": "45"}'), AuditRow("control", "result"))
    page = await desk.query(pb.AuditQuery(limit=6))
    worth = [(entry.proof, entry.signature_ok) for entry in reversed(page.entries)]
    assert worth == [
        ("proven", True),
        ("proven", True),
        ("unknown", False),
        ("false", False),
        ("not_signed", False),
        ("none", False),
    ]
    assert page.more
    assert page.total == 7
    # the login that proves a record may lie before the page
    page = await desk.query(pb.AuditQuery(limit=1, before=4))
    assert page.entries[0].number == 3
    assert page.entries[0].signature_ok


@pytest.mark.parametrize(("later", "worth"), [(-60, "proven"), (60, "untrusted")])
async def test_what_was_signed_after_its_certificate_was_revoked_proves_nothing(desk, keys, clock, later, worth):
    login, operator = login_row(keys, clock)
    at = VirtualClock(clock.now_ns())
    at.advance(100)
    revoke(keys, [operator.certificate], "keyCompromise", at)
    assert desk.trust.refresh()
    clock.advance(100 + later)
    await desk.store(login, order_row(operator, clock))
    assert (await desk.query(pb.AuditQuery(limit=1))).entries[0].proof == worth


async def test_without_trust_no_signature_is_called_good(desk, keys, clock):
    await desk.store(login_row(keys, clock)[0])
    desk.trust = None
    entry = (await desk.query(pb.AuditQuery(limit=1))).entries[0]
    assert (entry.proof, entry.signature_ok) == ("proven", False)


async def test_a_witness_gets_a_fresh_checkpoint_and_the_proof_that_it_extends_its_own(desk, clock):
    from scada.security.merkle import proves_consistency

    first = await desk.checkpoint(0)
    await desk.store(*[AuditRow("control", "select")] * 5)
    assert (await desk.checkpoint(0)).number == first.number  # not older than a minute
    clock.advance(61)
    told = await desk.checkpoint(first.number)
    assert told.records == first.records + 5
    assert proves_consistency(first.records, told.records, list(told.consistency), first.merkle_root, told.merkle_root)
    with pytest.raises(CheckpointError, match="no checkpoint 99"):
        await desk.checkpoint(99)


async def test_a_record_is_proven_from_the_reply_alone(desk, keys, clock):
    from scada.cli.audit_witness import check_proof

    login, operator = login_row(keys, clock)
    await desk.store(login, order_row(operator, clock))
    proof = await desk.prove(3)
    authorities = Trust(keys).authorities
    assert "control select by operator on East/Q1" in check_proof(proof, 3, authorities)
    with pytest.raises(CheckpointError, match="does not hold"):
        check_proof(proof, 2, authorities)
    proof.stored = proof.stored.replace(b"East/Q1", b"East/Q2")
    with pytest.raises(CheckpointError, match="does not hold"):
        check_proof(proof, 3, authorities)
    with pytest.raises(CheckpointError, match="record 4 is not under"):
        await desk.prove(4)


async def test_exports_are_whole_and_audited(desk, clock):
    class Backend:
        audit = desk

    class Somebody:
        name, station, session = "auditor", "ws", "ab"

    services = AuditServices(Backend)
    await desk.store(*[AuditRow("control", "select", reason=f"=1+{number}") for number in range(5)])

    async def exported(form):
        request = pb.AuditExportRequest(format=form, query=pb.AuditQuery(kinds=["control"]))
        return b"".join([chunk.data async for chunk in services.export(request, Somebody)]).decode()

    lines = [json.loads(line) for line in (await exported("")).splitlines()]
    assert [line["reason"] for line in lines] == [f"=1+{number}" for number in range(5)]
    table = list(csv.DictReader(io.StringIO(await exported("csv"))))
    assert [line["digest"] for line in table] == [line["digest"] for line in lines]
    rows = (await desk.query(pb.AuditQuery(text="audit_export"))).entries
    assert [(row.actor, row.code) for row in rows] == [("auditor", "csv"), ("auditor", "jsonl")]
    with pytest.raises(CallError, match="jsonl, csv"):
        await exported("xml")


async def test_what_cannot_be_asked(desk):
    class Backend:
        audit = desk

    services = AuditServices(Backend)
    for request in (pb.AuditQuery(limit=2001), pb.AuditQuery(text="x" * 300), pb.AuditQuery(kinds=["a"] * 33)):
        with pytest.raises(CallError) as refused:
            await services.query(request, None)
        assert refused.value.code == "malformed"
    with pytest.raises(CallError) as refused:
        await services.get_checkpoint(pb.CheckpointRequest(since=77), None)
    assert refused.value.code == "inconsistent"
    with pytest.raises(CallError) as refused:
        await services.prove(pb.AuditProofRequest(record=10**6), None)
    assert refused.value.code == "not_proven"


async def test_a_log_that_nobody_signs_has_no_checkpoint(tmp_path, clock):
    with AuditLog(tmp_path, clock) as log:
        desk = AuditDesk(log, clock)
        await desk.store(AuditRow("control", "select"))
        assert await desk.checkpoint(0) is None
        with pytest.raises(CheckpointError, match="no checkpoint yet"):
            await desk.prove(1)
        desk.close()


async def test_the_keeper_says_once_that_a_checkpoint_failed_and_once_that_it_is_over(tmp_path, clock, keys, monkeypatch):
    from scada.security import checkpoints

    told = []
    with AuditLog(tmp_path, clock) as log:
        log.sign_with(load_identity(keys, "server", clock), "demo", clock)
        keeper = AuditKeeper(log, told.append)
        log.append(AuditRow("control", "select"))
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
            for _ in range(3):
                clock.advance(3601)
                keeper.look()
        assert len(told) == 1
        assert "No space left" in told[0]
        clock.advance(3601)
        keeper.look()
        assert told[1:] == [""]


async def test_a_change_of_the_trust_is_a_row_that_names_the_files(tmp_path, clock, keys):
    trust = Trust(keys, clock)
    with AuditLog(tmp_path / "audit", clock) as log:
        keeper = AuditKeeper(log, lambda _: None, lambda: trust)
        keeper.look()
        revoke(keys, [load_identity(keys, "viewer", clock).certificate], "superseded", clock)
        assert trust.refresh()
        table = keys / "roles.toml"
        table.write_text(table.read_text().replace("[viewer]", "[viewer]\ndisabled = true"))
        assert trust.refresh()
        keeper.look()
        keeper.look()
    rows = [record.row for record in read_audit(tmp_path / "audit")]
    assert [(row.step, row.old, row.value) for row in rows] == [("trust_changed", 1.0, 3.0)]
    assert rows[0].reason == "read anew: ca.crl.pem; roles.toml"


async def test_rows_that_cannot_be_stored_are_refused_or_only_logged(desk, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(audit_writer, "_write_whole", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(StoreError, match="No space left"):
            await desk.store(AuditRow("control", "select"))
        desk.tell(AuditRow("security", "login"))
        await asyncio.get_running_loop().run_in_executor(desk._writer, lambda: None)
    await desk.store(AuditRow("control", "select"))
    assert (await desk.query(pb.AuditQuery())).total == 2


async def test_a_checkpoint_on_the_wire_is_the_stored_one(desk, keys):
    told = await desk.checkpoint(0)
    signed = parse_checkpoint(told.encoded, told.signature, told.certificate)
    signed.check(Trust(keys).authorities)
    assert (signed.checkpoint.records, signed.checkpoint.root) == (told.records, told.merkle_root)
    assert signed.key_id() == told.key_id
