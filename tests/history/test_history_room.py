"""What goes when: retention, and room."""

from scada.history.interface import Retention
from scada.history.room import Room
from scada.history.rotation import Limits
from scada.history.shelf import DAY_NS, HOUR_NS

NOW = 20_000 * DAY_NS
EMPTY = (0, 0, 0)


def room(oldest_days=0, **retention):
    oldest = NOW - oldest_days * DAY_NS if oldest_days else 0
    return Room(1000, Retention(**retention), (oldest, oldest))


def test_nothing_is_too_old_without_a_retention():
    assert room(400).limits(NOW) == Limits(0, 0)


def test_days_are_counted_back_from_now():
    assert room(raw_days=2, minute_days=5).limits(NOW) == Limits(NOW - 2 * DAY_NS, NOW - 5 * DAY_NS)


def test_a_tenth_of_the_samples_goes_while_the_map_is_full():
    kept = room(20)
    kept.settle((700, 90, 20), kept.limits(NOW), NOW, turned=False)
    limits = kept.limits(NOW)
    assert limits == Limits(NOW - 18 * DAY_NS, 0)
    assert kept.hurry > 0
    kept.settle((700, 90, 20), limits, NOW, turned=False)
    assert kept.limits(NOW) == limits, "not more before every page was gone through"
    kept.settle((600, 90, 20), limits, NOW, turned=True)
    assert (kept.oldest[0], kept.limits(NOW), kept.hurry) == (NOW - 18 * DAY_NS, Limits(0, 0), 0.0)


def test_minutes_go_too_where_they_are_what_fills_the_map():
    kept = room(1000)
    kept.settle((100, 750, 0), kept.limits(NOW), NOW, turned=False)
    assert kept.limits(NOW) == Limits(NOW - 900 * DAY_NS, NOW - 900 * DAY_NS)


def test_a_slot_at_least_and_never_the_future():
    kept = Room(1000, Retention(), (NOW - HOUR_NS // 2, NOW - HOUR_NS // 2))
    kept.settle((900, 0, 0), kept.limits(NOW), NOW, turned=False)
    assert kept.limits(NOW).samples_before == NOW


def test_the_first_sample_is_remembered_and_an_older_one_moves_it():
    kept = room()
    for time in (NOW, NOW - DAY_NS, NOW):
        kept.note(time)
    assert kept.oldest == (NOW - DAY_NS, NOW - DAY_NS)
