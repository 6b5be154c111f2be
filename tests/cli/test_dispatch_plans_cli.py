"""``scada dispatch list|show|diff|import|export|edit`` over the dispatch actor itself: what goes in comes out again."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import xlsxwriter
from actors.harness import Box, make
from click.testing import CliRunner
from scadapb.v1 import scada_pb2 as pb

from scada.actors.dispatch import DispatchActor, DispatchView
from scada.actors.order_messages import DispatchAsked, PlansAsked
from scada.apps.dispatch.days import day_of, labels, point_times
from scada.cli import dispatch
from scada.cli.link import Link
from scada.control.records import Principal
from scada.core.clock import VirtualClock
from scada.core.dispatch_settings import DispatchContract, DispatchSettings
from scada.core.errors import ScadaError
from scada.model_cim.points import load_model

GRID = Path(__file__).parents[2] / "examples" / "demo-grid"
ZONE = ZoneInfo("Asia/Shanghai")


class Client:
    """Carries calls to the actor, as the server does."""

    def __init__(self, actor, clock):
        self.actor, self.clock, self.sent = actor, clock, []

    async def call(self, method, request):
        if method.endswith("GetStatus"):
            return pb.SystemStatus(time_ns=self.clock.now_ns())
        found = self.actor.receive(PlansAsked(request))
        if found is None:
            raise ScadaError("there is no plan")
        return found

    async def signed(self, method, request):
        self.sent.append((method, request))
        who = Principal("li", frozenset(), frozenset(), frozenset({"*"}), "", "")
        return self.actor.receive(DispatchAsked(request, who))


@pytest.fixture(scope="module")
def tables():
    return load_model(GRID)[1]


@pytest.fixture
def client(tables, monkeypatch):
    clock = VirtualClock()
    parts = {"agc": Box(), "events": Box(), "view": DispatchView(), "clock": clock, "zone": ZONE}
    parts["settings"] = DispatchSettings(contracts={"li": DispatchContract()})
    one = Client(make(DispatchActor, tables=tables, past=[], seen=[], **parts), clock)
    one.today = day_of(clock.now_ns(), ZONE)
    one.times = labels(point_times(one.today, ZONE, 900), ZONE)
    monkeypatch.setattr(Link, "run", lambda self, work: asyncio.run(work(one)))
    return one


def run(*words, code=0, lang="en"):
    result = CliRunner().invoke(dispatch.command, ["--lang", lang, *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def written(folder, client, **columns):
    file = folder / "plan.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["time", *columns])
        writer.writerows([at, *(values[place] for values in columns.values())] for place, at in enumerate(client.times))
    return str(file)


def test_a_plan_file_is_imported_shown_edited_compared_and_exported(client, tmp_path):
    day = f"{client.today}"
    file = written(tmp_path, client, East=[50.0] * 96, H1=[60.0 + place / 10 for place in range(96)])
    assert "version 1" in run("import", file, "--day", day)
    assert [(request.unit == "", len(request.mw)) for _, request in client.sent] == [(True, 96), (False, 96)]
    rows = [line.split() for line in run("list").splitlines()]
    assert {tuple(row[:3]) for row in rows[1:]} == {("H1", day, "1/1"), ("East", day, "1/1")}
    told = run("edit", "East", "--at", f"{client.times[-1]}=70", "--reason", "line out")
    assert "version 2" in told
    shown = run("diff", "East", "--old", "1", code=1)
    assert "1 points differ between version 1 and version 2" in shown
    assert shown.splitlines()[-1].split() == ["24:00", "50", "70"]
    assert "line out" in run("list", "--day", day, lang="zh")
    assert run("show", "East").splitlines()[-1].split() == ["24:00", "70"]
    out = tmp_path / "out.csv"
    run("export", "East", "H1", "--out", str(out))
    client.sent.clear()
    assert "the same as version 2" in run("import", str(out))
    assert [request.mw[-1] for _, request in client.sent] == [70.0, 69.5]
    run("edit", "East", "--from", client.times[-2], "--to", client.times[-1], "--add", "5", "--reason", "more")
    run("edit", "East", "--restore", "1", "--reason", "line back")
    assert run("diff", "East", "--old", "1").splitlines()[0].startswith("0 points")


def test_one_finding_and_nothing_is_sent(client, tmp_path):
    file = written(tmp_path, client, East=[50.0] * 96, H11=[60.0] * 96, H2=["x", *[50] * 95])
    text = run("import", file, "--day", f"{client.today}", code=1)
    assert "line 1, column 3: no area and no unit is called 'H11' (did you mean H1?)" in text
    assert "line 2, column 4: 'x' is not a number of MW" in text
    assert client.sent == []


def test_a_dry_run_sends_nothing(client, tmp_path):
    file = written(tmp_path, client, East=[50.0] * 96)
    assert "96 values, 900 s apart" in run("import", file, "--day", f"{client.today}", "--dry-run")
    assert client.sent == []


def test_points_beyond_a_limit_are_listed(client, tmp_path):
    file = written(tmp_path, client, H1=[500.0] * 96)
    text = run("import", file, "--day", f"{client.today}")
    assert "accepted, limited" in text
    assert text.count("limit: 500 MW is outside 10 .. 110 MW") == 96


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("show", "Eats"), "called"),
        (("edit", "East", "--at", "12:07=5", "--reason", "r"), "no point of the plan"),
        (("edit", "East", "--at", "24:00=abc", "--reason", "r"), "not a number"),
        (("edit", "East", "--from", "23:45", "--reason", "r"), "one of --mw and --add"),
        (("export", "--day", "2020-01-01"), "no plan"),
        (("import", "nowhere.csv"), "cannot read"),
    ],
)
def test_a_wrong_word_is_told(client, tmp_path, words, match):
    run("import", written(tmp_path, client, East=[50.0] * 96), "--day", f"{client.today}")
    with pytest.raises(ScadaError, match=match):
        run(*words)


def test_a_chinese_file_in_gbk(client, tmp_path):
    lines = [
        f"<DayPlan::East date='{client.today}'>",
        "@ 序号 名称 " + " ".join(client.times),
        "# 1 East " + " ".join(["55"] * 96),
    ]
    file = tmp_path / "plan.txt"
    file.write_bytes("\r\n".join([*lines, "</DayPlan::East>"]).encode("gbk"))
    assert "version 1" in run("import", str(file))
    assert "日期" in run("list", lang="zh")


def test_a_workbook_with_times_as_times(client, tmp_path):
    file = tmp_path / "plan.xlsx"
    book = xlsxwriter.Workbook(str(file))
    sheet = book.add_worksheet("plan")
    sheet.write_row(0, 0, ["时间", "East"])
    shape = book.add_format({"num_format": "hh:mm"})
    for row, at in enumerate(client.times, 1):
        hour, minute = map(int, at.split(":"))
        sheet.write_datetime(row, 0, dt.time(hour % 24, minute), shape)
        sheet.write_number(row, 1, 50.5)
    book.close()
    assert "version 1" in run("import", str(file), "--day", f"{client.today}")
    assert list(client.sent[0][1].mw) == [50.5] * 96
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"PK no workbook")
    with pytest.raises(ScadaError, match="cannot read the workbook"):
        run("import", str(broken))
