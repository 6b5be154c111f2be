"""The operator's round in a real browser, against the real station and server over a driven grid."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from scada.core.quality import Quality
from scada.model_cim.tables import AlarmClass

pytestmark = pytest.mark.browser

PAGES = (
    "overview",
    "network",
    "station",
    "alarms",
    "events",
    "trends",
    "agc",
    "avc",
    "performance",
    "rerun",
    "dispatch",
    "links",
)

ROWS_ON_SCREEN = """() => {
  const box = document.querySelector("[data-testid=alarm-rows]").getBoundingClientRect();
  const head = document.querySelector("[data-testid=alarm-rows] thead").getBoundingClientRect();
  const seen = (row) => row.top >= head.bottom - 1 && row.bottom <= box.bottom + 1;
  return [...document.querySelectorAll("[data-testid=alarm-row]")]
    .filter((row) => row.dataset.phase !== "2" && seen(row.getBoundingClientRect()))
    .map((row) => Number(row.dataset.alarm));
}"""

POOR_COLOURS = """() => {
  const style = getComputedStyle(document.documentElement);
  const rgb = (text) => {
    const context = document.createElement("canvas").getContext("2d");
    context.fillStyle = text;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = light(rgb(style.getPropertyValue("--ground")));
  return [800, 660, 400, 330, 220, 110, 66, 35, 20, 15, 13, 10, 6, 0].filter((kv) => {
    const line = light(rgb(style.getPropertyValue("--kv-" + kv)));
    return (Math.max(line, ground) + 0.05) / (Math.min(line, ground) + 0.05) < 3;
  });
}"""


def breaker(backend, number="2130"):
    return next(c for c in backend.tables.controls if c.station == "Beishan" and c.device_number == number)


def point(backend, path):
    return int(backend.tables.by_path[path].pid)


def test_a_session_that_only_looks_says_so_and_is_unlocked_by_a_click(rig, operator):
    locks, before = rig.sessions._locks, rig.sessions._locks._policy
    rig.backend.raise_alarm(0, AlarmClass.LIMIT)
    expect(operator.at("strip-row").first).to_be_visible()
    locks._policy = replace(before, idle_s=1e-9)
    try:
        operator.page.keyboard.press("F9")
        expect(operator.at("lock-bar")).to_contain_text("only looks")
    finally:
        locks._policy = before
    operator.at("unlock").click()
    expect(operator.at("lock-bar")).to_be_hidden()
    operator.wait_live()
    operator.page.keyboard.press("F9")
    expect(operator.at("lock-bar")).to_be_hidden()


def test_a_value_change_is_seen(rig, operator):
    pid = point(rig.backend, "Beishan/220kV/Donghu 1/P")
    operator.go("station", "Beishan")
    rig.backend.apply([pid], [77.7])
    expect(operator.drawn_value(pid)).to_have_text("P 77.7")
    rig.backend.apply([pid], [-12.3])
    expect(operator.drawn_value(pid)).to_have_text("P \N{MINUS SIGN}12.3")
    operator.shot("station")


def test_a_bad_value_is_marked_and_never_by_colour_alone(rig, operator):
    pid = point(rig.backend, "Beishan/220kV/Donghu 1/P")
    operator.go("station", "Beishan")
    rig.backend.apply([pid], [50.0], quality=int(Quality.NOT_TOPICAL | Quality.SUBSTITUTED))
    expect(operator.drawn_value(pid)).to_have_text("P 50.0S*")
    rig.backend.apply([pid], [float("nan")], quality=int(Quality.NEVER_RECEIVED))
    expect(operator.drawn_value(pid)).to_have_text("P \N{EN DASH}\N{EN DASH}-")
    rig.backend.apply([pid], [50.0])
    expect(operator.drawn_value(pid)).to_have_text("P 50.0")


def test_breaker_by_select_and_execute(rig, operator):
    control = breaker(rig.backend)
    rig.backend.switch(control.feedback, 2)
    rig.backend.acted.clear()
    operator.go("station", "Beishan")
    expect(operator.drawn(control.equipment)).to_have_attribute("data-position", "closed")
    operator.select(control.equipment)
    operator.begin_control(control.mrid)
    expect(operator.at("control-object")).to_have_text(control.path)
    expect(operator.at("control-present")).to_contain_text("closed")
    expect(operator.at("control-execute")).to_be_disabled()
    operator.preset(1, "2130")
    operator.shot("control-selected")
    assert operator.execute() == "SUCCESS"
    operator.shot("control-done")
    operator.end_control()
    expect(operator.drawn(control.equipment)).to_have_attribute("data-position", "open")
    assert [(name, getattr(request, "value", None)) for name, request in rig.backend.acted] == [
        ("select", 1.0),
        ("execute", None),
    ]


def test_nothing_goes_out_before_the_number_is_right(rig, operator):
    control = breaker(rig.backend)
    rig.backend.acted.clear()
    operator.go("station", "Beishan", select=control.equipment)
    operator.begin_control(control.mrid)
    expect(operator.at("control-select")).to_be_disabled()
    operator.at("control-target-2").check()
    operator.at("control-number").fill("2131")
    expect(operator.at("control-select")).to_be_disabled()
    operator.page.keyboard.press("Escape")
    expect(operator.at("control-dialog")).to_have_count(0)
    assert rig.backend.acted == []


def test_cancel_withdraws_the_selection(rig, operator):
    control = breaker(rig.backend)
    rig.backend.acted.clear()
    operator.go("station", "Beishan", select=control.equipment)
    operator.begin_control(control.mrid)
    operator.preset(2, "2130")
    expect(operator.at("control-checkback")).to_be_visible()
    operator.end_control()
    assert operator.result() == "CANCELLED"
    assert [name for name, _ in rig.backend.acted] == ["select", "cancel"]


def test_a_switch_that_does_not_follow_is_a_failure(rig, operator):
    control = breaker(rig.backend)
    rig.backend.feedback_follows = False
    operator.go("station", "Beishan", select=control.equipment)
    operator.begin_control(control.mrid)
    operator.preset(2, "2130")
    assert operator.execute() == "EXEC_FAILED"
    expect(operator.at("control-result")).to_contain_text("did not follow in time")
    rig.backend.feedback_follows = True


def test_conductors_follow_the_switches(rig, operator):
    feeder = next(c for c in rig.backend.tables.controls if c.path == "Beishan/10kV/F1/9110")
    load = next(p for p in rig.backend.tables.points if p.path == "Beishan/10kV/F1/Energised")
    operator.go("station", "Beishan")
    rig.backend.switch(feeder.feedback, 2)
    expect(operator.drawn(load.equipment)).to_have_attribute("data-state", "energised")
    rig.backend.switch(feeder.feedback, 1)
    expect(operator.drawn(load.equipment)).to_have_attribute("data-state", "dead")
    rig.backend.switch(feeder.feedback, 2)


def test_alarm_is_acknowledged_by_the_server_and_only_those_ticked(rig, operator):
    numbers = [rig.backend.raise_alarm(pid, AlarmClass.ACCIDENT if pid == 20 else AlarmClass.LIMIT) for pid in (20, 21, 22)]
    rig.backend.acted.clear()
    operator.go("alarms")
    expect(operator.at("alarm-strip")).to_have_attribute("data-sounding", "true")
    operator.page.keyboard.press("F8")
    expect(operator.at("alarm-strip")).to_have_attribute("data-sounding", "false")
    expect(operator.alarm_row(numbers[0])).to_have_attribute("data-phase", "1")
    operator.shot("alarms")
    operator.acknowledge(numbers[0], numbers[2])
    expect(operator.alarm_row(numbers[0])).to_have_attribute("data-phase", "2")
    expect(operator.alarm_row(numbers[2])).to_have_attribute("data-phase", "2")
    expect(operator.alarm_row(numbers[1])).to_have_attribute("data-phase", "1")
    assert rig.backend.acted == [("acknowledge", [numbers[0], numbers[2]])]


def test_acknowledge_page_sends_exactly_the_rows_on_the_screen(rig, operator):
    for pid in range(100, 160):
        rig.backend.raise_alarm(pid, AlarmClass.LIMIT)
    rig.backend.acted.clear()
    operator.go("alarms")
    expect(operator.at("alarm-rows")).to_have_attribute("data-rows", re.compile(r"[6-9]\d"))
    unacked = operator.page.evaluate(ROWS_ON_SCREEN)
    assert 10 < len(unacked) < 60
    assert operator.page.locator('[data-testid="alarm-row"]').count() < 100
    operator.page.keyboard.press("F9")
    expect(operator.alarm_row(unacked[0])).to_have_attribute("data-phase", "2")
    assert [(name, sorted(ids)) for name, ids in rig.backend.acted] == [("acknowledge", sorted(unacked))]


def test_a_filter_says_what_it_hides(rig, operator):
    rig.backend.raise_alarm(23, AlarmClass.ABNORMAL)
    operator.go("alarms")
    operator.at("filter-class-2").uncheck()
    expect(operator.at("filter-hides")).to_be_visible()


def test_unit_mode(rig, operator):
    unit = rig.backend.units[0]
    operator.go("agc")
    operator.set_unit_mode(unit.mrid, base="BASE", regulation="E", base_point=210)
    operator.shot("unit-mode")
    operator.at("unit-close").click()
    expect(operator.at(f"unit-{unit.mrid}-base")).to_contain_text("BASE")
    expect(operator.at(f"unit-{unit.mrid}-reg")).to_contain_text("E")
    assert rig.backend.modes[unit.mrid] == ("BASE", "E", 210.0)


def test_a_base_point_out_of_limits_cannot_be_sent(rig, operator):
    operator.go("agc")
    operator.at(f"unit-{rig.backend.units[0].mrid}-mode").click()
    operator.at("unit-base-mode").select_option("BASE")
    operator.at("unit-base-point").fill("9999")
    expect(operator.at("unit-confirm")).to_be_disabled()


def test_agc_off_and_a_refused_channel_command(rig, operator):
    operator.go("agc")
    operator.at("agc-off").click()
    operator.at("agc-off-confirm").click()
    expect(operator.at("agc-off-answer")).to_be_visible()
    operator.at("agc-off-close").click()
    expect(operator.at("agc-state")).to_have_text("off")
    rig.backend.agc_state = "on"
    operator.go("links")
    operator.at("channel-quarantine").click()
    operator.at("channel-quarantine-confirm").click()
    expect(operator.at("channel-quarantine-answer")).to_contain_text("running control")


def test_trend_opens_from_the_drawer(rig, operator):
    pid = point(rig.backend, "Beishan/220kV/Donghu 1/P")
    equipment = rig.backend.tables.points[pid].equipment
    operator.go("station", "Beishan", select=equipment)
    operator.at("open-trend").click()
    expect(operator.at("pens").locator("tr")).not_to_have_count(0)
    expect(operator.at("chart").locator("canvas")).to_be_visible()
    operator.at("span-60").check()
    assert "m=60" in operator.page.url
    expect(operator.at("chart").locator("canvas")).to_be_visible()
    operator.shot("trends")


def test_the_point_table_is_the_diagrams_twin(rig, operator):
    pid = point(rig.backend, "Beishan/220kV/Bus I/Uab")
    operator.go("station", "Beishan", view="table")
    rig.backend.apply([pid], [222.22])
    expect(operator.value(pid)).to_contain_text("222.22")
    assert operator.at("point-rows").locator("tbody tr").count() < 100


def test_silent_server_hatches_and_locks_and_comes_back(rig, operator):
    control = breaker(rig.backend)
    operator.go("station", "Beishan", select=control.equipment)
    expect(operator.at(f"control-{control.mrid}")).to_be_enabled()
    rig.stop_server()
    operator.wait_locked()
    expect(operator.at("stale-banner")).to_be_visible()
    expect(operator.page.locator("main.hatched")).to_be_visible()
    expect(operator.at(f"control-{control.mrid}")).to_be_disabled()
    operator.shot("stale")
    missed = rig.backend.raise_alarm(24, AlarmClass.ACCIDENT)
    rig.start_server()
    operator.wait_live()
    expect(operator.at(f"control-{control.mrid}")).to_be_enabled()
    expect(operator.page.locator(f'[data-testid="strip-row"][data-alarm="{missed}"]')).to_be_visible()
    expect(operator.at("alarm-strip")).to_have_attribute("data-sounding", "true")


@pytest.mark.parametrize("size", [(1366, 768), (1920, 1080)])
def test_no_page_clips_a_text_in_either_language(rig, operator, size):
    operator.page.set_viewport_size({"width": size[0], "height": size[1]})
    for language, title in (("zh", "告警"), ("en", "Alarms")):
        operator.use(language)
        expect(operator.at("nav-alarms")).to_have_text(title)
        for name in PAGES:
            operator.go(name, "Beishan" if name == "station" else "")
            operator.page.wait_for_timeout(250)
            assert operator.clipped() == [], (language, name)
            operator.shot(f"{name}-{language}-{size[0]}")


def test_voltage_colours_stand_out_in_both_themes(rig, operator):
    for _ in range(2):
        poor = operator.page.evaluate(POOR_COLOURS)
        assert poor == []
        operator.at("theme").click()
    assert operator.page.locator("html").get_attribute("data-theme") == "grey"


def test_the_page_asks_nothing_of_other_hosts(rig, chromium):
    context = chromium.new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(rig.address)
    rig.address = rig.next_address()
    page.wait_for_selector('[data-link="up"]')
    context.close()
    assert asked
    assert all(url.startswith(rig.base) for url in asked)


def test_no_new_alarm_slides_under_the_pointer(rig, operator):
    first = rig.backend.raise_alarm(40, AlarmClass.LIMIT)
    operator.go("alarms")
    operator.alarm_row(first).hover()
    second = rig.backend.raise_alarm(41, AlarmClass.LIMIT)
    expect(operator.at("alarm-waiting")).to_contain_text("1")
    expect(operator.alarm_row(second)).to_have_count(0)
    operator.page.mouse.move(5, 5)
    expect(operator.alarm_row(second)).to_be_visible()
