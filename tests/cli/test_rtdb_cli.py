"""``scada rtdb``: what a person and a script get, and the exit codes."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from rtdb import workload

from scada.cli import rtdb, rtdb_dump
from scada.cli.main import COMMANDS
from scada.core.clock import SystemClock, VirtualClock
from scada.core.errors import ConfigError, ModelError, ScadaError, StoreError
from scada.rtdb.consumers import Registration

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("db")
    store = workload.make(folder)
    workload.write(store, lambda _: None, 30)
    store.close()
    return folder


def run(*arguments, code=0):
    done = RUNNER.invoke(rtdb.command, [str(argument) for argument in arguments])
    if isinstance(done.exception, ScadaError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def test_it_is_a_command_of_scada():
    assert "rtdb" in COMMANDS


@pytest.mark.parametrize("name", ["check", "dump", "stats", "consumers", "backup", "restore"])
def test_help_teaches(name):
    text = run(name, "--help")
    assert "Exit codes: 0 done and sound" in text
    assert "FOLDER" in text


def test_check(folder, tmp_path):
    text = run("check", folder)
    assert text.endswith("points compared with the journal; sound\n")
    report = json.loads(run("check", folder, "--json"))
    assert (report["sound"], report["findings"]) == (True, [])
    (tmp_path / "rtdb.lmdb").write_bytes((folder / "rtdb.lmdb").read_bytes()[:9000])
    assert "structure: " in run("check", tmp_path, code=1)
    report = json.loads(run("check", tmp_path, "--json", code=1))
    assert (report["sound"], report["findings"][0]["where"]) == (False, "structure")


def test_points_as_csv_and_json_lines(folder):
    rows = list(csv.DictReader(io.StringIO(run("dump", folder))))
    lines = [json.loads(line) for line in run("dump", folder, "--format", "jsonl").splitlines()]
    expected = workload.Expected()
    expected.advance(30)
    assert [int(row["pid"]) for row in rows] == np.flatnonzero(~np.isnan(expected.source)).tolist()
    assert [line["pid"] for line in lines] == [int(row["pid"]) for row in rows]
    for row, line in zip(rows, lines, strict=True):
        assert float(row["value"]) == line["value"] in {expected.source[line["pid"]], -25.0}
        assert (row["path"], row["received_at"]) == ("", line["received_at"])
        assert line["received_at"].endswith("Z")
    (asked,) = (json.loads(line) for line in run("dump", folder, "--point", 5, "--format", "jsonl").splitlines())
    assert asked["pid"] == 5


def test_a_span_of_the_journal(folder):
    rows = list(csv.DictReader(io.StringIO(run("dump", folder, "--journal", "--from", 100, "--to", 140))))
    assert [int(row["seq"]) for row in rows] == list(range(100, 141))
    assert set(rows[0]) == {*rtdb_dump._CHANGE_HEAD}
    only = list(csv.DictReader(io.StringIO(run("dump", folder, "--journal", "--point", 5))))
    assert only
    assert {row["pid"] for row in only} == {"5"}
    stamp = rows[0]["committed_at"]
    assert stamp == rtdb_dump.iso(VirtualClock().now_ns())
    everything = run("dump", folder, "--journal", "--since", stamp, "--until", "2100-01-01")
    assert everything == run("dump", folder, "--journal")
    assert run("dump", folder, "--journal", "--until", stamp) == ""


def test_times():
    at = rtdb_dump.time_ns
    assert at("2026-03-01T08:00:00.5+08:00", 0) == at("2026-03-01T00:00:00.5", 0) == at("2026-03-01T00:00:00.5Z", 0)
    assert rtdb_dump.iso(at("2026-03-01T00:00:00.5", 0)) == "2026-03-01T00:00:00.500000000Z"


@pytest.mark.parametrize(
    "arguments", [["--from", "1"], ["--journal", "--since", "yesterday"], ["--journal", "--from", "-1"], ["--format", "xml"]]
)
def test_wrong_usage(folder, arguments):
    done = RUNNER.invoke(rtdb.command, ["dump", str(folder), *arguments])
    assert done.exit_code == 2
    assert "Usage:" in done.stderr


def test_names_of_a_model(folder, tmp_path):
    from scada.model_cim.points import load_model

    tables = load_model("examples/demo-grid")[1]
    point = tables.points[5]
    text = run("dump", folder, "--model", "examples/demo-grid", "--point", point.path, "--format", "jsonl")
    assert (json.loads(text)["pid"], json.loads(text)["path"]) == (5, point.path)
    # the numbers of the database rule, not those a model would get by itself
    renumbered = {p.mrid: int(p.pid) for p in tables.points} | {point.mrid: 7, tables.points[7].mrid: 5}
    (tmp_path / "points.json").write_text(json.dumps(renumbered))
    names = rtdb_dump.Names.of("examples/demo-grid", tmp_path)
    assert (names.path(7), names.pids([point.path]).tolist()) == (point.path, [7])
    with pytest.raises(ConfigError, match=r"no point 'X'.*scada model show --points"):
        run("dump", folder, "--model", "examples/demo-grid", "--point", "X")
    with pytest.raises(ConfigError, match=r"no point 'X'.*give --model"):
        run("dump", folder, "--point", "X")
    (tmp_path / "points.json").write_text("{")
    with pytest.raises(ModelError, match="kept point numbers cannot be read"):
        rtdb_dump.Names.of("examples/demo-grid", tmp_path)


def test_stats_and_consumers(folder):
    text = run("stats", folder)
    for part in ("layout 2", "none runs on it", "held by an operator", "checkpoint", "twin: at "):
        assert part in text
    figures = json.loads(run("stats", folder, "--json"))
    assert (figures["consumers"][0]["name"], figures["consumers"][0]["passed"]) == ("twin", False)
    assert figures["map_bytes"] == 16 << 20
    assert "twin: at " in run("consumers", folder)
    Registration(folder, "lazy", 0, SystemClock())
    (folder / "consumers" / "BAD").write_text("x")
    text = run("consumers", folder)
    assert "lazy: at 0, " in text
    assert "BAD: UNREADABLE" in text
    assert json.loads(run("consumers", folder, "--json"))["damaged_consumers"] == ["BAD"]
    for name in ("lazy", "BAD"):
        assert run("consumers", folder, "--remove", name) == f"{name} removed\n"
    with pytest.raises(StoreError, match="no consumer 'lazy'"):
        run("consumers", folder, "--remove", "lazy")
    with pytest.raises(StoreError, match="cannot be the name"):
        run("consumers", folder, "--remove", "../x")


def test_a_journal_that_is_empty(tmp_path):
    workload.make(tmp_path).close()
    assert "journal empty, head 0, checkpoint 0" in run("check", tmp_path)
    assert "empty, head 0, checkpoint 0" in run("stats", tmp_path)


def test_backup_and_restore(folder, tmp_path):
    text = run("backup", tmp_path / "b", folder)
    assert "300 points" in text
    assert "sound" in text
    assert "sound" in run("restore", "--verify", tmp_path / "b")
    assert json.loads(run("restore", "--verify", tmp_path / "b", "--json"))["sound"] is True
    text = run("restore", tmp_path / "b", tmp_path / "new")
    assert "numbers go on from" in text
    done = json.loads(run("restore", tmp_path / "b", tmp_path / "new", "--json"))
    assert done["kept"].startswith(str(tmp_path / "new" / "rtdb.lmdb.before-restore-"))
    manifest = json.loads(run("backup", tmp_path / "c", tmp_path / "new", "--json"))
    assert manifest["points"] == 300
    with pytest.raises(StoreError, match="there is something in the folder"):
        run("backup", tmp_path / "c", folder)


def test_the_folder_of_a_configuration(folder, tmp_path):
    (tmp_path / "scada.toml").write_text(f'[rtdb]\npath = "{folder}"\n')
    assert str(folder) in run("stats", "--config", tmp_path / "scada.toml")
    with pytest.raises(ConfigError, match=r"no such configuration.*name the FOLDER"):
        run("stats", "--config", tmp_path / "none.toml")
    with pytest.raises(StoreError, match="there is no such file"):
        run("stats", tmp_path)
