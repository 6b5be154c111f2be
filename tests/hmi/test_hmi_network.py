"""The map of an area in a real browser: values, states, and the way to a station and to equipment."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from scada.core.quality import Quality
from scada.model_cim.tables import PointKind

pytestmark = pytest.mark.browser


def line(backend):
    """A line that is measured at Beishan, in whose state a point is kept."""
    tables = backend.tables
    state = {point.equipment: point for point in tables.points if point.measurement_type == "EnergisedState"}
    return next(
        (point, state[point.equipment])
        for point in tables.points
        if point.path.endswith("/Donghu 1/P") and point.station == "Beishan" and point.equipment in state
    )


def test_a_line_shows_its_flow_and_its_state(rig, operator):
    flow, state = line(rig.backend)
    operator.go("network")
    edge = operator.at(f"map-edge-{flow.equipment}")
    expect(edge).to_have_count(1)
    labels = {label: value for value, label in state.states.items()}
    halves = edge.locator("polyline")
    rig.backend.apply([int(state.pid)], [labels["energised"]])
    expect(halves.first).to_have_attribute("data-state", "energised")
    rig.backend.apply([int(state.pid)], [labels["dead"]])
    expect(halves.first).to_have_attribute("data-state", "dead")
    rig.backend.apply([int(state.pid)], [labels["energised"]], quality=int(Quality.INVALID))
    expect(halves.first).to_have_attribute("data-state", "unknown")
    rig.backend.apply([int(state.pid)], [labels["energised"]])
    shown = [
        one
        for one in rig.backend.tables.points
        if one.equipment == flow.equipment and one.measurement_type == flow.measurement_type
    ]
    visible = [one for one in shown if operator.at(f"map-value-{int(one.pid)}").count()]
    assert len(visible) == 1, "one end only"
    rig.backend.apply([int(visible[0].pid)], [87.6])
    expect(operator.at(f"map-value-{int(visible[0].pid)}")).to_have_text("87.6")
    operator.shot("network")
    edge.dispatch_event("click")
    assert flow.equipment in operator.page.url


def test_a_voltage_level_leads_to_its_station(rig, operator):
    operator.go("network")
    expect(operator.at("network-name")).to_have_text("Demo")
    operator.at("network-West").click()
    expect(operator.at("network-name")).to_have_text("West")
    place = operator.at("map-Hongqi-220kV")
    expect(place).to_be_visible()
    pid = next(
        int(one.pid)
        for one in rig.backend.tables.points
        if one.path.startswith("Hongqi/220kV/") and one.kind is PointKind.ANALOG and one.unit == "kV"
    )
    rig.backend.apply([pid], [231.5])
    expect(operator.at(f"map-value-{pid}")).to_contain_text("231.5")
    place.dispatch_event("click")
    expect(operator.at("station-name")).to_have_text("Hongqi")


def test_a_drawing_is_shapes_and_texts_and_nothing_that_acts(rig, operator, monkeypatch):
    svg, metadata = rig.backend.diagram(rig.backend.tables.area_diagrams[0].diagram)
    evil = "document.title = 'taken'"
    hostile = svg.replace("<svg ", f'<svg onload="{evil}" ', 1).replace("</svg>", f"<script>{evil}</script></svg>")
    assert hostile.count("taken") == 2
    monkeypatch.setattr(rig.backend, "diagram", lambda stem: (hostile, metadata))
    operator.go("network", rig.backend.tables.area_diagrams[0].key)
    drawing = operator.page.locator("[data-testid=network-map] svg")
    expect(drawing).to_be_visible()
    assert drawing.get_attribute("onload") is None
    assert drawing.locator("script").count() == 0
    assert operator.page.title() != "taken"
    assert all("Content Security Policy" in one for one in operator.complaints), "the page's own guard speaks up first"
    operator.complaints.clear()
