"""Recorded traces through the live decoder, against what an independent dissector found in them."""

import gzip
import json
import struct

import pytest
from click.testing import CliRunner

from scada.cli.replay import command
from scada.protocols.iec104.apci import UFunction, i_frame, u_frame
from scada.protocols.iec104.asdu import single
from scada.protocols.iec104.replay import ReplaySession
from scada.protocols.iec104.truth import TruthError, compare, write
from scada.protocols.trace import TraceError
from scada.rtdb.store import Store

INTACT = ["wireshark-iec104-alltypes", "iti-testdissect", "wattson-train", "rec-lib60870-loopback"]
MASTER, STATION = "10.0.0.1", "10.0.0.2"


@pytest.fixture
def replay(tmp_path):
    sessions = []

    def make(path, **options):
        folder = tmp_path / f"db{len(sessions)}"
        session = ReplaySession(
            path, lambda clock: Store(folder, 1, clock, map_mb=32, journal_mb=4), keep_objects=True, **options
        )
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.database.close()


def capture(path, exchanges):
    """A pcap of raw IP packets: (seconds, from the station, octets)."""
    content = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    seq = {True: 1, False: 1}
    for seconds, from_station, data in exchanges:
        hosts = [bytes(map(int, host.split("."))) for host in (MASTER, STATION)]
        ports = (40000, 2404)
        if from_station:
            hosts, ports = hosts[::-1], ports[::-1]
        tcp = struct.pack(">HHIIBBHHH", *ports, seq[from_station], 0, 5 << 4, 0x18, 0, 0, 0) + data
        seq[from_station] += len(data)
        packet = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + hosts[0] + hosts[1] + tcp
        content += struct.pack("<IIII", int(seconds), round(seconds % 1 * 1e6), len(packet), len(packet)) + packet
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", INTACT)
def test_intact_traces_equal_their_truth_in_every_object(traces, replay, name):
    session = replay(traces / f"{name}.pcap")
    session.run()
    result = compare(traces / f"{name}.truth.jsonl.gz", session.objects(), session.findings)
    assert (result.missing, result.extra, result.differing, result.malformed) == ([], [], [], [])
    assert result.agreed > 0
    assert result.other_frame == 0
    assert session.statistics.sequence_errors == 0
    assert session.statistics.objects == result.agreed


def test_every_trace_at_hand_is_proven(traces):
    assert {path.stem for path in traces.glob("*.pcap")} == {*INTACT, "wattson-C-0.1-0"}


def test_in_the_mutated_trace_every_object_is_found_and_the_rest_is_listed(traces, replay):
    session = replay(traces / "wattson-C-0.1-0.pcap")
    session.run()
    result = compare(traces / "wattson-C-0.1-0.truth.jsonl.gz", session.objects(), session.findings)
    assert (result.missing, result.differing, result.malformed) == ([], [], [])
    assert result.extra
    assert all(item.frame > 0 for item in result.extra)
    sequence = [finding for finding in session.findings if finding.kind == "sequence"]
    assert len(sequence) == session.statistics.sequence_errors > 0
    assert all(finding.frame > 0 for finding in sequence)


def test_the_mutated_trace_holds_exactly_the_objects_of_the_original(traces, replay):
    def facts(name):
        session = replay(traces / f"{name}.pcap")
        session.run()
        return sorted((o.type_id, o.cause, o.ioa, o.value or 0.0) for o in session.objects())

    assert facts("wattson-C-0.1-0") == facts("wattson-train")


@pytest.fixture
def small(tmp_path):
    value = single(13, 3, 4, 7, struct.pack("<fB", 1.5, 0)).encode()
    other = single(13, 3, 4, 7, struct.pack("<fB", 2.5, 0x80)).encode()
    return capture(
        tmp_path / "small.pcap",
        [
            (100.0, False, u_frame(UFunction.STARTDT_ACT)),
            (100.1, True, u_frame(UFunction.STARTDT_CON)),
            (101.0, True, i_frame(0, 0, value)),
            (103.0, False, i_frame(0, 1, single(45, 6, 4, 9, b"\x01").encode())),
            (105.0, True, i_frame(1, 1, other)[:8]),
            (106.0, True, i_frame(1, 1, other)[8:]),
            (107.0, True, i_frame(3, 1, value)),
            (108.0, True, b"\x00" + i_frame(4, 1, bytes.fromhex("0d0203000400"))),
        ],
    )


def test_stepping_moves_the_virtual_clock_and_the_values(small, replay):
    session = replay(small)
    assert session.values() == []
    assert session.step(0.5)
    assert session.statistics.position_s == pytest.approx(0.5)
    assert session.values() == []
    assert session.step(0.5)
    (value,) = session.values()
    assert (value.address, value.value, value.type_id, value.cause) == ("10.0.0.2 CA 4 IOA 7", 1.5, 13, 3)
    assert value.time_ns == 101 * 10**9
    assert session.step(5.0)
    assert session.values()[0].value == 2.5
    assert session.values()[0].quality == 0x80
    assert not session.step(10.0)
    assert session.finished
    assert session.values()[0].value == 1.5
    assert session.statistics.length_s == pytest.approx(8.0) == session.statistics.position_s


def test_faults_are_listed_with_their_frame(small, replay):
    session = replay(small)
    session.run()
    assert [(finding.frame, finding.kind, finding.text) for finding in session.findings] == [
        (7, "sequence", "N(S) = 3 leaves out 1, expected 2"),
        (8, "malformed", "1 octets that begin no APDU"),
        (8, "malformed", session.findings[2].text),
    ]
    assert "type 13 with 2 objects" in session.findings[2].text
    objects = [(o.frame, o.type_id, o.ioa, o.value) for o in session.objects()]
    assert objects == [(3, 13, 7, 1.5), (4, 45, 9, 1.0), (6, 13, 7, 2.5), (7, 13, 7, 1.5)]


def line(**more):
    base = {"n": 3, "st": 0, "src": f"{STATION}:2404", "k": "I", "typ": 13, "cot": 3, "neg": 0, "test": 0, "ca": 4, "ioa": 7}
    return base | {"val": 1.5, "q": 0} | more


TRUTH = [
    line(),
    line(n=4, src=f"{MASTER}:40000", typ=45, cot=6, ioa=9, val=1, qu=0, se=0),
    line(n=6, val=2.5, q=0x80),
    line(n=7),
    {"n": 8, "st": 0, "src": "x", "k": "I", "typ": 13, "ca": None},
    {"n": 1, "k": "U"},
]


def truth(tmp_path, entries, name="t.jsonl"):
    path = tmp_path / name
    content = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    return path


def test_equal_only_if_everything_agrees(small, replay, tmp_path):
    session = replay(small)
    session.run()

    def judge(entries):
        return compare(truth(tmp_path, entries), session.objects(), session.findings)

    assert judge(TRUTH).equal
    assert judge(TRUTH).agreed == 4
    assert [item.frame for item in judge(TRUTH[1:]).extra] == [3]
    assert [item.ioa for item in judge([*TRUTH, line(ioa=99)]).missing] == [99]
    assert judge([*TRUTH, {"n": 2, "k": "I", "typ": None, "ca": None}]).malformed == [2]
    for change in ({"cot": 1}, {"neg": 1}, {"test": 1}, {"val": 1.25}, {"q": 1}):
        result = judge([line(**change), *TRUTH[1:]])
        assert (result.equal, len(result.differing)) == (False, 1), change
    for change in ({"ca": 5}, {"ioa": 8}, {"typ": 11}):
        result = judge([line(**change), *TRUTH[1:]])
        assert (len(result.missing), len(result.extra)) == (1, 1), change


def test_a_truth_that_cannot_be_read_is_one_clear_error(small, replay, tmp_path):
    session = replay(small)
    with pytest.raises(TruthError, match="cannot read the truth"):
        compare(tmp_path / "absent", session.objects(), [])
    for name, content in (("a.jsonl", b"no json\n"), ("b.jsonl", b"{}\n"), ("c.jsonl.gz", gzip.compress(b"{}")[:-4])):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(TruthError, match="is no truth"):
            compare(path, session.objects(), [])


def test_a_trace_without_iec104_is_refused(tmp_path, small, replay):
    with pytest.raises(TraceError, match="no TCP payload on port 2405"):
        replay(small, port=2405)


def test_a_cut_trace_is_replayed_as_far_as_it_goes(small, replay):
    small.write_bytes(small.read_bytes()[:-3])
    session = replay(small)
    session.run()
    assert [(f.frame, f.kind) for f in session.findings] == [(0, "file"), (7, "sequence")]
    assert len(list(session.objects())) == 4


def test_the_command_prints_exports_and_judges(small, tmp_path):
    good, bad = truth(tmp_path, TRUTH, "good.jsonl.gz"), truth(tmp_path, TRUTH[1:], "bad.jsonl")
    export = tmp_path / "out.csv"
    result = CliRunner().invoke(command, [str(small), "--expect", str(good), "--export", str(export)])
    assert result.exit_code == 0, result.output
    assert "10.0.0.2 CA 4 IOA 7" in result.output
    assert "EQUAL: 4 objects agree" in result.output
    assert "sequence: frame 7 (10.0.0.2:2404, connection 0): N(S) = 3 leaves out 1, expected 2" in result.output
    assert len(export.read_text().splitlines()) == 5
    result = CliRunner().invoke(command, [str(small), "--expect", str(bad), "--export", str(tmp_path / "out.jsonl")])
    assert result.exit_code == 1
    assert "extra (replay only): frame 3" in result.output
    assert [json.loads(row)["value"] for row in (tmp_path / "out.jsonl").read_text().splitlines()] == [1.5, 1.0, 2.5, 1.5]
    assert CliRunner().invoke(command, [str(small)]).exit_code == 0
    assert CliRunner().invoke(command, [str(tmp_path / "absent")]).exit_code == 1


@pytest.mark.parametrize("name", [*INTACT, "wattson-C-0.1-0"])
def test_a_written_expectation_is_met_by_the_next_replay_and_names_what_changed(traces, replay, tmp_path, name):
    first = replay(traces / f"{name}.pcap")
    first.run()
    expectation = tmp_path / "expected.jsonl.gz"
    assert write(expectation, first.objects(), first.findings) == first.statistics.objects
    again = replay(traces / f"{name}.pcap")
    again.run()
    result = compare(expectation, again.objects(), again.findings)
    assert result.equal
    assert result.agreed == first.statistics.objects
    assert result.other_frame == 0

    lines = gzip.decompress(expectation.read_bytes()).decode().splitlines()
    at = next(i for i, line in enumerate(lines) if json.loads(line).get("typ") in range(1, 41))
    changed = json.loads(lines[at])
    changed["q"] ^= 0x40
    lines[at] = json.dumps(changed)
    expectation.write_bytes(gzip.compress("\n".join(lines).encode()))
    ((expected, found),) = compare(expectation, again.objects(), again.findings).differing
    assert (expected.frame, expected.ioa) == (found.frame, found.ioa) == (changed["n"], changed["ioa"])


@pytest.mark.parametrize("name", ["wireshark-iec104-alltypes", "wattson-C-0.1-0"])
def test_the_journal_digest_is_the_same_at_every_speed_and_in_every_step(traces, replay, name):
    digests = set()
    for advance in (
        lambda session: session.step(1e9),
        lambda session: session.step(0.37),
        lambda session: session.step_frames(1),
        lambda session: session.step_frames(7),
    ):
        session = replay(traces / f"{name}.pcap")
        while advance(session):
            pass
        assert session.finished
        assert session.statistics.position_s == session.statistics.length_s
        digests.add(session.digest)
    assert len(digests) == 1


def test_another_value_gives_another_digest(tmp_path, replay):
    digests = set()
    for value in (1.5, 1.5, 2.5):
        element = struct.pack("<fB", value, 0)
        path = capture(tmp_path / "one.pcap", [(1.0, True, i_frame(0, 0, single(13, 3, 4, 7, element).encode()))])
        session = replay(path)
        session.run()
        digests.add(session.digest)
    assert len(digests) == 2


def test_stepping_by_frames_stops_between_two_pieces(small, replay):
    session = replay(small)
    assert session.step_frames(3)
    assert session.values()[0].value == 1.5
    assert session.statistics.position_s == pytest.approx(1.0)
    assert session.step_frames(2)
    assert session.values()[0].value == 1.5  # half of the frame
    assert session.step_frames(1)
    assert session.values()[0].value == 2.5
    assert not session.step_frames(100)


def test_the_help_shows_the_examples_as_they_are():
    shown = CliRunner().invoke(command, ["--help"]).output
    assert "\\b" not in shown
    assert "scada replay day.pcapng --expect day.jsonl.gz          is it still the same?\n" in shown
