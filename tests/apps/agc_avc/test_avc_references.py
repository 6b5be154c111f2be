"""Voltage targets from files and periods: checked by line, limited, ramped, stale ones told; and the evaluation."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from click.testing import CliRunner

from scada.apps.agc_avc.avc.evaluation import AvcAccount, Compliance
from scada.apps.agc_avc.avc.reference_plan import PlanError, read_plan
from scada.apps.agc_avc.avc.tertiary import TertiaryControl
from scada.cli.avc import command
from scada.core.avc_settings import AvcReferenceSettings
from scada.core.clock import NS_PER_S
from tests.apps.agc_avc.avc_bench import CAP, MIDNIGHT_NS, PILOT, SOURCE, TAP, Bench

HEAD = "pilot,time,kv\n"
HOUR = 3600 * NS_PER_S


def at(hour):
    """A time of the day, ns."""
    return MIDNIGHT_NS + round(hour * HOUR)


def target(plan, hour):
    return plan.target(PILOT, at(hour)).kv


def test_a_daily_csv_holds_each_target_until_the_next_and_over_midnight():
    plan = read_plan(HEAD + "Bus,08:00,112\nbus,12:00,111.5\nBus,22:30,108\n", "p.csv", [PILOT])
    assert [target(plan, hour) for hour in (0, 7.9, 8, 11.99, 12, 22.5, 24)] == [108, 108, 112, 112, 111.5, 108, 108]
    assert math.isnan(plan.target(replace(PILOT, name="x", mrid="x"), at(9)).kv)
    shifted = read_plan(HEAD + "Bus,08:00,112\nBus,22:30,108\n", "p.csv", [PILOT], 8 * 3600.0)
    assert [target(shifted, hour) for hour in (0, 1, 14.4, 14.5)] == [112, 112, 112, 108]


def test_dated_targets_and_validity():
    text = "# valid_from: 2024-10-04T00:00+00:00\n# valid_until: 2024-10-05T00:00+00:00\n" + HEAD
    rows = "Bus,2024-10-04T06:00+00:00,112\nBus,2024-10-04T20:00+08:00,113\n"
    plan = read_plan(text + rows, "p.csv", [PILOT])
    assert at(0) == 1_728_000_000 * NS_PER_S  # 2024-10-04
    assert [target(plan, hour) for hour in (6, 11.9, 12, 23.9)] == [112, 112, 113, 113]
    assert plan.target(PILOT, at(5)).note == "the plan has no target yet"
    assert plan.target(PILOT, at(24)).note == "the plan is over"
    assert plan.target(PILOT, at(-1)).note == "the plan is not valid yet"


def test_toml_with_96_points_and_with_periods():
    values = ", ".join(str(108 + 0.02 * point) for point in range(96))
    plan = read_plan(f'[pilots."Bus"]\nkv = [{values}]\n', "p.toml", [PILOT])
    assert target(plan, 0.3) == 108.02
    assert target(plan, 23.9) == 108 + 0.02 * 95
    periods = read_plan('[pilots.bus]\nperiods = [["06:00", 112], ["21:00", 109]]\n', "p.toml", [PILOT])
    assert [target(periods, hour) for hour in (3, 7, 22)] == [109, 112, 109]


@pytest.mark.parametrize(
    ("text", "name", "fault"),
    [
        ("", "p.csv", "no target"),
        ("bus;time;kv\n", "p.csv", "line 1: the header"),
        (HEAD + "Bus,08:00\n", "p.csv", "line 2: 2 fields"),
        (HEAD + "Bus,08:00,112\n\nNobody,08:00,112\n", "p.csv", "line 4: no pilot node 'Nobody'"),
        (HEAD + "Bus,08:00,125\n", "p.csv", "line 2: 125 kV is outside 105 .. 115 kV"),
        (HEAD + "Bus,08:00,nan\n", "p.csv", "line 2: no voltage"),
        (HEAD + "Bus,08:00,-3\n", "p.csv", "line 2: no voltage"),
        (HEAD + "Bus,25:00,110\n", "p.csv", "line 2: no time of the day"),
        (HEAD + "Bus,noon,110\n", "p.csv", "line 2: no time 'noon'"),
        (HEAD + "Bus,2024-10-04T08:00,110\n", "p.csv", "line 2: .* needs a UTC offset"),
        (HEAD + "Bus,08:00,110\nBus,08:00,111\n", "p.csv", "line 3: Bus has two targets"),
        (HEAD + "Bus,08:00,110\nBus,07:00,111\n", "p.csv", "line 3: times of Bus do not ascend"),
        (HEAD + "Bus,08:00,110\nBus,2024-10-04T08:00Z,110\n", "p.csv", "daily and dated"),
        ("# valid_until: 2024-10-03T00:00Z\n# valid_from: 2024-10-04T00:00Z\n" + HEAD + "Bus,08:00,110\n", "p.csv", "not after"),
        ("pilots = [", "p.toml", "is refused"),
        ("[pilots.Bus]\nkv = [110, 111]\n", "p.toml", "line 1: kv of Bus"),
        ("colour = 1\n[pilots.Bus]\nperiods = [['08:00', 110]]\n", "p.toml", "unknown key colour"),
        ("[pilots.Bus]\nperiods = ['08:00']\n", "p.toml", "line 1: periods of Bus"),
        ("step_minutes = 0\n[pilots.Bus]\nkv = []\n", "p.toml", "line 2: kv of Bus"),
        ("pilots = 3\n", "p.toml", "no target"),
    ],
)
def test_a_plan_with_a_fault_is_refused_as_a_whole_with_the_line(text, name, fault):
    with pytest.raises(PlanError, match=fault):
        read_plan(text, name, [PILOT])


def test_two_pilots_of_one_name_are_not_guessed():
    with pytest.raises(PlanError, match="more than one"):
        read_plan(HEAD + "Bus,08:00,110\n", "p.csv", [PILOT, replace(PILOT, mrid="other")])


def test_a_refused_plan_leaves_the_one_in_force_and_the_digest_tells_which():
    bench = Bench([TAP])
    bench.avc.use_plan("a.csv", HEAD + "Bus,00:00,112\n")
    bench.cycle(kv=110.0)
    digest = bench.decision.evaluation.reference
    assert digest == read_plan(HEAD + "Bus,00:00,112\n", "b.csv", [PILOT]).digest
    with pytest.raises(PlanError):
        bench.avc.use_plan("a.csv", HEAD + "Bus,00:00,900\n")
    bench.cycle()
    assert bench.decision.evaluation.reference == digest
    assert bench.decision.zones[0].pilots[0].target_source == "file"
    bench.avc.use_plan("a.csv", "")
    bench.cycle()
    assert (bench.decision.evaluation.reference, bench.decision.zones[0].pilots[0].target_source) == ("", "model")


def test_a_new_target_is_approached_at_the_ramp_and_the_controller_follows_it():
    bench = Bench([TAP], references={"ramp_percent": 0.2})
    bench.cycle(kv=110.0)
    bench.avc.use_plan("a.csv", HEAD + "Bus,00:00,113\n")
    seen = []
    for _ in range(20):
        bench.cycle(seconds=60)
        pilot = bench.decision.zones[0].pilots[0]
        seen.append(pilot.target_kv)
        bench.obey()
    steps = [round(b - a, 9) for a, b in pairwise(seen)]
    assert max(steps) == pytest.approx(0.22)
    assert seen[0] == pytest.approx(110.22)
    assert seen[-1] == 113.0
    assert "on the way" not in pilot.target_note
    assert bench.values[12] > 0


def test_targets_stay_inside_the_limits_and_a_stale_plan_gives_the_model_target():
    settings = AvcReferenceSettings(periods=[{"begins": "06:00", "percent": 106.0}], ramp_percent=50.0)
    control = TertiaryControl([PILOT], settings)
    found = control.targets(at(7))["bus"]
    assert (found.kv, found.source) == (PILOT.target, "period")
    found = control.targets(at(8))["bus"]
    assert found.kv == 115.0
    assert "outside the limits" in found.note
    plain = TertiaryControl([PILOT], AvcReferenceSettings(ramp_percent=50.0))
    text = "# valid_until: 2024-10-04T12:00Z\n" + HEAD + "Bus,00:00,112\n"
    plain.use(read_plan(text, "p.csv", [PILOT]))
    plain.targets(at(10))
    assert plain.targets(at(11))["bus"].kv == 112.0
    stale = plain.targets(at(13))["bus"]
    assert (stale.kv, stale.source, stale.note) == (110.0, "model", "the plan is over")


def test_periods_of_single_pilots_by_local_time():
    own = {"Bus": [{"begins": "08:00", "kv": 112.0}, {"begins": "22:00", "kv": 109.0}]}
    control = TertiaryControl([PILOT], AvcReferenceSettings(pilots=own, ramp_percent=100.0), day_offset_s=8 * 3600.0)
    kv = [control.targets(at(hour))["bus"].kv for hour in (0, 1, 13, 14, 15)]
    assert kv == [110.0, 112.0, 112.0, 109.0, 109.0]


def test_the_command_line_says_every_faulty_line(tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(HEAD + "Donghu/220kV/Bus I,08:00,227\nDonghu/220kV/Bus I,22:00,225\n")
    bad.write_text(HEAD + "Nobody,08:00,227\nDonghu/220kV/Bus I,22:00,400\n")
    run = CliRunner().invoke(command, ["references", "check", str(good)])
    assert run.exit_code == 0
    assert "225 .. 227" in run.output
    run = CliRunner().invoke(command, ["references", "check", str(bad)])
    assert run.exit_code != 0
    for line in ("line 2", "line 3"):
        assert line in str(run.exception) + run.output


# ---------------------------------------------------------------- evaluation


def test_the_qualified_rate_counts_valid_time_only_by_hour_and_day():
    account = AvcAccount({"Z": ["bus"]})
    account.elapsed(at(9.5))
    for minute, kv in enumerate([110.0] * 20 + [116.0] * 10 + [math.nan] * 30):
        account.voltages([("bus", kv, 105.0, 115.0)], account.elapsed(at(9.5 + (minute + 1) / 60)))
    assert account.zone_today("Z") == pytest.approx(100 * 20 / 30)
    rows = {(row["name"], row["from"], row["hours"]): row["value"] for row in account.report() if row["kind"] == "voltage"}
    assert rows["bus", "2024-10-04T09:00", 1] == pytest.approx(100 * 20 / 29)  # the 30th minute ends in the next hour
    assert rows["bus", "2024-10-04T10:00", 1] == 0.0
    assert rows["Z", "2024-10-04T00:00", 24] == pytest.approx(100 * 20 / 30)
    assert math.isnan(AvcAccount({"Z": ["bus"]}).zone_today("Z"))


def test_a_gap_in_which_nobody_looked_is_not_counted():
    account = AvcAccount({"Z": ["bus"]}, longest_s=300.0)
    assert [account.elapsed(at(hour)) for hour in (9, 9 + 1 / 12, 11, 10.9)] == [0.0, 300.0, 0.0, 0.0]


def test_compliance_within_two_minutes():
    found = Compliance()
    found.commanded("a", 10.0, 0.5, at(9))
    found.commanded("b", 10.0, 0.5, at(9))
    found.commanded("c", 10.0, 0.5, at(9))
    found.measured("a", 10.4, at(9) + 120 * NS_PER_S)
    found.measured("b", 9.0, at(9) + 119 * NS_PER_S)
    assert (found.met, found.missed) == (1, 0)
    found.measured("b", 9.0, at(9) + 121 * NS_PER_S)
    found.measured("c", math.nan, at(9) + 121 * NS_PER_S)
    assert (found.met, found.missed, found.percent) == (1, 1, 50.0)
    found.commanded("d", 10.0, 0.5, at(10))
    found.measured("d", 10.0, at(10) + 121 * NS_PER_S)
    assert (found.met, found.missed) == (1, 2), "met, but late"
    again = Compliance()
    again.restore(found.state())
    assert again.state() == found.state()


def test_availability_leaves_out_what_the_grid_caused():
    bench = Bench([TAP], suspend={"late_cycles": 1e9})
    for kv, cycles in ((110.0, 11), (0.5, 10), (None, 10)):
        for _ in range(cycles):
            bench.cycle(kv=kv)
    assert bench.decision.evaluation.availability_percent == pytest.approx(50.0)
    bench.avc.set_state("off")
    for _ in range(20):
        bench.cycle(kv=110.0)
    assert bench.decision.evaluation.availability_percent == pytest.approx(25.0)


def test_commands_operations_and_losses_of_the_day_and_a_new_one():
    bench = Bench([TAP, CAP], [SOURCE])
    bench.sensitivity = replace(bench.sensitivity, losses_mw=12.0)
    for _ in range(6):
        bench.cycle(kv=107.5)
        bench.obey()
    found = bench.decision.evaluation
    assert found.operations == bench.device(0).operations_today + bench.device(1).operations_today > 0
    assert found.compliance_percent == 100.0
    assert found.losses_mwh == pytest.approx(12.0 * 150 / 3600)
    bench.cycle(seconds=86_400, kv=110.0)
    assert bench.decision.evaluation.operations == 0
    kinds = {row["kind"] for row in bench.avc.account.report()}
    assert kinds == {"voltage", "service", "operations"}


@pytest.mark.parametrize("cycle_s", [30.0, 150.0, 600.0])
def test_a_long_cycle_makes_no_command_late_and_no_time_unseen(cycle_s):
    """A command can first be seen met in the next cycle."""
    bench = Bench([], [SOURCE])
    bench.settings = bench.settings.model_copy(update={"cycle_s": cycle_s})
    bench.avc = bench.fresh()
    for _ in range(3):
        bench.cycle(cycle_s, kv=108.0)
        bench.obey()
    bench.cycle(cycle_s, kv=110.0)
    done = bench.decision.evaluation
    assert (done.commands, done.compliance_percent) == (3, 100.0)
    assert done.availability_percent == 100.0
    assert done.qualified_percent == 100.0
