"""The page of the channels: diagnosis, live frames, orders and recordings in a real browser."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

TESTFR = bytes.fromhex("680443000000")
VALUE = bytes.fromhex("6819060008002401030b0b00b104000000454181392b1e0c150b1a")


def first(backend):
    return backend.tables.channels[0].name


def tracing(backend):
    deadline = time.monotonic() + 10
    while not backend.traces:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return backend.traces[-1][1]


def asked(backend):
    return [request.channel for what, request in backend.acted if what == "set_mode"]


def test_detail_shows_links_reasons_and_what_is_not_known(rig, operator):
    operator.go("links")
    facts = operator.at("channel-facts")
    expect(facts).to_contain_text("99.93 %")
    skew = facts.locator("dt", has_text="Station clock ahead").locator("xpath=following-sibling::dd[1]")
    expect(skew).to_have_text("\N{EN DASH}")
    expect(operator.at("link-B")).to_have_attribute("data-state", "standby")
    expect(operator.at("disconnects").locator("li")).to_have_count(2)
    expect(operator.at("disconnects")).to_contain_text("no acknowledgement within t1 = 15 s")
    expect(operator.at("channel-detail")).to_contain_text("out of range: 3")
    operator.shot("links-en-1366")


def test_another_channel_is_chosen_by_keyboard(rig, operator):
    other = rig.backend.tables.channels[1].name
    operator.go("links")
    operator.at(f"channel-{other}").locator("button").focus()
    operator.page.keyboard.press("Enter")
    expect(operator.at("channel-detail")).to_have_attribute("aria-label", other)


def test_switch_only_to_a_link_that_stands_by(rig, operator):
    rig.backend.acted.clear()
    operator.go("links")
    expect(operator.at("switch-A")).to_be_disabled()
    operator.at("switch-B").click()
    expect(operator.at("switch-B-dialog")).to_contain_text("let link B take over")
    assert asked(rig.backend) == []
    operator.at("switch-B-confirm").click()
    expect(operator.at("switch-B-answer")).to_be_visible()
    (command,) = asked(rig.backend)
    assert (command.channel, command.action, dict(command.arguments)) == (first(rig.backend), "switch", {"link": "B"})


def test_record_and_stop(rig, operator):
    rig.backend.acted.clear()
    operator.go("links")
    operator.at("record-minutes").fill("3")
    operator.at("channel-record").click()
    expect(operator.at("channel-record-dialog")).to_contain_text("plain process data")
    operator.at("channel-record-confirm").click()
    expect(operator.at("recording")).to_contain_text("recording.pcapng · 0.12 MiB")
    operator.at("channel-stop_recording").click()
    operator.at("channel-stop_recording-confirm").click()
    expect(operator.at("channel-record")).to_be_visible()
    assert [(command.action, dict(command.arguments)) for command in asked(rig.backend)] == [
        ("record", {"minutes": "3"}),
        ("stop_recording", {}),
    ]


def test_what_acts_on_a_device_is_not_an_operators(rig, operator):
    rig.backend.acted.clear()
    operator.go("links")
    operator.at("order-name").select_option("reset_process")
    expect(operator.at("channel-order")).to_be_disabled()
    operator.at("order-name").select_option("read_counters")
    operator.at("order-arguments").fill("group")
    expect(operator.at("channel-order")).to_be_disabled()
    operator.at("order-arguments").fill("group=2")
    operator.at("channel-order").click()
    operator.at("channel-order-confirm").click()
    expect(operator.at("channel-order-answer")).to_be_visible()
    (command,) = asked(rig.backend)
    assert (command.action, dict(command.arguments)) == ("read_counters", {"group": "2"})


def test_live_frames_filter_pause_and_what_was_missed(rig, operator):
    operator.go("links")
    expect(operator.at("trace-row")).to_have_count(0)
    operator.at("trace-run").click()
    queue = tracing(rig.backend)
    queue.put("A", True, rig.clock.now_ns(), VALUE)
    queue.put("B", False, rig.clock.now_ns(), TESTFR)
    rows = operator.at("trace-row")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("U TESTFR act")
    expect(rows.first).to_contain_text("68 04 43 00 00 00")
    expect(rows.last).to_contain_text("M_ME_TF_1 spontaneous OA 11 CA 11: 1201=12.3125 [IV OV]")
    operator.shot("links-trace")
    operator.at("trace-filter").fill("testfr")
    expect(rows).to_have_count(1)
    operator.at("trace-filter").fill("")
    operator.at("trace-pause").click()
    take, queue.take = queue.take, lambda most: ([], 0)  # what is read meanwhile would not be missed
    for _ in range(4999):
        queue.put("A", False, rig.clock.now_ns(), TESTFR)
    queue.take = take
    queue.put("A", False, rig.clock.now_ns(), TESTFR)
    expect(operator.at("trace-missed")).to_contain_text("1000 frames missed")
    expect(operator.at("trace-rows")).to_have_attribute("data-rows", "2")
    operator.at("trace-pause").click()
    expect(operator.at("trace-rows")).to_have_attribute("data-rows", "500", timeout=15_000)
    operator.at("trace-run").click()
    deadline = time.monotonic() + 10
    while rig.backend.traces:
        assert time.monotonic() < deadline, "who stops looking no longer costs the server anything"
        time.sleep(0.05)


def test_a_trace_that_was_interrupted_goes_on_and_says_so(rig, operator):
    operator.go("links")
    operator.at("trace-run").click()
    queue = tracing(rig.backend)
    queue.put("A", True, rig.clock.now_ns(), TESTFR)
    expect(operator.at("trace-row")).to_have_count(1)

    def broken(most):
        raise OSError("the server stops")

    queue.take = broken
    expect(operator.at("trace-missed")).to_contain_text("interrupted 1 times", timeout=15_000)
    tracing(rig.backend).put("A", True, rig.clock.now_ns(), TESTFR)
    expect(operator.at("trace-row")).to_have_count(2)


def test_long_names_and_reasons_do_not_push_the_page_apart(rig, operator, monkeypatch):
    real = rig.backend.channel

    def long(name):
        found = real(name)
        found.disconnects[0].reason = found.links[0].reason = "x" * 400
        found.recording = "r" * 250
        found.parameters["tls_ca"] = "/" + "p" * 300
        found.links[0].endpoint = "h" * 120 + ":2404"
        return found

    monkeypatch.setattr(rig.backend, "channel", long)
    operator.go("links")
    expect(operator.at("recording")).to_contain_text("rrr")
    operator.at("channel-detail").locator("summary").click()
    side = operator.at("channel-detail").locator(".side")
    wide = "[...e.querySelectorAll('*')].filter(x => x.getBoundingClientRect().right > e.getBoundingClientRect().right + 1)"
    assert side.evaluate(f"e => {wide}.map(x => x.outerHTML.slice(0, 80))") == []
    assert operator.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_values_can_be_left_out(rig, operator):
    operator.go("links")
    operator.at("trace-values").uncheck()
    operator.at("trace-run").click()
    queue = tracing(rig.backend)
    queue.put("A", True, rig.clock.now_ns(), VALUE + TESTFR)
    expect(operator.at("trace-row")).to_have_count(1)
    expect(operator.at("trace-row")).to_contain_text("TESTFR")


def test_upstream_stations(rig, operator):
    operator.go("links")
    section = operator.at("upstream")
    expect(section).to_contain_text("310 points, 12 controls")
    expect(operator.at("upstream-group-centre")).to_contain_text("17 / 100000")
    expect(operator.at("upstream-group-backup").locator("td.wrong")).to_have_text("3")


@pytest.mark.parametrize(("language", "theme"), [("zh", "light"), ("zh", "dark"), ("en", "dark")])
def test_in_both_languages_and_dark(rig, operator, language, theme):
    operator.page.evaluate(
        "([l, t]) => { localStorage.setItem('language', l); localStorage.setItem('theme', t); }", [language, theme]
    )
    operator.page.reload()
    operator.wait_live()
    operator.go("links")
    operator.at("trace-run").click()
    queue = tracing(rig.backend)
    for _ in range(12):
        queue.put("A", True, rig.clock.now_ns(), VALUE)
        queue.put("A", False, rig.clock.now_ns(), TESTFR)
    expect(operator.at("trace-row").first).to_be_visible()
    operator.shot(f"links-{language}-{theme}")
