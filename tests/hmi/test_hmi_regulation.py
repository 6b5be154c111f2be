"""AGC, AVC, performance, what-if and plans in a real browser: what is shown, and exactly what is sent."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from scadapb.v1 import scada_pb2 as pb

pytestmark = pytest.mark.browser


def ordered(rig, name="set_mode"):
    return [request for kind, request in rig.backend.acted if kind == name]


def confirm(operator, testid):
    operator.at(f"{testid}-confirm").click()
    expect(operator.at(f"{testid}-answer")).to_be_visible()
    operator.at(f"{testid}-close").click()


@pytest.mark.parametrize(("page", "field"), [("agc", "agc"), ("avc", "avc")])
def test_monitor_is_one_order(rig, operator, page, field):
    rig.backend.acted.clear()
    area = rig.backend.agc().area if page == "agc" else ""
    operator.go(page)
    operator.at(f"{page}-monitor").click()
    assert ordered(rig) == []
    confirm(operator, f"{page}-monitor")
    assert ordered(rig) == [pb.SetModeRequest(area=area, **{field: "monitor"})]
    expect(operator.at(f"{page}-state")).to_have_text("monitor")
    expect(operator.at(f"{page}-monitor")).to_be_disabled()


def test_control_mode_is_ordered_for_the_area_that_is_shown(rig, operator):
    rig.backend.acted.clear()
    operator.go("agc")
    expect(operator.at("agc-control-mode-order")).to_be_disabled()
    operator.at("agc-control-mode").select_option("TLBC+II")
    operator.at("agc-control-mode-order").click()
    expect(operator.at("agc-control-mode-order-dialog")).to_contain_text("TLBC+II")
    confirm(operator, "agc-control-mode-order")
    assert ordered(rig) == [pb.SetModeRequest(control_mode="TLBC+II", area=rig.backend.agc().area)]
    rig.backend.control_mode = "TLBC"


def test_loop_open_test_and_unlock(rig, operator):
    unit = rig.backend.units[0]
    rig.backend.acted.clear()
    rig.backend.locked = {unit.mrid}
    operator.go("agc")
    row = operator.at(f"unit-{unit.mrid}")
    expect(row).to_contain_text("did not follow 3 times")
    operator.at(f"loop-{unit.mrid}").click()
    operator.at("loop-unlock").click()
    expect(operator.at("loop-answer")).to_be_visible()
    operator.at("loop-close").click()
    expect(row).not_to_contain_text("did not follow 3 times")

    operator.at(f"loop-{unit.mrid}").click()
    expect(operator.at("loop-unlock")).to_have_count(0)
    operator.at("loop-wanted").select_option("open")
    operator.at("loop-confirm").click()
    expect(operator.at("loop-answer")).to_be_visible()
    operator.at("loop-close").click()
    expect(row).to_contain_text("open")

    operator.at(f"loop-{unit.mrid}").click()
    operator.at("loop-wanted").select_option("test")
    expect(operator.at("loop-confirm")).to_be_disabled()
    operator.at("loop-value").fill("205.5")
    operator.at("loop-confirm").click()
    expect(operator.at("loop-answer")).to_be_visible()
    operator.at("loop-close").click()
    assert ordered(rig) == [
        pb.SetModeRequest(unlock=unit.mrid),
        pb.SetModeRequest(loop=pb.LoopOrder(mrid=unit.mrid, loop="open")),
        pb.SetModeRequest(loop=pb.LoopOrder(mrid=unit.mrid, loop="test", test_value=205.5)),
    ]
    rig.backend.loops.clear()
    rig.backend.locked = {unit.mrid}


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("frequency", "filtered ACE", "participation", "raising blocked", "nearest to the base points")),
        ("zh", ("频率", "滤波 ACE", "参与因子", "增闭锁", "基点最近")),
    ],
)
def test_why_in_both_languages(rig, operator, language, words):
    unit = rig.backend.units[1]
    operator.use(language)
    operator.go("agc")
    operator.at(f"why-{unit.mrid}").click()
    dialog = operator.at("why-dialog")
    expect(operator.at("why-output")).to_contain_text("213.5 MW")
    for text in words:
        expect(dialog).to_contain_text(text)
    expect(operator.at("why.inputs").locator("tbody tr").nth(1)).to_contain_text("\N{EN DASH}\N{EN DASH}")
    binding = operator.at("why.limits").locator("tr.binding")
    expect(binding).to_have_count(1)
    expect(binding).to_contain_text("●")
    expect(operator.at("why.limits").locator("tbody tr").nth(2).locator("td").first).to_have_text("")
    operator.shot(f"why-{language}")


def test_causes_are_those_that_ever_were_the_present_ones_first(operator):
    operator.go("agc")
    rows = operator.at("agc-causes").locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("spinning reserve short, up")
    expect(rows.nth(0)).to_contain_text("present")
    expect(rows.nth(1)).to_contain_text("suspends")
    expect(operator.at("agc-sources").locator("tbody tr").nth(2)).to_contain_text("missing")
    expect(operator.at("agc-reserves").locator("tbody tr").nth(0)).to_contain_text("▼")


def test_locks_and_loops_of_avc(rig, operator):
    zone = next(zone for zone in rig.backend.tables.zones if zone.devices)
    device = zone.devices[0]
    rig.backend.acted.clear()
    operator.go("avc")
    panel = operator.at(f"avc-zone-{zone.name}")
    expect(panel).to_contain_text("did not move")
    expect(panel).to_contain_text("unlock needed")
    operator.at(f"loop-{device.mrid}").click()
    operator.at("loop-unlock").click()
    expect(operator.at("loop-answer")).to_be_visible()
    operator.at("loop-close").click()
    source = next(source for zone in rig.backend.tables.zones for source in zone.sources)
    operator.at(f"loop-{source.mrid}").click()
    operator.at("loop-wanted").select_option("open")
    operator.at("loop-confirm").click()
    expect(operator.at("loop-answer")).to_be_visible()
    operator.at("loop-close").click()
    expect(operator.page.locator(".advice", has_text="9.5")).to_have_count(1)
    assert ordered(rig) == [
        pb.SetModeRequest(unlock=device.mrid),
        pb.SetModeRequest(loop=pb.LoopOrder(mrid=source.mrid, loop="open")),
    ]
    rig.backend.loops.clear()
    expect(operator.page.get_by_text("suspended").first).to_be_visible()
