"""Frames in words: what a line says equals what tshark read from the recorded traces; nothing on the wire makes it fail."""

import gzip
import itertools
import json
import re
import struct
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.protocols.iec104.asdu import TypeId, untagged
from scada.protocols.iec104.describe import OBJECTS, Iec104Describer, cause_name, describe, type_name
from scada.protocols.trace import TcpReassembler, read_packets, tcp_segment

LINE = re.compile(
    r"I N\(S\)=(\d+) N\(R\)=(\d+) (\S+|type \d+) (.+?)( negative)?( test)?(?: OA (\d+))? CA (\d+)(?: (\d+) objects)?: (.*)"
)
INTACT = ["wireshark-iec104-alltypes", "wattson-train", "rec-lib60870-loopback"]
LETTERS = {0x80: "IV", 0x40: "NT", 0x20: "SB", 0x10: "BL", 0x01: "OV"}


def described(path):
    """Stream and source -> every line of it, in order."""
    tcp, describers, lines = TcpReassembler(), {}, defaultdict(list)
    segments = (tcp_segment(packet) for packet in read_packets(path))
    chunks = itertools.chain.from_iterable(tcp.feed(segment) for segment in segments if segment)
    for chunk in [*chunks, *tcp.finish()]:
        key = chunk.stream, chunk.source
        frames = describers.setdefault(key, Iec104Describer()).feed(chunk.data, received=True)
        lines[key] += [frame.text for frame in frames]
    return lines


def expected(path):
    """Source -> every APDU of it in order, as lists of tshark's objects."""
    found = defaultdict(list)
    with gzip.open(path, "rt") as file:
        for line in map(json.loads, file):
            key = line["st"], line["src"]
            if line["k"] == "I" and line.get("i"):
                found[key][-1].append(line)
            else:
                found[key].append([line])
    return found


def check_object(text, truth):
    if "ioa" not in truth:  # tshark gives no object of these types
        assert truth["typ"] in {TypeId.C_RD_NA_1, TypeId.C_TS_TA_1}
        return
    address, _, rest = text.partition("=")
    assert int(address) == truth["ioa"]
    base, value = untagged(truth["typ"]), truth.get("val")
    said = rest.partition(" ")[0]
    if base in {1, 45}:
        assert said == ("on" if value else "off")
    elif base == 3:
        assert said == ("intermediate", "off", "on", "indeterminate")[value]
    elif base in {5, 11, 15, 49}:
        assert int(said) == value
    elif base in {7, 51}:
        assert int(said, 16) == value
    elif base in {9, 48}:
        assert float(said) == pytest.approx(value, abs=2**-17)
    elif base in {13, 50}:
        assert struct.pack("<f", float(said)) == bytes.fromhex(truth["raw"])[3:7]
    if base in {1, 3, 5, 7, 9, 11, 13}:
        letters = set(rest[rest.index("[") + 1 : rest.index("]")].split()) if "[" in rest else set()
        known = LETTERS if base > 3 else {bit: name for bit, name in LETTERS.items() if bit > 1}
        assert letters == {name for bit, name in known.items() if truth["q"] & bit}
    if "se" in truth and base != 51:
        assert ("select" in rest, "execute" in rest) == (bool(truth["se"]), not truth["se"])
    if "ts_ms" in truth and truth["ts_ms"] is not None:
        milliseconds = truth["ts_ms"] % 1000
        assert f".{milliseconds:03}" in rest
    if truth["typ"] == TypeId.C_IC_NA_1:
        assert said == "station" if truth["qoi"] == 20 else str(truth["qoi"]) in rest or "group" in rest


@pytest.mark.parametrize("name", INTACT)
def test_every_line_equals_what_tshark_read(traces, name):
    lines, truth = described(traces / f"{name}.pcap"), expected(traces / f"{name}.truth.jsonl.gz")
    compared = 0
    for key, apdus in truth.items():
        assert len(lines[key]) == len(apdus)
        for text, objects in zip(lines[key], apdus, strict=True):
            first = objects[0]
            if first["k"] == "U":
                assert text == "U " + first["u"].replace("_ACT", " act").replace("_CON", " con")
            elif first["k"] == "S":
                assert text == f"S N(R)={first['rx']}"
            else:
                send, receive, kind, cause, negative, test, originator, address, number, rest = LINE.fullmatch(text).groups()
                assert (int(send), int(receive)) == (first["tx"], first["rx"])
                assert (kind, cause) == (type_name(first["typ"]), cause_name(first["cot"]))
                assert (bool(negative), bool(test), int(originator or 0)) == (first["neg"], first["test"], first["oa"])
                assert (int(address), int(number or 1)) == (first["ca"], first["num"])
                shown = re.split(r", (?=\d+[=,]|\d+ more|\d+$)", rest)
                for each, one in zip(shown, objects[:OBJECTS], strict=False):
                    check_object(each, one)
                    compared += 1
                assert (len(objects) > OBJECTS) == rest.endswith(" more")
    assert compared > 100


def test_garbage_between_frames_is_shown_as_such(traces):
    lines = [text for each in described(traces / "iti-testdissect.pcap").values() for text in each]
    assert sum(text.startswith("no APDU") for text in lines) > 0
    assert any("malformed: ASDU of 2 octets is shorter than its header" in text for text in lines)


@pytest.mark.parametrize(
    ("apdu", "text"),
    [
        ("680443000000", "U TESTFR act"),
        ("6804ff000000", "U of unknown function ff"),
        ("680401000a00", "S N(R)=5"),
        ("68050100020000", "S N(R)=1, malformed: 1 octets too many"),
        (
            "6815060008002401030b0b00b10400000045418100000000000000"[: 2 * 23],
            "I N(S)=3 N(R)=4 malformed: type 36 with 1 objects (single addresses) needs 15 octets behind the header, 11 came",
        ),
        (
            "6819060008002401030b0b00b104000000454181392b1e0c150b1a",
            "I N(S)=3 N(R)=4 M_ME_TF_1 spontaneous OA 11 CA 11: 1201=12.3125 [IV OV] @26-11-21 12:30:11.065",
        ),
        (
            "680e000000002d0147000b00f501008d",
            "I N(S)=0 N(R)=0 C_SC_NA_1 activation con negative CA 11: 501=on select qualifier 3",
        ),
        ("6815000000002601030001000500000a1e00e803000c150b1a", "no APDU: 25 octets"),
        (
            "6817000000002601030001000500000a1e00e803000c150b1a",
            "I N(S)=0 N(R)=0 M_EP_TD_1 spontaneous CA 1: 5=on after 30 ms [EI] @26-11-21 12:00:01.000",
        ),
        ("680e0000000065010600010000000045", "I N(S)=0 N(R)=0 C_CI_NA_1 activation CA 1: 0=all, freeze"),
        ("680d00000000660106000100b10400", "I N(S)=0 N(R)=0 C_RD_NA_1 activation CA 1: 1201"),
        ("68120000000079010d0001000100000203040506", "I N(S)=0 N(R)=0 F_SR_NA_1 file transfer CA 1: 8 octets not decoded"),
    ],
)
def test_lines(apdu, text):
    assert describe(bytes.fromhex(apdu)) == text


FRAMES = [bytes.fromhex(text) for text in ("680407000000", "680401000a00", "680e0000000064010600010000000014")]


@given(st.lists(st.sampled_from(FRAMES), min_size=1, max_size=12), st.data())
def test_frames_come_out_whole_however_they_were_read(frames, data):
    octets = b"".join(frames)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(octets)), max_size=8)) | {0, len(octets)})
    describer, found = Iec104Describer(), []
    for start, stop in itertools.pairwise(cuts):
        found += describer.split(octets[start:stop], received=True)
        describer.split(b"\x68", received=False)  # the other direction has its own rest
    assert found == frames


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_octets_are_described_and_none_is_lost(reads):
    describer = Iec104Describer()
    frames = [frame for read in reads for frame in describer.feed(read, received=False)]
    rest = b"".join(reads)[sum(len(frame.data) for frame in frames) :]
    assert b"".join(frame.data for frame in frames) + rest == b"".join(reads)
    assert len(rest) < 256
    assert all(frame.text for frame in frames)


@given(st.binary(max_size=300))
def test_a_trace_that_begins_in_the_middle_finds_the_next_frame(octets):
    describer = Iec104Describer()
    describer.split(octets, received=True)
    found = [each for _ in range(90) for each in describer.split(FRAMES[0], received=True)]
    assert found[-1] == FRAMES[0]


def test_values_are_told_from_the_rest():
    value = bytes.fromhex("6819060008002401030b0b00b104000000454181392b1e0c150b1a")
    assert Iec104Describer().only_values(value, received=True)
    assert not any(Iec104Describer().only_values(frame, received=True) for frame in FRAMES)
