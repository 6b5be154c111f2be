"""``scada audit`` over files, and the witness against servers that cut or rewrite their log."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner
from scadapb.v1 import scada_pb2 as pb

from scada.cli.audit import command
from scada.cli.audit_witness import take
from scada.core.clock import SystemClock, VirtualClock
from scada.security.audit import AuditLog, AuditRow
from scada.security.audit_chain import HEADER_SIZE, segments
from scada.security.audit_tree import Proofs
from scada.security.authorities import load_authorities
from scada.security.checkpoints import CHECKPOINTS, CheckpointError, CheckpointFile, read_checkpoints
from scada.security.identities import init_identities, load_identity


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit-cli") / "keys"
    init_identities(folder, SystemClock())
    return folder


@pytest.fixture
def clock():
    clock = VirtualClock()
    clock.advance((SystemClock().now_ns() - clock.now_ns()) / 1e9 + 60)
    return clock


def write(folder, keys, clock, counts, text="row"):
    """A log with a checkpoint behind each group of rows; the checkpoints."""
    with AuditLog(folder, clock) as log:
        log.sign_with(load_identity(keys, "server", clock), "demo", clock)
        for count in counts:
            log.append_many([AuditRow("control", "select", "wang", path=f"East/{text} {number}") for number in range(count)])
            log.checkpoint()
    return read_checkpoints(folder / CHECKPOINTS)


@pytest.fixture
def folder(tmp_path, keys, clock):
    write(tmp_path / "audit", keys, clock, [10, 20])
    return tmp_path / "audit"


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)


def verify(folder, *arguments):
    done = run("verify", folder, "--json", *arguments)
    return done.return_value or 0, json.loads(done.output) if done.output else done.exception


def test_a_whole_log(folder, keys):
    code, report = verify(folder, "--ca", keys, "--witness", folder / CHECKPOINTS, "--evidence")
    assert code == 0
    assert (report["whole"], report["last"], report["covered"], report["authority"]) == (True, 30, 30, True)
    assert verify(folder, "--ca", keys / "ca.cert.pem")[0] == 0
    assert "the log is whole" in run("verify", folder).output


def test_an_edited_log_names_its_first_bad_record(folder, keys):
    path = segments(folder)[0]
    data = bytearray(path.read_bytes())
    at = HEADER_SIZE
    for _ in range(16):
        at += 4 + int.from_bytes(data[at : at + 4], "little") + 32
    data[at + 20] ^= 1
    path.write_bytes(bytes(data))
    code, report = verify(folder, "--ca", keys)
    assert code == 3
    assert report["findings"][0]["record"] == 17
    text = run("verify", folder, "--ca", keys).output
    assert "WRONG        record 17 does not follow" in text
    assert "NOT whole" in text


def test_the_exit_code_reaches_the_shell(folder, tmp_path):
    path = segments(folder)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    command_line = [sys.executable, "-m", "scada", "audit", "verify"]
    done = subprocess.run([*command_line, str(folder)], capture_output=True, check=False)
    assert done.returncode == 3
    done = subprocess.run(
        [sys.executable, "-m", "scada", "audit", "verify", str(tmp_path / "no")], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"no audit log" in done.stderr


def test_a_foreign_authority_proves_nothing(folder, tmp_path):
    init_identities(tmp_path / "foreign", SystemClock())
    code, report = verify(folder, "--ca", tmp_path / "foreign")
    assert code == 3
    assert report["findings"][0]["code"] == "checkpoint"


def test_reading_files(folder, tmp_path, keys):
    done = run("--keys", keys, "query", "--folder", folder, "--limit", "5", "--json")
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["number"] for entry in entries] == [26, 27, 28, 29, 30]
    assert entries[0]["old"] is None
    assert "--before 26" in done.stderr
    done = run("--keys", keys, "query", "--folder", folder, "--object", "row 3")
    assert "East/row 3" in done.output
    assert "East/row 4" not in done.output
    assert "East/row 6" in run("--keys", keys, "show", "7", "--folder", folder).output
    assert run("--keys", keys, "show", "31", "--folder", folder).exception
    out = tmp_path / "out.csv"
    run("export", "--folder", folder, "--format", "csv", "--out", out, "--text", "ROW 1")
    assert len(out.read_text().splitlines()) == 1 + 2 + 10


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_a_table_calculator_takes_nothing_of_an_export_for_a_formula(tmp_path, keys, clock, first):
    folder, out = tmp_path / "audit", tmp_path / "out.csv"
    text = f"{first}cmd|' /C calc'!A0"
    with AuditLog(folder, clock) as log:
        log.append(AuditRow("operator", "note", "wang", path=text, old=-5.0, value=2.0, reason=text))
    run("export", "--folder", folder, "--format", "csv", "--out", out)
    (line,) = csv.DictReader(io.StringIO(out.read_bytes().decode(), newline=""))
    assert line["reason"] == line["path"] == f"'{text}"
    assert (line["old"], line["value"]) == ("-5.0", "2.0")


def test_what_somebody_wrote_neither_makes_lines_of_its_own_nor_steers_the_terminal(tmp_path, keys, clock):
    folder = tmp_path / "audit"
    with AuditLog(folder, clock) as log:
        forged = "done\n2  2026-11-22 08:00:00.000  control  execute  zhao \x1b[1A\x9b2K \u202eyes"
        log.append(AuditRow("control", "refused", "wang", reason=forged, evidence=b"\x1b]0;x\x07"))
    for arguments in (("query", "--folder", folder), ("show", "1", "--folder", folder)):
        shown = run("--keys", keys, *arguments).output
        assert "done\\n2  2026" in shown
        assert all(line.isprintable() for line in shown.splitlines())
        assert not [line for line in shown.splitlines() if line.startswith("2 ")]


def told(folder, since=0):
    """What a server says of the newest checkpoint of a folder."""
    signed = read_checkpoints(folder / CHECKPOINTS)
    newest = signed[-1]
    reply = pb.AuditCheckpoint(encoded=newest.encoded, signature=newest.signature, certificate=newest.certificate)
    if since:
        before = next(each.checkpoint for each in signed if each.checkpoint.number == since)
        reply.consistency.extend(Proofs(folder).consistency(before, newest.checkpoint))
    return reply


def test_a_witness_keeps_what_extends_what_it_has(folder, tmp_path, keys, clock):
    authorities, store = load_authorities(keys), tmp_path / "witness.log"
    assert "30 records" in take(told(folder), CheckpointFile(store), authorities, "demo")
    assert "nothing new" in take(told(folder), CheckpointFile(store), authorities, "demo")
    write(folder, keys, clock, [7])
    assert "37 records" in take(told(folder, 2), CheckpointFile(store), authorities, "demo")
    assert [each.checkpoint.records for each in read_checkpoints(store)] == [30, 37]
    code, report = verify(folder, "--ca", keys, "--witness", store)
    assert code == 0, report


@pytest.mark.parametrize(("counts", "text"), [([10], "row"), ([10, 20, 5], "forged"), ([30], "row")])
def test_a_witness_finds_a_log_that_was_cut_or_written_anew(folder, tmp_path, keys, clock, counts, text):
    """Even with the server's own key: the log that the witness saw is not the one it is shown."""
    authorities, store = load_authorities(keys), tmp_path / "witness.log"
    take(told(folder), CheckpointFile(store), authorities, "demo")
    shutil.rmtree(folder)
    clock.advance(5)
    made = write(folder, keys, clock, counts, text)
    since = 2 if len(made) > 2 else 0
    with pytest.raises(CheckpointError, match=r"truncated|written anew"):
        take(told(folder, since), CheckpointFile(store), authorities, "demo")
    assert len(read_checkpoints(store)) == 1


def test_a_witness_takes_nothing_unsigned_or_of_another_site(folder, tmp_path, keys):
    authorities, store = load_authorities(keys), CheckpointFile(tmp_path / "witness.log")
    with pytest.raises(CheckpointError, match="of site 'demo'"):
        take(told(folder), store, authorities, "elsewhere")
    for part in ("encoded", "signature", "certificate"):
        spoiled = told(folder)
        data = bytearray(getattr(spoiled, part))
        data[len(data) // 2] ^= 1
        setattr(spoiled, part, bytes(data))
        with pytest.raises(CheckpointError):
            take(spoiled, store, authorities, "demo")
    assert store.last is None
