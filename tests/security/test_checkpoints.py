"""Signed checkpoints of the audit log, and what they find: every edit of a log by somebody without the server's key."""

from __future__ import annotations

import errno
import os
import subprocess
import threading

import msgpack
import pytest

from scada.core.errors import StoreError
from scada.security import audit, checkpoints
from scada.security.audit import AuditError, AuditLog, AuditRow, read_audit
from scada.security.audit_chain import BEGINNING, FIRST_SEGMENT, HEADER_SIZE, Chain, Mark, encode, header, link, segments
from scada.security.audit_checking import check_log
from scada.security.audit_tree import BLOCKS, Proofs
from scada.security.authorities import load_authorities
from scada.security.checkpoints import (
    CHECKPOINTS,
    CheckpointError,
    CheckpointFile,
    check_order,
    parse_checkpoint,
    read_checkpoints,
    sign_checkpoint,
)
from scada.security.identities import load_identity
from scada.security.merkle import leaf_hash, proves_consistency, proves_inclusion, root_of


def row(number):
    return AuditRow("control", "execute", actor="operator", mrid=f"c-{number}", value=1.0)


@pytest.fixture
def identity(made_keys, clock):
    return load_identity(made_keys, "server", clock)


@pytest.fixture
def authorities(made_keys):
    return load_authorities(made_keys)


def write(folder, clock, identity, count, **options):
    with AuditLog(folder, clock, **options) as log:
        log.sign_with(identity, "demo", clock)
        for number in range(count):
            clock.advance(60)
            log.append(row(number))
            assert log.checkpoint_if_due()


@pytest.fixture
def folder(tmp_path, clock, identity):
    """300 rows, one a minute, in several segments, with checkpoints."""
    write(tmp_path / "audit", clock, identity, 300, segment_bytes=8000)
    return tmp_path / "audit"


def digests(folder):
    return [digest for _, _, digest in Chain(segments(folder))]


def codes(report):
    return [finding.code for finding in report.findings]


def test_a_checkpoint_every_hour_at_each_segment_and_at_close(folder, authorities):
    signed = read_checkpoints(folder / CHECKPOINTS)
    covered = [each.checkpoint.records for each in signed]
    assert covered == sorted(set(covered))
    assert covered[-1] == 300
    ends = [number - 1 for number in starts(folder)[1:]]
    assert set(ends) <= set(covered)
    assert len(covered) >= len(ends) + 3
    assert max(b - a for a, b in zip([0, *covered], covered, strict=False)) <= 61
    check_order(signed)
    for each in signed:
        each.check(authorities)
        assert each.checkpoint.root == root_of(leaf_hash(digest) for digest in digests(folder)[: each.checkpoint.records])
        assert each.checkpoint.digest == digests(folder)[each.checkpoint.records - 1]
        assert each.checkpoint.site == "demo"
    assert (folder / CHECKPOINTS).stat().st_mode & 0o777 == 0o600


def starts(folder):
    return [int.from_bytes(path.read_bytes()[14:22], "little") + 1 for path in segments(folder)]


def test_a_whole_log_has_no_findings(folder, authorities):
    report = check_log(folder, authorities=authorities, witness=folder / CHECKPOINTS)
    assert report.whole, report.findings
    assert (report.first, report.last, report.covered, report.uncovered) == (1, 300, 300, 0)
    assert report.segments == len(segments(folder))
    assert report.notes == []


def test_rows_after_the_last_checkpoint_are_said_to_be_not_yet_under_one(tmp_path, clock, identity):
    with AuditLog(tmp_path, clock) as log:
        log.sign_with(identity, "demo", clock)
        log.append_many([row(0), row(1)])
        assert log.checkpoint().checkpoint.records == 2
        log.append(row(2))
        report = check_log(tmp_path)
    assert report.whole
    assert report.uncovered == 1
    assert any("1 records after the last checkpoint" in note for note in report.notes)
    assert any("not proven up to an authority" in note for note in report.notes)


def test_a_log_of_before_checkpoints_opens_verifies_and_is_taken_up(tmp_path, clock, identity, authorities):
    with AuditLog(tmp_path, clock, segment_bytes=1000) as log:
        log.append_many([row(number) for number in range(40)])
    report = check_log(tmp_path)
    assert report.whole
    assert "no checkpoint" in report.notes[0]
    with AuditLog(tmp_path, clock) as log:
        log.sign_with(identity, "demo", clock)
        log.append(row(40))
    report = check_log(tmp_path, authorities=authorities)
    assert report.whole
    assert report.covered == 41


def forge(folder, change):
    """Write the whole chain anew with every digest right, as somebody could who knows the format but not the key."""
    bodies = [body for _, body, _ in Chain(segments(folder))]
    for path in segments(folder):
        path.unlink()
    bodies = change(bodies)
    data, digest = [header(BEGINNING)], BEGINNING.digest
    for body in bodies:
        sized = len(body).to_bytes(4, "little") + body
        digest = link(digest, sized)
        data += (sized, digest)
    (folder / FIRST_SEGMENT).write_bytes(b"".join(data))


def edited(bodies):
    number, time_ns, *fields = msgpack.unpackb(bodies[149])
    fields[2] = "somebody else"
    return [*bodies[:149], msgpack.packb([number, time_ns, *fields]), *bodies[150:]]


def test_a_chain_written_anew_from_a_record_on_is_found(folder, authorities):
    covered = [each.checkpoint.records for each in read_checkpoints(folder / CHECKPOINTS)]
    forge(folder, edited)
    assert audit.verify(folder) is None  # the chain alone cannot tell
    report = check_log(folder, authorities=authorities)
    before = max(number for number in covered if number < 150)
    assert "rewritten" in codes(report)
    assert report.findings[0].record == before + 1
    assert "chain was written anew" in report.findings[0].what


@pytest.mark.parametrize("lost", [1, 7, 150])
def test_a_truncated_log_is_found(folder, authorities, lost):
    forge(folder, lambda bodies: bodies[:-lost])
    report = check_log(folder, authorities=authorities)
    assert codes(report) == ["truncated"]
    assert report.findings[0].record == 301 - lost
    assert f"{lost} records" in report.findings[0].what


def test_log_and_checkpoints_cut_alike_are_found_by_the_witness_only(folder, tmp_path, authorities):
    signed = read_checkpoints(folder / CHECKPOINTS)
    witness = tmp_path / "witness.log"
    CheckpointFile(witness).append(signed[-2:])
    kept = signed[-3]
    (folder / CHECKPOINTS).unlink()
    CheckpointFile(folder / CHECKPOINTS).append(signed[:-2])
    forge(folder, lambda bodies: bodies[: kept.checkpoint.records])
    assert check_log(folder, authorities=authorities).whole
    report = check_log(folder, authorities=authorities, witness=witness)
    assert codes(report) == ["truncated"]
    assert report.findings[0].record == kept.checkpoint.records + 1


def test_a_replaced_last_segment_is_found(folder, authorities, clock):
    last = segments(folder)[-1]
    start = Chain([last])
    count = start.run().number - (starts(folder)[-1] - 1)
    digest, data = last.read_bytes()[22:HEADER_SIZE], []
    for number in range(starts(folder)[-1], starts(folder)[-1] + count):
        sized = encode(number, clock.now_ns(), row(999))
        digest = link(digest, sized)
        data += (sized, digest)
    last.write_bytes(last.read_bytes()[:HEADER_SIZE] + b"".join(data))
    assert audit.verify(folder) is None
    assert "rewritten" in codes(check_log(folder, authorities=authorities))


def test_removed_and_reordered_segments_are_found(folder, authorities):
    paths = segments(folder)
    kept = {path: path.read_bytes() for path in paths}
    paths[2].unlink()
    assert codes(check_log(folder, authorities=authorities))[0] == "chain"
    paths[2].write_bytes(kept[paths[3]])
    paths[3].write_bytes(kept[paths[2]])
    assert codes(check_log(folder, authorities=authorities))[0] == "chain"
    for path, data in kept.items():
        path.write_bytes(data)
    paths[-1].unlink()
    report = check_log(folder, authorities=authorities)
    assert codes(report) == ["truncated"]


def test_every_byte_of_the_checkpoints_counts(folder, authorities):
    path = folder / CHECKPOINTS
    data = path.read_bytes()
    for position in range(0, len(data), 37):
        spoiled = bytearray(data)
        spoiled[position] ^= 0x10
        path.write_bytes(bytes(spoiled))
        report = check_log(folder, authorities=authorities)
        assert not report.whole or report.uncovered, position
    path.write_bytes(data)
    assert check_log(folder, authorities=authorities).whole


def test_a_removed_checkpoint_is_found(folder, authorities):
    signed = read_checkpoints(folder / CHECKPOINTS)
    (folder / CHECKPOINTS).unlink()
    CheckpointFile(folder / CHECKPOINTS).append(signed[:2] + signed[3:])
    report = check_log(folder, authorities=authorities)
    assert codes(report)[0] == "checkpoint"
    assert "does not follow" in report.findings[0].what


@pytest.mark.parametrize("kept", [1, 2])
def test_removed_first_checkpoints_are_found(folder, authorities, kept):
    signed = read_checkpoints(folder / CHECKPOINTS)
    (folder / CHECKPOINTS).unlink()
    CheckpointFile(folder / CHECKPOINTS).append(signed[-kept:])
    assert codes(check_log(folder, authorities=authorities))[0] == "checkpoint"


def test_checkpoints_of_another_key_or_of_no_server_are_found(tmp_path, clock, made_keys, authorities, tmp_path_factory):
    from scada.security.identities import init_identities

    foreign = tmp_path_factory.mktemp("foreign")
    init_identities(foreign, clock)
    write(tmp_path / "a", clock, load_identity(foreign, "server", clock), 3)
    write(tmp_path / "b", clock, load_identity(made_keys, "operator", clock), 3)
    assert "not issued by the trusted authority" in check_log(tmp_path / "a", authorities=authorities).findings[0].what
    assert "no server that signs" in check_log(tmp_path / "b", authorities=authorities).findings[0].what


def test_archived_segments_leave_the_rest_provable(folder, authorities, clock, identity):
    gone = segments(folder)[:2]
    first = starts(folder)[2]
    for path in gone:
        path.unlink()
    report = check_log(folder, authorities=authorities)
    assert report.whole, report.findings
    assert (report.first, report.last) == (first, 300)
    assert f"records before {first} are archived" in report.notes[0]
    with AuditLog(folder, clock) as log:
        log.sign_with(identity, "demo", clock)
        log.append(row(300))
    assert check_log(folder, authorities=authorities).whole
    # a beginning that no checkpoint vouches for
    signed = [each for each in read_checkpoints(folder / CHECKPOINTS) if each.checkpoint.records >= first + 5]
    (folder / CHECKPOINTS).unlink()
    CheckpointFile(folder / CHECKPOINTS).append(signed)
    assert codes(check_log(folder, authorities=authorities)) == ["beginning", "checkpoint"]


def test_a_log_whose_beginning_was_archived_before_the_first_checkpoint(tmp_path, clock, identity, authorities):
    with AuditLog(tmp_path, clock, segment_bytes=500) as log:
        for number in range(20):
            log.append(row(number))
    segments(tmp_path)[0].unlink()
    with AuditLog(tmp_path, clock) as log:
        log.sign_with(identity, "demo", clock)
        log.append(row(20))
        made = log.checkpoint().checkpoint
    assert made.start == starts(tmp_path)[0] - 1 > 0
    assert made.root == root_of(leaf_hash(digest) for digest in digests(tmp_path))
    leaf, path = Proofs(tmp_path).inclusion(21, made)
    assert proves_inclusion(leaf, 20 - made.start, made.records - made.start, path, made.root)


def test_a_server_does_not_go_on_with_a_log_that_lacks_signed_records(folder, clock, identity):
    forge(folder, lambda bodies: bodies[:-3])
    with AuditLog(folder, clock) as log, pytest.raises(AuditError, match="truncated, 3 records"):
        log.sign_with(identity, "demo", clock)


def test_a_server_does_not_go_on_with_a_chain_written_anew(folder, clock, identity):
    forge(folder, edited)
    with AuditLog(folder, clock) as log, pytest.raises(AuditError, match="written anew"):
        log.sign_with(identity, "demo", clock)


class Token:
    """Signs when it is let."""

    def __init__(self, identity):
        self.certificate, self.name, self.signer = identity.certificate, identity.name, self
        self.current = self
        self.asked, self.go, self._signer = threading.Event(), threading.Event(), identity.signer
        self.go.set()

    def sign(self, message):
        self.asked.set()
        assert self.go.wait(20)
        return self._signer.sign(message)


def test_rows_do_not_wait_for_a_token_that_signs_a_checkpoint(tmp_path, clock, identity, authorities):
    """Else an order would be out of its time window before its row is on disk."""
    token = Token(identity)
    with AuditLog(tmp_path, clock) as log:
        log.sign_with(token, "demo", clock)
        log.append(row(0))
        clock.advance(3601)
        token.go.clear()
        keeper = threading.Thread(target=log.checkpoint_if_due)
        keeper.start()
        assert token.asked.wait(20)
        assert log.append_many([row(1), row(2)]) == [2, 3]
        assert read_checkpoints(tmp_path / CHECKPOINTS) == []
        token.go.set()
        keeper.join()
        assert [each.checkpoint.records for each in read_checkpoints(tmp_path / CHECKPOINTS)] == [1]
        assert log.checkpoint().checkpoint.records == 3
    assert check_log(tmp_path, authorities=authorities).whole


def test_checkpoints_that_cannot_be_written_stop_no_row(tmp_path, clock, identity, monkeypatch):
    with AuditLog(tmp_path, clock) as log:
        log.sign_with(identity, "demo", clock)
        log.append(row(0))

        def full(file, data):
            file.write(data[:7])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "_write", full)
            clock.advance(3601)
            assert not log.checkpoint_if_due()
            assert "No space left" in log.checkpoint_fault
            with pytest.raises(StoreError, match="No space left"):
                log.checkpoint()
            assert log.append(row(1)) == 2
        clock.advance(3601)
        assert log.checkpoint_if_due()
    assert [each.checkpoint.records for each in read_checkpoints(tmp_path / CHECKPOINTS)] == [2]


@pytest.mark.parametrize("kept", [-1, -40, 22, 10])
def test_a_checkpoint_that_a_crash_cut_short_is_made_again(folder, clock, identity, authorities, kept):
    path = folder / CHECKPOINTS
    path.write_bytes(path.read_bytes()[:kept])
    with AuditLog(folder, clock) as log:
        log.sign_with(identity, "demo", clock)
    assert check_log(folder, authorities=authorities).covered == 300


def test_zeros_behind_the_checkpoints_after_a_loss_of_power(folder, clock, identity, authorities):
    path = folder / CHECKPOINTS
    path.write_bytes(path.read_bytes() + bytes(512))
    with AuditLog(folder, clock) as log:
        log.sign_with(identity, "demo", clock)
        log.append(row(0))
    assert check_log(folder, authorities=authorities).whole


def test_what_is_no_checkpoint(folder):
    signed = read_checkpoints(folder / CHECKPOINTS)[-1]
    for encoded in (b"", b"\xc1", msgpack.packb([1, 2]), signed.encoded + b"\0", msgpack.packb(b"x"), msgpack.packb([None] * 10)):
        with pytest.raises(CheckpointError):
            parse_checkpoint(encoded, b"", b"")
    fields = msgpack.unpackb(signed.encoded)
    fields[5] = bytes(32)
    with pytest.raises(CheckpointError, match="agree with itself"):
        parse_checkpoint(msgpack.packb(fields), signed.signature, signed.certificate)
    (folder / CHECKPOINTS).write_bytes(b"something else altogether")
    with pytest.raises(CheckpointError, match="not a file"):
        read_checkpoints(folder / CHECKPOINTS)


def test_proofs_over_thousands_of_records_with_and_without_their_cache(tmp_path, clock, identity):
    with AuditLog(tmp_path, clock, segment_bytes=100_000) as log:
        log.sign_with(identity, "demo", clock)
        made = []
        for size in (1, 700, 1024, 2000, 1301):
            log.append_many([row(number) for number in range(size)])
            made.append(log.checkpoint().checkpoint)
    leaves = [leaf_hash(digest) for digest in digests(tmp_path)]
    assert (tmp_path / BLOCKS).stat().st_size == 32 * (len(leaves) // 1024)
    assert len(segments(tmp_path)) > 2
    newest = made[-1]
    assert newest.root == root_of(leaves)

    def prove():
        proofs = Proofs(tmp_path)
        for record in (1, 2, 1024, 1025, 3000, newest.records):
            leaf, path = proofs.inclusion(record, newest)
            assert leaf == leaves[record - 1]
            assert proves_inclusion(leaf, record - 1, newest.records, path, newest.root)
        for before in made[:-1]:
            path = proofs.consistency(before, newest)
            assert proves_consistency(before.records, newest.records, path, before.root, newest.root)
        with pytest.raises(CheckpointError, match="not under"):
            proofs.inclusion(newest.records + 1, newest)

    prove()
    cache = (tmp_path / BLOCKS).read_bytes()
    for spoiled in (b"", bytes(64) + cache[64:], b"\x01" * len(cache), cache[:33]):
        (tmp_path / BLOCKS).write_bytes(spoiled)
        prove()


def test_no_proof_of_a_log_that_is_not_what_was_signed(folder):
    newest = read_checkpoints(folder / CHECKPOINTS)[-1].checkpoint
    older = read_checkpoints(folder / CHECKPOINTS)[1].checkpoint
    forge(folder, edited)
    with pytest.raises(CheckpointError, match="is not what"):
        Proofs(folder).inclusion(150, newest)
    with pytest.raises(CheckpointError, match="is not what"):
        Proofs(folder).consistency(older, newest)


def test_a_checkpoint_signed_for_something_else_is_refused(folder, identity, authorities):
    """The domain keeps a signature from being good for anything else."""
    signed = read_checkpoints(folder / CHECKPOINTS)[-1]
    bare = checkpoints.SignedCheckpoint(
        signed.checkpoint, signed.encoded, identity.signer.sign(signed.encoded), identity.certificate.encoded
    )
    with pytest.raises(CheckpointError, match="signature is wrong"):
        bare.check(authorities)
    sign_checkpoint(signed.checkpoint, identity).check(authorities)


def test_the_openssl_command_line_verifies_a_checkpoint(folder, openssl, tmp_path):
    """Signature and certificate by an implementation that we did not write, from the bytes that the page of the docs names."""
    from scada.security.certificates import parse_certificate
    from scada.security.sm2_encoding import signature_to_der

    signed = read_checkpoints(folder / CHECKPOINTS)[-1]
    (tmp_path / "cert.pem").write_bytes(parse_certificate(signed.certificate).pem())
    (tmp_path / "signature").write_bytes(signature_to_der(signed.signature))
    (tmp_path / "message").write_bytes(b"SCADA audit checkpoint 1\0" + signed.encoded)
    public = subprocess.run([openssl, "x509", "-in", tmp_path / "cert.pem", "-pubkey", "-noout"], capture_output=True, check=True)
    (tmp_path / "public.pem").write_bytes(public.stdout)
    command = [openssl, "dgst", "-sm3", "-verify", tmp_path / "public.pem", "-sigopt", "distid:1234567812345678"]
    command += ["-signature", tmp_path / "signature", tmp_path / "message"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    (tmp_path / "message").write_bytes(b"SCADA audit checkpoint 2\0" + signed.encoded)
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_records_are_still_read_in_order(folder):
    assert [record.number for record in read_audit(folder)] == list(range(1, 301))
    assert Mark(0, BEGINNING.digest, HEADER_SIZE) == BEGINNING
