"""Reports on regulation: what people read, what machines read back, gaps, languages, refusals; over gRPC and from disk."""

import csv
import io
import math
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from apps.agc_avc.performance_rig import MIDNIGHT, account, area, enrol, sample
from click.testing import CliRunner
from scadapb.v1 import scada_pb2 as pb

from scada.actors.performance_desk import PerformanceDesk
from scada.api.faults import CallError
from scada.api.performance_csv import report_csv
from scada.api.performance_html import plot, report_html
from scada.api.performance_services import PerformanceServices
from scada.apps.agc_avc.performance.report import Context, Wanted, gather
from scada.apps.agc_avc.performance.rules import own_profiles
from scada.apps.agc_avc.performance.store import PerformanceReader, PerformanceStore
from scada.cli import agc, ctl
from scada.cli.agc import command
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import ScadaError

NS = MIDNIGHT * NS_PER_S
HOUR = 3600 * NS_PER_S
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four hours; the third was not watched, and a name that wants to be a script and a formula."""
    path = tmp_path_factory.mktemp("performance")
    store, of = PerformanceStore(path, map_mb=16), area()
    number, _ = enrol(store, of)
    name = "=<script>alert(1)</script>"
    _, numbers = store.enrol(
        of.mrid, of.name, "shaanxi-2025-draft", [("_U0", name, "thermal", 300.0), ("_U1", "二号机", "hydro", 90.0)]
    )
    one = account(of, numbers=numbers, cycle_s=12.0)
    for second in range(0, 4 * 3600 + 12, 12):
        if 7200 <= second < 10800:
            continue
        power = [min(100.0 + max(0, second - 400) * 0.1, 129.8), 50.0]
        setpoint = [100.0 if second < 360 else 130.0, 50.0]
        swing = math.sin(second / 300)
        closed = one.sample(sample(MIDNIGHT + second, 20 * swing, 0.01 * swing, power=power, setpoint=setpoint))
        if closed.anything:
            store.keep(number, closed, {})
    store.close()
    return path


@pytest.fixture
def reader(folder):
    found = PerformanceReader.open(folder)
    yield found
    found.close()


def context(length=10):
    return Context(own_profiles(), SHANGHAI, length, NS + 4 * HOUR)


def report_of(reader, period="hour", **more):
    return gather(reader, Wanted("", NS, NS + 4 * HOUR, period, **more), context())


class Words(HTMLParser):
    """Tags and their balance; text; attributes that would load something."""

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.loads = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        self.loads += [value for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_whole_in_itself_and_says_what_it_rests_on(reader, language):
    found = report_of(reader)
    page = report_html(found, language).decode()
    words = Words(page)
    assert words.open == []
    assert words.loads == []
    assert "http" not in page
    assert "url(" not in page
    text = " ".join(words.text)
    assert found.profile.caption(language) in text
    assert found.profile.source in text
    assert "180" in text  # minutes with data
    assert "240" in text
    assert "75.0 %" in text
    assert "<script>" not in page
    assert "report." not in text  # every text exists
    assert text.count("[K]") >= 3  # of the source, of the words after it, of the notes
    assert "Asia/Shanghai" in text
    assert "2025-06-16T08:00:00+08:00" in text


def test_a_gap_is_a_gap_in_table_and_plot(reader):
    found = report_of(reader)
    assert [row.valid_minutes for row in found.periods] == [60, 60, 0, 60]
    page = report_html(found, "en").decode()
    curve = re.findall(r"<svg.*?</svg>", page, re.DOTALL)[0]
    assert curve.count('class="gap"') == 1
    assert len(re.findall(r"<polyline", curve)) == 1  # two hours before the gap
    assert len(re.findall(r"<circle", curve)) == 1  # one after it
    assert "no data" in page
    (line,) = re.findall(r'points="([^"]*)"', curve)
    assert "nan" not in line


def test_a_span_outside_of_the_rules_is_said(reader):
    found = report_of(reader)
    late = found.profile.model_copy(update={"effective_from": date(2025, 6, 17)})
    page = report_html(replace(found, profile=late), "en").decode()
    assert "not wholly within" in page
    assert "In force 2025-06-17" in page
    inside = found.profile.model_copy(update={"effective_from": date(2025, 6, 16), "effective_to": date(2025, 6, 16)})
    assert "not wholly within" not in report_html(replace(found, profile=inside), "en").decode()


def test_a_plot_of_nothing_has_no_numbers(reader):
    found = report_of(reader)
    drawn = plot([(NS, NS + HOUR, math.nan)], "x <y>", found)
    assert "nan" not in drawn
    assert "polyline" not in drawn
    assert "x &lt;y&gt;" in drawn


def tables_of(data):
    """The sections of a CSV: name -> list of dicts."""
    rows, found = list(csv.reader(io.StringIO(data.decode("utf-8-sig")))), {}
    while [] in rows:
        rows = rows[rows.index([]) + 1 :]
        end = rows.index([]) if [] in rows else len(rows)
        (name,), head, *body = rows[:end]
        found[name] = [dict(zip(head, line, strict=True)) for line in body]
    return found


def test_the_csv_reads_back_to_the_last_bit(reader):
    found = report_of(reader)
    tables = tables_of(report_csv(found, "en"))
    hours = tables["The area"]
    assert len(hours) == 4
    for row, period in zip(hours, found.periods, strict=True):
        for head, value in (
            ("CPS1 [%]", period.cps1_percent),
            ("Mean ACE [MW]", period.ace_mean_mw),
            ("Frequency deviation rms [Hz]", period.deviation_rms_hz),
            ("Time error gained [s]", period.time_error_s),
        ):
            assert row[head] == ("" if math.isnan(value) else repr(value))
    assert hours[2]["CPS1 [%]"] == ""
    assert (hours[2]["Minutes [min]"], hours[2]["With data [min]"]) == ("60", "0")
    assert (hours[2]["Below BAAL [min]"], hours[1]["Below BAAL [min]"]) == ("", "0")  # not seen is not good
    (first, second) = tables["Units over the span"]
    assert first["Unit"].startswith("'=")  # no formula
    assert float(first["K1 (speed)"]) == found.unit_totals[0].k[0]
    assert (first["Commands"], first["Judged"], second["Commands"]) == ("1", "1", "0")
    assert second["K"] == ""


def test_another_profile_judges_the_same_commands_otherwise(reader):
    ours, other = report_of(reader), report_of(reader, profile="north-china-new")
    assert ours.unit_totals[0].judged == other.unit_totals[0].judged == 1
    assert ours.unit_totals[0].k != other.unit_totals[0].k
    assert "K2 (accuracy)" in report_csv(other, "en").decode()


def services(reader):
    clock = VirtualClock()
    desk = PerformanceDesk(reader, own_profiles(), SHANGHAI, 10, clock)
    return PerformanceServices(SimpleNamespace(performance=desk))


def asked(**more):
    return pb.PerformanceRequest(**{"from_ns": NS, "to_ns": NS + 4 * HOUR, "period": "hour", "units": True} | more)


async def test_rows_for_a_page(reader):
    reply = await services(reader).get_performance(asked(), None)
    assert (reply.area, list(reply.areas)) == ("North", ["North"])
    assert [row.valid_minutes for row in reply.periods] == [60, 60, 0, 60]
    assert math.isnan(reply.periods[2].cps1_percent)
    assert reply.periods[0].cps2.counted == 6
    assert {unit.name for unit in reply.units} == {"=<script>alert(1)</script>", "二号机"}
    assert reply.rules.name == "shaanxi-2025-draft"
    assert len(reply.profiles) >= 3
    assert all(profile.source for profile in reply.profiles)


async def test_a_report_in_pieces_and_what_is_refused(reader, monkeypatch):
    monkeypatch.setattr("scada.api.performance_services.CHUNK", 1000)
    wanted = pb.PerformanceReportRequest(what=asked(), format="csv", language="en")
    pieces = [piece.data async for piece in services(reader).get_report(wanted, None)]
    assert len(pieces) > 2
    assert tables_of(b"".join(pieces))["The area"]
    for wrong in (
        {"format": "pdf", "what": asked()},
        {"format": "csv", "language": "xx", "what": asked()},
        {"format": "csv", "what": asked(area="South")},
        {"format": "csv", "what": asked(period="year")},
        {"format": "csv", "what": asked(profile="none")},
        {"format": "csv", "what": asked(to_ns=NS)},
        {"format": "csv", "what": asked(period="minute", from_ns=0, to_ns=NS)},
        {"format": "csv", "what": asked(period="month", from_ns=NS - 900 * 24 * HOUR)},
        {"format": "csv"},
    ):
        with pytest.raises(CallError) as raised:
            [piece async for piece in services(reader).get_report(pb.PerformanceReportRequest(**wrong), None)]
        assert raised.value.code == "malformed"


def test_the_command_asks_the_server_and_shows_what_runs(run, live, reader, tmp_path):
    live.performance = PerformanceDesk(reader, own_profiles(), SHANGHAI, 10, live.clock)
    target = tmp_path / "out.csv"
    span = ("--from", "2025-06-16T00:00:00Z", "--to", "2025-06-16T04:00:00Z")
    assert run(agc, "report", *span, "--format", "csv", "-o", str(target)) == f"{target}\n"
    assert target.read_bytes() == report_csv(report_of(reader), "en")
    with pytest.raises(ScadaError, match="no records of an area 'South'"):
        run(agc, "report", *span, "--area", "South", "-o", str(target))
    share = pb.PerformanceShare(good=5, counted=6)
    row = pb.PerformancePeriod(period="hour", minutes=60, valid_minutes=45, cps1_percent=187.5, cps2=share, baal_longest=31)
    live.agc = lambda area="": pb.AgcStatus(area="East", performance=[row])
    shown = run(ctl, "agc", lang="zh").splitlines()[-1].split()
    assert shown == ["小时", "187.5", "83.33", "-", "31", "0", "75"]


def test_the_command_reads_the_accounts_from_disk(folder, tmp_path):
    config = tmp_path / "scada.toml"
    config.write_text(f'[performance]\npath = "{folder}"\n[site]\ntime_zone = "Asia/Shanghai"\n', encoding="utf-8")
    target = tmp_path / "out.html"
    begin, end = "2025-06-16T00:00:00Z", "2025-06-16T04:00:00Z"
    words = ["report", "--config", str(config), "--from", begin, "--to", end, "--lang", "zh", "-o", str(target)]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "调节性能报告 North" in target.read_text(encoding="utf-8")
    wrong = CliRunner().invoke(command, [*words, "--profile", "none"])
    assert wrong.exit_code != 0
