"""``scada upstream`` and ``scada model show --upstream``: what an engineer reads and writes."""

import json
from pathlib import Path

from click.testing import CliRunner
from google.protobuf.json_format import MessageToDict
from scadapb.v1 import scada_pb2 as pb

from scada.cli import model, upstream
from scada.cli.link import Link

GRID = Path(__file__).parents[2] / "examples" / "demo-grid"
STATUS = pb.UpstreamStatus(
    stations=[
        pb.UpstreamStation(
            name="Provincial dispatch",
            endpoint="0.0.0.0:2404",
            listening=True,
            points=72,
            controls=7,
            commands_done=3,
            commands_refused=1,
            tls=True,
            groups=[
                pb.UpstreamGroup(
                    name="A",
                    masters=["10.1.0.1"],
                    queued=5,
                    lost=2,
                    links=[
                        pb.UpstreamLink(peer="10.1.0.1:4000", subject="dispatch-a", state="started", frames_in=7, frames_out=9)
                    ],
                ),
                pb.UpstreamGroup(name="B", masters=["10.1.0.2"], queued=11),
            ],
        ),
        pb.UpstreamStation(name="Other", endpoint="127.0.0.1:2405", reason="no group names a master"),
    ]
)


def shown(monkeypatch, *words, status=STATUS):
    monkeypatch.setattr(Link, "run", lambda self, work: status)
    result = CliRunner().invoke(upstream.command, ["--lang", "en", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_groups_and_connections(monkeypatch):
    text = shown(monkeypatch)
    lines = text.splitlines()
    assert lines[0] == ("Provincial dispatch at 0.0.0.0:2404 TLS: listens; 72 points, 7 controls; commands 3 done, 1 refused")
    assert next(line for line in lines if "dispatch-a" in line).split()[:5] == ["A", "5", "2", "dispatch-a", "10.1.0.1:4000"]
    assert next(line for line in lines if line.startswith("B")).split()[:4] == ["B", "11", "0", "(10.1.0.2)"]
    assert "does not listen (no group names a master)" in lines[-1]


def test_everything_as_json(monkeypatch):
    assert json.loads(shown(monkeypatch, "--json")) == MessageToDict(STATUS, preserving_proto_field_name=True)


def test_a_model_without_upstream_stations(monkeypatch):
    assert "no upstream station" in shown(monkeypatch, status=pb.UpstreamStatus())


def test_rows_are_printed_or_appended(tmp_path):
    for file in GRID.glob("*.xml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    words = ["rows", str(tmp_path), "Provincial dispatch", "--station", "Nanping", "--type", "SwitchPosition", "--controls"]
    printed = CliRunner().invoke(upstream.command, words)
    assert printed.exit_code == 0
    assert "<sc:ForwardedControl " in printed.stdout
    before = (tmp_path / "SC-upstream.xml").read_text("utf-8")
    appended = CliRunner().invoke(upstream.command, [*words, "--into", str(tmp_path / "SC-upstream.xml")])
    assert appended.exit_code == 0
    assert (tmp_path / "SC-upstream.xml").read_text("utf-8") == before.removesuffix(
        "</rdf:RDF>\n"
    ) + printed.stdout + "</rdf:RDF>\n"
    checked = CliRunner().invoke(model.command, ["check", str(tmp_path)])
    assert "0 errors, 0 warnings" in checked.output
    again = CliRunner().invoke(upstream.command, [*words, "--into", str(tmp_path / "SC-upstream.xml")])
    assert again.stderr.startswith("0 rows written")


def test_rows_for_nobody_are_an_error():
    result = CliRunner().invoke(upstream.command, ["rows", str(GRID), "Nobody"])
    assert result.exit_code == 1
    assert "Provincial dispatch" in str(result.exception)


def test_the_table_as_it_is_compared_with_the_other_side():
    text = CliRunner().invoke(model.command, ["show", str(GRID), "--upstream"]).output.splitlines()
    assert text[0].split("\t") == ["Provincial dispatch", "127.0.0.1:12430", "CA 1", "A: 127.0.0.1", "72 points, 7 controls"]
    assert "CA 1 IOA 2 type 30\tBeishan/220kV/T1/Protection trip\tSTATUS\t\tevent" in text
    assert text[-1].startswith("CA 1 IOA 24583 type 46\tBeishan/220kV/")
