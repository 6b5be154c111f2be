"""Broken, hostile and merely odd files: findings or one clear error, within bounded memory, never a traceback."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from scada.core.errors import ModelError
from scada.model_cim import sources
from scada.model_cim.check import check_model
from scada.model_cim.findings import Finding, Findings, Severity, has_errors
from scada.model_cim.parser import FileParser
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader
from scada.model_cim.sarif import as_sarif
from scada.model_cim.spelling import RefusedError
from scada.model_cim.writer import write_files

PLANT = Path(__file__).parents[2] / "examples" / "devices"
HEAD = (
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#">\n'
    '<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>S</cim:IdentifiedObject.name></cim:Substation>\n'
)
END = "</rdf:RDF>\n"
CHUNK = 1 << 18


def rules(model):
    return [finding.rule for finding in model.findings]


def survives(path):
    """Read, make the tables, check, write: whatever the files are, only a ModelError may come of it."""
    try:
        model = ModelReader(path).read()
        tables, findings = build_tables(model)
    except ModelError:
        return []
    assert all(finding.where and str(finding) for finding in findings)
    assert len(tables.points) <= 1000
    checked = check_model(model, tables, found=findings)
    assert not [str(finding) for finding in checked if finding.rule == "check.failed"]
    assert all(str(finding).isprintable() for finding in checked)
    json.dumps(as_sarif(checked, path, "1"), allow_nan=False)
    write_files(model)
    return findings


def test_a_file_cut_off_anywhere_is_fatal_and_keeps_what_was_whole(tmp_path):
    body = "".join(f'<cim:Bay rdf:ID="_b{n}"><cim:Bay.Substation rdf:resource="#_s"/></cim:Bay>\n' for n in range(6))
    data = (HEAD + body + END).encode()
    whole = data.rstrip()
    for size in range(0, len(whole), 3):
        (tmp_path / "EQ.xml").write_bytes(data[:size])
        model = ModelReader(tmp_path).read()
        assert has_errors(model.findings), size
        assert model.findings[-1].severity is Severity.FATAL or model.findings[0].severity is Severity.FATAL
        complete = data[:size].count(b"</cim:Bay>")
        assert len(model.ids("Bay")) >= complete


@pytest.mark.parametrize("seed", range(8))
def test_random_damage_to_a_model_and_its_templates_ends_in_findings(tmp_path, seed):
    chance = random.Random(seed)
    shutil.copytree(PLANT, tmp_path / "m")
    files = [*sorted((tmp_path / "m").rglob("*.toml")), tmp_path / "m" / "plant.xml"]
    pristine = {file: file.read_bytes() for file in files}
    told = 0
    for _ in range(25):
        file = chance.choice([files[-1], files[-1], *files[:-1]])
        file.write_bytes(damaged(pristine[file], chance))
        told += bool(survives(tmp_path / "m"))
        file.write_bytes(pristine[file])
    assert told >= 5, "damage is seen"
    assert survives(tmp_path / "m") == survives(PLANT)


def damaged(data, chance):
    lines = data.splitlines(keepends=True)
    for _ in range(chance.randint(1, 4)):
        what, at = chance.randrange(9), chance.randrange(len(lines))
        other = chance.randrange(len(lines))
        line = lines[at]
        spot = chance.randrange(len(line)) if line else 0
        if what == 0:
            lines[at] = line[:spot] + bytes([chance.randrange(256)]) + line[spot + 1 :]
        elif what == 1:
            lines[at], lines[other] = lines[other], line
        elif what == 2:
            lines.insert(other, line)
        elif what == 3:
            lines[at] = b""
        elif what == 4:
            lines[at] = line[:spot] + line[spot + 1 :]
        elif what == 5:
            lines[at] = line.replace(b"true", b"maybe").replace(b"=", b"==" if chance.random() < 0.5 else b" = -")
        elif what == 6:
            digits = bytes(chance.choice(b"0123456789") for _ in range(400))
            lines[at] = b"".join(digits if 48 <= byte <= 57 else bytes([byte]) for byte in line)
        elif what == 7:
            lines[at] = line.replace(b'"', b"'").replace(b'rdf:resource="#_', b'rdf:resource="urn:uuid:')
        else:
            lines[at] = line[:spot] + chance.choice([b"\x00", b"\xff\xfe", b"&amp;", b"]]>", b"<!--", "½".encode()]) + line[spot:]
    return b"".join(lines)


def test_swapped_references_are_told_and_do_no_harm(tmp_path):
    text = (PLANT / "plant.xml").read_text()
    targets = [part.split('"')[0] for part in text.split('rdf:resource="')[1:]]
    shutil.copytree(PLANT, tmp_path / "m")
    for place, target in enumerate(targets):
        swapped = text.replace(f'rdf:resource="{target}"', f'rdf:resource="{targets[place - 1]}"')
        (tmp_path / "m" / "plant.xml").write_text(swapped)
        survives(tmp_path / "m")


def test_ids_that_differ_by_case_or_underscore_are_told_apart(write, tmp_path):
    write('<cim:Bay rdf:ID="_AB-1"/>\n')
    write('<cim:Bay rdf:ID="_ab-1"/>\n<cim:Bay rdf:ID="AB-1"/>\n', "B.xml")
    model = ModelReader(write('<cim:Bay rdf:ID="__AB-1"/>\n', "C.xml")).read()
    assert rules(model) == ["id.duplicate", "id.similar"]  # AB-1 is _AB-1; ab-1 is another one; __AB-1 has a name of its own
    assert [finding.where for finding in model.findings] == [f"{tmp_path}/EQ.xml:4", f"{tmp_path}/B.xml:5"]
    assert sorted(model.mrids) == ["AB-1", "_AB-1", "ab-1"]


class Taker:
    """The objects of one file."""

    def __init__(self):
        self.findings = Findings()
        self.index = {}

    def open_object(self, mrid, class_name, file, line, *, defines):
        return self.index.setdefault(mrid, len(self.index))


def fed(start, filler, limit):
    """Octets taken before the file is refused, and the largest memory meanwhile."""
    parser = FileParser(Taker(), 0, "EQ.xml")
    tracemalloc.start()
    taken = 0
    try:
        parser.feed((HEAD + start).encode())
        while taken < limit:
            parser.feed(filler)
            taken += len(filler)
    except RefusedError as error:
        return error.rule, taken, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return "", taken, 0


@pytest.mark.parametrize(
    ("start", "filler", "rule"),
    [
        ('<cim:Bay rdf:ID="_b"><cim:X.y>', b"x" * CHUNK, "xml.text"),
        ('<cim:Bay rdf:ID="_b"><cim:X.y><cim:Z><cim:Z.a>', b"x" * CHUNK, "xml.text"),
        ('<cim:Bay rdf:ID="', b"x" * CHUNK, "xml.token"),
        ("<!-- ", b"x" * CHUNK, "xml.token"),
        ("<?pi ", b"x" * CHUNK, "xml.token"),
        ('<cim:Bay rdf:ID="_b"><cim:X.y><![CDATA[', b"x" * CHUNK, "xml.text"),
        ("<cim:Bay ", b"".join(b'a%d="1" ' % n for n in range(CHUNK // 8)), "xml.token"),
        ("", b"<a>" * 20, "xml.depth"),
    ],
)
def test_a_line_of_a_gigabyte_is_refused_after_a_few_megabytes(start, filler, rule):
    told, taken, most = fed(start, filler, 1 << 30)
    assert told == rule
    assert taken <= 6 << 20
    assert most <= 24 << 20


def test_white_space_without_end_takes_no_memory():
    parser = FileParser(Taker(), 0, "EQ.xml")
    parser.feed(HEAD.encode())
    tracemalloc.start()
    for _ in range(100):
        parser.feed(b" " * CHUNK)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 << 20


def test_more_kinds_of_properties_than_any_profile_has_are_refused():
    parser = FileParser(Taker(), 0, "EQ.xml")
    with pytest.raises(RefusedError, match="different properties"):
        parser.feed((HEAD + '<cim:Bay rdf:ID="_b">' + "".join(f"<cim:p{n}>1</cim:p{n}>" for n in range(20_001))).encode())


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd">%p;]>',
        '<!DOCTYPE x [<!ENTITY e "a">]>',
    ],
)
def test_entities_outside_and_inside_are_refused(tmp_path, doctype):
    (tmp_path / "EQ.xml").write_text(f'<?xml version="1.0"?>\n{doctype}\n{HEAD}{END}')
    (finding,) = ModelReader(tmp_path).read().findings
    assert (finding.rule, finding.severity) == ("xml.entity", Severity.FATAL)


def test_an_entity_of_a_file_elsewhere_is_not_passed_over(tmp_path):
    body = HEAD.replace(">S<", ">&outside;<")
    (tmp_path / "EQ.xml").write_text(f'<!DOCTYPE x SYSTEM "other.dtd">\n{body}{END}')
    assert "xml.entity" in rules(ModelReader(tmp_path).read())


NAMED = HEAD.replace(">S<", ">北山站<") + END


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030", "big5"])
def test_encodings_are_read(tmp_path, encoding):
    text = NAMED.replace("站", "") if encoding == "big5" else NAMED
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    (tmp_path / "EQ.xml").write_bytes(f'<?xml version="1.0" encoding="{declared}"?>\n{text}'.encode(encoding))
    model = ModelReader(tmp_path).read()
    assert model.findings == []
    assert model.name("s").startswith("北山")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b'<?xml version="1.0" encoding="utf-8"?>\n' + NAMED.encode("gbk"), "xml.malformed"),
        (b'<?xml version="1.0" encoding="gbk"?>\n' + NAMED.encode(), "xml.encoding"),
        (b'<?xml version="1.0" encoding="klingon"?>\n' + HEAD.encode(), "xml.encoding"),
        (HEAD.encode() + b"\x00" + END.encode(), "xml.malformed"),
        (b"", "xml.malformed"),
        (b"\xef\xbb\xbf", "xml.malformed"),
        (b"PK\x03\x04 not xml", "xml.malformed"),
        (b"just text", "xml.malformed"),
        (bytes(range(256)), "xml.malformed"),
    ],
)
def test_what_is_no_xml_or_in_another_encoding_is_fatal(tmp_path, data, rule):
    (tmp_path / "EQ.xml").write_bytes(data)
    (finding,) = ModelReader(tmp_path).read().findings
    assert (finding.rule, finding.severity) == (rule, Severity.FATAL)


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


WHOLE = (HEAD + END).encode()


def test_a_zip_of_zips_is_read_and_a_zip_in_it_is_not(tmp_path):
    inner = zipped(tmp_path / "inner.zip", {"EQ.xml": WHOLE}).read_bytes()
    second = zipped(tmp_path / "second.zip", {"x/inner.zip": inner}).read_bytes()
    outer = zipped(tmp_path / "outer.zip", {"a/EQ.zip": inner, "deep.zip": second, "readme.txt": b"x"})
    model = ModelReader(outer).read()
    assert model.ids("Substation") == ["s"]
    assert model.where("s") == f"{outer}!a/EQ.zip!EQ.xml:2"
    assert rules(model) == ["zip.nested"]
    (tmp_path / "alone").mkdir()
    only = zipped(tmp_path / "alone" / "outer.zip", {"a/EQ.zip": inner})
    assert list(write_files(ModelReader(only).read())) == ["EQ.xml"]


def test_a_zip_bomb_is_stopped_early(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SUSPECT", 1 << 20)
    bomb = zipped(tmp_path / "bomb.zip", {"EQ.xml": HEAD.encode() + b" " * (4 << 20) + END.encode()})
    (finding,) = ModelReader(bomb).read().findings
    assert (finding.rule, finding.severity) == ("file.unreadable", Severity.FATAL)
    assert "300 times" in finding.text


def test_a_zip_with_too_many_members_is_refused(tmp_path):
    with pytest.raises(ModelError, match="members"):
        ModelReader(zipped(tmp_path / "many.zip", dict.fromkeys(map("{}.xml".format, range(10_001)), b""))).read()


def test_a_zip_that_says_its_list_is_huge_is_refused_unread(tmp_path):
    data = bytearray(zipped(tmp_path / "m.zip", {"EQ.xml": WHOLE}).read_bytes())
    struct.pack_into("<L", data, data.rindex(b"PK\x05\x06") + 12, 1 << 30)
    (tmp_path / "m.zip").write_bytes(data)
    with pytest.raises(ModelError, match="too long"):
        ModelReader(tmp_path / "m.zip").read()


@pytest.mark.parametrize("claimed", [0, 10, 1 << 30])
def test_a_member_that_lies_about_its_size_is_fatal(tmp_path, claimed):
    data = bytearray(zipped(tmp_path / "m.zip", {"EQ.xml": WHOLE * 50}).read_bytes())
    struct.pack_into("<L", data, data.rindex(b"PK\x01\x02") + 24, claimed)
    (tmp_path / "m.zip").write_bytes(data)
    assert has_errors(ModelReader(tmp_path / "m.zip").read().findings)


def test_names_that_lead_out_of_the_archive_write_nothing_outside(tmp_path):
    model = ModelReader(zipped(tmp_path / "m.zip", {"../../evil.xml": WHOLE})).read()
    assert rules(model) == ["zip.name"]
    assert list(write_files(model)) == ["evil.xml"]


def test_an_encrypted_member_is_fatal_by_name(tmp_path):
    data = bytearray(zipped(tmp_path / "m.zip", {"EQ.xml": WHOLE}).read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    data[6] |= 1
    (tmp_path / "m.zip").write_bytes(data)
    (finding,) = ModelReader(tmp_path / "m.zip").read().findings
    assert (finding.rule, finding.severity) == ("zip.member", Severity.FATAL)
    assert finding.file.endswith("m.zip!EQ.xml")


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_to_a_zip_ends_in_findings(tmp_path, seed):
    chance = random.Random(seed)
    inner = zipped(tmp_path / "i.zip", {"EQ.xml": WHOLE * 9}).read_bytes()
    data = zipped(tmp_path / "m.zip", {"EQ.xml": WHOLE * 9, "more.zip": inner}).read_bytes()
    for _ in range(100):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        (tmp_path / "m.zip").write_bytes(broken[: chance.randint(1, len(broken))] if chance.random() < 0.2 else broken)
        survives(tmp_path / "m.zip")


def test_findings_without_number_are_counted_not_listed(tmp_path):
    bays = "".join(f'<cim:Bay rdf:ID="_b{n}"><cim:Bay.Substation rdf:resource="#_no{n}"/></cim:Bay>\n' for n in range(3000))
    (tmp_path / "EQ.xml").write_text(HEAD + bays + '<cim:Bay rdf:ID="_b1"/>\n' * 1500 + END)
    findings = ModelReader(tmp_path).read().findings
    assert len(findings) == 2002
    rest = {finding.rule: finding for finding in findings if finding.count > 1}
    assert rest["ref.dangling"].count == 2000
    assert rest["id.duplicate"].count == 500
    assert "500 more" in rest["id.duplicate"].text
    assert rest["id.duplicate"].severity is Severity.ERROR


def test_findings_are_bounded_however_they_are_added():
    findings = Findings(limit=2)
    findings.extend(Finding("f", line, Severity.ERROR, "r", "t") for line in range(5))
    findings.append(Finding("f", 9, Severity.INFO, "other", "t"))
    assert [(one.rule, one.line, one.count) for one in findings] == [("r", 0, 1), ("r", 1, 1), ("r", 0, 3), ("other", 9, 1)]


def test_what_cannot_be_kept_is_told(write):
    model = ModelReader(
        write(
            '<cim:Bay rdf:ID="_a" rdf:bagID="x"><cim:X.y rdf:ID="z">1</cim:X.y>\n'
            '<cim:X.w rdf:parseType="Literal"><b>bold</b></cim:X.w>\n'
            "<cim:X.v>mixed <cim:Z><cim:Z.a>1</cim:Z.a></cim:Z></cim:X.v></cim:Bay>\n"
        )
    ).read()
    assert rules(model) == ["xml.lost"] * 4
    assert [finding.line for finding in model.findings] == [4, 4, 5, 6]


def test_a_stream_is_read_in_pieces_of_any_size(tmp_path):
    data = io.BytesIO((PLANT / "plant.xml").read_bytes())
    parser = FileParser(Taker(), 0, "plant.xml")
    while piece := data.read(7):
        parser.feed(piece)
    parser.close()
    at_once = FileParser(Taker(), 0, "plant.xml")
    at_once.feed((PLANT / "plant.xml").read_bytes())
    at_once.close()
    pieces, whole = ([(one.spelling, one.values) for one in file.slots.pieces(0)] for file in (parser, at_once))
    assert pieces == whole
