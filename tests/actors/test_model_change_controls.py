"""Which controls a swap of model versions refuses: all by which an order could reach, or be proved by, something else."""

from dataclasses import replace

import pytest
from system.conftest import GRID

from scada.actors.model_change import compare
from scada.model_cim.points import load_model


@pytest.fixture(scope="module")
def tables():
    return load_model(GRID)[1]


def specs(tables):
    return {spec.index: spec for spec in tables.live_channels}


def test_all_controls_of_a_channel_that_is_reached_elsewhere_are_refused(tables):
    """What is selected stands selected at the station at the old address only."""
    before = specs(tables)
    index = next(control.channel for control in tables.controls)
    after = {**before, index: replace(before[index], port=before[index].port + 1)}
    change = compare(tables, tables, before, after)
    assert change.restarted == (index,)
    assert change.controls == {control.cid for control in tables.controls_of_channel(index)}
    renamed = compare(tables, tables, before, {**before, index: replace(before[index], name="another name")})
    assert renamed.controls == change.controls


def test_a_control_whose_feedback_comes_from_another_source_is_refused(tables):
    """The first value of another source would prove what it had shown all along."""
    control = next(one for one in tables.controls if one.feedback is not None)
    points = list(tables.points)
    feedback = points[control.feedback]
    points[feedback.pid] = replace(feedback, scale=feedback.scale * 2)
    change = compare(tables, replace(tables, points=points), specs(tables), specs(tables))
    assert change.moved == (feedback.pid,)
    assert change.controls == {one.cid for one in tables.controls if one.feedback == feedback.pid}
    assert change.rebound == (feedback.channel,)


def test_a_renamed_point_refuses_no_control(tables):
    points = [replace(point, path=f"{point.path}, renamed") for point in tables.points]
    change = compare(tables, replace(tables, points=points), specs(tables), specs(tables))
    assert (change.controls, change.moved, change.rebound) == (frozenset(), (), ())
