"""What AGC shows: built for whoever asks, for the areas it controls and no others."""

import pytest
from actors.harness import Box
from actors.test_small_actors import OPERATOR, Regulation
from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import agc_status
from scada.actors.order_messages import SetState
from scada.actors.performance import RegulationSampled
from scada.apps.agc_avc.agc.unit_decisions import UnitView


@pytest.fixture
def agc(demo, tmp_path):
    regulation = Regulation(demo[1], tmp_path)
    yield regulation
    regulation.disk.close()


def test_a_cycle_builds_no_unit_that_nobody_looks_at(agc, monkeypatch):
    built = []
    decision = UnitView.decision
    monkeypatch.setattr(UnitView, "decision", lambda *a: built.append(a[1]) or decision(*a))
    agc.actor._performance = performance = Box()
    agc.cycle(3)
    assert agc.view.head().state == "on"
    assert not agc.view.head().units
    assert built == []
    status = agc.view.of()
    assert len(built) == len(status.units) == len(agc.area.units)
    assert agc.view.of(agc.area.name) is status, "once for each cycle"
    assert status.areas == [agc.area.name]
    sample = performance.take(RegulationSampled)[-1].sample
    assert sample.power_mw.tolist() == [unit.power_mw for unit in status.units]
    assert sample.controlled.tolist() == [unit.available for unit in status.units]
    assert agc.view.decisions[agc.area.name].units.powers == {unit.mrid: unit.power_mw for unit in status.units}
    agc.cycle()
    assert agc.view.of() is not status


def test_what_was_shown_is_kept_as_it_was(agc):
    """The columns go on in the next cycles; a decision does not."""
    agc.cycle()
    before = agc.view.decisions[agc.area.name]
    assert agc.actor.receive(SetState(pb.SetModeRequest(agc="off"), OPERATOR)).accepted
    agc.put({unit.power[0]: unit.maximum for unit in agc.area.units})
    agc.cycle()
    shown = agc_status(before)
    assert shown.state == "on"
    assert [unit.power_mw for unit in shown.units] == [(unit.minimum + unit.maximum) / 2 for unit in agc.area.units]


def test_an_area_of_a_former_model_is_no_longer_shown(agc):
    agc.cycle()
    agc.view.decisions = {"Gone": agc.view.decisions[agc.area.name]} | dict(agc.view.decisions)
    agc.actor.started()
    assert list(agc.view.decisions) == [agc.area.name]
    assert agc.view.of("Gone").state == "off"
