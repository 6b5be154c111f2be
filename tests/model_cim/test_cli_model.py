"""``scada model``: what a user sees."""

from __future__ import annotations

import json
import re

from click.testing import CliRunner

from scada.cli.model import command
from scada.core.errors import ModelError


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_check_of_a_good_model_is_exit_code_0(demo_path):
    result = run("check", demo_path)
    assert result.exit_code == 0
    assert "0 errors, 0 warnings" in result.output


def test_check_of_a_bad_model_names_the_place_and_is_exit_code_1(edited):
    path = edited("SC-Nanping.xml", "<sc:RemotePoint.ioa>16386<", "<sc:RemotePoint.ioa>16385<")
    result = run("check", path)
    assert result.exit_code == 1
    assert f"{path}/SC-Nanping.xml:" in result.output
    assert "error point.duplicate-address" in result.output


def test_check_places_a_wrong_expression_in_its_file(edited):
    path = edited("SC.xml", '"East/Generation" - ', '"East/Generatoin" - ')
    result = run("check", path)
    assert result.exit_code == 1
    found = re.search(rf'{re.escape(str(path))}/SC\.xml:(\d+) error calc\.unknown_point \S+ .*"East/Generatoin"', result.output)
    assert "East/Generatoin" in (path / "SC.xml").read_text("utf-8").splitlines()[int(found[1]) - 1], "the very line"


def test_check_of_a_broken_file_goes_on_to_the_end_and_is_json_if_asked(write):
    path = write("<cim:Breaker")
    result = run("check", path, "--json")
    assert result.exit_code == 2
    report = json.loads(result.output)
    assert report["errors"] == 1
    assert report["findings"][0]["rule"] == "xml.malformed"
    assert report["findings"][0]["line"] > 0


def test_show_lists_what_is_asked(demo_path):
    assert "Beishan (East): 220kV, 110kV, 10kV" in run("show", demo_path).output
    points = run("show", demo_path, "--points", "--station", "Fenghe").output.splitlines()
    assert all("Fenghe/" in line for line in points)
    assert any("ns=2;s=Fenghe.35kV.W1.P" in line for line in points)
    assert "Qingyuan PPC\tmodbus-tcp\t127.0.0.1:15020" in run("show", demo_path, "--channels").output
    assert "Nanping/T1/Tap\tSTEP\t7001\tNanping RTU\tCA 5 IOA 25001 type 47" in run("show", demo_path, "--controls").output


def test_an_unknown_station_or_folder_is_one_clear_error(demo_path, tmp_path):
    for result in (run("show", demo_path, "--station", "Atlantis"), run("show", tmp_path / "nowhere")):
        assert isinstance(result.exception, ModelError)
        assert result.exception.mend
