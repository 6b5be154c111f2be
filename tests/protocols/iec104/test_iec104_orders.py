"""Orders of an engineer, from text to the end, against our own controlled station: both sides must agree on every procedure."""

import pytest

from scada.protocols.iec104.orders import ORDERS


@pytest.fixture
def modem(build):
    points = [build.point(0, 10, 1), build.point(1, 11, 13), build.point(2, 12, 15), build.point(3, 13, 15)]
    modem = build.NullModem(points, [])
    modem.outstation.update(range(4), [1, 2.5, 1000, 2000])
    modem.connect()
    return modem


ENDS = [
    ("interrogate", {}, "confirmed", "CA 1: 2 values"),
    ("interrogate", {"group": "9"}, "refused", "CA 1 refused the interrogation of group 9 of CA 1: negative confirmation"),
    ("synchronise_clock", {}, "confirmed", "CA 1: the clock was +0.000 s off"),
    ("read_counters", {}, "confirmed", "CA 1: 2 values"),
    ("read_counters", {"mode": "freeze"}, "confirmed", "CA 1: 0.000 s; CA 1: 2 values"),
    ("read_counters", {"mode": "freeze_reset"}, "confirmed", "CA 1: 0.000 s; CA 1: 2 values"),
    ("read_counters", {"mode": "reset"}, "confirmed", "CA 1: 0.000 s"),
    ("read", {"ioa": "11"}, "confirmed", "CA 1: 2.5"),
    ("read", {"ioa": "99"}, "refused", "CA 1 refused the read of CA 1 IOA 99: unknown information object address"),
    ("test", {}, "confirmed", "CA 1: 0.000 s"),
    ("test", {"kind": "plain"}, "confirmed", "CA 1: 0.000 s"),
    ("reset_process", {}, "refused", "CA 1 refused the reset of the process of CA 1: unknown type identification"),
    (
        "load_parameter",
        {"ioa": "11", "value": "1"},
        "refused",
        "CA 1 refused the parameter of CA 1 IOA 11: unknown type identification",
    ),
    (
        "activate_parameter",
        {"ioa": "11"},
        "refused",
        "CA 1 refused the activation of the parameter of CA 1 IOA 11: unknown type identification",
    ),
    ("cancel_interrogation", {}, "refused", "CA 1 refused the cancel of the interrogation of CA 1: negative confirmation"),
]


@pytest.mark.parametrize(
    ("name", "arguments", "outcome", "reason"), ENDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_order_ends_as_our_own_station_answers_it(modem, name, arguments, outcome, reason):
    channel, clock = modem.channel, modem.clock
    ticket, effects = channel.order(name, arguments, clock.now_ns(), clock.monotonic())
    modem.run(effects)
    modem.pump()
    assert (modem.done[ticket].outcome.value, modem.done[ticket].reason) == (outcome, reason)
    assert modem.disconnects == []
    modem.pass_time(60)
    assert modem.channel.procedures.running == ()


def test_every_order_has_been_given():
    assert {name for name, *_ in ENDS} == set(ORDERS)
