"""The search box of the top bar, against the real station and server."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def point(backend, path):
    return backend.tables.by_path[path]


def test_a_point_is_found_with_its_live_value_and_shown_by_the_keyboard(rig, operator):
    found = point(rig.backend, "Beishan/220kV/Donghu 1/P")
    operator.go("overview")
    operator.page.keyboard.press("/")
    expect(operator.at("search")).to_be_focused()
    operator.page.keyboard.type("donghu beishan 220kv p ", delay=15)
    hits = operator.at("search-hit")
    expect(hits.first).to_be_visible()
    row = operator.page.locator(f'[data-testid=search-hit][data-mrid="{found.mrid}"]')
    expect(row).to_be_visible()
    rig.backend.apply([int(found.pid)], [64.5])
    expect(row).to_contain_text("64.5")
    rig.backend.apply([int(found.pid)], [65.5])
    expect(row).to_contain_text("65.5")
    operator.shot("search")
    for _ in range(30):
        if row.get_attribute("aria-selected") == "true":
            break
        operator.page.keyboard.press("ArrowDown")
    expect(row).to_have_attribute("aria-selected", "true")
    operator.page.keyboard.press("Enter")
    expect(operator.page).to_have_url(re.compile(rf"#/station/Beishan\?select={found.equipment}"))
    expect(operator.at("search-hits")).to_have_count(0)


def test_an_address_a_trend_a_channel_and_a_station(rig, operator):
    found = point(rig.backend, "Beishan/220kV/Donghu 1/P")
    operator.go("overview")
    operator.at("search").fill(f"CA {found.address.common_address} IOA {found.address.ioa}")
    expect(operator.at("search-hit")).to_have_count(1)
    operator.page.keyboard.press("Shift+Enter")
    expect(operator.page).to_have_url(re.compile(rf"#/trends\?p={int(found.pid)}"))
    operator.at("search").fill("nanping rtu")
    operator.at("search-hit").get_by_text("Nanping RTU").click()
    expect(operator.page).to_have_url(re.compile("#/links/Nanping%20RTU"))
    expect(operator.at("channel-Nanping RTU").locator("button")).to_have_attribute("aria-pressed", "true")
    operator.at("search").fill("xicheng")
    operator.at("search").press("Enter")  # before the answer is there: it must not show what was found before
    expect(operator.page).to_have_url(re.compile("#/station/Xicheng"))


def test_nothing_found_escape_and_the_other_language(rig, operator):
    operator.go("overview")
    operator.at("language").click()
    box = operator.at("search")
    box.fill("no such thing")
    expect(operator.at("search-hits")).to_contain_text("未找到")
    box.press("Escape")
    expect(operator.at("search-hits")).to_have_count(0)
    expect(box).to_have_value("")
    box.fill("beishan")
    expect(operator.at("search-hit").first).to_contain_text("厂站")
    expect(operator.at("search-hits")).to_contain_text("共")
    operator.shot("search-zh")
    operator.at("language").click()
