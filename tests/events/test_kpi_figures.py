"""Alarm figures: hand-computed logs, and a slow reference that looks through everything for each figure."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.clock import NS_PER_S
from scada.events.kpi import Present, alarm_kpi
from scada.events.records import Alarm, AlarmPhase, Event, EventKind, Suppression, SuppressionKind
from scada.model_cim.tables import AlarmClass

T0 = 1_700_000_000 * NS_PER_S
HOUR = 3600
DAY = 24 * HOUR


def ns(second):
    return T0 + int(second * NS_PER_S)


def raised(second, number, mrid="a", key="limit.hi", *, alarm_id=0, priority=2, alarm_class=AlarmClass.LIMIT, station="S"):
    return Event(
        ns(second), EventKind.LIMIT_VIOLATED, alarm_class, priority, key, {}, 1, mrid, station, f"S/{mrid}", 0.0,
        alarm_id=alarm_id or number, event_id=number,
    )  # fmt: skip


def returned(second, number, alarm_id, station="S"):
    return Event(
        ns(second), EventKind.LIMIT_RETURNED, AlarmClass.LIMIT, 2, "limit.hi.returned", station=station, alarm_id=alarm_id,
        event_id=number,
    )  # fmt: skip


def acknowledged(second, number, alarm_id, station="S"):
    return Event(
        ns(second), EventKind.ACKNOWLEDGED, AlarmClass.LIMIT, 2, "alarm.acknowledged", station=station, alarm_id=alarm_id,
        event_id=number,
    )  # fmt: skip


def standing(alarm_id, since, phase=AlarmPhase.UNACK_ACTIVE, station="S"):
    return Alarm(
        alarm_id, phase, AlarmClass.LIMIT, 2, "limit.hi", {}, 1, "a", station, "S/a", 0.0, 0.0, ns(since), event_id=alarm_id
    )


def test_rates_floods_and_the_busiest_period():
    """Periods of 10 min: 12, 7, 4, 11, 0, 1; a flood from the first to before the third, another one in the fourth."""
    counts = [12, 7, 4, 11, 0, 1]
    events = [raised(600 * p + n, 100 * p + n + 1, f"m{n}") for p, count in enumerate(counts) for n in range(count)]
    kpi = alarm_kpi(events, T0, ns(HOUR), Present())
    assert kpi.alarms == 35
    assert kpi.per_10_min_mean == pytest.approx(35 / 6)
    assert (kpi.per_10_min_peak, kpi.peak_ns) == (12, T0)
    assert kpi.flood_share == pytest.approx(2 / 6)
    assert kpi.floods == 2
    assert kpi.chattering == 0


def test_a_flood_that_ebbs_to_five_goes_on():
    events = [raised(600 * p + n, 100 * p + n + 1, f"m{n}") for p, count in enumerate([11, 5, 12]) for n in range(count)]
    assert alarm_kpi(events, T0, ns(1800), Present()).floods == 1


def test_a_last_period_that_is_shorter_counts():
    events = [raised(n, n + 1, f"m{n}") for n in range(3)]
    kpi = alarm_kpi(events, T0, ns(700), Present())
    assert kpi.flood_share == 0
    assert kpi.per_10_min_mean == pytest.approx(3 * 600 / 700)


def test_sources_priorities_and_classes():
    events = [raised(n, n + 1, "often") for n in range(0, 400, 40)]
    events += [raised(500 + n, 1000 + n, f"m{n:02}", priority=1, alarm_class=AlarmClass.ACCIDENT) for n in range(11)]
    kpi = alarm_kpi(events, T0, ns(HOUR), Present())
    assert (kpi.most_frequent[0].mrid, kpi.most_frequent[0].path, kpi.most_frequent[0].count) == ("often", "S/often", 10)
    assert len(kpi.most_frequent) == 10
    assert kpi.most_frequent_share == pytest.approx(19 / 21)
    assert list(kpi.by_priority) == [11, 10, 0, 0]
    assert list(kpi.by_class) == [11, 0, 10, 0, 0]


def test_chattering_is_three_within_a_minute_or_what_the_engine_says():
    events = [raised(0, 1, "fast"), raised(30, 2, "fast"), raised(60, 3, "fast")]
    events += [raised(0, 4, "slow"), raised(30, 5, "slow"), raised(61, 6, "slow")]
    said = Event(ns(70), EventKind.SUPPRESSED, AlarmClass.NOTICE, 4, "alarm.chattering", {"alarm": "limit.lo"}, mrid="told")
    kpi = alarm_kpi(sorted([*events, said], key=lambda event: event.time_ns), T0, ns(HOUR), Present())
    assert kpi.chattering == 2


def test_times_to_acknowledgement():
    """10 s, 20 s, 90 s, and one of an alarm raised 100 s before the span: median 55 s, 95 % point 98.5 s."""
    events = [raised(0, 1), acknowledged(10, 2, 1), raised(20, 3, "b"), raised(30, 4, "b", alarm_id=3), acknowledged(40, 5, 3)]
    events += [acknowledged(50, 6, 77), raised(60, 7, "c"), acknowledged(150, 8, 7), acknowledged(160, 9, 66)]
    present = Present(raised_ns=lambda number: ns(-50) if number == 77 else 0)
    kpi = alarm_kpi(events, T0, ns(HOUR), present)
    assert kpi.acknowledge_median_s == pytest.approx(55.0)
    assert kpi.acknowledge_p95_s == pytest.approx(98.5)


def test_how_things_stood_at_a_past_end():
    """At the end 1 (returned since), 2 (acknowledged since), 3 (still stands) and 6 stood; 4 came later, 5 was back."""
    later = [
        returned(HOUR + 5, 101, 1),
        acknowledged(HOUR + 6, 102, 2),
        raised(HOUR + 7, 4, "new"),
        raised(HOUR + 8, 103, "again", alarm_id=5),
    ]
    alarms = [
        standing(2, 10, AlarmPhase.ACK_ACTIVE),
        standing(3, -DAY),
        standing(4, HOUR + 7),
        standing(5, 20),
        standing(6, 30, AlarmPhase.ACK_ACTIVE),
        standing(9, 40, AlarmPhase.UNACK_RETURNED),
    ]
    present = Present(alarms, (), later, lambda number: ns(-2 * DAY) if number == 1 else 0)
    kpi = alarm_kpi([], T0, ns(HOUR), present)
    assert kpi.standing == 4
    assert kpi.stale == 2, "1 by the log, 3 by itself"
    assert kpi.unacknowledged == 4, "2, 3, 5 and 9; of 1 nobody says that it was not acknowledged"


def test_suppressions_at_the_end():
    in_force = [
        Suppression("a", "limit.hi", SuppressionKind.SHELVED, station="S", since_ns=ns(5)),
        Suppression("b", "", SuppressionKind.SHELVED, station="S", since_ns=ns(HOUR + 5)),
        Suppression("c", "", SuppressionKind.BY_DESIGN, station="S", since_ns=ns(5)),
        Suppression("d", "", SuppressionKind.OUT_OF_SERVICE, station="T", since_ns=ns(5)),
        Suppression("e", "", SuppressionKind.TAGGED, station="S", since_ns=ns(5)),
    ]
    ended = [
        Event(
            ns(HOUR + 9),
            EventKind.SUPPRESSED,
            AlarmClass.NOTICE,
            4,
            key,
            {"alarm": alarm} if alarm else {},
            mrid=mrid,
            station="S",
        )
        for key, mrid, alarm in (
            ("alarm.shelving_expired", "x", "limit.lo"),
            ("alarm.in_service", "y", ""),
            ("alarm.shelved", "z", ""),
            ("alarm.unshelved", "z", ""),
        )
    ]
    kpi = alarm_kpi([], T0, ns(HOUR), Present((), in_force, ended))
    assert (kpi.shelved, kpi.by_design, kpi.out_of_service) == (2, 1, 2)
    only = alarm_kpi([], T0, ns(HOUR), Present((), in_force, ended), "T")
    assert (only.shelved, only.by_design, only.out_of_service) == (0, 0, 1)


def test_an_empty_log_gives_no_invented_figures():
    kpi = alarm_kpi([], T0, ns(HOUR), Present())
    assert (kpi.alarms, kpi.peak_ns, kpi.floods, kpi.per_10_min_mean) == (0, 0, 0, 0.0)
    for figure in (kpi.most_frequent_share, kpi.acknowledge_median_s, kpi.acknowledge_p95_s):
        assert math.isnan(figure)
    nothing = alarm_kpi([], T0, T0, Present())
    assert math.isnan(nothing.per_10_min_mean)
    assert math.isnan(nothing.flood_share)


rows = st.lists(
    st.tuples(st.integers(0, 3 * HOUR - 1), st.sampled_from("abc"), st.integers(1, 4), st.sampled_from(["S", "T"])), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(rows, st.sampled_from(["", "S"]), st.integers(1, 60))
def test_against_a_slow_reference(script, station, wait):
    script = sorted(script)
    events = []
    for number, (second, mrid, priority, where) in enumerate(script, 1):
        events.append(raised(second, 2 * number, mrid, priority=priority, station=where))
        if number % 3 == 0:
            events.append(acknowledged(second + wait, 2 * number + 1, 2 * number, station=where))
    events.sort(key=lambda event: event.time_ns)
    span = 3 * HOUR
    events = [event for event in events if event.time_ns < ns(span)]
    kpi = alarm_kpi(events, T0, ns(span), Present(), station)

    mine = [event for event in events if station in ("", event.station)]
    alarms = [event for event in mine if event.kind is EventKind.LIMIT_VIOLATED]
    periods = [sum(ns(begin) <= event.time_ns < ns(begin + 600) for event in alarms) for begin in range(0, span, 600)]
    assert kpi.alarms == len(alarms) == sum(kpi.by_priority) == sum(kpi.by_class)
    assert kpi.per_10_min_peak == max(periods)
    assert kpi.flood_share == pytest.approx(sum(count > 10 for count in periods) / len(periods))
    assert kpi.per_10_min_mean == pytest.approx(statistics.mean(periods))
    by_source = {mrid: sorted(e.time_ns for e in alarms if e.mrid == mrid) for mrid in "abc"}
    chattering = [
        any(sum(t <= other <= t + 60 * NS_PER_S for other in times) >= 3 for t in times) for times in by_source.values()
    ]
    assert kpi.chattering == sum(chattering)
    assert {source.mrid: source.count for source in kpi.most_frequent} == {m: len(t) for m, t in by_source.items() if t}
    waits = [
        (ack.time_ns - next(e for e in alarms if e.event_id == ack.alarm_id).time_ns) / NS_PER_S
        for ack in mine
        if ack.kind is EventKind.ACKNOWLEDGED
    ]
    if waits:
        assert kpi.acknowledge_median_s == pytest.approx(statistics.median(waits))
    else:
        assert math.isnan(kpi.acknowledge_median_s)
