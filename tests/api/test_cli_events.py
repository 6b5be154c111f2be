"""``scada alarms`` and ``scada events`` against a real server over loopback."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api.client import ScadaClient
from scada.cli import alarms, events
from scada.cli.alarm_report import kpi_json
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass


def test_list(run, live):
    assert run(alarms, "list") == "No alarms.\n"
    number = live.raise_alarm()
    live.present[0] = replace(live.present[0], occurrences=3, chattering=True, group=number)
    line = run(alarms, "list").splitlines()[1]
    assert line.split()[0] == str(number)
    assert "*#" in line
    assert line.endswith("x3")
    assert "越上限" in run(alarms, "list", lang="zh")
    assert run(alarms, "list", "--station", "West") == "No alarms.\n"
    (found,) = json.loads(run(alarms, "list", "--json"))
    assert found["key"] == "limit.hi"


def test_shelve_by_id_path_and_mrid(run, live):
    number = live.raise_alarm()
    path = live.tables.points[1].path
    out = run(alarms, "shelve", str(number), path, "point-2", "--minutes", "30", "--reason", "sensor")
    assert out == "3 done\n"
    request = live.acted[0][1]
    assert [(name.mrid, name.key) for name in request.alarms] == [("point-0", "limit.hi"), ("point-1", ""), ("point-2", "")]
    assert (request.duration_s, request.reason) == (1800, "sensor")
    shown = run(alarms, "suppressed")
    assert "shelved" in shown
    assert "operator" in shown
    assert "3 more are active" in run(alarms, "list")
    assert run(alarms, "unshelve", "point-2", "--key", "limit.hi") == "1 done\n"
    assert live.acted[1][1].alarms[0].key == "limit.hi"


def test_what_cannot_be_shelved(run, live):
    with pytest.raises(ScadaError, match="no present alarm and no point"):
        run(alarms, "shelve", "nowhere", "--minutes", "5", "--reason", "x")
    run(alarms, "shelve", "point-0", "--minutes", "481", "--reason", "x", code=2)
    run(alarms, "shelve", "point-0", "--minutes", "5", code=2)
    assert "Refused: a reason must be given" in run(alarms, "shelve", "point-0", "--minutes", "5", "--reason", "", code=1)
    assert "被拒绝" in run(alarms, "shelve", "point-0", "--minutes", "5", "--reason", "", code=1, lang="zh")


def test_out_of_service_is_the_engineers(run, live):
    assert run(alarms, "--as", "engineer", "service", "out", "point-0", "--reason", "rebuilt") == "1 done\n"
    assert live.acted[0][1].out_of_service
    assert run(alarms, "--as", "engineer", "service", "in", "point-0", "--reason", "done") == "1 done\n"
    with pytest.raises(ScadaError, match="SetAlarmService"):
        run(alarms, "service", "out", "point-0", "--reason", "x")


def test_nothing_suppressed(run):
    assert run(alarms, "suppressed") == "No alarm is suppressed.\n"


KPI = pb.AlarmKpi(
    from_ns=1_700_000_000 * NS_PER_S,
    to_ns=1_700_086_400 * NS_PER_S,
    alarms=400,
    per_10_min_mean=2.78,
    per_10_min_peak=9,
    peak_ns=1_700_003_000 * NS_PER_S,
    flood_share=0.02,
    floods=2,
    standing=12,
    stale=7,
    most_frequent=[pb.AlarmSource(mrid="m", path="East/P0", key="limit.hi", count=90)],
    most_frequent_share=0.6,
    by_priority=[20, 60, 320, 0],
    by_class=[5, 15, 300, 60, 20],
    acknowledge_median_s=12.5,
    acknowledge_p95_s=math.nan,
    unacknowledged=3,
    shelved=1,
)


async def _kpi(request):
    return KPI


def test_kpi_report(run, live, monkeypatch):
    monkeypatch.setattr(live, "alarm_kpi", _kpi)
    report = run(alarms, "kpi", "--from", "2023-11-14T00:00:00Z", "--to", "2023-11-15T22:13:20Z")
    missed = [line for line in report.splitlines() if line.startswith("!  ")]
    assert len(missed) == 1 + 4, "head, mean, share of floods, stale, ten most frequent"
    assert "does not go back to" in report, "the log begins later than asked"
    assert "20 (5 %) / 60 (15 %) / 320 (80 %) / 0 (0 %)" in report
    assert "12.5 s / -" in report
    assert "90     East/P0  limit.hi" in report
    assert "EEMUA 191" in run(alarms, "kpi", "--from", "2023-11-14T22:13:20Z", "--to", "2023-11-15T22:13:20Z", lang="zh")
    run(alarms, "kpi", "--to", "never", code=2)
    run(alarms, "kpi", "--from", "now", "--to", "-1h", code=2)


def test_kpi_json(run, live, monkeypatch):
    monkeypatch.setattr(live, "alarm_kpi", _kpi)
    found = json.loads(run(alarms, "kpi", "--json"))
    assert found == json.loads(json.dumps(kpi_json(KPI)))
    assert (found["alarms"], found["stale"], found["chattering"], found["acknowledge_p95_s"]) == (400, 7, 0, None)
    assert found["by_class"] == [5, 15, 300, 60, 20]
    assert set(found) == {field.name for field in pb.AlarmKpi.DESCRIPTOR.fields}


def status(live, second, source_ns=0, **parameters):
    live.report(
        Event(
            live.clock.now_ns() + second * NS_PER_S,
            EventKind.STATUS_CHANGE,
            AlarmClass.CHANGE,
            3,
            "status.changed",
            {"point": "East/Q8", "state": "open", **parameters},
            pid=8,
            station="East",
            path="East/Q8",
            value=1.0,
            source_time_ns=source_ns,
        )
    )


def test_events_list(run, live):
    status(live, 0, 1_700_000_000_123_000_000)
    status(live, 0, late="0.750")
    lines = run(events, "list", "--kind", "status-change").splitlines()
    assert len(lines) == 2
    assert " ~" not in lines[0]
    assert " ~" in lines[1], "the time of receipt is marked"
    assert lines[1].endswith("0.750 s late")
    row = json.loads(run(events, "list", "--json", "--kind", "status-change").splitlines()[0])
    assert (row["time"], row["time_by"], row["kind"]) == ("2023-11-14T22:13:20.123000Z", "source", "status_change")
    run(events, "list", "--from", "-2h", "--station", "East", "--text", "q8", "--soe")
    assert (live.asked.station, live.asked.text, live.asked.source_order) == ("East", "q8", True)
    assert live.asked.from_ns > 0
    run(events, "list", "--follow", "--soe", code=2)


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_followed_is_what_was_asked_for(run, live, monkeypatch):
    async def follow(self, after_id):
        assert after_id == last, "nothing of it was listed: what comes from now on"
        named = {"alarm_class": 3, "key": "limit.hi", "parameters": {"point": "P", "value": "9"}, "path": "S/P"}
        yield pb.EventList(
            events=[
                pb.EventInfo(event_id=77, kind=EventKind.LIMIT_VIOLATED, station="West", **named),
                pb.EventInfo(event_id=78, kind=EventKind.LIMIT_VIOLATED, station="East", **named),
                pb.EventInfo(event_id=79, kind=EventKind.SYSTEM, station="West", **named),
            ]
        )

    live.raise_alarm()
    last = len(live.stored) + 1  # and the login of the command
    monkeypatch.setattr(ScadaClient, "follow", follow)

    async def nothing(request, limit):
        return []

    monkeypatch.setattr(live, "events_page", nothing)
    asked = ("--station", "West", "--kind", "limit-violated", "--text", "s/p")
    assert [line.split()[0] for line in run(events, "list", "--follow", *asked).splitlines()] == ["77"]


def test_export(run, live, tmp_path, monkeypatch):
    monkeypatch.setattr(events, "PAGE", 3)
    for _ in range(7):
        status(live, 0, said="2001-01-01T00:00:00.000Z")
    pages = []
    whole = live.events_page

    async def paged(request, limit):
        pages.append(request.behind)
        found = [event for event in live.stored if event.event_id > request.behind and event.kind == EventKind.STATUS_CHANGE]
        return found[:limit]

    monkeypatch.setattr(live, "events_page", paged)
    out = run(events, "export", str(tmp_path / "out.csv"))
    assert "7 lines" in out
    rows = read_csv(tmp_path / "out.csv")
    assert len({row["event_id"] for row in rows}) == 7
    assert rows[0]["text"].endswith("the source said 2001-01-01T00:00:00.000Z")
    assert len(pages) == 3
    run(events, "export", str(tmp_path / "out.jsonl"), lang="zh")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[6])["parameters"]["state"] == "open"
    with pytest.raises(ScadaError, match="cannot write"):
        run(events, "export", str(tmp_path / "none" / "out.csv"))
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.setattr(live, "events_page", whole)


def test_recall(run, live, tmp_path):
    out = run(events, "recall", "--at", "2023-11-14T22:13:20Z", "--before", "5")
    assert "from the journal: 3 values at the start, 12000 changes, 3 events" in out
    assert len(out.splitlines()) == 4, "measurements only with --all"
    assert len(run(events, "recall", "--at", "2023-11-14T22:13:20Z", "--all").splitlines()) == 1 + 3 + 12_000 + 3
    target = tmp_path / "folder"
    run(events, "recall", "--at", "2023-11-14T22:13:20Z", "--export", str(target), lang="zh")
    (file,) = target.iterdir()
    rows = read_csv(file)
    assert [row["what"] for row in rows[:5]] == ["start", "start", "start", "event", "change"]
    assert len(rows) == 12_006
    assert rows[4]["path"].endswith("P1")
    assert [row["time"] for row in rows[3:]] == sorted(row["time"] for row in rows[3:])
    with pytest.raises(ScadaError, match="no station"):
        run(events, "recall", "--at", "now", "--station", "Nowhere")


def test_an_incomplete_recall_says_so(run, live, monkeypatch):
    whole = live.recall

    async def incomplete(request):
        return replace(await whole(request), source="history", complete=False, reason="the journal has gone on")

    monkeypatch.setattr(live, "recall", incomplete)
    out = run(events, "recall", "--at", "-1h", code=1)
    assert "from the history" in out
    assert "Not complete: the journal has gone on" in out


def test_recalls(run, live, monkeypatch):
    assert "S/Q1" in run(events, "recalls")

    async def none():
        return []

    monkeypatch.setattr(live, "recalls", none)
    assert run(events, "recalls") == "No disturbance was captured.\n"
