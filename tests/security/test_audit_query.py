from __future__ import annotations

import json
import shutil

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.security.audit import AuditError, AuditLog, AuditRow
from scada.security.audit_chain import HEADER_SIZE, link, segments
from scada.security.audit_query import COLUMNS, AuditFilter, AuditReader, export_row, json_line

MINUTE = 60


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """200 rows, one a minute, in several segments, and when the last was written."""
    folder, clock = tmp_path_factory.mktemp("query") / "audit", VirtualClock()
    with AuditLog(folder, clock, segment_bytes=4000) as log:
        for number in range(1, 201):
            clock.advance(MINUTE)
            kind = "security" if number % 10 == 0 else "control"
            log.append(
                AuditRow(
                    kind,
                    "execute",
                    actor="li" if number % 3 == 0 else "wang",
                    sequence_id=f"s-{number // 2}",
                    mrid=f"c-{number}",
                    path=f"East/110 kV/Q{number % 7}",
                    code="ok" if number % 2 else "refused",
                    reason=f"Because of {number}",
                    evidence=b"\x00\x01",
                )
            )
    assert len(segments(folder)) > 4
    return folder, clock.now_ns()


@pytest.fixture
def folder(written, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(written[0], tmp_path / "audit")


def numbers(found):
    return [each.record.number for each in found]


def test_the_newest_come_first_and_pages_go_on_without_a_gap(folder):
    reader, seen, before = AuditReader(folder), [], 0
    while True:
        found, more = reader.newest(AuditFilter(before=before), 30)
        seen += numbers(found)
        if not more:
            break
        before = seen[-1]
    assert seen == list(range(200, 0, -1))
    assert reader.size() == (1, 200)


def test_what_fits_exactly_says_no_more(folder):
    found, more = AuditReader(folder).newest(AuditFilter(before=31), 30)
    assert numbers(found) == list(range(30, 0, -1))
    assert not more


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"kinds": frozenset({"security"})}, lambda n: n % 10 == 0),
        ({"actor": "li"}, lambda n: n % 3 == 0),
        ({"actor": "l"}, lambda n: False),
        ({"object": "c-17"}, lambda n: n == 17),
        ({"object": "110 KV/q3"}, lambda n: n % 7 == 3),
        ({"code": "refused"}, lambda n: n % 2 == 0),
        ({"sequence_id": "s-50"}, lambda n: n in (100, 101)),
        ({"text": "because of 19"}, lambda n: str(n).startswith("19")),
        ({"actor": "wang", "code": "ok", "kinds": frozenset({"control"})}, lambda n: n % 3 and n % 2 and n % 10),
    ],
)
def test_filters(folder, given, wanted):
    found, _ = AuditReader(folder).newest(AuditFilter(**given), 500)
    assert numbers(found) == [number for number in range(200, 0, -1) if wanted(number)]


def test_spans_of_time_skip_segments_once_they_are_known(folder, written, monkeypatch):
    end = written[1]
    start = end - 200 * MINUTE * 10**9
    reader = AuditReader(folder)
    wanted = AuditFilter(from_ns=start + 50 * MINUTE * 10**9, to_ns=start + 60 * MINUTE * 10**9)
    first = numbers(reader.newest(wanted, 500)[0])
    assert first == list(range(59, 49, -1))
    from scada.security import audit_query

    read = []
    monkeypatch.setattr(audit_query, "read_segment", lambda path: read.append(path) or path.read_bytes())
    assert numbers(reader.newest(wanted, 500)[0]) == first
    assert len(read) <= 5 < len(segments(folder)) + 3


def test_a_log_that_is_being_written_is_read_up_to_its_last_whole_record(folder):
    path = segments(folder)[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert AuditReader(folder).size() == (1, 199)
    path.write_bytes(whole + b"\x00" * 600)
    assert AuditReader(folder).size()[1] == 200
    path.write_bytes(whole)
    (folder / "audit.000099.log").write_bytes(b"SCADA")  # a segment that is just being begun
    assert AuditReader(folder).size() == (1, 200)


def test_an_export_is_everything_in_order_with_digests(folder):
    lines = [json.loads(json_line(stored)) for part in AuditReader(folder).oldest(AuditFilter()) for stored in part]
    assert [line["number"] for line in lines] == list(range(1, 201))
    assert list(lines[0]) == list(COLUMNS)
    assert lines[0]["old"] is None
    assert lines[0]["evidence"] == "AAE="
    before, sized = AuditReader(folder).stored(120)
    assert lines[118]["digest"] == before.hex()
    assert lines[119]["digest"] == link(before, sized).hex()
    assert AuditReader(folder).stored(1)[0] == segments(folder)[0].read_bytes()[HEADER_SIZE - 32 : HEADER_SIZE]


def test_what_is_not_there(folder, tmp_path):
    with pytest.raises(StoreError, match="record 201 is not"):
        AuditReader(folder).stored(201)
    with pytest.raises(StoreError, match="no audit log"):
        AuditReader(tmp_path / "none").newest(AuditFilter(), 1)
    path = segments(folder)[2]
    data = bytearray(path.read_bytes())
    data[HEADER_SIZE + 3] = 0x00
    data[HEADER_SIZE : HEADER_SIZE + 4] = (0).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(AuditError, match="no possible size"):
        AuditReader(folder).newest(AuditFilter(), 500)


def test_logins_of_a_key_are_found_newest_first(tmp_path, clock):
    header = pb.Header(key_id=b"k" * 16, sender="wang").SerializeToString()
    evidence = pb.Signed(header=header, body=b"login").SerializeToString()
    with AuditLog(tmp_path, clock, segment_bytes=600) as log:
        for number in range(12):
            log.append(AuditRow("security" if number % 4 == 0 else "control", "login", evidence=evidence))
    assert [record.number for record in AuditReader(tmp_path).logins(b"k" * 16)] == [9, 5, 1]
    assert list(AuditReader(tmp_path).logins(b"n" * 16)) == []


def test_an_export_row_has_every_field_of_a_row():
    row = AuditRow(*[f"text {name}" for name in range(8)], 1.5, float("inf"), "code", "reason", b"e")
    from scada.security.audit import AuditRecord
    from scada.security.audit_query import StoredRecord

    shown = export_row(StoredRecord(AuditRecord(7, 8, row), b"\xaa"))
    assert tuple(shown) == COLUMNS
    assert shown["old"] == 1.5
    assert shown["value"] is None
    assert shown["digest"] == "aa"
