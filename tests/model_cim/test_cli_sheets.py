"""``scada model export-sheets``, ``import-sheets`` and ``search`` as an engineer runs them."""

import csv
import shutil

import pytest
from click.testing import CliRunner

from scada.cli.model import command
from scada.core.errors import ModelError
from scada.model_cim.reader import ModelReader
from scada.model_cim.version_files import files_of


@pytest.fixture
def run():
    def go(*words, code=0, answer=None):
        done = CliRunner().invoke(
            command, [str(word) for word in words], input=answer, catch_exceptions=False, standalone_mode=False
        )
        assert done.exit_code == code, done.output
        return done.output

    return go


def edit(path, change):
    """Rewrite a CSV file's rows by a function."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = change(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_an_edited_sheet_changes_one_line_of_the_files(run, demo_path, tmp_path):
    assert "2469 points" in run("export-sheets", demo_path, "--out", tmp_path / "csv", "--sheet", "points")

    def change(rows):
        row = next(row for row in rows if row["Dead band"])
        row["Dead band"] = "0.1230"
        return [row]

    edit(tmp_path / "csv" / "points.csv", change)
    shown = run("import-sheets", demo_path, tmp_path / "csv", "--dry-run", "--out", tmp_path / "out")
    assert "1 rows changed" in shown
    assert not (tmp_path / "out").exists()
    run("import-sheets", demo_path, tmp_path / "csv", "--out", tmp_path / "out")
    was, now = ModelReader(demo_path).read(), ModelReader(tmp_path / "out").read()
    assert len(now) == len(was)
    changed = [
        mrid
        for mrid in was.ids("RemoteSource")
        if was.text(mrid, "RemoteSource.deadband") != now.text(mrid, "RemoteSource.deadband")
    ]
    assert [now.text(mrid, "RemoteSource.deadband") for mrid in changed] == ["0.1230"]


def test_nothing_is_written_while_a_row_is_wrong_unless_asked(run, demo_path, tmp_path):
    run("export-sheets", demo_path, "--out", tmp_path / "a.csv.d", "--sheet", "channels")

    def change(rows):
        rows[0]["Port"], rows[1]["Port"] = "none", "2405"
        return rows[:2]

    edit(tmp_path / "a.csv.d" / "channels.csv", change)
    words = ("import-sheets", demo_path, tmp_path / "a.csv.d", "--out", tmp_path / "out", "--lang", "zh")
    shown = run(*words, "--errors", tmp_path / "wrong.xlsx", code=1)
    assert "channels:2 port: 'none' 不是整数" in shown
    assert "nothing was written" in shown
    assert (tmp_path / "wrong.xlsx").exists()
    assert not (tmp_path / "out").exists()
    run(*words, "--partial", code=1)
    now = ModelReader(tmp_path / "out").read()
    assert "2405" in {now.text(mrid, "sc:RemoteUnit.port") for mrid in now.ids("RemoteUnit")}
    with pytest.raises(ModelError, match="exclude each other"):
        run(*words, "--partial", "--prune")


def test_pruning_asks_first(run, demo_path, tmp_path):
    shutil.copytree(demo_path, tmp_path / "grid")
    grid = tmp_path / "grid"
    run("export-sheets", grid, "--out", tmp_path / "csv", "--sheet", "forwarded_controls")
    edit(tmp_path / "csv" / "forwarded_controls.csv", lambda rows: rows[1:])
    shown = run("import-sheets", grid, tmp_path / "csv", "--prune", answer="n\n")
    assert "remove forwarded_controls: Provincial dispatch" in shown
    assert len(ModelReader(grid).read().ids("sc:ForwardedControl")) == 7
    run("import-sheets", grid, tmp_path / "csv", "--prune", "--yes")
    assert len(ModelReader(grid).read().ids("sc:ForwardedControl")) == 6


def test_devices_keep_their_templates_in_another_folder(run, demo_path, tmp_path):
    devices = demo_path.parent / "devices"
    run("export-sheets", devices, "--out", tmp_path / "a.xlsx")
    (tmp_path / "channels.csv").write_text(
        "name,host\n" + ModelReader(devices).read().name(ModelReader(devices).read().ids("RemoteUnit")[0]) + ",10.9.8.7\n"
    )
    run("import-sheets", devices, tmp_path / "a.xlsx", tmp_path / "channels.csv", "--out", tmp_path / "out")
    was, now = ModelReader(devices).read(), ModelReader(tmp_path / "out").read()
    assert now.class_counts() == was.class_counts()
    assert now.text(now.ids("RemoteUnit")[0], "sc:RemoteUnit.host") == "10.9.8.7"


def test_waivers_and_drawings_go_along_into_another_folder(run, demo_path, tmp_path):
    """Without its waivers the model would have other findings, and the difference would say that they go."""
    grid = tmp_path / "grid"
    shutil.copytree(demo_path, grid)
    (grid / "waivers.toml").write_text("# none yet\n")
    channel = ModelReader(grid).read().name(ModelReader(grid).read().ids("RemoteUnit")[0])
    (tmp_path / "channels.csv").write_text(f"name,host\n{channel},10.9.8.7\n")
    run("import-sheets", grid, tmp_path / "channels.csv", "--out", tmp_path / "out")
    assert files_of(tmp_path / "out").keys() == files_of(grid).keys()
    assert any(name.startswith("diagrams/") for name in files_of(grid)), "there was something to lose"
    assert (tmp_path / "out" / "waivers.toml").read_text() == "# none yet\n"
    again = run("import-sheets", tmp_path / "out", tmp_path / "channels.csv", "--out", tmp_path / "third")
    assert "0 rows changed" in again
    assert "nothing was written" in again, "there is no folder for the next command"


def test_wrong_names_are_told(run, demo_path, tmp_path):
    with pytest.raises(ModelError, match="no sheet 'ponits'"):
        run("export-sheets", demo_path, "--out", tmp_path / "a.xlsx", "--sheet", "ponits")


def test_search_in_a_folder(run, demo_path):
    lines = run("search", demo_path, "ca", "1", "ioa", "16385").splitlines()
    assert lines[0].startswith("point\tBeishan/220kV/Bus I/Uab\tCA 1 IOA 16385 type 36\t")
    assert lines[-1] == "1 of 1"
