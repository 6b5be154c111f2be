"""The operator's round in a real browser on the real processes: look, acknowledge, operate, change a mode, open a trend."""

import re

import pytest
from e2e.rig import Rig
from hmi.page import CHROMIUM, CHROMIUM_ARGUMENTS, OperatorPage
from playwright.sync_api import expect, sync_playwright

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]

LINE = "Longtan/110kV/Beishan 1"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("round"), hmi=True) as running:
        running.until(lambda: (s := running.status()).points_good >= 0.99 * s.points_total, 40, "the grid is up")
        yield running


@pytest.fixture(scope="module")
def operator(demo):
    address = demo.until(lambda: re.search(r"http://\S+", (demo.group.folder / "hmi.log").read_text()), 30, "the page's address")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_ARGUMENTS))
        page = browser.new_context(viewport={"width": 1920, "height": 1080}, locale="en-GB").new_page()
        person = OperatorPage(page)
        person.launch(address.group(0))
        yield person
        assert person.complaints == []
        browser.close()


def test_a_value_changes_before_the_operators_eyes(demo, operator):
    pid = demo.point(f"{LINE}/P").pid
    operator.go("station", "Longtan")
    shown = operator.drawn_value(pid)
    expect(shown).to_be_visible()
    first = shown.text_content()
    expect(shown).not_to_have_text(first, timeout=20_000)
    operator.shot("round-1-station")


def test_an_alarm_appears_and_is_acknowledged(demo, operator):
    point = demo.point("Nanping/10kV/Bus I/Uab")
    demo.fault("value", point.path, str(point.limits.hihi * 1.05))
    alarm = demo.until(lambda: next((a for a in demo.alarms() if a.path == point.path and a.phase == 1), None), 20, "the alarm")
    operator.go("alarms")
    expect(operator.alarm_row(alarm.alarm_id)).to_be_visible(timeout=5000)
    operator.shot("round-2-alarms")
    operator.acknowledge(alarm.alarm_id)
    expect(operator.alarm_row(alarm.alarm_id)).to_have_attribute("data-phase", "2", timeout=5000)
    assert next(a for a in demo.alarms() if a.alarm_id == alarm.alarm_id).acknowledged_by == "operator"
    demo.fault("clear")


def test_a_breaker_is_operated_by_select_and_execute(demo, operator):
    control = next(one for one in demo.tables.controls if one.path == f"{LINE}/1110")
    operator.go("station", "Longtan")
    expect(operator.drawn(control.equipment)).to_have_attribute("data-position", "closed")
    for target, position in ((1, "open"), (2, "closed")):
        operator.select(control.equipment)
        operator.begin_control(control.mrid)
        operator.preset(target, control.device_number)
        assert operator.execute() == "SUCCESS"
        operator.shot(f"round-3-breaker-{position}")
        operator.end_control()
        expect(operator.drawn(control.equipment)).to_have_attribute("data-position", position)
        assert demo.good(control.feedback) == target


def test_a_units_mode_is_changed(demo, operator):
    unit = next(unit for area in demo.tables.areas for unit in area.units if unit.name == "G2")
    operator.go("agc")
    operator.set_unit_mode(unit.mrid, base="BASE", regulation="O", base_point=150)

    def mode():
        shown = next(u for u in demo.call("Regulation/GetAgc", demo.pb.GetAgcRequest()).units if u.mrid == unit.mrid)
        return (shown.base_mode, shown.reg_mode) == ("BASE", "O")

    demo.until(mode, 15, "the unit's mode")
    operator.shot("round-4-agc")


def test_a_trend_is_opened(demo, operator):
    pid = demo.point(f"{LINE}/P").pid
    operator.go("trends", p=str(pid))
    expect(operator.page.locator("canvas").first).to_be_visible(timeout=10_000)
    expect(operator.page.get_by_text("Beishan 1", exact=False).first).to_be_visible()
    operator.shot("round-5-trend")


def test_killing_the_server_locks_the_page_until_it_is_back(demo, operator):
    operator.go("station", "Longtan")
    demo.kill_server()
    operator.wait_locked()
    operator.shot("round-6-stale")
    demo.restart_server()
    operator.wait_live(40)
