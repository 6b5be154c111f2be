"""What somebody does to an audit log who can write its files, and may even have another true log of the same server."""

from __future__ import annotations

import shutil

import msgpack
import pytest
from security.test_checkpoints import codes, forge, row, write

from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.security.audit import AuditLog, AuditRow, read_audit
from scada.security.audit_chain import segments
from scada.security.audit_checking import check_log
from scada.security.audit_query import AuditFilter, AuditReader
from scada.security.authorities import load_authorities
from scada.security.checkpoints import CHECKPOINTS, CheckpointFile, read_checkpoints
from scada.security.identities import load_identity


@pytest.fixture
def identity(made_keys, clock):
    return load_identity(made_keys, "server", clock)


@pytest.fixture
def authorities(made_keys):
    return load_authorities(made_keys)


@pytest.fixture
def logs(tmp_path, clock, identity):
    """Two true logs of one server: the second was begun in another folder."""
    for name in ("a", "b"):
        write(tmp_path / name, clock, identity, 120, segment_bytes=4000)
        clock.advance(3600)
    return tmp_path / "a", tmp_path / "b"


def renumbered(bodies):
    return [msgpack.packb([number, *msgpack.unpackb(body)[1:]]) for number, body in enumerate(bodies, 1)]


def _edited(body):
    fields = msgpack.unpackb(body)
    return msgpack.packb([*fields[:4], "somebody", *fields[5:]])


CHANGES = {
    "duplicated": lambda bodies: [*bodies[:50], bodies[49], *bodies[50:]],
    "removed": lambda bodies: bodies[:50] + bodies[60:],
    "reordered": lambda bodies: bodies[:50] + bodies[60:61] + bodies[51:60] + bodies[50:51] + bodies[61:],
    "edited": lambda bodies: [*bodies[:50], _edited(bodies[50]), *bodies[51:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_log_written_anew_with_every_digest_and_number_right_is_not_what_was_signed(logs, authorities, change):
    forge(logs[0], lambda bodies: renumbered(CHANGES[change](bodies)))
    report = check_log(logs[0], authorities=authorities)
    assert codes(report)[0] in {"rewritten", "truncated"}
    assert report.findings[0].record <= 51


def test_a_segment_of_another_true_log_is_found(logs, authorities):
    a, b = logs
    shutil.copy(segments(b)[1], segments(a)[1])
    report = check_log(a, authorities=authorities)
    assert codes(report)[0] == "chain"
    assert not report.whole


def test_the_beginning_of_one_true_log_with_the_end_of_another_is_found(logs, authorities):
    a, b = logs
    tail = bodies_of(b)[60:]
    forge(a, lambda bodies: bodies[:60] + tail)
    report = check_log(a, authorities=authorities)
    assert codes(report)[0] == "rewritten"
    # with the checkpoints of the other beside its own
    for signed in (
        read_checkpoints(b / CHECKPOINTS),
        read_checkpoints(a / CHECKPOINTS)[:1] + read_checkpoints(b / CHECKPOINTS)[1:],
    ):
        (a / CHECKPOINTS).unlink()
        CheckpointFile(a / CHECKPOINTS).append(signed)
        assert not check_log(a, authorities=authorities).whole


def bodies_of(folder):
    from scada.security.audit_chain import Chain

    return [body for _, body, _ in Chain(segments(folder))]


def test_a_whole_log_in_the_place_of_another_is_found_by_the_witness_alone(logs, authorities, tmp_path):
    a, b = logs
    witness = tmp_path / "witness.log"
    CheckpointFile(witness).append(read_checkpoints(a / CHECKPOINTS)[-1:])
    assert check_log(b, authorities=authorities).whole, "it is a true log"
    assert codes(check_log(b, authorities=authorities, witness=witness)) == ["rewritten"]


def test_a_witness_that_is_not_there_is_no_witness_that_agrees(logs, authorities, tmp_path):
    report = check_log(logs[0], authorities=authorities, witness=tmp_path / "lost.log")
    assert codes(report) == ["witness"]
    assert "no checkpoints" in report.findings[0].what


def test_all_checkpoints_removed_is_no_log_of_before_checkpoints(tmp_path, clock, identity, authorities):
    """The row of a start is written by a server that signs; without any checkpoint the rest could have been written anew."""
    with AuditLog(tmp_path / "audit", clock) as log:
        log.append_many([row(0), row(1)])
        log.sign_with(identity, "demo", clock)
        log.append(AuditRow("system", "start", "system", code="scada 1.0", reason="settings SM3 00"))
    assert check_log(tmp_path / "audit", authorities=authorities).whole
    (tmp_path / "audit" / CHECKPOINTS).unlink()
    report = check_log(tmp_path / "audit", authorities=authorities)
    assert (codes(report), report.findings[0].record) == (["checkpoint"], 3)
    assert "they were removed" in report.findings[0].what


def test_a_checkpoint_removed_with_its_tail_stops_no_start_and_is_found_by_the_witness(
    logs, authorities, identity, clock, tmp_path
):
    """Cut back to an earlier checkpoint the log is true as far as it goes: only who kept a later one knows better."""
    a, _ = logs
    signed = read_checkpoints(a / CHECKPOINTS)
    CheckpointFile(tmp_path / "witness.log").append(signed)
    kept = signed[-3]
    forge(a, lambda bodies: bodies[: kept.checkpoint.records])
    (a / CHECKPOINTS).unlink()
    CheckpointFile(a / CHECKPOINTS).append(signed[:-2])
    with AuditLog(a, clock) as log:
        log.sign_with(identity, "demo", clock)
        log.append_many([row(number) for number in range(120)])
    assert check_log(a, authorities=authorities).whole
    report = check_log(a, authorities=authorities, witness=tmp_path / "witness.log")
    assert codes(report)[0] == "rewritten"
    assert report.findings[0].record == kept.checkpoint.records + 1


def test_a_clock_that_was_set_back_breaks_nothing_and_is_said(tmp_path, identity, authorities, clock):
    """Rows keep their order and every one is found again; what was signed says that the clock was set back."""
    begun = clock.now_ns()
    with AuditLog(tmp_path / "audit", clock) as log:
        log.sign_with(identity, "demo", clock)
        clock.advance(7200)
        log.append(row(0))
        assert log.checkpoint_if_due()
        back = VirtualClock(begun + 60 * 10**9)
        log._clock = log._seal.clock = back
        log._seal.at = back.monotonic()
        log.append(row(1))
        assert log.checkpoint().checkpoint.records == 2
        back.advance(4000)
        log.append(row(2))
        assert log.checkpoint_if_due(), "checkpoints come by the monotonic clock"
    report = check_log(tmp_path / "audit", authorities=authorities)
    assert report.whole
    [note] = report.notes
    assert "set back by at least 7140 s before checkpoint 2" in note
    assert [record.row.mrid for record in read_audit(tmp_path / "audit")] == ["c-0", "c-1", "c-2"]
    reader = AuditReader(tmp_path / "audit")
    for first, count in ((0, 3), (begun + 7000 * 10**9, 1), (begun + 3000 * 10**9, 2)):
        assert len(reader.newest(AuditFilter(from_ns=first), 9)[0]) == count


def test_no_row_goes_into_a_log_that_was_cut_while_the_server_ran(tmp_path, clock):
    with AuditLog(tmp_path, clock) as log:
        log.append_many([row(0), row(1)])
        path = segments(tmp_path)[0]
        whole = path.read_bytes()
        path.write_bytes(whole[:-5])
        with pytest.raises(StoreError):
            log.append(row(2))
        path.write_bytes(whole)
        with pytest.raises(StoreError, match="closed"):
            log.append(row(3))
