"""Calculated points of another model version, in service: what is remembered goes on, nothing is told twice."""

from types import SimpleNamespace

import pytest
from actors.harness import point
from actors.test_calc_actor import POINTS, Plant

from scada.actors.calc_keeper import CONSUMER
from scada.actors.messages import ApplyDerived, ModelChanged, Report
from scada.apps.calc.graph import CalcGraph
from scada.model_cim.tables import ModelTables

PLAIN = [*POINTS[:2], *(point(pid, expression='"S/0" * 2') for pid in (2, 3, 4, 5))]


def adopt(plant, points):
    """Another model; how many results it sent at once."""
    tables = ModelTables("w", "totals", points, [], [], [], [], [])
    plant.disk.store.grow(len(points))
    plant.actor.receive(ModelChanged(SimpleNamespace(tables=tables), None, CalcGraph(points)))
    sent = plant.rtdb.take(ApplyDerived)
    for one in sent:
        plant.disk.store.apply(one.batch)
    plant.disk.store.commit()
    return [int(pid) for one in sent for pid in one.batch.records["pid"]]


@pytest.fixture
def plant(tmp_path):
    plant = Plant(tmp_path)
    yield plant
    plant.stop()


def total(plant):
    return float(plant.disk.store.snapshot([2]).value[0])


def test_totals_go_on_and_only_what_is_new_is_sent(plant):
    plant.send(10.0, 100.0)
    plant.wait(5)
    before = total(plant)
    assert before == pytest.approx(50.0)
    assert adopt(plant, [*POINTS, point(6, expression='"S/0" + 1')]) == [6]
    plant.wait(5)
    assert total(plant) == pytest.approx(before + 50.0)
    assert float(plant.disk.store.snapshot([6]).value[0]) == 11.0


def test_back_and_forth_loses_nothing_of_what_stays(plant):
    plant.send(10.0, 100.0)
    for step in range(6):
        adopt(plant, [*POINTS, *(point(6 + n, expression='"S/0" + 1') for n in range(step % 3))])
        plant.wait(2)
    assert total(plant) == pytest.approx(120.0)


def test_the_journal_is_kept_from_the_first_function_with_memory_on_and_no_longer_without(plant):
    def names():
        return {consumer.name for consumer in plant.disk.store.consumers()}

    assert CONSUMER in names()
    adopt(plant, PLAIN)
    assert CONSUMER not in names()
    plant.send(10.0, 100.0)
    adopt(plant, POINTS)
    assert CONSUMER in names()
    assert [event.key for one in plant.events.take(Report) for event in one.events if event.key.startswith("calc.")] == []
