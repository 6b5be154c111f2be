"""AGC, AVC, performance, what-if and plans in a real browser: what is shown, and exactly what is sent."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from scadapb.v1 import scada_pb2 as pb

from scada.model_cim.tables import AlarmClass

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


def test_details_of_a_plant_unfold_by_keyboard(rig, operator):
    unit = next(unit for unit in rig.backend.units if unit.fuel == "pv")
    operator.go("agc")
    operator.at(f"unfold-{unit.mrid}").focus()
    operator.page.keyboard.press("Enter")
    detail = operator.at(f"detail-{unit.mrid}")
    expect(detail).to_contain_text("from benchmark members")
    expect(detail).to_contain_text("14.5 MWh")
    expect(detail).to_contain_text("97 % of the day known")
    rows = operator.at(f"members-{unit.mrid}").locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("benchmark")
    expect(rows.nth(2)).to_contain_text("not in remote control")
    blocked = rig.backend.units[1]
    expect(operator.at(f"unit-{blocked.mrid}")).to_contain_text("↑✕")
    operator.shot("agc-plant")


def test_performance_asks_for_what_is_chosen_and_never_shows_no_data_as_good(rig, operator):
    asked = rig.backend.performance.asked
    operator.go("performance")
    rows = operator.at("performance-periods").locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("\N{EN DASH}\N{EN DASH}")
    heads = operator.at("performance-units").locator("thead th")
    expect(heads.nth(2)).to_contain_text("response")
    expect(operator.at("performance-units").locator("tbody tr")).to_have_count(len(rig.backend.units))
    operator.at("performance-profile").select_option("north-china-new")
    expect(heads.nth(2)).to_contain_text("accuracy")
    expect(operator.at("performance-page")).to_contain_text("general knowledge")
    operator.at("performance-period").select_option("day")
    expect(operator.at("performance-units").locator("tbody tr")).to_have_count(len(rig.backend.units))
    expect(operator.at("lines").locator("canvas")).to_be_visible()
    operator.shot("performance")
    last = asked[-1]
    assert (last.period, last.profile, last.units, last.area) == ("day", "north-china-new", True, rig.backend.agc().area)
    assert last.to_ns - last.from_ns == 31 * 24 * 3600 * 1_000_000_000


@pytest.mark.parametrize(("language", "form", "begins"), [("en", "html", "<!"), ("zh", "csv", "\ufeff")])
def test_report_is_a_file_in_the_language_of_the_page(rig, operator, language, form, begins):
    operator.use(language)
    operator.go("performance")
    with operator.page.expect_download() as waiting:
        operator.at(f"report-{form}").click()
    file = waiting.value
    assert file.suggested_filename.endswith(f".{form}")
    text = file.path().read_text()
    assert text.startswith(begins)
    assert ("调节性能" in text) == (language == "zh")


def test_what_if_sends_the_changes_and_shows_both_sides(rig, operator):
    rig.backend.acted.clear()
    operator.go("rerun")
    operator.at("rerun-name-0").fill("proportional")
    expect(operator.at("rerun-run")).to_be_disabled()
    operator.at("rerun-value-0").fill("0.3")
    operator.at("rerun-add").click()
    operator.at("rerun-name-1").fill("unit.G1.participation")
    operator.at("rerun-value-1").fill("2")
    operator.at("rerun-run").click()
    expect(operator.at("rerun-faithful")).to_contain_text("Only 899 of 900")
    expect(operator.at("rerun-sides")).to_contain_text("412.5")
    expect(operator.at("rerun-sides")).to_contain_text("300.3")
    expect(operator.at("rerun-controls").locator("tbody tr")).to_have_count(1)
    expect(operator.at("lines").locator("canvas")).to_be_visible()
    operator.shot("rerun")
    (request,) = ordered(rig, "what_if")
    assert (request.application, request.area) == ("agc", rig.backend.agc().area)
    assert dict(request.changes) == {"proportional": "0.3", "unit.G1.participation": "2"}
    assert request.to_ns - request.from_ns == 3600 * 1_000_000_000


def test_what_if_shows_why_it_was_refused(operator):
    operator.go("rerun")
    operator.at("rerun-name-0").fill("nothing.like.this")
    operator.at("rerun-value-0").fill("1")
    operator.at("rerun-run").click()
    expect(operator.at("rerun-refused")).to_contain_text("there is no parameter 'nothing.like.this'")


def test_plan_points_range_and_way_back_are_exact_edits(rig, operator):
    plans = rig.backend.plans
    plan = plans.versions[-1]
    base = len(plans.versions)
    rig.backend.acted.clear()
    operator.go("dispatch")
    point = plan.points[20]
    operator.at(f"plan-point-{point.time_ns}").fill("999")
    expect(operator.at("plan-send")).to_be_disabled()
    operator.at(f"plan-point-{point.time_ns}").fill("-33.5")
    operator.shot("plans")
    operator.at("plan-send").click()
    expect(operator.at("plan-order-confirm")).to_be_disabled()
    operator.at("plan-order-reason").fill("line out")
    confirm(operator, "plan-order")
    expect(operator.at("plan-versions").locator("tbody tr")).to_have_count(base + 1)

    operator.at("plan-range-from").select_option(str(plan.points[4].time_ns))
    operator.at("plan-range-to").select_option(str(plan.points[2].time_ns))
    operator.at("plan-range-mw").fill("5")
    expect(operator.at("plan-range-send")).to_be_disabled()
    operator.at("plan-range-to").select_option(str(plan.points[6].time_ns))
    operator.at("plan-range-send").click()
    operator.at("plan-order-reason").fill("less load")
    confirm(operator, "plan-order")
    expect(operator.at("plan-versions").locator("tbody tr")).to_have_count(base + 2)

    operator.at(f"plan-compare-{base}").click()
    expect(operator.at("plan-difference").locator("tbody tr")).to_have_count(4)
    operator.shot("plan-difference")
    operator.at("plan-restore").click()
    operator.at("plan-order-reason").fill("wrong")
    confirm(operator, "plan-order")
    expect(operator.at("plan-difference")).to_contain_text("No point differs.")
    sent = ordered(rig, "edit_schedule")
    assert len({request.order_id for request in sent}) == 3
    for request in sent:
        request.order_id = ""
    common = {"area": plans.area, "day": plan.info.day}
    change = pb.SchedulePoint(time_ns=point.time_ns, mw=-33.5, step_s=900)
    span = pb.ScheduleRange(from_ns=plan.points[4].time_ns, to_ns=plan.points[6].time_ns, mw=5)
    assert sent == [
        pb.ScheduleEdit(**common, based_on=base, points=[change], reason="line out"),
        pb.ScheduleEdit(**common, based_on=base + 1, range=span, reason="less load"),
        pb.ScheduleEdit(**common, based_on=base + 2, restore=base, reason="wrong"),
    ]


def test_a_missing_plan_is_an_alarm_on_the_page(rig, operator):
    number = rig.backend.raise_alarm(30, AlarmClass.ABNORMAL, key="dispatch.plan_missing")
    operator.go("dispatch")
    expect(operator.at("plan-warning")).to_contain_text("No plan of")
    rig.backend.present = [alarm for alarm in rig.backend.present if alarm.alarm_id != number]


def test_values_typed_for_an_old_version_are_never_sent_for_a_newer_one(rig, operator):
    plans = rig.backend.plans
    plan = plans.versions[-1]
    operator.go("dispatch")
    operator.at(f"plan-point-{plan.points[30].time_ns}").fill("-20")
    expect(operator.at("plan-send")).to_be_enabled()
    other = pb.ScheduleEdit(based_on=plan.info.version, points=[pb.SchedulePoint(time_ns=plan.points[31].time_ns, mw=-1)])
    plans.edit(other, "wang")
    expect(operator.at("plan-superseded")).to_contain_text(str(plan.info.version + 1), timeout=20_000)
    expect(operator.at("plan-send")).to_be_disabled()


def test_an_operator_decides_about_an_order_of_dispatch_that_waits(rig, operator):
    rig.backend.order("waits", -55.0, pb.DISPATCH_CODE_PENDING)
    rig.backend.orders[-1].decide_until_ns = rig.backend.clock.now_ns() + 90 * 10**9
    rig.backend.acted.clear()
    operator.go("dispatch")
    expect(operator.at("pending-waits")).to_contain_text("MW")
    operator.at("refuse-waits").click()
    operator.at("decide-dialog-reason").fill("line out")
    confirm(operator, "decide-dialog")
    expect(operator.at("pending-orders")).to_have_count(0)
    (request,) = [one for name, one in rig.backend.acted if name == "dispatch_order"]
    assert (request.order_id, request.accept, request.reason) == ("waits", False, "line out")
