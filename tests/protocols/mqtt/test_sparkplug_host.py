"""The Sparkplug host machine alone: births, aliases, gaps, deaths, types. No broker, no clock."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scadapb.sparkplug import payload_pb2 as pb

from scada.core.batch import RecordFlag
from scada.core.quality import Quality
from scada.model_cim.tables import PointKind
from scada.protocols.driver import ChannelStatistics
from scada.protocols.mqtt.address import Metric, MqttAddressError, Node, Topic, parse_address
from scada.protocols.mqtt.host import REBIRTH_NS, Notice, Publish, Seen, SparkplugHost
from scada.protocols.mqtt.readings import GONE, LastValues, Reading, number_of, quality_of
from scada.protocols.mqtt.sparkplug import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    INT8,
    INT16,
    INT32,
    INT64,
    STRING,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    SparkplugError,
    decode,
    encode_command,
)

NODE = Node("G", "N")
P, S, P0 = Metric(NODE, "D", "P"), Metric(NODE, "D", "S"), Metric(NODE, "", "P0")
NOW = 1_780_000_000_000_000_000


class Rig:
    def __init__(self, mqtt):
        self.make = mqtt
        self.points = {
            P: [mqtt.point(0, "P", str(P))],
            S: [mqtt.point(1, "S", str(S), PointKind.STATUS)],
            P0: [mqtt.point(2, "P0", str(P0))],
        }
        self.statistics = ChannelStatistics()
        self.host = SparkplugHost(self.points, [NODE], self.statistics)
        self.now = NOW

    def say(self, kind, *metrics, seq=None, device="", at=NOW // 10**6):
        topic = f"spBv1.0/G/{kind}/N" + (f"/{device}" if device else "")
        return self.host.feed(topic, self.make.payload(*metrics, seq=seq, at=at), self.now)

    def born(self, bd_seq=0):
        m = self.make.metric
        effects = self.say("NBIRTH", m("bdSeq", bd_seq, "int"), m("P0", 1.5, alias=10), seq=0)
        return effects + self.say("DBIRTH", m("P", 2.5, "float", alias=1), m("S", False, "bool", alias=2), seq=1, device="D")


@pytest.fixture
def rig(mqtt):
    return Rig(mqtt)


def told(effects):
    return [(one.point.name, one.value, one.quality, one.flags) for one in effects if isinstance(one, Reading)]


def requests(effects):
    return [one for one in effects if isinstance(one, Publish)]


def test_a_new_connection_asks_every_node_for_its_birth(rig):
    [request] = rig.host.connected(rig.now)
    assert request.topic == "spBv1.0/G/NCMD/N"
    [metric] = pb.Payload.FromString(request.payload).metrics
    assert (metric.name, metric.datatype, metric.boolean_value) == ("Node Control/Rebirth", BOOLEAN, True)


def test_births_are_refresh_and_data_goes_by_alias(rig):
    assert told(rig.born()) == [
        ("P0", 1.5, 0, RecordFlag.REFRESH),
        ("P", 2.5, 0, RecordFlag.REFRESH),
        ("S", 0.0, 0, RecordFlag.REFRESH),
    ]
    effects = rig.say("DDATA", rig.make.metric("", 3.5, "float", alias=1, timestamp=5), seq=2, device="D")
    assert told(effects) == [("P", 3.5, 0, 0)]
    assert effects[0].time_ns == 5_000_000
    assert rig.statistics.lost_frames == 0


def test_data_before_a_birth_is_not_guessed_and_a_birth_is_asked_for_once_in_ten_seconds(rig):
    effects = rig.say("DDATA", rig.make.metric("", 3.5, alias=1), seq=7, device="D")
    assert told(effects) == []
    assert len(requests(effects)) == 1
    assert requests(rig.say("DDATA", rig.make.metric("", 3.5, alias=1), seq=8, device="D")) == []
    rig.now += REBIRTH_NS
    assert len(requests(rig.say("DDATA", rig.make.metric("", 3.5, alias=1), seq=9, device="D"))) == 1


def test_a_gap_is_counted_makes_the_node_not_topical_and_aliases_mean_nothing_until_it_is_born_again(rig):
    rig.born()
    effects = rig.say("DDATA", rig.make.metric("", 9.0, "float", alias=1), seq=5, device="D")
    assert rig.statistics.lost_frames == 3 + 1
    assert {(name, quality) for name, _, quality, _ in told(effects)} == {("P0", GONE), ("P", GONE), ("S", GONE)}
    assert all(math.isnan(value) for _, value, _, _ in told(effects))
    assert len(requests(effects)) == 1
    assert "3 messages are missing" in next(one.text for one in effects if isinstance(one, Notice))
    named = rig.say("DDATA", rig.make.metric("P", 8.0, "float"), seq=6, device="D")
    assert told(named) == [("P", 8.0, 0, 0)], "a value under its own name is what it says"
    assert told(rig.born())[1] == ("P", 2.5, 0, RecordFlag.REFRESH)
    assert told(rig.say("DDATA", rig.make.metric("", 3.0, "float", alias=1), seq=2, device="D")) == [("P", 3.0, 0, 0)]


def test_a_gap_right_after_a_birth_is_mended_at_once_and_a_lost_request_is_repeated(rig):
    rig.host.connected(rig.now)
    rig.born()
    assert len(requests(rig.say("DDATA", rig.make.metric("", 9.0, alias=1), seq=5, device="D"))) == 1
    assert rig.host.tick(rig.now) == []
    rig.now += REBIRTH_NS
    assert len(requests(rig.host.tick(rig.now))) == 1
    rig.born()
    rig.now += REBIRTH_NS
    assert rig.host.tick(rig.now) == []


def test_numbers_wrap_at_256(rig):
    rig.born()
    for number in range(2, 600):
        rig.say("DDATA", rig.make.metric("", 1.0, "float", alias=1), seq=number % 256, device="D")
    assert rig.statistics.lost_frames == 0


def test_a_death_counts_only_for_its_own_session(rig):
    rig.born(bd_seq=4)
    assert rig.say("NDEATH", rig.make.metric("bdSeq", 3, "int")) == [], "the will of the session before came late"
    effects = rig.say("NDEATH", rig.make.metric("bdSeq", 4, "int"))
    assert {name for name, _, quality, _ in told(effects) if quality == GONE} == {"P0", "P", "S"}
    assert Seen(P, None) in effects
    with pytest.raises(SparkplugError, match="not connected"):
        rig.host.command(P, 1.0, rig.now)


def test_a_device_dies_alone(rig):
    rig.born()
    effects = rig.say("DDEATH", seq=2, device="D")
    assert {name for name, *_ in told(effects)} == {"P", "S"}
    assert told(rig.say("NDATA", rig.make.metric("", 7.0, alias=10), seq=3)) == [("P0", 7.0, 0, 0)]


def test_a_new_session_without_a_death_makes_its_devices_wait_for_their_birth(rig):
    rig.born(bd_seq=1)
    effects = rig.say("NBIRTH", rig.make.metric("bdSeq", 2, "int"), rig.make.metric("P0", 1.0), seq=0)
    assert {name for name, _, quality, _ in told(effects) if quality == GONE} == {"P", "S"}


def test_a_birth_on_request_leaves_the_devices_as_they_are(rig):
    rig.born(bd_seq=1)
    effects = rig.say("NBIRTH", rig.make.metric("bdSeq", 1, "int"), rig.make.metric("P0", 1.0, alias=10), seq=0)
    assert told(effects) == [("P0", 1.0, 0, RecordFlag.REFRESH)]
    assert told(rig.say("DDATA", rig.make.metric("", 4.0, "float", alias=1), seq=1, device="D")) == [("P", 4.0, 0, 0)]


def test_historical_null_and_quality(rig):
    rig.born()
    m = rig.make.metric
    effects = rig.say(
        "DDATA",
        m("", 1.0, "float", alias=1, is_historical=True),
        m("", None, "float", alias=1),
        m("", 5.0, "float", alias=1, quality=500),
        m("", 5.0, "float", alias=1, quality=0),
        seq=2,
        device="D",
    )
    assert told(effects)[0] == ("P", 1.0, 0, RecordFlag.BACKFILL)
    assert math.isnan(told(effects)[1][1])
    assert [quality for _, _, quality, _ in told(effects)[2:]] == [Quality.NOT_TOPICAL, Quality.INVALID]
    last = LastValues(rig.points[P])
    last.batch([Reading(rig.points[P][0], 4.0)], 1, 0, "")
    records = last.batch([one for one in effects if isinstance(one, Reading)], 1, 0, "").records
    assert records["value"].tolist() == [1.0, 4.0, 5.0, 5.0], "a late value is not the last one; a null leaves the last one"
    assert records["quality"].tolist() == [0, Quality.INVALID, Quality.NOT_TOPICAL, Quality.INVALID]


def test_a_null_is_never_the_present_value_at_another_time_nor_a_usable_one(rig):
    point = rig.points[P][0]
    last = LastValues([point])
    readings = [
        Reading(point, 4.0),
        Reading(point, math.nan, 0, 5, int(RecordFlag.BACKFILL)),
        Reading(point, math.nan, int(Quality.QUESTIONABLE)),
    ]
    records = last.batch(readings, 1, 0, "").records
    assert math.isnan(records["value"][1]), "what was not known then is not what is known now"
    assert records["quality"].tolist() == [0, Quality.INVALID, Quality.INVALID | Quality.QUESTIONABLE]


def test_an_alias_belongs_to_the_node_or_device_that_was_born_with_it(rig):
    """A node must not give two metrics one alias; one that numbers each device by itself gives no value to another's metric."""
    m = rig.make.metric
    rig.born()
    rig.say("DBIRTH", m("Q", 7.0, "float", alias=1), seq=2, device="E")
    assert told(rig.say("DDATA", m("", 3.5, "float", alias=1), seq=3, device="D")) == [("P", 3.5, 0, 0)]
    assert told(rig.say("DDATA", m("", 9.5, "float", alias=1), seq=4, device="E")) == []
    assert told(rig.say("NDATA", m("", 9.5, "float", alias=1), seq=5)) == []


def test_an_alias_that_one_birth_gives_twice_means_nothing(rig):
    m = rig.make.metric
    rig.born()
    effects = rig.say("DBIRTH", m("P", 1.0, "float", alias=1), m("S", False, "bool", alias=1), seq=2, device="D")
    assert "alias 1" in next(one.text for one in effects if isinstance(one, Notice))
    assert told(rig.say("DDATA", m("", True, "bool", alias=1), seq=3, device="D")) == []
    assert told(rig.say("DDATA", m("P", 2.0, "float"), seq=4, device="D")) == [("P", 2.0, 0, 0)]


def test_metrics_nobody_modelled_are_counted_and_told_once(rig):
    rig.born()
    notices = []
    for number in range(3):
        effects = rig.say("NDATA", rig.make.metric("Other", 1.0), seq=2 + number)
        notices += [one for one in effects if isinstance(one, Notice)]
    assert rig.statistics.unknown_addresses == 3
    assert len(notices) == 1


def test_a_birth_without_a_modelled_metric_says_so(rig):
    effects = rig.say("NBIRTH", rig.make.metric("bdSeq", 1, "int"), seq=0)
    assert any("'P0'" in one.text for one in effects if isinstance(one, Notice))


def test_what_is_for_others_is_passed_over(rig):
    for topic in ("spBv1.0/G/NDATA/Other", "spBv1.0/STATE/main", "spBv1.0/G/NCMD/N", "spBv1.0/G/NDATA/N/D/x", "a"):
        assert rig.host.feed(topic, b"\xff", rig.now) == []
    assert rig.statistics.malformed == 0


def test_an_interrogation_waits_for_node_and_devices(rig):
    rig.born()
    rig.host.interrogate(rig.now)
    assert rig.host.awaited == {(NODE, ""), (NODE, "D")}
    rig.born()
    assert rig.host.awaited == set()


def test_the_skew_of_the_nodes_clock_is_known(rig):
    rig.say("NBIRTH", rig.make.metric("bdSeq", 1, "int"), seq=0, at=NOW // 10**6 + 1500)
    assert rig.statistics.clock_skew_s == 1.5


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (INT8, -128),
        (INT16, -2),
        (INT32, -(2**31)),
        (INT64, -(2**63)),
        (UINT8, 255),
        (UINT16, 65535),
        (UINT32, 2**32 - 1),
        (UINT64, 2**64 - 1),
        (DOUBLE, 0.1),
        (FLOAT, 0.5),
        (BOOLEAN, True),
        (STRING, "on"),
    ],
)
def test_every_type_there_and_back(kind, value):
    [metric] = decode(encode_command("x", 1, kind, value, NOW)).metrics
    assert metric.value == value


@pytest.mark.parametrize(
    ("kind", "value"), [(INT8, 128), (UINT8, -1), (INT16, 1.5), (FLOAT, 1e39), (BOOLEAN, 2), (DOUBLE, math.nan), (19, 1)]
)
def test_a_value_that_a_type_cannot_hold_is_not_sent(kind, value):
    with pytest.raises(SparkplugError):
        encode_command("x", None, kind, value, NOW)


@given(st.binary(max_size=60), st.sampled_from(["NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"]))
def test_no_payload_raises_or_invents_a_value_before_a_birth(data, kind):
    point = type("Rigless", (), {})
    statistics = ChannelStatistics()
    host = SparkplugHost({P: [point]}, [NODE], statistics)
    topic = f"spBv1.0/G/{kind}/N" + ("/D" if kind[0] == "D" else "")
    effects = host.feed(topic, data, NOW)
    assert all(math.isnan(one.value) and one.quality == GONE for one in effects if isinstance(one, Reading))


@pytest.mark.parametrize("text", ["", "a/+/b", "spBv1.0/G/N", "spBv1.0/G#x", "spBv1.0/G/N/D/E#x", "spBv1.0//N#x"])
def test_addresses_that_are_none(text):
    with pytest.raises(MqttAddressError):
        parse_address(text)


def test_addresses_and_their_text():
    assert parse_address("spBv1.0/G/N#P0") == P0
    assert parse_address("a/b#c.d") == Topic("a/b", "c.d")
    assert str(P) == "G/N/D#P"


def test_numbers_words_and_labels(mqtt):
    double = mqtt.point(0, "B", "x", PointKind.DOUBLE, states={1: "open", 2: "closed"})
    assert [number_of(double, raw) for raw in (True, False, "Closed", "1", 3)] == [2, 1, 2, 1, 3]
    assert math.isnan(number_of(double, "ajar"))
    assert math.isnan(number_of(double, None))
    assert quality_of("nonsense") == quality_of(None) == Quality.INVALID
