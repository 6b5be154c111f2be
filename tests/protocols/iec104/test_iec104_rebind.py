"""A channel takes other points and controls between two frames: its link, its numbers and its commands go on."""

import pytest
from protocols.iec104.test_iec104_channel import Bench, con, results, sent

from scada.core.errors import ConfigError
from scada.protocols.driver import Outcome
from scada.protocols.iec104 import asdu as asdus
from scada.protocols.iec104.commanding import Step
from scada.protocols.iec104.effects import Values

NOW = 1_780_000_000_000_000_000
INTERROGATION, CLOCK = 100, 103


@pytest.fixture
def bench(build):
    bench = Bench(build)
    bench.start()
    return bench


def rebind(bench, points):
    return bench.go(bench.channel.rebind(points, bench.controls, NOW, bench.mono))


def double(bench, ioa, value):
    effects = bench.hear(asdus.single(3, 3, 1, ioa, bytes([value])))
    return [(int(r["pid"]), float(r["value"])) for e in effects if isinstance(e, Values) for r in e.batch.records]


def answers(ca=1):
    """Clock set and interrogation confirmed and ended."""
    general = bytes([20])
    return [asdus.single(INTERROGATION, cause, ca, 0, general) for cause in (7, 10)]


def test_values_are_read_by_the_new_table_from_the_next_frame_on(bench, build):
    assert double(bench, 8, 2) == [(1, 2.0)]
    rebind(bench, [build.point(0, 7, 13), build.point(1, 80, 3), build.point(5, 81, 3)])
    assert double(bench, 8, 1) == []
    assert double(bench, 80, 1) == [(1, 1.0)]
    assert double(bench, 81, 2) == [(5, 2.0)]


def test_an_interrogation_that_has_been_answered_in_part_is_followed_by_another(bench, build):
    bench.hear(answers()[0])
    assert sent(rebind(bench, [build.point(5, 81, 3)])) == []
    assert (INTERROGATION, 6, 1) in sent(bench.hear(answers()[1]))


def test_after_an_interrogation_all_is_asked_again_and_clocks_only_of_new_stations(bench, build):
    bench.hear(*answers())
    said = sent(rebind(bench, [build.point(0, 7, 13), build.point(5, 81, 3, ca=2)]))
    assert (INTERROGATION, 6, 1) in said
    assert (INTERROGATION, 6, 2) in said
    assert [ca for type_id, _, ca in said if type_id == CLOCK] == [2]


def test_a_command_on_its_way_ends_as_it_began(bench, build):
    bench.select(0, 2.0)
    bench.command(0, 2.0, Step.EXECUTE)
    rebind(bench, [build.point(5, 81, 3)])
    control = bench.controls[0]
    assert results(bench.hear(con(46, control.address.ioa, 2.0))) == [(Outcome.CONFIRMED, "")]


def test_two_points_at_one_address_are_refused_and_the_old_table_stays(bench, build):
    with pytest.raises(ConfigError, match="same address"):
        rebind(bench, [build.point(1, 8, 3), build.point(5, 8, 3)])
    assert double(bench, 8, 2) == [(1, 2.0)]
