"""The page of the model's versions: what waits, what is dangerous, and the engineer's orders, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from scadapb.v1 import scada_pb2 as pb

from tests.hmi.rig import Rig
from tests.hmi.version_table import VersionTable

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("hmi"), user="engineer")
    yield rig
    rig.close()


@pytest.fixture
def table(rig):
    rig.backend.engineering = VersionTable(rig.clock.now_ns())
    return rig.backend.engineering


def test_versions_findings_effects_and_shadow_run_are_shown(table, operator):
    operator.go("model")
    expect(operator.at("version-table").locator("tbody tr")).to_have_count(4)
    expect(operator.at("version-2")).to_have_attribute("data-current", "true")
    expect(operator.at("version-4")).to_contain_text("compare 45 %")
    expect(operator.at("version-detail")).to_have_attribute("aria-label", "Version 3")
    expect(operator.at("version-dangers").locator("li")).to_have_count(2)
    expect(operator.at("version-effects").locator("li.wrong")).to_have_count(1)
    expect(operator.at("version-shadow")).to_have_attribute("data-refuse", "true")
    expect(operator.at("version-findings")).to_have_attribute("data-total", "50")
    operator.at("finding-filter").select_option("error")
    expect(operator.at("version-findings").locator("tr")).to_have_count(3)
    operator.shot("model-en-1366")
    assert operator.clipped() == []
    operator.use("zh")
    expect(operator.at("version-dangers")).to_contain_text("将消失")
    operator.shot("model-zh-1366")
    assert operator.clipped() == []
    operator.use("en")


def test_each_danger_must_be_ticked_before_a_version_is_applied(table, operator):
    operator.go("model")
    operator.at("version-apply").click()
    operator.at("version-dialog-reason").fill("outage plan 12")
    expect(operator.at("version-dialog-confirm")).to_be_disabled()
    operator.at("danger").nth(0).check()
    expect(operator.at("version-dialog-confirm")).to_be_disabled()
    operator.at("danger").nth(1).check()
    operator.shot("model-apply-1366")
    operator.at("version-dialog-confirm").click()
    expect(operator.at("version-dialog-answer")).to_contain_text("✔")
    (order,) = table.acted
    assert isinstance(order, pb.ApplyRequest)
    assert (order.version, order.digest, order.reason) == (3, table.version(3).digest, "outage plan 12")
    assert sorted(order.confirm) == ["point-lost:p1", "shadow.goes_dead"]
    operator.at("version-dialog-close").click()
    expect(operator.at("version-3")).to_have_attribute("data-current", "true")


def test_an_earlier_version_runs_again_and_a_refusal_is_shown(table, operator):
    operator.go("model", "1")
    operator.at("version-rollback").click()
    operator.at("version-dialog-reason").fill("wrong limits")
    table.refuse = "version 3 is being applied"
    operator.at("version-dialog-confirm").click()
    expect(operator.at("version-dialog-answer")).to_contain_text("version 3 is being applied")
    table.refuse = ""
    operator.at("version-dialog-confirm").click()
    expect(operator.at("version-dialog-answer")).to_contain_text("✔")
    assert [type(order) for order in table.acted] == [pb.RollbackRequest] * 2
    assert table.version(1).current


def test_a_second_engineer_approves_what_he_has_seen(table, operator):
    table.version(3).needs_approval = True
    operator.go("model")
    expect(operator.at("version-apply")).to_have_count(0)
    operator.at("version-approve").click()
    operator.at("danger").nth(0).check()
    operator.at("danger").nth(1).check()
    operator.at("version-dialog-reason").fill("checked with the drawing")
    operator.at("version-dialog-confirm").click()
    expect(operator.at("version-dialog-answer")).to_contain_text("✔")
    assert table.acted[0].digest == table.version(3).digest
    operator.at("version-dialog-close").click()
    expect(operator.at("version-apply")).to_be_enabled()
