"""The controlling station: playbooks against raw ASDUs, and a null modem to our own outstation."""

import math
import struct

import pytest

from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.protocols.driver import CommandResult, LinkState, Outcome
from scada.protocols.iec104 import asdu as asdus
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.apci import UFunction, i_frame, u_frame
from scada.protocols.iec104.asdu import Asdu, CommandElement, encode_command
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.commanding import Step
from scada.protocols.iec104.effects import Disconnect, Done, Notice, Send, StateChange, Values

NOW = 1_780_000_000_000_000_000


class Bench:
    """A channel and what a test puts into it."""

    def __init__(self, build, *, counters=False, **params):
        points = [build.point(0, 7, 13), build.point(1, 8, 3)]
        if counters:
            points.append(build.point(2, 9, 15))
        self.controls = [
            build.control(0, 100, 46),
            build.control(1, 101, 50, select=False, scale=2.0, offset=1.0),
            build.control(2, 102, 59),
            build.control(3, 103, 48, select=False, scale=100.0),
        ]
        self.channel = Channel(build.spec(**params), points, self.controls)
        self.apdus = build.apdus
        self.mono = 0.0
        self.sent = 0
        self.received = 0

    def go(self, effects):
        said = []
        for effect in effects:
            if isinstance(effect, Send):
                said += self.apdus(effect.data)
            else:
                said.append(effect)
        self.received += sum(1 for item in said if isinstance(item, tuple) and item[0] == "I")
        return said

    def start(self):
        said = self.go(self.channel.connected(self.mono))
        return said + self.go(self.channel.feed(u_frame(UFunction.STARTDT_CON), NOW, self.mono))

    def hear(self, *said):
        data = b""
        for asdu in said:
            data += i_frame(self.sent, self.received, asdu if isinstance(asdu, bytes) else asdu.encode())
            self.sent += 1
        effects = self.go(self.channel.feed(data, NOW, self.mono))
        return effects + self.go(self.channel.delivered(self.mono))

    def tick(self, seconds):
        self.mono += seconds
        self.channel.link._last_receive = self.mono
        self.channel.link._sent_at.clear()
        return self.go(self.channel.tick(NOW, self.mono))

    def command(self, index, value, step):
        ticket, effects = self.channel.command(self.controls[index], value, step, NOW, self.mono)
        return ticket, self.go(effects)

    def select(self, index, value):
        self.command(index, value, Step.SELECT)
        control = self.controls[index]
        said = con(control.address.type_id, control.address.ioa, value, select=True)
        assert results(self.hear(said)) == [(Outcome.CONFIRMED, "")]


@pytest.fixture
def bench(build):
    bench = Bench(build)
    bench.start()
    return bench


def con(type_id, ioa, value, cause=7, negative=False, **more):
    element = encode_command(type_id, CommandElement(value, **more))
    single = asdus.single(type_id, cause, 1, ioa, element)
    return Asdu(type_id, cause, 1, single.objects, negative)


def results(effects):
    return [(effect.result.outcome, effect.result.reason) for effect in effects if isinstance(effect, Done)]


def notices(effects):
    return [effect.kind for effect in effects if isinstance(effect, Notice)]


def sent(effects):
    return [
        (item[3].type_id, item[3].cause, item[3].common_address) for item in effects if isinstance(item, tuple) and item[0] == "I"
    ]


def test_start_is_startdt_then_clock_then_interrogation(build):
    bench = Bench(build)
    said = bench.start()
    assert said[0] == StateChange(LinkState.STANDBY, "connected, data transfer is being started")
    assert said[1] == "STARTDT_ACT"
    assert said[2] == StateChange(LinkState.UP, "data transfer started")
    assert sent(said) == [(103, 6, 1), (100, 6, 1)]
    assert cp56.from_octets(said[3][3].objects[0].element, NOW)[0] == NOW


def test_integrated_totals_are_read_after_the_start_and_periodically(build):
    bench = Bench(build, counters=True, counter_interrogation_s=60.0, interrogation_s=0.0, clock_sync_s=0.0)
    asked = bench.start()[-1]
    assert sent([asked]) == [(101, 6, 1)]
    assert asked[3].objects[0].element == bytes([5])
    assert sent(bench.tick(59)) == []
    assert sent(bench.tick(2)) == [(101, 6, 1)]


def test_zone_of_the_station_is_used_both_ways(build):
    bench = Bench(build, time_zone_minutes=480)
    clock = bench.start()[3][3].objects[0].element
    assert cp56.from_octets(clock, NOW, 480)[0] == NOW
    (values,) = [e for e in bench.hear(asdus.single(31, 3, 1, 8, b"\2" + clock)) if isinstance(e, Values)]
    assert values.batch.records["source_time"][0] == NOW


def test_values_of_one_read_come_as_one_batch_in_order(build):
    bench = Bench(build, counters=True)
    bench.start()
    short = struct.pack("<fB", 1.5, 0)
    effects = bench.hear(asdus.single(13, 3, 1, 7, short), asdus.single(3, 3, 1, 8, b"\2"), asdus.single(15, 37, 1, 9, bytes(5)))
    (values,) = [effect for effect in effects if isinstance(effect, Values)]
    assert values.batch.records["pid"].tolist() == [0, 1, 2]
    assert values.batch.records["channel"].tolist() == [3, 3, 3]
    assert values.batch.source == "north"
    assert values.batch.received_at == NOW
    assert bench.channel.statistics.values_in == 3


def test_acknowledgement_waits_for_delivery(build):
    bench = Bench(build)
    bench.start()
    data = b"".join(i_frame(n, 2, asdus.single(3, 3, 1, 8, b"\2").encode()) for n in range(8))
    effects = bench.go(bench.channel.feed(data, NOW, 0.0))
    assert [effect for effect in effects if isinstance(effect, tuple)] == []
    assert bench.go(bench.channel.delivered(0.0)) == [("S", 8)]


def test_unknown_address_and_wrong_type_are_told_once_and_left_out(bench):
    unknown = asdus.single(13, 3, 1, 999, bytes(5))
    wrong = asdus.single(11, 3, 1, 7, bytes(3))
    effects = bench.hear(unknown, unknown, wrong)
    assert notices(effects) == ["unknown_address", "type_mismatch"]
    assert not [effect for effect in effects if isinstance(effect, Values)]
    assert notices(bench.hear(unknown, wrong)) == []
    assert bench.channel.statistics.unknown_addresses == 5


def test_a_value_that_is_no_number_is_invalid(bench):
    effects = bench.hear(asdus.single(13, 3, 1, 7, struct.pack("<fB", math.nan, 0)))
    (record,) = next(effect for effect in effects if isinstance(effect, Values)).batch.records
    assert math.isnan(record["value"])
    assert record["quality"] == Quality.INVALID


def test_malformed_unknown_and_odd_asdus_are_told_and_passed_over(bench):
    effects = bench.hear(bytes.fromhex("0d0203000100"), asdus.single(3, 3, 1, 8, b"\1"))
    assert notices(effects) == ["malformed"]
    assert [e for e in effects if isinstance(e, Values)]
    effects = bench.hear(asdus.single(122, 13, 1, 0, bytes(4)))
    assert notices(effects) == ["unsupported_type"]
    assert sent(effects) == [(122, 44, 1)]
    assert notices(bench.hear(asdus.single(122, 44, 1, 0, bytes(4)))) == ["unexpected_asdu"]
    assert notices(bench.hear(bytes.fromhex("460104000100"))) == ["malformed"]  # end of initialisation without its octet
    assert bench.channel.statistics.malformed == 2


def test_refusals_that_wait_for_the_send_window_are_bounded(bench):
    out = bench.received
    for _ in range(30):
        bench.hear(*[asdus.single(122, 13, 1, 0, bytes(4))] * 100)
        bench.received = out  # it acknowledges nothing
    assert len(bench.channel._replies) == 1000
    assert bench.channel.link.outstanding == 12
    assert bench.channel.statistics.refused == 3000


def test_a_wrong_sequence_number_closes_with_its_reason(bench):
    effects = bench.go(bench.channel.feed(i_frame(5, 0, asdus.single(3, 3, 1, 8, b"\1").encode()), NOW, 0.0))
    assert effects == [
        Notice("protocol_fault", "N(S) = 5 leaves out 5, expected 0"),
        Disconnect("N(S) = 5 leaves out 5, expected 0"),
    ]


def test_values_under_test_are_left_out(bench):
    effects = bench.hear(Asdu(3, 3, 1, asdus.single(3, 3, 1, 8, b"\1").objects, test=True))
    assert not [effect for effect in effects if isinstance(effect, Values)]
    assert bench.channel.statistics.tests == 1


def test_end_of_initialisation_interrogates_again(bench):
    bench.hear(asdus.single(103, 7, 1, 0, cp56.to_octets(NOW)), asdus.single(100, 7, 1, 0, b"\x14"))
    effects = bench.hear(asdus.single(70, 4, 1, 0, b"\0"))
    assert notices(effects) == ["end_of_initialisation"]
    assert sent(effects) == [(103, 6, 1), (100, 6, 1)]


def test_interrogation_is_done_at_termination(bench):
    bench.hear(asdus.single(100, 7, 1, 0, b"\x14"), asdus.single(100, 10, 1, 0, b"\x14"))
    ticket, effects = bench.channel.interrogate(NOW, 0.0)
    assert sent(bench.go(effects)) == [(100, 6, 1)]
    assert results(bench.hear(asdus.single(100, 7, 1, 0, b"\x14"))) == []
    assert bench.hear(asdus.single(100, 10, 1, 0, b"\x14"))[0] == Done(ticket, CommandResult(Outcome.CONFIRMED, "CA 1: 0 values"))


def test_interrogation_that_never_ends_is_told(bench):
    _, effects = bench.channel.interrogate(NOW, 0.0)
    bench.go(effects)
    assert notices(bench.tick(9.9)) == []
    late = bench.tick(0.2)
    assert notices(late) == ["clock_sync_timeout", "interrogation_timeout"]
    assert results(late) == [(Outcome.TIMEOUT, "interrogation of CA 1 was not confirmed in time")]
    _ticket, effects = bench.channel.interrogate(NOW, bench.mono)
    bench.go(effects)
    bench.hear(asdus.single(100, 7, 1, 0, b"\x14"))
    assert results(bench.tick(121)) == [(Outcome.TIMEOUT, "interrogation of CA 1 was not terminated in time; 0 values came")]


def test_refusals_of_interrogation_and_clock_are_told(bench):
    refused = Asdu(100, 7, 1, asdus.single(100, 7, 1, 0, b"\x14").objects, negative=True)
    assert notices(bench.hear(refused)) == ["interrogation_refused"]
    clock = asdus.single(103, 46, 1, 0, cp56.to_octets(NOW))
    assert notices(bench.hear(clock)) == ["clock_sync_refused"]


def test_clock_skew_is_taken_from_the_confirmation(bench):
    bench.hear(asdus.single(103, 7, 1, 0, cp56.to_octets(NOW + 250_000_000)))
    assert bench.channel.statistics.clock_skew_s == pytest.approx(0.25, abs=1e-3)


def test_periodic_interrogation_and_synchronisation(build):
    bench = Bench(build, interrogation_s=100, clock_sync_s=60)
    bench.start()
    assert sent(bench.tick(59)) == []
    assert sent(bench.tick(1.5)) == [(103, 6, 1)]
    assert sent(bench.tick(40)) == [(100, 6, 1)]
    silent = Bench(build, interrogation_s=0, clock_sync_s=0)
    assert sent(silent.start()) == [(100, 6, 1)]
    assert sent(silent.tick(5000)) == []


def test_broadcast_is_used_only_where_asked_and_allowed(build):
    bench = Bench(build, broadcast=1)
    assert sent(bench.start()) == [(103, 6, 65535), (100, 6, 65535)]
    bench.hear(asdus.single(100, 7, 1, 0, b"\x14"))
    _ticket, said = bench.command(0, 2, Step.SELECT)
    assert sent(said) == [(46, 6, 1)]


def test_select_check_back_execute(bench):
    _, said = bench.command(0, 2, Step.SELECT)
    assert said[0][3].objects[0].element == b"\x82"
    assert results(bench.hear(con(46, 100, 2, select=True))) == [(Outcome.CONFIRMED, "")]
    _ticket, said = bench.command(0, 2, Step.EXECUTE)
    assert said[0][3].objects[0].element == b"\x02"
    assert results(bench.hear(con(46, 100, 2), con(46, 100, 2, cause=10))) == [(Outcome.CONFIRMED, "")]


def test_set_points_are_sent_in_raw_units(bench):
    _, said = bench.command(1, 6.0, Step.EXECUTE)
    assert struct.unpack("<fB", said[0][3].objects[0].element) == (2.5, 0)
    _, said = bench.command(3, -50.0, Step.EXECUTE)
    assert struct.unpack("<hB", said[0][3].objects[0].element) == (-16384, 0)
    assert results(bench.hear(con(48, 103, -0.5))) == [(Outcome.CONFIRMED, "")]


def test_cancel_is_a_deactivation(bench):
    _, said = bench.command(0, 2, Step.CANCEL)
    assert (said[0][3].cause, said[0][3].objects[0].element) == (8, b"\x82")
    assert results(bench.hear(con(46, 100, 2, cause=9, select=True))) == [(Outcome.CONFIRMED, "")]


def test_time_tagged_commands_carry_the_time_of_sending(bench):
    _, said = bench.command(2, 1, Step.SELECT)
    element = said[0][3].objects[0].element
    assert element[0] == 0x81
    assert cp56.from_octets(element[1:], NOW)[0] == NOW


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (con(46, 100, 2, select=True, negative=True), "station refused the select (negative confirmation)"),
        (con(46, 100, 2, cause=44, select=True), "station answered: unknown type identification (cause 44)"),
        (con(46, 100, 2, cause=45, select=True, negative=True), "station answered: unknown cause of transmission (cause 45)"),
        (con(46, 100, 2, cause=46, select=True), "station answered: unknown common address (cause 46)"),
        (con(46, 100, 2, cause=47, select=True), "station answered: unknown information object address (cause 47)"),
        (
            con(46, 100, 1, select=True),
            "check-back differs: 2 (qualifier 0) was sent, the station confirmed 1 (qualifier 0)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_refusal_is_told_apart(bench, answer, words):
    bench.command(0, 2, Step.SELECT)
    assert results(bench.hear(answer)) == [(Outcome.REFUSED, words)]


def test_answers_to_something_else_do_not_confirm(bench):
    bench.select(0, 2)
    bench.command(0, 2, Step.EXECUTE)
    strays = [con(46, 100, 2, select=True), con(46, 100, 2, cause=9), con(45, 100, 1), con(46, 101, 2)]
    effects = bench.hear(*strays)
    assert results(effects) == []
    assert notices(effects) == ["stray_confirmation"] * 4
    assert results(bench.hear(con(46, 100, 2))) == [(Outcome.CONFIRMED, "")]
    assert notices(bench.hear(con(46, 100, 2))) == ["stray_confirmation"]
    assert notices(bench.hear(con(46, 100, 2, cause=10, negative=True))) == ["command_terminated"]


def test_a_step_without_answer_times_out_and_says_what_is_not_known(bench):
    bench.select(0, 2)
    bench.command(0, 2, Step.EXECUTE)
    assert results(bench.tick(9.9)) == []
    assert results(bench.tick(0.2)) == [(Outcome.TIMEOUT, "no confirmation of the execute; it may have been carried out")]


def test_a_command_that_cannot_leave_in_time_never_leaves(build):
    bench = Bench(build, k=2)
    bench.start()  # clock synchronisation and interrogation fill the window
    _, said = bench.command(1, 2, Step.EXECUTE)
    assert said == []
    bench.mono = 10.5
    late = bench.go(bench.channel.tick(NOW, bench.mono))
    assert results(late) == [(Outcome.TIMEOUT, "execute was not sent: the station acknowledges nothing")]
    effects = bench.hear(asdus.single(3, 3, 1, 8, b"\1"))  # acknowledges both
    assert sent(effects) == []


def test_commands_go_before_other_requests(build):
    bench = Bench(build, k=1)
    bench.start()
    bench.received = 1
    bench.command(0, 2, Step.SELECT)
    effects = bench.hear(asdus.single(103, 7, 1, 0, cp56.to_octets(NOW)))
    assert sent(effects) == [(46, 6, 1)]


def test_nothing_is_repeated_after_a_loss(bench):
    select, _ = bench.command(0, 2, Step.SELECT)
    wish, _effects = bench.channel.interrogate(NOW, 0.0)
    lost = bench.channel.lost("cable cut")
    assert lost[0].ticket == select
    assert lost[0].result.outcome is Outcome.TIMEOUT
    assert lost[1].ticket == wish
    assert lost[1].result.outcome is Outcome.LINK_DOWN
    assert lost[-1] == StateChange(LinkState.DOWN, "cable cut")
    bench.sent = bench.received = 0
    assert sent(bench.start()) == [(103, 6, 1), (100, 6, 1)]


def test_orders_that_cannot_be_given(build, bench):
    assert results(bench.command(0, 3, Step.EXECUTE)[1])[0][0] is Outcome.UNSUPPORTED
    assert results(bench.command(1, math.nan, Step.EXECUTE)[1])[0][0] is Outcome.UNSUPPORTED
    assert results(bench.command(3, 100.0, Step.EXECUTE)[1])[0][0] is Outcome.UNSUPPORTED
    assert results(bench.command(1, 1.0, Step.CANCEL)[1])[0][0] is Outcome.UNSUPPORTED
    bench.command(0, 2, Step.SELECT)
    assert results(bench.command(0, 1, Step.SELECT)[1]) == [(Outcome.REFUSED, "not sent: another step of this object waits")]
    down = Bench(build)
    assert results(down.command(0, 2, Step.SELECT)[1]) == [(Outcome.LINK_DOWN, "not sent: the channel is down")]


def test_parameters_are_checked(build):
    for params in ({"interrogation_s": "often"}, {"clock_sync_s": -1}, {"originator": 256}, {"command_qualifier": 32}, {"k": 0}):
        with pytest.raises(ConfigError, match="channel north"):
            Channel(build.spec(**params), [], [])


def test_together_with_our_own_outstation(build):
    points = [build.point(i, 100 + i, 13, scale=0.5) for i in range(300)] + [build.point(300, 1000, 3)]
    controls = [build.control(0, 5000, 46)]

    def operate(asked):
        if asked.step == "execute":
            modem.outstation.update([300], asked.value)
        return True

    modem = build.NullModem(points, controls, on_command=operate)
    modem.outstation.update(range(300), [i * 0.5 for i in range(300)])
    modem.outstation.update([300], 1)
    modem.connect()
    assert modem.states == [LinkState.STANDBY, LinkState.UP]
    last = modem.last()
    assert [last[pid]["value"] for pid in range(300)] == [i * 0.5 for i in range(300)]
    assert last[300]["value"] == 1
    assert modem.command(controls[0], 2, Step.EXECUTE).outcome is Outcome.REFUSED
    assert modem.command(controls[0], 2, Step.SELECT).outcome is Outcome.CONFIRMED
    assert modem.command(controls[0], 2, Step.EXECUTE).outcome is Outcome.CONFIRMED
    modem.pump()
    assert modem.last()[300]["value"] == 2
    assert modem.last()[300]["type_id"] == 31
    modem.pass_time(3600, step=2.0)
    assert modem.disconnects == []
    assert modem.channel.statistics.malformed == 0
