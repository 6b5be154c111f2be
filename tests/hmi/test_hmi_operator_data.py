"""Substituting, tagging, shelving and recalling in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from scada.core.quality import Quality
from scada.model_cim.tables import AlarmClass

pytestmark = pytest.mark.browser

BUS = "Beishan/220kV/Donghu 1/P"


def point(backend, path=BUS):
    return backend.tables.by_path[path]


def breaker(backend, number="2130"):
    return next(c for c in backend.tables.controls if c.station == "Beishan" and c.device_number == number)


def confirm(operator, dialog, reason):
    """Give a reason and send; the dialogue says what the server answered."""
    expect(operator.at(f"{dialog}-confirm")).to_be_disabled()
    operator.at(f"{dialog}-reason").fill(reason)
    operator.at(f"{dialog}-confirm").click()
    expect(operator.at(f"{dialog}-answer")).to_contain_text("Accepted")
    operator.at(f"{dialog}-close").click()


def test_a_value_is_substituted_shown_as_such_and_released(rig, operator):
    measured = point(rig.backend)
    rig.backend.apply([measured.pid], [50.0])
    operator.go("station", "Beishan", select=measured.equipment)
    operator.at(f"hold-{measured.pid}").click()
    operator.at("hold-value").fill("61.5")
    confirm(operator, "hold-dialog", "transducer on the bench")
    expect(operator.value(measured.pid)).to_contain_text("61.5")
    expect(operator.value(measured.pid)).to_have_attribute("data-quality", str(int(Quality.MANUAL | Quality.SUBSTITUTED)))
    rig.backend.apply([measured.pid], [48.0])
    expect(operator.value(measured.pid)).to_contain_text("61.5")
    operator.shot("substituted")
    operator.at(f"hold-{measured.pid}").click()
    expect(operator.at("hold-field")).to_contain_text("48.0")
    confirm(operator, "hold-dialog", "transducer is back")
    expect(operator.value(measured.pid)).to_contain_text("48.0")


def test_a_value_outside_the_range_is_not_sent(rig, operator):
    measured = next(p for p in rig.backend.tables.points if p.maximum < 1e6 and p.station == "Beishan")
    operator.go("station", "Beishan", select=measured.equipment)
    operator.at(f"hold-{measured.pid}").click()
    operator.at("hold-dialog-reason").fill("test")
    operator.at("hold-value").fill(str(measured.maximum * 2 + 1))
    expect(operator.at("hold-dialog-confirm")).to_be_disabled()
    operator.at("hold-dialog-close").click()


def test_a_tag_is_hung_on_the_breaker_seen_in_the_diagram_and_taken_down(rig, operator):
    control = breaker(rig.backend)
    operator.go("station", "Beishan", select=control.equipment)
    operator.at("add-tag").click()
    operator.at("tag-type").select_option("maintenance")
    expect(operator.at("tag-effect")).to_contain_text("no control of it")
    confirm(operator, "tag-dialog", "permit 2026-118")
    mark = operator.at("marks").locator("li").first
    expect(mark).to_contain_text("under maintenance")
    expect(mark).to_contain_text("permit 2026-118")
    expect(operator.at(f"sld-tag-{control.equipment}").first).to_have_text("MAINT")
    operator.shot("tagged")
    operator.use("zh")
    expect(operator.at(f"sld-tag-{control.equipment}").first).to_have_text("检修")
    operator.shot("tagged-zh")
    operator.use("en")
    mark.get_by_role("button").click()
    confirm(operator, "unmark-dialog", "work is done")
    expect(operator.at("marks")).to_have_count(0)
    expect(operator.at(f"sld-tag-{control.equipment}")).to_have_count(0)


def test_a_note_stays_where_it_was_written(rig, operator):
    control = breaker(rig.backend)
    operator.go("station", "Beishan", select=control.equipment)
    operator.at("add-note").click()
    confirm(operator, "note-dialog", "spring motor is slow, 14 s")
    operator.page.reload()
    operator.wait_live()
    expect(operator.at("marks")).to_contain_text("spring motor is slow, 14 s")


def test_alarms_are_shelved_listed_and_put_back(rig, operator):
    measured = point(rig.backend)
    alarm = rig.backend.raise_alarm(measured.pid, AlarmClass.LIMIT)
    operator.go("alarms")
    operator.alarm_row(alarm).locator("input").check()
    operator.at("shelve-selected").click()
    operator.at("shelve-240").check()
    confirm(operator, "shelve-dialog", "transducer is being replaced")
    assert rig.backend.acted[-1][1].duration_s == 4 * 3600
    operator.at("alarm-tab-suppressed").click()
    row = operator.page.locator(f'[data-testid="suppressed-row"][data-mrid="{measured.mrid}"]')
    expect(row).to_contain_text("transducer is being replaced")
    expect(row).to_contain_text("shelved")
    operator.shot("suppressed")
    row.get_by_test_id("unshelve").click()
    expect(row).to_have_count(0)


def test_figures_of_the_alarm_system(rig, operator):
    rig.backend.raise_alarm(point(rig.backend).pid, AlarmClass.LIMIT)
    operator.go("alarms", tab="kpi")
    expect(operator.at("kpi")).to_contain_text("≤ 10")
    expect(operator.at("kpi").locator("tbody tr")).to_have_count(11)
    operator.shot("kpi")
    operator.use("zh")
    assert operator.clipped() == []
    operator.shot("kpi-zh")


def test_a_flood_stands_behind_its_first_alarm_until_it_is_unfolded(rig, operator):
    some = [p for p in rig.backend.tables.points if p.bay == point(rig.backend).bay][:4]
    numbers = [rig.backend.raise_alarm(p.pid, AlarmClass.LIMIT) for p in some]
    worst = rig.backend.raise_alarm(some[0].pid, AlarmClass.ACCIDENT)
    for number in (*numbers, worst):
        rig.backend.group(number, numbers[0])
    operator.go("alarms")
    expect(operator.alarm_row(numbers[0])).to_be_visible()
    expect(operator.alarm_row(numbers[1])).to_have_count(0)
    expect(operator.alarm_row(worst)).to_be_visible()
    operator.shot("flood")
    operator.at(f"fold-{numbers[0]}").click()
    for number in numbers:
        expect(operator.alarm_row(number)).to_be_visible()


def test_what_happened_around_an_event(rig, operator, tmp_path):
    control = breaker(rig.backend)
    rig.backend.switch(control.feedback, 1)
    rig.backend.switch(control.feedback, 2)
    newest = rig.backend.stored[-1].event_id
    operator.go("events")
    operator.at(f"recall-{newest}").click()
    expect(operator.at("recall-head")).to_contain_text("from the journal")
    expect(operator.at("recall-rows").locator("[data-testid=recall-row].chosen")).not_to_have_count(0)
    operator.shot("recall")
    with operator.page.expect_download() as saving:
        operator.at("recall-save").click()
    saving.value.save_as(tmp_path / "recall.csv")
    text = (tmp_path / "recall.csv").read_text("utf-8-sig")
    assert control.path.rsplit("/", 1)[0] in text
    operator.at("recall-close").click()
    expect(operator.at("event-rows")).to_be_visible()
