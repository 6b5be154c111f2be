"""Several links of one channel (clause 10), from the controlling side, on a virtual clock against raw APDUs."""

import numpy as np
import pytest
from protocols.iec104.two_networks import FOUR, TWO, Rig, event_asdu

from scada.core.batch import RecordFlag
from scada.core.errors import ConfigError
from scada.model_cim.tables import ChannelSpec
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.iec104.apci import UFunction, u_frame
from scada.protocols.iec104.asdu import Asdu, Cause, InformationObject, single
from scada.protocols.iec104.commanding import Step
from scada.protocols.iec104.duplicates import DuplicateFilter
from scada.protocols.iec104.endpoints import RedundancyParameters


@pytest.fixture
def rig(build):
    made = Rig(build, **TWO)
    made.connect("A", "B")
    made.notices.clear()
    return made


# ---------------------------------------------------------------- standing by


def test_one_link_is_started_and_the_other_only_tested(rig):
    assert rig.link_states() == {"A": LinkState.UP, "B": LinkState.STANDBY}
    assert rig.states == [LinkState.CONNECTING, LinkState.STANDBY, LinkState.UP]
    rig.pass_time(30)
    assert rig.stations["A"].said[0] == "STARTDT_ACT"
    assert rig.interrogations("A") == 1
    assert set(rig.stations["B"].said) == {"TESTFR_ACT"}
    assert len(rig.stations["B"].said) >= 5  # at once, then by t3 = 5 s
    assert rig.notices == []


def test_a_standby_that_does_not_answer_its_test_is_dropped_and_told_once(rig):
    rig.stations["B"].mute = True
    rig.pass_time(10)
    assert rig.ended == [("B", "TESTFR_ACT was not confirmed within t1 = 3 s")]
    assert [kind for kind, _ in rig.notices] == ["standby_lost"]
    assert rig.states[-1] is LinkState.UP
    for _ in range(3):  # attempts that come to nothing are not told again
        rig.run(rig.machine.connecting("B", *rig.now()))
        rig.run(rig.machine.lost("B", "cannot connect: refused", *rig.now()))
    assert len(rig.notices) == 1
    rig.stations["B"].mute = False
    rig.connect("B")
    assert [kind for kind, _ in rig.notices] == ["standby_lost", "standby_restored"]
    assert rig.link_states()["B"] is LinkState.STANDBY


def test_data_on_a_link_that_stands_by_breaks_the_protocol(rig):
    rig.event("B", 2, 1, 1)
    assert rig.ended == [("B", "I frame N(S) = 0 although data transfer is stopped")]
    assert rig.events() == []
    assert [kind for kind, _ in rig.notices] == ["protocol_fault", "standby_lost"]


# ---------------------------------------------------------------- taking over


def test_a_lost_connection_hands_over_at_once_without_the_channel_going_down(rig):
    rig.cut("A")
    assert rig.link_states() == {"A": LinkState.DOWN, "B": LinkState.UP}
    assert rig.states[-1] is LinkState.UP
    assert LinkState.DOWN not in rig.states
    assert rig.stations["B"].said[-2] == "STARTDT_ACT"
    assert rig.interrogations("B") == 1
    assert rig.statistics.switches == 1
    ((kind, text),) = rig.notices
    assert kind == "link_switched"
    assert text == "link B (10.2.0.1:2404) took over from A within 0.00 s: A failed: connection broken"


def test_t1_on_the_link_in_use_drops_it_first_and_then_hands_over(rig):
    rig.stations["A"].mute = True
    rig.pass_time(9)
    assert rig.ended == [("A", "TESTFR_ACT was not confirmed within t1 = 3 s")]
    assert rig.link_states()["B"] is LinkState.UP
    assert LinkState.DOWN not in rig.states


def test_by_hand_the_old_link_is_stopped_before_the_new_one_is_started(rig):
    order = []
    for name in "AB":
        hear = rig.stations[name].hear
        rig.stations[name].hear = lambda data, name=name, hear=hear: (
            order.extend((name, said) for said in rig.build.apdus(data)),
            hear(data),
        )[1]
    ticket = rig.switch("B")
    assert rig.done[ticket].outcome is Outcome.CONFIRMED
    assert [said for said in order if said[1] in {"STOPDT_ACT", "STARTDT_ACT"}] == [("A", "STOPDT_ACT"), ("B", "STARTDT_ACT")]
    assert rig.link_states() == {"A": LinkState.STANDBY, "B": LinkState.UP}
    assert rig.ended == []
    back = rig.switch()
    assert rig.done[back].outcome is Outcome.CONFIRMED
    rig.event("A", 2, 5, 1)  # the numbers of a link that was in use before go on
    assert rig.events() == [(2, 1.0)]
    assert rig.statistics.switches == 2


def test_everything_received_is_acknowledged_before_a_station_confirms_the_stop(rig):
    rig.event("A", 2, 1, 1)
    rig.stations["A"].refuses_to_stop = True
    rig.switch("B")
    assert ("S", rig.stations["A"].sent) in rig.stations["A"].said[-2:]
    rig.event("A", 2, 2, 0)  # on its way when STOPDT arrived: still taken
    assert rig.stations["A"].said[-1] == "STOPDT_ACT"
    rig.pass_time(0.2)  # soon acknowledged, for the station may wait for it
    assert rig.stations["A"].said[-1] == ("S", rig.stations["A"].sent)
    assert rig.events() == [(2, 1.0), (2, 0.0)]


def test_no_acknowledgement_is_sent_on_a_link_that_has_stopped(rig):
    data = rig.stations["A"].tell(event_asdu(2, 1, 1))
    rig.stations["A"].refuses_to_stop = True
    rig.switch("B")
    rig.run(rig.machine.feed("A", data + u_frame(UFunction.STOPDT_CON), *rig.now()))  # lib60870 confirms without waiting
    rig.run(rig.machine.delivered(*rig.now()))
    rig.pass_time(4)
    assert rig.link_states() == {"A": LinkState.STANDBY, "B": LinkState.UP}
    after = rig.stations["A"].said[rig.stations["A"].said.index("STOPDT_ACT") + 1 :]
    assert "S" not in [said[0] for said in after if not isinstance(said, str)]
    rig.stations["A"].refuses_to_stop = False
    rig.switch("A")
    rig.pass_time(1.5)
    assert rig.stations["A"].said[-1] == ("S", rig.stations["A"].sent)  # in use again, everything is acknowledged
    assert rig.events() == [(2, 1.0)]


def test_a_link_that_does_not_confirm_the_stop_is_dropped_after_half_a_second(rig):
    rig.stations["A"].refuses_to_stop = True
    ticket = rig.switch("B")
    rig.pass_time(0.4)
    assert ticket not in rig.done
    assert rig.stations["B"].started is False
    rig.pass_time(0.2)
    assert rig.done[ticket].outcome is Outcome.CONFIRMED
    assert rig.ended == [("A", "STOPDT was not confirmed within 0.5 s")]
    assert LinkState.DOWN not in rig.states


def test_a_standby_that_was_dead_costs_two_seconds_and_the_truth_is_told(rig):
    rig.stations["B"].mute = True
    rig.cut("A")
    rig.pass_time(1.8)
    assert rig.states[-1] is LinkState.UP
    rig.pass_time(0.4)
    assert rig.states[-1] is LinkState.STANDBY  # the points are not topical from here on
    rig.pass_time(2)
    assert rig.states[-1] is LinkState.DOWN
    assert rig.link_states() == {"A": LinkState.DOWN, "B": LinkState.DOWN}
    rig.connect("A")
    assert rig.states[-1] is LinkState.UP


def test_the_next_link_gets_its_turn(build):
    rig = Rig(build, **FOUR)
    rig.connect("A", "B", "C", "D")
    rig.stations["B"].mute = True
    rig.cut("A")
    rig.pass_time(2.5)
    assert rig.link_states() == {"A": LinkState.DOWN, "B": LinkState.DOWN, "C": LinkState.UP, "D": LinkState.STANDBY}
    assert rig.machine.links()[3].endpoint == "10.2.0.2:2405"
    assert "took over from B within 2" in rig.notices[-1][1]


def test_a_link_whose_test_is_open_is_the_last_choice(build):
    rig = Rig(build, **FOUR)
    rig.stations["B"].mute = True
    rig.connect("A", "B", "C")
    rig.cut("A")
    assert rig.link_states()["C"] is LinkState.UP


def test_nothing_goes_back_by_itself(rig):
    rig.cut("A")
    rig.connect("A")
    rig.pass_time(300)
    assert rig.link_states() == {"A": LinkState.STANDBY, "B": LinkState.UP}


def test_a_preferred_link_gets_back_when_it_has_stood_by_for_a_while(build):
    rig = Rig(build, **TWO, preferred_link="a", preferred_after_s=20)
    rig.connect("A", "B")
    rig.cut("A")
    rig.connect("A")
    rig.pass_time(19)
    assert rig.link_states()["A"] is LinkState.STANDBY
    rig.pass_time(2)
    assert rig.link_states() == {"A": LinkState.UP, "B": LinkState.STANDBY}
    assert rig.notices[-1][1].endswith("it is the preferred link")


def test_an_application_that_is_dead_behind_a_living_link(build):
    rig = Rig(build, **TWO, interrogation_s=10, confirmation_s=2, command_timeout_s=2, interrogation_retry_s=0)
    rig.stations["A"].answers_interrogations = False
    rig.connect("A", "B")
    rig.pass_time(20)
    assert rig.link_states()["A"] is LinkState.UP  # two in a row
    rig.pass_time(4)
    assert rig.link_states() == {"A": LinkState.STANDBY, "B": LinkState.UP}
    assert rig.notices[-1][1].endswith("3 interrogations in a row had no answer")
    rig.pass_time(100)
    assert rig.link_states()["B"] is LinkState.UP


def test_all_links_down_is_the_loss_of_the_channel(rig):
    rig.cut("B")
    rig.cut("A", "the station closed the connection")
    assert rig.states[-1] is LinkState.DOWN
    assert rig.link_states() == {"A": LinkState.DOWN, "B": LinkState.DOWN}
    rig.connect("B")
    assert rig.states[-1] is LinkState.UP
    rig.connect("A")
    assert rig.link_states() == {"A": LinkState.STANDBY, "B": LinkState.UP}


# ---------------------------------------------------------------- by hand


def test_what_cannot_be_switched_to_is_refused_with_the_reason(rig):
    rig.cut("B", "cannot connect: refused")
    reasons = [rig.done[rig.switch(name)].reason for name in ("A", "B", "X", "")]
    assert reasons == [
        "link A is in use already",
        "link B does not stand by: cannot connect: refused",
        "there is no link 'X'; there are A, B",
        "no link stands by",
    ]
    rig.cut("A")
    assert rig.done[rig.switch("A")].reason == "no link is connected"


def test_one_switch_at_a_time(rig):
    rig.stations["A"].refuses_to_stop = True
    first = rig.switch("B")
    assert rig.done[rig.switch("B")].reason == "a switch to B is under way"
    rig.pass_time(1)
    assert rig.done[first].outcome is Outcome.CONFIRMED


def test_a_target_that_goes_while_the_old_link_stops_gives_it_back(rig):
    rig.stations["A"].refuses_to_stop = True
    ticket = rig.switch("B")
    rig.cut("B")
    assert rig.done[ticket].outcome is Outcome.TIMEOUT
    answer = u_frame(UFunction.STOPDT_CON)
    rig.run(rig.machine.feed("A", answer, *rig.now()))
    assert rig.stations["A"].said[-2] == "STARTDT_ACT"
    assert rig.link_states() == {"A": LinkState.UP, "B": LinkState.DOWN}
    assert rig.statistics.switches == 0


def test_a_target_that_does_not_start_is_told_to_who_asked(rig):
    rig.stations["B"].mute = True
    ticket = rig.switch("B")
    rig.pass_time(3)
    assert rig.done[ticket].outcome is Outcome.TIMEOUT
    assert "link B did not take over" in rig.done[ticket].reason
    assert rig.link_states() == {"A": LinkState.UP, "B": LinkState.DOWN}


def test_a_command_under_way_is_reported_and_never_repeated(rig):
    rig.stations["A"].mute = True
    ticket, effects = rig.machine.channel.command(rig.control, 1, Step.EXECUTE, *rig.now())
    rig.run(rig.machine.spoken(effects, *rig.now()))
    assert ticket not in rig.done
    rig.cut("A")
    assert rig.done[ticket].outcome in {Outcome.LINK_DOWN, Outcome.TIMEOUT}
    rig.pass_time(30)
    commands = [said for said in rig.stations["B"].said if said[0] == "I" and said[3].type_id == 45]
    assert commands == []


def test_closing_tells_everybody(rig):
    rig.stations["A"].refuses_to_stop = True
    ticket = rig.switch("B")
    rig.run(rig.machine.shutdown(rig.clock.monotonic()))
    rig.run(rig.machine.closed("channel was closed"))
    assert rig.done[ticket].outcome is Outcome.TIMEOUT
    assert rig.states[-1] is LinkState.DOWN


# ---------------------------------------------------------------- once each


def test_events_that_the_station_sends_again_count_once(rig):
    rig.event("A", 2, 1, 1)
    for at, value in ((2, 0), (3, 1), (4, 0)):
        rig.event("A", 2, at, value, deliver=False)  # their acknowledgement never left
    rig.event("A", 3, 4, 1, deliver=False)
    rig.cut("A")
    for ioa, at, value in ((2, 2, 0), (2, 3, 1), (2, 4, 0), (3, 4, 1), (2, 5, 1), (3, 6, 0)):
        rig.event("B", ioa, at, value)
    assert rig.events() == [(2, 1), (2, 0), (2, 1), (2, 0), (3, 1), (2, 1), (3, 0)]
    assert rig.statistics.duplicates == 4


def test_a_contact_that_chatters_within_a_millisecond_loses_nothing(rig):
    for at, value in ((1, 1), (2, 0), (2, 1)):
        rig.event("A", 2, at, value, deliver=False)
    rig.cut("A")
    for at, value in ((2, 1), (2, 0), (2, 1)):  # the last of the old ones again, then two new ones in the same millisecond
        rig.event("B", 2, at, value)
    assert rig.events() == [(2, 1), (2, 0), (2, 1), (2, 0), (2, 1)]
    assert rig.statistics.duplicates == 1


def test_values_without_a_time_are_never_left_out(rig):
    asdu = single(1, Cause.SPONTANEOUS, 1, 1, b"\x01").encode()
    rig.run(rig.machine.feed("A", rig.stations["A"].tell(asdu), *rig.now()))
    rig.cut("A")
    before = len(rig.values)
    rig.run(rig.machine.feed("B", rig.stations["B"].tell(asdu), *rig.now()))
    assert len(rig.values) == before + 1


def test_what_repeats_long_after_the_first_event_is_news(rig):
    rig.event("A", 2, 1, 1)
    rig.event("A", 2, 2, 0)
    rig.cut("A")
    rig.pass_time(20)  # however late a station begins, it begins with what it repeats
    rig.event("B", 2, 1, 1)
    assert rig.events() == [(2, 1), (2, 0)]
    rig.pass_time(6)
    rig.event("B", 2, 2, 0)
    assert rig.events() == [(2, 1), (2, 0), (2, 0)]


def test_one_link_that_comes_back_counts_repeated_events_once_too(build):
    rig = Rig(build)
    rig.connect("A")
    rig.event("A", 2, 1, 1, deliver=False)
    rig.cut("A")
    rig.connect("A")
    rig.event("A", 2, 1, 1)
    rig.event("A", 2, 2, 0)
    assert rig.events() == [(2, 1), (2, 0)]
    assert rig.states == [
        LinkState.CONNECTING,
        LinkState.STANDBY,
        LinkState.UP,
        LinkState.DOWN,
        LinkState.CONNECTING,
        LinkState.STANDBY,
        LinkState.UP,
    ]
    assert rig.statistics.switches == 0
    assert rig.notices == []


def test_the_memory_of_events_is_bounded():
    kinds = [("pid", "u4"), ("value", "f8"), ("source_time", "i8"), ("quality", "u4"), ("flags", "u1")]
    known = DuplicateFilter(25)
    for turn in range(100):
        records = np.zeros(10, dtype=kinds)
        records["source_time"] = np.arange(1, 11) + 10 * turn
        assert known.fresh(records, turn) is None
    assert known._size <= 35
    known.switched()
    assert not known.fresh(records, 1000.0).any()
    records["flags"] = RecordFlag.REFRESH
    assert known.fresh(records, 1000.0).all()


def test_values_without_a_time_do_not_push_events_out_of_the_memory(rig):
    rig.event("A", 2, 1, 1, deliver=False)
    block = Asdu(1, Cause.SPONTANEOUS, 1, (InformationObject(1, b"\1"),) * 60)
    for _ in range(11):  # with the event: k frames without an acknowledgement
        rig.run(rig.machine.feed("A", rig.stations["A"].tell(block.encode()), *rig.now()))
    rig.cut("A")
    rig.event("B", 2, 1, 1)
    assert rig.events() == [(2, 1)]


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"host_b": "10.1.0.1"}, "two links go to the same address"),
        ({"port_b": 2405}, "port_b without host_b"),
        ({**TWO, "port_b": 70000}, "a port must be 1 .. 65535"),
        ({**TWO, "port_b": "x"}, "not a number"),
        ({**TWO, "preferred_link": "C"}, "preferred_link is 'C', there is no such link"),
        ({**TWO, "switch_timeout_s": 0}, "must be > 0"),
        ({**TWO, "application_failures": -1}, "application_failures >= 0"),
    ],
)
def test_wrong_parameters_are_refused(params, said):
    spec = ChannelSpec(0, "m", "north", "iec104", "10.1.0.1", 2404, "S", params)
    with pytest.raises(ConfigError, match=f"channel north: .*{said}"):
        RedundancyParameters.of(spec)
