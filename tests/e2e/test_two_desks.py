"""Two people at two workstations, in real browsers on the real processes: what each sees of the other, and of a lost server."""

import os
import re
import signal

import pytest
from e2e.rig import Rig
from hmi.page import CHROMIUM, CHROMIUM_ARGUMENTS, OperatorPage
from playwright.sync_api import expect, sync_playwright

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]

CONFIG = """
[control]
selection_s = 60

[dispatch.contracts.dispatcher]
kinds = ["setpoint"]
areas = ["East"]
decide = "operator"
"""

HOSTILE = '<img src=x onerror="window.hostile=1">'
PROGRAMME = f"feeder {HOSTILE}"
BREAKER = "Nanping/10kV/F1/9110"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("desks"), hmi=True, guardian=True, more=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def desks(demo):
    wait_up(demo)
    expect.set_options(timeout=20_000)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_ARGUMENTS))
        found = []
        for name in ("hmi", "guardian"):
            log = demo.group.folder / f"{name}.log"
            address = demo.until(lambda log=log: re.search(r"http://\S+", log.read_text()), 40, "the page's address")
            desk = OperatorPage(browser.new_context(viewport={"width": 1366, "height": 768}, locale="en-GB").new_page())
            desk.launch(address.group(0), 40)
            found.append(desk)
        yield found
        for desk in found:
            assert desk.page.evaluate("window.hostile") is None, "a name or a reason was taken for markup"
            assert desk.complaints == []
        browser.close()
    expect.set_options(timeout=5000)


@pytest.fixture(autouse=True)
def cleared(desks):
    """No dialogue is left over from a test that failed."""
    for desk in desks:
        if desk.page.locator("dialog[open]").count():
            desk.page.reload()
            desk.wait_live(40)


def wait_up(demo):
    """Asked as the viewer: a login of the operator elsewhere would take the desk its right to act."""

    def up():
        status = demo.call("Realtime/GetStatus", demo.pb.GetStatusRequest(), "viewer")
        return status.channels_up == status.channels_total and status.points_good >= 0.99 * status.points_total

    demo.until(up, 90, "the grid is up")


def breaker(demo):
    return next(one for one in demo.tables.controls if one.path == BREAKER)


def select(demo, operator, guardian, target):
    """The operator's selection, as far as it goes without the second person."""
    control = breaker(demo)
    operator.go("station", "Nanping", select=control.equipment)
    operator.begin_control(control.mrid)
    operator.preset(target, control.device_number)
    expect(operator.at("control-guardian")).to_be_visible()
    expect(operator.at("control-execute")).to_be_disabled()
    guardian.go("guardian")
    expect(guardian.at("guardian-card")).to_be_visible()
    return control


def order(desk, action, reason, said="Accepted"):
    """An order to the run that is shown."""
    desk.at(f"run-{action}").click()
    desk.at("run-order-reason").fill(reason)
    desk.at("run-order-confirm").click()
    expect(desk.at("run-order-answer")).to_contain_text(said)
    desk.at("run-order-close").click()


def start(demo, operator):
    """A run of the programme, started at the operator's desk; returns its number."""
    if not list(demo.call("Programmes/ListProgrammes", demo.pb.ListProgrammesRequest(), "viewer").programmes):
        steps = [demo.pb.ProgrammeStep(control=breaker(demo).mrid, value=value, pause_s=900, note=HOSTILE) for value in (1, 2)]
        programme = demo.pb.Programme(name=PROGRAMME, title=HOSTILE, kind="sequence", steps=steps)
        request = demo.pb.SaveProgrammeRequest(programme=programme, reason=HOSTILE)
        reply = demo.signed("Programmes/Save", request, "engineer")
        assert reply.accepted, reply.reason
    operator.go("programmes")
    operator.page.get_by_role("button", name=PROGRAMME, exact=True).click()
    operator.at("programme-start").click()
    operator.at("start-single").check()
    operator.at("start-reason").fill(f"maintenance {HOSTILE}")
    operator.at("start-confirm").click()
    expect(operator.at("start-answer")).to_contain_text("Accepted")
    operator.at("start-close").click()
    expect(operator.at("run-detail")).to_have_attribute("data-state", "unconfirmed")
    return operator.page.locator("[data-testid=run-row].chosen").get_attribute("data-run")


def show_run(desk, run):
    desk.go("programmes")
    desk.page.locator(f'[data-testid="run-row"][data-run="{run}"] button').click()


def shows(desk, state):
    expect(desk.at("run-detail")).to_have_attribute("data-state", state)


def ask(demo, order_id, mw):
    """An order of dispatch that waits for the operator."""
    request = demo.pb.AreaSetpoint(area="East", interchange_mw=mw, order_id=order_id)
    reply = demo.signed("Dispatch/SendSetpoint", request, "dispatcher")
    assert reply.code == demo.pb.DISPATCH_CODE_PENDING, reply.reason


def test_the_guardian_confirms_and_both_desks_show_it(demo, desks):
    operator, guardian = desks
    select(demo, operator, guardian, 1)
    expect(guardian.at("guardian-badge")).to_contain_text("1")
    expect(guardian.at("guardian-card")).to_contain_text(BREAKER)
    expect(guardian.at("guardian-card")).to_contain_text("operator-desk")
    expect(guardian.at("guardian-value")).to_have_text("open")
    guardian.at("guardian-number").fill("9111")
    guardian.at("guardian-confirm").click()
    expect(guardian.at("guardian-answer")).to_contain_text("[device_number]")
    guardian.at("guardian-number").fill("9110")
    expect(guardian.at("guardian-confirm")).to_have_attribute("type", "button")  # Enter in a field confirms nothing
    guardian.at("guardian-confirm").click()
    expect(guardian.at("guardian-answer")).to_contain_text("✔")
    expect(operator.at("control-guarded")).to_contain_text("guardian")
    assert operator.execute() == "SUCCESS"
    guardian.shot("desks-1-confirmed")
    operator.end_control()
    row = guardian.at("sequence-row").first
    expect(row).to_contain_text("success")
    expect(row).to_contain_text("guardian")


def test_the_guardian_refuses_and_a_hostile_reason_is_shown_as_text(demo, desks):
    operator, guardian = desks
    select(demo, operator, guardian, 2)
    guardian.at("guardian-reason").fill(f"not now {HOSTILE}")
    guardian.at("guardian-refuse").click()
    assert operator.result() == "CANCELLED"
    expect(operator.at("control-result")).to_contain_text(HOSTILE)
    expect(operator.at("control-execute")).to_be_disabled()
    expect(guardian.at("guardian-card")).to_have_count(0)
    expect(guardian.at("sequence-row").first).to_contain_text(HOSTILE)
    operator.end_control()


def test_a_selection_nobody_confirms_expires_at_both_desks(demo, desks):
    operator, guardian = desks
    select(demo, operator, guardian, 2)
    assert operator.result(120) == "TIMED_OUT"
    expect(operator.at("control-execute")).to_be_disabled()
    expect(guardian.at("guardian-card")).to_have_count(0)
    expect(guardian.at("sequence-row").first).to_contain_text("timed out")
    operator.end_control()


def test_a_run_is_confirmed_stepped_resumed_and_paused_from_the_pages(demo, desks):
    operator, guardian = desks
    run = start(demo, operator)
    expect(operator.at("run-confirm")).to_have_count(0)
    show_run(guardian, run)
    guardian.at("run-confirm").click()
    dialog = guardian.at("run-order")
    expect(dialog).to_contain_text("operator-desk")
    expect(dialog).to_contain_text(f"maintenance {HOSTILE}")
    expect(dialog).to_contain_text("single step")
    guardian.shot("desks-2-confirm-run")
    guardian.at("run-order-close").click()
    order(guardian, "confirm", "looked at each step")
    shows(operator, "paused")
    expect(operator.at("step-0")).to_have_attribute("data-state", "waiting")
    order(operator, "step", "first")
    expect(operator.at("step-0")).to_have_attribute("data-state", "done")
    expect(operator.at("step-1")).to_have_attribute("data-state", "waiting")
    shows(guardian, "paused")
    order(operator, "resume", "go on")
    shows(operator, "running")
    shows(guardian, "running")
    order(operator, "pause", HOSTILE)
    shows(guardian, "paused")
    expect(guardian.at("run-detail")).to_contain_text(HOSTILE)
    order(operator, "stop", "enough")
    shows(guardian, "stopped")
    expect(guardian.at("step-1")).to_have_attribute("data-state", "skipped")


def test_orders_of_dispatch_are_decided_at_the_page(demo, desks):
    operator, guardian = desks
    ask(demo, "taken", -60)
    ask(demo, HOSTILE, -50)
    operator.go("dispatch")
    for order_id, act, reason in (("taken", "accept", "fits"), (HOSTILE, "refuse", f"line out {HOSTILE}")):
        row = operator.page.get_by_test_id("pending-orders").locator("tr", has_text=order_id)
        row.get_by_role("button", name=act.capitalize()).click()
        expect(operator.at("decide-left")).to_contain_text(re.compile(r"\d+ s left"))
        operator.at("decide-dialog-reason").fill(reason)
        operator.at("decide-dialog-confirm").click()
        expect(operator.at("decide-dialog-answer")).to_contain_text("Accepted")
        operator.at("decide-dialog-close").click()
    guardian.go("dispatch")
    for desk in desks:
        taken = desk.at("order-row").filter(has=desk.page.get_by_text("taken", exact=True))
        expect(taken).to_have_attribute("data-code", "ACCEPTED")
        expect(taken).to_contain_text("by operator")
        refused = desk.at("order-row").filter(has_text=f"line out {HOSTILE}")
        expect(refused).to_have_attribute("data-code", "REFUSED")
    operator.shot("desks-3-dispatch")


def test_a_selection_is_in_doubt_while_the_server_is_gone_and_withdrawn_when_it_is_back(demo, desks):
    operator, guardian = desks
    select(demo, operator, guardian, 2)
    guardian.at("guardian-number").fill("9110")
    demo.kill_server()
    for desk in desks:
        desk.wait_locked(15)
    expect(operator.at("control-doubt")).to_contain_text("Not known")
    expect(operator.at("control-execute")).to_be_disabled()
    expect(operator.at("control-guardian")).to_have_count(0)
    expect(guardian.at("as-of")).to_contain_text("Not live: as of")
    expect(guardian.at("guardian-left")).to_contain_text("\N{EN DASH}\N{EN DASH} s")
    for button in ("guardian-confirm", "guardian-refuse"):
        expect(guardian.at(button)).to_be_disabled()
    guardian.shot("desks-4-gone")
    demo.restart_server()
    for desk in desks:
        desk.wait_live(60)
    assert operator.result() == "failed"
    expect(operator.at("control-result")).to_contain_text("nothing was executed")
    expect(guardian.at("guardian-card")).to_have_count(0)
    expect(guardian.at("guardian-none")).to_be_visible()
    operator.end_control()
    wait_up(demo)


def test_an_order_whose_answer_never_comes_is_neither_done_nor_refused(demo, desks):
    operator, guardian = desks
    ask(demo, "in-doubt", -55)
    run = start(demo, operator)
    show_run(guardian, run)
    guardian.at("run-confirm").click()
    guardian.at("run-order-reason").fill("looked at it")
    operator.go("dispatch")
    operator.at("accept-in-doubt").click()
    operator.at("decide-dialog-reason").fill("fits")
    os.kill(demo.group.pid("server"), signal.SIGSTOP)
    operator.at("decide-dialog-confirm").click()
    guardian.at("run-order-confirm").click()
    demo.kill_server()
    for desk, name in ((operator, "decide-dialog"), (guardian, "run-order")):
        expect(desk.at(f"{name}-answer")).to_contain_text("Not known whether it was taken", timeout=30_000)
        expect(desk.at(name)).to_have_attribute("data-state", "unknown")
        desk.wait_locked(15)
        expect(desk.at(f"{name}-confirm")).to_be_disabled()
        expect(desk.at("as-of")).to_be_attached()
        desk.at(f"{name}-close").click()
    for action in ("confirm", "refuse"):
        expect(guardian.at(f"run-{action}")).to_be_disabled()
    guardian.shot("desks-5-in-doubt")
    demo.restart_server()
    for desk in desks:
        desk.wait_live(60)
    shows(guardian, "interrupted")
    expect(operator.at("order-row").filter(has_text="in-doubt")).to_have_attribute("data-code", "PENDING")
