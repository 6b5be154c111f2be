"""Every lock of a discrete device: it closes, says its key and who clears it, nothing is sent, and it opens as it should."""

from dataclasses import replace

import pytest

from scada.apps.agc_avc.avc.locks import WHO_CLEARS
from scada.apps.agc_avc.errors import RegulationError
from scada.core.avc_settings import AvcDiscreteSettings
from scada.core.quality import Quality
from tests.apps.agc_avc.avc_bench import CAP, CLOSED, DAY_S, OPEN, REACTOR, TAP, Bench

LOW, HIGH = 108.0, 112.0
FREE = {"quota": [], "reversal_s": 0.0, "hold_s": 0.0}


def locked(bench, key, clears, place=0):
    """The device has this lock."""
    shown = bench.device(place)
    assert (shown.lock_key, shown.lock_clears) == (key, clears)
    assert shown.lock
    assert WHO_CLEARS[key] == clears


@pytest.mark.parametrize(
    ("values", "key", "clears"),
    [
        ({"cap": None}, "position_unknown", "plant"),
        ({"cap": 0.0}, "position_invalid", "plant"),
        ({"cap": 3.0}, "position_invalid", "plant"),
        ({"cap": 1.5}, "position_invalid", "plant"),
        ({"remote": 0.0}, "not_remote", "plant"),
        ({"remote": None}, "remote_unknown", "plant"),
        ({"blocked": 1.0}, "blocked", "plant"),
        ({"blocked": None}, "block_unknown", "plant"),
        ({"tripped": None}, "trip_unknown", "plant"),
    ],
)
def test_a_state_of_the_plant_locks_and_opens_when_it_is_gone(values, key, clears):
    bench = Bench()
    assert bench.cycle(kv=LOW, **values) == []
    locked(bench, key, clears)
    assert bench.cycle(cap=OPEN, remote=1.0, blocked=0.0, tripped=0.0) == [("c1", CLOSED)]
    assert bench.device().lock_key == "under_way"


def test_a_tag_and_a_substituted_position_lock_until_the_operator_takes_them_away():
    bench = Bench()
    bench.forbidden = {100: "do_not_operate"}
    assert bench.cycle(kv=LOW) == []
    locked(bench, "tagged", "operator")
    bench.forbidden, bench.quality = {}, {10: int(Quality.SUBSTITUTED | Quality.MANUAL)}
    assert bench.cycle() == []
    locked(bench, "position_substituted", "operator")
    bench.quality = {}
    assert bench.cycle() == [("c1", CLOSED)]
    assert bench.device().operations_today == 0


def test_a_trip_needs_both_an_operator_and_a_point_that_is_back():
    bench = Bench()
    bench.cycle(kv=LOW, tripped=1.0)
    locked(bench, "tripped", "operator")
    bench.cycle(tripped=0.0)
    locked(bench, "tripped", "operator")  # back, but nobody looked
    bench.cycle(tripped=1.0)
    bench.avc.unlock("c1")
    assert bench.cycle() == []
    locked(bench, "tripped", "operator")  # looked at, but still there
    assert bench.cycle(tripped=0.0) == [("c1", CLOSED)]
    assert bench.cycle(tripped=1.0) == []
    locked(bench, "tripped", "operator")  # a second trip needs a second look


def test_a_trip_that_comes_back_after_the_acknowledgement_locks_again():
    bench = Bench()
    bench.cycle(kv=LOW, tripped=1.0)
    bench.avc.unlock("c1")
    bench.cycle(tripped=None)
    bench.cycle(tripped=0.0)
    bench.cycle(tripped=1.0, cap=OPEN)
    bench.cycle(tripped=0.0)
    locked(bench, "tripped", "operator")


def test_refused_twice_locks_and_a_success_between_forgives():
    bench = Bench([TAP], discrete=FREE)
    bench.cycle(kv=LOW)
    bench.avc.refused(102)
    bench.cycle(seconds=100)
    bench.obey()
    bench.cycle(seconds=100)
    bench.avc.refused(102)
    assert bench.cycle(seconds=100)
    bench.avc.refused(102)
    assert bench.cycle(seconds=100) == []
    locked(bench, "refused", "operator")
    bench.avc.unlock("t1")
    assert bench.cycle() == [("t1", 2.0)]


def test_a_switch_that_does_not_move_is_seen_even_if_the_station_said_yes():
    bench = Bench(discrete=FREE)
    for _ in range(2):
        assert bench.cycle(kv=LOW) == [("c1", CLOSED)]
        bench.avc.confirmed(100)
        assert bench.cycle(seconds=80) == []
        assert bench.device().lock_key == "under_way"
    assert bench.cycle(seconds=20) == []
    locked(bench, "no_response", "operator")
    assert bench.device().operations_today == 0
    bench.avc.unlock("c1")
    assert bench.cycle() == [("c1", CLOSED)]


def test_interval_counts_from_any_operation():
    bench = Bench(discrete=FREE, devices=[replace(CAP, min_interval_s=200.0)])
    bench.cycle(kv=110.0)
    bench.cycle(cap=CLOSED)  # by a person
    assert bench.cycle(kv=HIGH, seconds=150) == []
    locked(bench, "interval", "time")
    assert bench.cycle(seconds=60) == [("c1", OPEN)]


def test_a_capacitor_discharges_before_it_is_closed_again_and_a_reactor_need_not():
    bench = Bench(discrete=FREE)
    bench.cycle(kv=HIGH, cap=CLOSED)
    bench.obey()
    bench.cycle(kv=LOW)
    assert bench.cycle(seconds=200) == []
    assert bench.device().raise_barred == "discharge"
    assert bench.device().lock == ""
    assert bench.cycle(seconds=100) == [("c1", CLOSED)]
    reactor = Bench([REACTOR], discrete=FREE)
    reactor.cycle(kv=LOW, reactor=CLOSED)
    reactor.obey()
    reactor.cycle(kv=HIGH)
    assert reactor.cycle(seconds=61) == [("r1", CLOSED)]


def test_an_opening_by_others_starts_the_discharge_too():
    bench = Bench(discrete=FREE)
    bench.cycle(kv=LOW, cap=CLOSED)
    bench.cycle(cap=OPEN)
    assert bench.cycle(seconds=240) == []
    assert bench.device().raise_barred == "discharge"


def test_daily_limit_holds_even_outside_the_limits_of_the_voltage_and_ends_at_midnight():
    bench = Bench([replace(TAP, daily_limit=3)], discrete=FREE)
    done = 0
    for _ in range(6):
        done += len(bench.cycle(seconds=100, kv=104.0))
        bench.obey()
    assert done == 3
    locked(bench, "daily_limit", "time")
    assert bench.cycle(seconds=DAY_S) == [("t1", 2.0)]


def test_several_steps_at_once_count_as_several_operations():
    bench = Bench([TAP])
    bench.cycle(tap=0.0)
    bench.cycle(tap=4.0)
    assert (bench.device().operations_today, bench.device().others_today) == (4, 4)
    bench.cycle(tap=None)
    bench.cycle(tap=2.0)
    assert bench.device().operations_today == 6


def test_a_contact_between_two_positions_is_no_operation():
    bench = Bench()
    for position in (OPEN, 0.0, CLOSED, 3.0, None, CLOSED):
        bench.cycle(cap=position)
    assert bench.device().operations_today == 1


def test_the_quota_spreads_the_day_and_a_violated_limit_overrides_it():
    quota = [{"begins": "00:00", "share": 0.25}, {"begins": "12:00", "share": 0.75}]
    bench = Bench([replace(TAP, daily_limit=8)], at_s=0.0, discrete={"quota": quota, "reversal_s": 0.0})
    done = 0
    for _ in range(4):
        done += len(bench.cycle(seconds=100, kv=107.0))
        bench.obey()
    assert done == 2
    bench.cycle(seconds=100)
    assert (bench.device().quota_now, bench.device().raise_barred, bench.device().lock) == (2, "quota", "")
    assert bench.cycle(seconds=100, kv=104.0) == [("t1", 2.0)]
    bench.obey()
    bench.cycle(kv=110.0)
    assert bench.cycle(seconds=DAY_S / 2, kv=107.0) == [("t1", 2.0)]


@pytest.mark.parametrize(
    "quota",
    [
        [{"begins": "01:00", "share": 1.0}],
        [{"begins": "00:00", "share": 0.5}],
        [{"begins": "00:00", "share": 0.5}, {"begins": "00:00", "share": 0.5}],
        [{"begins": "25:00", "share": 1.0}],
    ],
)
def test_a_quota_that_is_no_day_is_refused(quota):
    with pytest.raises(ValueError, match="quota"):
        AvcDiscreteSettings(quota=quota)


def test_dead_bus_suspect_measurement_and_a_bus_that_is_no_pilot():
    second = replace(Bench().zones[0].pilots[0], name="Other", mrid="other", voltage=[2])
    devices = [CAP, replace(TAP, pilot="other"), replace(REACTOR, pilot="nowhere")]
    bench = Bench(devices, pilots=[*Bench().zones[0].pilots, second])
    bench.values[2] = 110.0
    assert bench.cycle(kv=3.0) == []
    locked(bench, "dead_bus", "plant")
    locked(bench, "measurement_suspect", "plant", 2)
    bench.values[1] = 118.0
    assert bench.cycle(kv=108.0) == []
    locked(bench, "measurement_suspect", "plant")
    del bench.values[1]
    assert bench.cycle(kv=108.0) == [("c1", CLOSED)]


def test_an_end_position_is_seen():
    bench = Bench([TAP])
    assert bench.cycle(kv=LOW, tap=8.0) == []
    assert (bench.device().raise_barred, bench.device().lower_barred) == ("at_end", "")


def test_each_lock_is_counted_when_it_closes():
    bench = Bench()
    for remote in (0.0, 0.0, 1.0, 0.0):
        bench.cycle(remote=remote)
    assert bench.avc.state()["zones"]["Z"]["devices"]["c1"]["lock_counts"]["not_remote"] == 2


# ---------------------------------------------------------------- people


def test_what_a_person_did_is_not_undone_within_the_hold_time():
    bench = Bench(discrete={"quota": [], "reversal_s": 0.0, "hold_s": 900.0})
    bench.cycle(kv=112.5, cap=OPEN)
    bench.cycle(cap=CLOSED)  # closed by hand although the voltage is high
    assert bench.cycle(seconds=600) == []
    assert bench.device().lower_barred == "hold"
    assert bench.cycle(seconds=100, kv=116.5) == []  # nor when a limit is violated: the person decides
    assert bench.cycle(seconds=301) == [("c1", OPEN)]


def test_hunting_a_device_is_not_moved_back_before_its_time_unless_a_limit_is_violated():
    bench = Bench([TAP], discrete={"quota": []})
    assert bench.cycle(kv=LOW) == [("t1", 2.0)]
    bench.obey()
    bench.cycle(kv=110.0)
    assert bench.cycle(seconds=300, kv=112.0) == []
    assert bench.device().lower_barred == "reversal"
    assert bench.cycle(seconds=30, kv=115.5) == [("t1", 1.0)]


def test_a_load_that_swings_every_few_minutes_does_not_make_the_devices_hunt():
    bench = Bench([TAP, CAP], effects=[1.2, 1.1], at_s=8 * 3600.0)
    operations = 0
    for number in range(240):  # two hours
        swing = 1.6 if (number // 10) % 2 else -1.6
        tap, cap = bench.values[12], bench.values[10] - 1
        operations += len(bench.cycle(kv=110.0 + swing + 1.2 * tap + 1.1 * cap))
        bench.obey()
    assert operations <= 10
    eager = Bench([TAP, CAP], effects=[1.2, 1.1], at_s=8 * 3600.0, discrete={**FREE, "hysteresis": 0.0})
    wild = 0
    for number in range(240):
        swing = 1.6 if (number // 10) % 2 else -1.6
        wild += len(eager.cycle(kv=110.0 + swing + 1.2 * eager.values[12] + 1.1 * (eager.values[10] - 1)))
        eager.obey()
    assert wild > 2 * operations  # the guards are what holds it


def test_a_deviation_must_last_where_the_site_says_so_but_not_a_violated_limit():
    bench = Bench([TAP], discrete={"confirm_cycles": 3})
    assert [len(bench.cycle(kv=LOW)) for _ in range(3)] == [0, 0, 1]
    assert len(Bench([TAP], discrete={"confirm_cycles": 3}).cycle(kv=104.0)) == 1


def test_orders_for_what_is_not_there_are_refused():
    bench = Bench()
    for order in (
        lambda: bench.avc.unlock("nobody"),
        lambda: bench.avc.set_loop("nobody", "open"),
        lambda: bench.avc.set_loop("c1", "ajar"),
        lambda: bench.avc.set_loop("c1", "test", 7.0),
        lambda: bench.avc.explain("nobody"),
    ):
        with pytest.raises(RegulationError):
            order()
