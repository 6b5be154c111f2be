"""Per-command measures and the rule profiles: hand-worked commands, a plain second reckoning, bad profiles."""

import dataclasses
import math
import random
from datetime import date
from pathlib import Path

import pytest

from scada.apps.agc_avc.performance.following import CommandMeasure, CommandTracker, Measure
from scada.apps.agc_avc.performance.rules import load_profiles, own_profiles, parse_profile, score
from scada.core.clock import NS_PER_S
from scada.core.errors import ConfigError

NAN = math.nan
MEASURE = Measure(deadband_mw=1.5, arrival_mw=1.5, smallest_mw=3.0, hold_s=60.0, timeout_s=600.0, mill_switch_s=120.0)


def follow(power_at, setpoint_at, seconds, *, zones=(), controlled=lambda s: True, step=4, measure=MEASURE):
    tracker, found = CommandTracker(measure, zones), []
    for second in range(0, seconds, step):
        one = tracker.sample(second * NS_PER_S, power_at(second), setpoint_at(second), controlled=controlled(second))
        if one is not None:
            found.append(one)
    return found


def ramp(begin, start, rate, most):
    """MW at a second: ``start`` until ``begin``, then ``rate`` MW/s until ``most``."""

    def at(second):
        moved = start + max(0, second - begin) * rate
        return min(moved, most) if rate > 0 else max(moved, most)

    return at


def test_a_command_by_hand():
    # 300 MW unit at 200 MW; at 40 s told 230; moves from 60 s on at 0.1 MW/s = 6 MW/min and stops at 229.2
    # leaves the dead band of 1.5 MW at the first sample above 201.5: 76 s (201.6); delay 36 s
    # arrives within 1.5 MW: 228.5 at 345 s, first sample 348 s (228.8): (228.8-201.6)/(272 s) = 0.1 MW/s = 6 MW/min
    # window 348 .. 408: 348 s 1.2, 352 s 0.8 and then 14 samples at 0.8: (1.2 + 15*0.8)/16
    (found,) = follow(ramp(60, 200.0, 0.1, 229.2), lambda s: 200.0 if s < 40 else 230.0, 500)
    assert (found.begin_ns, found.from_mw, found.target_mw, found.complete) == (40 * NS_PER_S, 200.0, 230.0, True)
    assert found.delay_s == 36
    assert found.speed_mw_min == pytest.approx(6.0)
    assert found.error_mw == pytest.approx((1.2 + 15 * 0.8) / 16)
    assert found.end_ns == 408 * NS_PER_S
    assert found.valid == 1.0


def test_downwards_is_the_same():
    up = follow(ramp(60, 200.0, 0.1, 229.2), lambda s: 200.0 if s < 40 else 230.0, 500)[0]
    down = follow(ramp(60, 200.0, -0.1, 170.8), lambda s: 200.0 if s < 40 else 170.0, 500)[0]
    for name in ("delay_s", "speed_mw_min", "error_mw"):
        assert getattr(down, name) == pytest.approx(getattr(up, name))


def test_the_time_of_changing_mills_is_left_out_as_long_as_allowed():
    def power(second):  # 6 MW/min, but it rests at 215 MW inside the zone for 100 s
        moving = ramp(60, 200.0, 0.1, 215.0)(second)
        return moving if second < 310 else min(215.0 + (second - 310) * 0.1, 229.2)

    plain = follow(power, lambda s: 200.0 if s < 40 else 230.0, 700)[0]
    assert plain.speed_mw_min == pytest.approx(60 * (228.8 - 201.6) / (448 - 76), rel=0.01)
    mills = follow(power, lambda s: 200.0 if s < 40 else 230.0, 700, zones=[(214.0, 216.0)])[0]
    # inside from 204 s (214.4) to 316 s (215.6), 29 samples of 4 s; 120 s are allowed: all of the 116 s
    assert mills.mill_s == 116
    assert mills.speed_mw_min == pytest.approx(60 * (228.8 - 201.6) / (448 - 76 - 116), rel=0.01)
    short = dataclasses.replace(MEASURE, mill_switch_s=40.0)
    assert follow(power, lambda s: 200.0 if s < 40 else 230.0, 700, zones=[(214.0, 216.0)], measure=short)[0].mill_s == 40


def test_a_unit_that_stands_still_never_responds():
    (found,) = follow(lambda s: 200.0, lambda s: 200.0 if s < 40 else 230.0, 700)
    assert math.isinf(found.delay_s)
    assert (found.speed_mw_min, found.error_mw, found.complete) == (0.0, 30.0, True)
    assert found.end_ns == 640 * NS_PER_S


def test_a_ramp_of_small_set_points_is_one_command_and_a_turn_ends_it():
    steps = lambda s: 200.0 if s < 40 else min(200.0 + 4 * ((s - 36) // 4), 230.0)  # noqa: E731
    (found,) = follow(ramp(60, 200.0, 0.1, 229.2), steps, 500)
    assert (found.from_mw, found.target_mw) == (200.0, 230.0)
    turned = follow(ramp(60, 200.0, 0.1, 229.2), lambda s: 200.0 if s < 40 else 230.0 if s < 160 else 190.0, 300)
    assert (turned[0].complete, turned[0].target_mw, turned[0].end_ns) == (False, 230.0, 160 * NS_PER_S)


def test_what_is_small_out_of_control_or_of_unknown_begin_is_no_command():
    assert follow(lambda s: 200.0, lambda s: 200.0 if s < 40 else 202.0, 700) == []
    assert follow(lambda s: NAN, lambda s: 200.0 if s < 40 else 230.0, 700) == []
    assert follow(lambda s: 200.0, lambda s: NAN if s < 40 else 230.0, 700) == []  # just taken over
    (off,) = follow(lambda s: 200.0, lambda s: 200.0 if s < 40 else 230.0, 700, controlled=lambda s: s < 100)
    assert not off.complete


def test_a_jump_of_the_clock_drops_the_running_command():
    for jump in (-3600, 3600):
        tracker = CommandTracker(MEASURE)
        tracker.sample(10_000 * NS_PER_S, 200.0, 200.0, controlled=True)
        tracker.sample(10_004 * NS_PER_S, 200.0, 230.0, controlled=True)
        assert tracker.state()["running"] is not None
        assert tracker.sample((10_008 + jump) * NS_PER_S, 200.0, 230.0, controlled=True) is None
        assert tracker.state()["running"] is None


def plain_measure(rows, target, deadband, arrival, hold):
    """One command after the fact; rows of (second, power) from the command on."""
    t0, p0 = rows[0]
    sign = 1 if target > p0 else -1
    ts, ps = next((t, p) for t, p in rows if sign * (p - p0) > deadband)
    te, pe = next((t, p) for t, p in rows if abs(p - target) <= arrival or sign * (p - target) > 0)
    window = [abs(p - target) for t, p in rows if te <= t <= te + hold]
    return ts - t0, 60 * (pe - ps) * sign / (te - ts), sum(window) / len(window)


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_plain_reckoning(seed):
    chance = random.Random(seed)
    target = 200 + chance.choice([-1, 1]) * chance.uniform(20, 60)
    power, rows, found = 200.0, [], None
    tracker = CommandTracker(MEASURE)
    tracker.sample(0, power, 200.0, controlled=True)
    for second in range(4, 900, 4):
        if second > 24:
            power += (target - power) * 0.08 + chance.gauss(0, 0.1)
        rows.append((second, power))
        found = tracker.sample(second * NS_PER_S, power, target, controlled=True)
        if found:
            break
    assert (found.delay_s, found.speed_mw_min, found.error_mw) == pytest.approx(plain_measure(rows, target, 1.5, 1.5, 60))


def test_the_tracker_goes_on_from_its_state():
    def run(cut):
        tracker, found, chance = CommandTracker(MEASURE, [(205.0, 210.0)]), [], random.Random(5)
        power = setpoint = 200.0
        for second in range(0, 6000, 4):
            if chance.random() < 0.01:
                setpoint = chance.uniform(150, 250)
            power += max(-0.5, min(0.5, setpoint - power))
            one = tracker.sample(second * NS_PER_S, NAN if chance.random() < 0.05 else power, setpoint, controlled=True)
            found += [one] if one else []
            if second == cut:
                state, tracker = tracker.state(), CommandTracker(MEASURE, [(205.0, 210.0)])
                tracker.restore(state)
        return found

    whole = run(-1)
    assert len(whole) > 5
    assert all(repr(run(cut)) == repr(whole) for cut in (1000, 2400, 4000))


# ---------------------------------------------------------------- profiles

COMMAND = CommandMeasure(
    0, 1, 200.0, 230.0, 229.0, delay_s=30.0, speed_mw_min=6.0, error_mw=1.0, mill_s=0.0, valid=1.0, complete=True
)


def k(name, measured=COMMAND, fuel="thermal", rated=300.0):
    found = score(measured, own_profiles()[name], fuel, rated)
    return pytest.approx((found.speed, found.response, found.accuracy, found.total), abs=1e-9, nan_ok=True)


def test_profiles_by_hand():
    # 300 MW thermal: vN = 1.5 % = 4.5 MW/min, v = 6: v/vN = 4/3; t = 30 s; e = 1 MW, 1 % = 3 MW: e/eN = 1/3
    # Shaanxi: k1 = 4/3, k2 = 1 - 30/60 = 1/2, k3 = 1 - 1/3 = 2/3; k = 0.2 (3*4/3 + 1/2 + 2/3) = 0.2 * 31/6
    assert k("shaanxi-2025-draft") == (4 / 3, 1 / 2, 2 / 3, 0.2 * 31 / 6)
    # Guangdong: 5 min and 1.5 % = 4.5 MW: k2 = 1 - 30/300 = 0.9, k3 = 1 - 1/4.5 = 7/9; k = (8/3 + 0.9 + 7/9)/4
    assert k("guangdong") == (4 / 3, 0.9, 7 / 9, (8 / 3 + 0.9 + 7 / 9) / 4)
    # North China, older: K1 = 4/3, K2 = 2 - 1/3 = 5/3, K3 = 2 - 0.5 = 3/2; Kp = 4/3*5/3*3/2 = 10/3
    assert k("north-china-old") == (4 / 3, 3 / 2, 5 / 3, 10 / 3)
    # newer: K1 = 2 - 3/4 = 5/4; Kp = 5/4*5/3*3/2 = 25/8
    assert k("north-china-new") == (5 / 4, 3 / 2, 5 / 3, 25 / 8)


def test_caps_floors_and_what_is_not_judged():
    fast = dataclasses.replace(COMMAND, speed_mw_min=100.0)
    assert score(fast, own_profiles()["shaanxi-2025-draft"], "thermal", 300.0).total == 2.0
    never = dataclasses.replace(COMMAND, delay_s=math.inf, speed_mw_min=0.0, error_mw=30.0)
    assert k("shaanxi-2025-draft", never) == (0.0, 0.0, 0.0, 0.0)
    assert k("north-china-new", never) == (0.1, 0.1, 0.1, 0.001)
    nothing = (NAN, NAN, NAN, NAN)
    assert nothing == k("guangdong", dataclasses.replace(COMMAND, complete=False))
    assert nothing == k("guangdong", dataclasses.replace(COMMAND, valid=0.4))
    assert nothing == k("guangdong", dataclasses.replace(COMMAND, error_mw=NAN))
    assert nothing == k("guangdong", rated=0.0)


def test_every_profile_names_its_source_and_who_is_not_certain_says_k():
    assert len(own_profiles()) >= 3
    for name, profile in own_profiles().items():
        assert profile.name == name
        assert profile.certain or "[K]" in profile.source
        assert {"en", "zh"} <= set(profile.title)


def test_a_site_brings_its_own_and_replaces_ours(tmp_path):
    own = tmp_path / "rules.toml"
    standard = "{default = {speed_percent = 3, response_s = 60, accuracy_percent = 1}}"
    body = f'title = {{en = "T"}}\nsource = "ours"\ncertain = true\nstandard = {standard}\n'
    own.write_text(f'[[profile]]\nname = "guangdong"\n{body}[[profile]]\nname = "mine"\n{body}', encoding="utf-8")
    found = load_profiles(own)
    assert found["guangdong"].source == "ours"
    assert {"mine", "north-china-new"} <= set(found)
    assert load_profiles(tmp_path) == own_profiles()  # a folder: none named


def test_the_example_of_the_documentation_is_a_profile(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "regulation" / "performance.md").read_text(encoding="utf-8")
    path = tmp_path / "rules.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    found = load_profiles(path)["our-region"]
    assert (found.certain, found.effective_from, found.score.cap) == (True, date(2026, 1, 1), 2.0)
    assert [found.in_force(date(2025, 12, 31), date(2026, 5, 1)), found.in_force(date(2026, 1, 1), date(2026, 5, 1))] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = 1", "tables"),
        ("[[profile]]\nname = 'a'", "missing|required"),
        ("[[profile", "read"),
        ("profile = 3", "tables"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, text, fault):
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=fault) as raised:
        load_profiles(path)
    assert str(path) in raised.value.where
    with pytest.raises(ConfigError, match="read"):
        load_profiles(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "change",
    [
        {"standard": {"thermal": {"speed_percent": 1, "response_s": 1, "accuracy_percent": 1}}},
        {"standard": {"default": {"speed_percent": 0, "response_s": 1, "accuracy_percent": 1}}},
        {"standard": {"default": {"speed_percent": math.nan, "response_s": 1, "accuracy_percent": 1}}},
        {"score": {"labels": ["speed", "speed", "accuracy"]}},
        {"effective_from": "2025-01-02", "effective_to": "2025-01-01"},
        {"name": "Not A Name"},
        {"source": ""},
        {"unknown": 1},
    ],
)
def test_wrong_profiles_are_refused(change):
    raw = {
        "name": "a",
        "title": {},
        "source": "s",
        "certain": True,
        "standard": {"default": {"speed_percent": 1, "response_s": 1, "accuracy_percent": 1}},
    }
    assert parse_profile(raw, "x").caption("zh") == "a"
    with pytest.raises(ConfigError):
        parse_profile({**raw, **change}, "x")
