"""A swap of model versions that fails after any of its steps: what ran before runs again, whole."""

import itertools
import random
from dataclasses import replace

import pytest
from system.conftest import BAD, GOOD, plain
from system.raw_rtu import INTERROGATED, RawRtu, asdu, float_element
from system.test_model_swap import AGC, DARK, LOST, Edit, _breakers, shows

from scada.actors.order_messages import DirectControl
from scada.actors.swap import Swap
from scada.core.quality import BAD_MASK

STEPS = ["_reserve_controls", "_grow", "_change_channels", "_change_applications", "_change_stations"]


@pytest.fixture
def plant(run):
    rtus = {BAD: RawRtu(5), GOOD: RawRtu(4)}
    running = run(rtus=rtus)
    for rtu in rtus.values():
        rtu.wait_started()
    running.until(lambda: all(running.log.lines(name, "state=up") for name in rtus), what="both stations up")
    running.rtu, running.other = rtus[BAD], rtus[GOOD]
    return running


def fails_after(monkeypatch, step):
    real = getattr(Swap, step)

    def once(self, *arguments):
        monkeypatch.setattr(Swap, step, real)
        real(self, *arguments)
        raise RuntimeError(f"a fault after {step}")

    monkeypatch.setattr(Swap, step, once)


def test_a_fault_after_any_step_restores_what_ran(plant, tables, monkeypatch):
    """The version moves a point to a new channel, changes a control, and lets a point, AGC and the upstream station go."""
    stays, moves, goes, *_ = plain(tables, BAD, 13)
    changed, *_ = _breakers(plant, tables)
    spec = next(one for one in tables.channels if one.name == BAD)
    before = plant.system.generation
    edit = Edit(plant.system)
    fresh = replace(spec, index=len(edit.channels), mrid="new-unit", name="New RTU", host="127.0.0.1", port=DARK)
    edit.channels.append(fresh)
    edit.change(moves, channel=fresh.index)
    edit.remove(goes)
    edit.controls[changed.cid] = replace(changed, address=replace(changed.address, ioa=50_001))
    edit.tables = replace(edit.tables, areas=[], upstream=())
    version = edit.prepared()
    wanted = {point.address.ioa: point for point in (stays, moves, goes)}
    for number, step in enumerate(STEPS):
        plant.rtu.image = [asdu(13, INTERROGATED, 5, (ioa, float_element(10.0 * number + 1))) for ioa in wanted]
        fails_after(monkeypatch, step)
        report = plant.system.swap(version)
        assert (report.done, step in report.reason) == (False, True), report
        assert list(plant.system.tables.points[: len(tables.points)]) == list(before.tables.points), step
        for ioa, point in wanted.items():
            plant.rtu.analog(ioa, 10.0 * number + 2)
            shows(plant, point.pid, pytest.approx((10.0 * number + 2) * point.scale + point.offset))
        answers = []
        plant.system.control.tell(DirectControl(changed.cid, 2.0, AGC, "test", answers.append))
        plant.until(lambda: answers, what=step)  # noqa: B023 - asked at once
        assert answers[0].code != "model_change", step
        known = plant.system.supervisor.addresses()
        living = [plant.system.agc, *plant.system.upstreams.addresses, *plant.system.channels.values()]
        assert all(any(one is address for one in known) for address in living), step
        assert [view.spec.name for view in plant.system.channel_views] == [one.name for one in tables.live_channels], step
    assert plant.rtu.connections == plant.other.connections == 1
    assert plant.system.swap(version).done
    plant.until(lambda: all(plant.value(point.pid)[1] & LOST == LOST for point in (moves, goes)))


@pytest.mark.parametrize("seed", [1, 2])
def test_after_any_series_of_versions_each_point_shows_its_own_source_and_no_other(plant, tables, seed):
    """Points come, go, come back and change their addresses, in one swap or rolled back, in random order."""
    chance = random.Random(seed)
    like = plain(tables, BAD, 13)[0]
    generations, given = [plant.system.generation], {}
    addresses = itertools.count(60_001)
    for step in range(8):
        if step > 2 and chance.random() < 0.3:
            version = chance.choice(generations)
        else:
            edit = Edit(plant.system)
            for point in [one for one in edit.points if one.pid in given]:
                match chance.randrange(4):
                    case 0:
                        edit.remove(point)
                    case 1:
                        address = replace(like.address, ioa=next(addresses))
                        edit.points[point.pid] = replace(given[point.pid], address=address, scale=chance.choice([0.5, 1.0, 2.0]))
            for _ in range(2):
                added = edit.add(like, next(addresses), scale=1.0, offset=0.0)
                given[added.pid] = added
            version = edit.prepared()
        assert plant.system.swap(version).done
        generations.append(plant.system.generation)
        now = plant.system.tables.points
        for old in {one.tables.points[pid].address.ioa for one in generations for pid in given if _live(one, pid)}:
            plant.rtu.analog(old, float(step + old % 100))
        for pid in given:
            if now[pid].removed:
                plant.until(lambda pid=pid: plant.value(pid)[1] & BAD_MASK, what=f"{pid} is gone")
            else:
                shows(plant, pid, pytest.approx((step + now[pid].address.ioa % 100) * now[pid].scale))
        assert [point.pid for point in now] == list(range(len(now)))
        assert {pid: now[pid].mrid for pid in given} == {pid: point.mrid for pid, point in given.items()}
    assert plant.rtu.connections == 1


def _live(generation, pid):
    points = generation.tables.points
    return pid < len(points) and not points[pid].removed
