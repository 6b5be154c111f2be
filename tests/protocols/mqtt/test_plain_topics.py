"""Plain payloads: fields, times, qualities, commands and their answers; parameters of a channel."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.core.batch import RecordFlag
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.model_cim.tables import ChannelSpec, ControlKind, PointKind
from scada.protocols.driver import Outcome
from scada.protocols.mqtt.address import Topic
from scada.protocols.mqtt.packets import MqttDescriber, publish_packet
from scada.protocols.mqtt.parameters import MqttParameters
from scada.protocols.mqtt.plain import PayloadError, PayloadFields, PlainTopics, command_payload, response_of
from scada.protocols.mqtt.readings import LastValues, command_value

FIELDS = PayloadFields(time="t", quality="q")


def topics(mqtt, *addresses, fields=FIELDS, kind=PointKind.ANALOG):
    return PlainTopics([(address, mqtt.point(n, f"P{n}", "x", kind)) for n, address in enumerate(addresses)], fields)


def test_one_payload_feeds_several_points_and_a_missing_field_says_nothing(mqtt):
    plain = topics(mqtt, Topic("m", "p.kw"), Topic("m", "u.0"), Topic("m", "absent"))
    readings = plain.read("m", b'{"p": {"kw": 2.5}, "u": [231], "t": 5, "q": "good"}', retained=False)
    assert [(one.point.pid, one.value, one.time_ns, one.quality, one.flags) for one in readings] == [
        (0, 2.5, 5_000_000, 0, 0),
        (1, 231.0, 5_000_000, 0, 0),
    ]


def test_what_the_broker_kept_is_refresh(mqtt):
    [reading] = topics(mqtt, Topic("m")).read("m", b"7.5", retained=True)
    assert (reading.value, reading.flags) == (7.5, RecordFlag.REFRESH)


@pytest.mark.parametrize(
    ("said", "time_ns", "quality"),
    [
        ('"2026-05-28T20:26:40.125+00:00"', 1_780_000_000_125_000_000, 0),
        ('"2026-05-29T04:26:40.125+08:00"', 1_780_000_000_125_000_000, 0),
        ('"2026-05-28T20:26:40"', 0, Quality.TIME_INVALID),  # without a zone it would be a guess
        ('"yesterday"', 0, Quality.TIME_INVALID),
        ("1780000000125", 1_780_000_000_125_000_000, 0),
        ("true", 0, Quality.TIME_INVALID),
        ("-5", 0, Quality.TIME_INVALID),
        ("1e300", 0, Quality.TIME_INVALID),
        ("1e308", 0, Quality.TIME_INVALID),
        ("1" + 400 * "0", 0, Quality.TIME_INVALID),
        ('"9999-12-31T00:00:00Z"', 0, Quality.TIME_INVALID),  # beyond what nanoseconds can say
        ('"0001-01-01T00:00:00+00:00"', 0, Quality.TIME_INVALID),
        ('"1601-01-01T00:00:00Z"', 0, Quality.TIME_INVALID),
        ("NaN", 0, Quality.TIME_INVALID),
    ],
)
def test_times(mqtt, said, time_ns, quality):
    [reading] = topics(mqtt, Topic("m", "v")).read("m", f'{{"v": 1, "t": {said}}}'.encode(), retained=False)
    assert (reading.time_ns, reading.quality) == (time_ns, quality)


@pytest.mark.parametrize("payload", [b"", b"twelve", b"\xff", b"{}"])
def test_a_payload_that_is_no_number_is_told(mqtt, payload):
    with pytest.raises(PayloadError):
        topics(mqtt, Topic("m")).read("m", payload, retained=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=80))
def test_no_payload_raises_anything_else(mqtt, data):
    plain = topics(mqtt, Topic("m", "v"), Topic("m"))
    try:
        readings = plain.read("m", data, retained=False)
    except PayloadError:
        return
    assert all(isinstance(one.value, float) for one in readings)


def test_a_field_that_is_no_number_is_invalid_not_zero(mqtt):
    [reading] = topics(mqtt, Topic("m", "v")).read("m", b'{"v": "broken"}', retained=False)
    assert math.isnan(reading.value)


@pytest.mark.parametrize("said", ["1" + 400 * "0", "-1" + 400 * "0", "1e999"])
def test_numbers_beyond_all_measure_are_invalid_and_end_nothing(mqtt, said):
    plain, point = topics(mqtt, Topic("m", "v")), mqtt.point(0, "P0", "x")
    readings = plain.read("m", f'{{"v": {said}}}'.encode(), retained=False)
    assert LastValues([point]).batch(readings, 1, 0, "").records["quality"].tolist() == [Quality.INVALID]
    [marked] = plain.read("m", f'{{"v": 1, "q": {said}}}'.encode(), retained=False)
    assert marked.quality == Quality.INVALID
    assert response_of(Topic("c"), said.encode(), 2.5, 9).outcome is Outcome.REFUSED


def test_an_answer_that_is_nested_beyond_all_measure_is_a_refusal():
    assert response_of(Topic("c"), 100_000 * b"[", 2.5, 9).outcome is Outcome.REFUSED


def test_commands_and_their_answers():
    field, bare = Topic("c", "v"), Topic("c")
    assert command_payload(bare, 2.5, 9, 0) == b"2.5"
    assert response_of(field, b'{"id": 9, "ok": true}', 2.5, 9).outcome is Outcome.CONFIRMED
    assert response_of(field, b'{"id": 8, "ok": true}', 2.5, 9) is None, "the answer to another command"
    refused = response_of(field, b'{"id": 9, "ok": false, "reason": "sealed"}', 2.5, 9)
    assert (refused.outcome, refused.reason) == (Outcome.REFUSED, "sealed")
    assert response_of(bare, b"2.5", 2.5, 9).outcome is Outcome.CONFIRMED
    assert response_of(bare, b"2.0", 2.5, 9).outcome is Outcome.REFUSED
    assert response_of(bare, b"locked", 2.5, 9).reason == "locked"
    assert response_of(bare, b"\xff", 2.5, 9).outcome is Outcome.REFUSED


def test_what_is_sent_for_each_kind_of_control():
    assert command_value(ControlKind.SETPOINT, 30.0, scale=10.0, offset=5.0, truth=False) == 2.5
    assert command_value(ControlKind.DOUBLE, 2.0, scale=1.0, offset=0.0, truth=True) is True
    assert command_value(ControlKind.DOUBLE, 1.0, scale=1.0, offset=0.0, truth=True) is False
    assert command_value(ControlKind.SINGLE, 1.0, scale=1.0, offset=0.0, truth=True) is True
    assert command_value(ControlKind.DOUBLE, 2.0, scale=1.0, offset=0.0, truth=False) == 2.0


def test_packets_are_described_whole_although_they_come_in_pieces(mqtt):
    data = publish_packet("m/P", b"x" * 300, qos=1, mid=7)
    data += publish_packet("spBv1.0/G/NDATA/N", mqtt.payload(mqtt.metric("P", 2.5), seq=4))
    describer = MqttDescriber()
    frames = [frame for octet in data for frame in describer.feed(bytes([octet]), received=True)]
    assert b"".join(frame.data for frame in frames) == data
    assert frames[0].text.startswith("PUBLISH m/P QoS 1: xxx")
    assert frames[1].text == "PUBLISH spBv1.0/G/NDATA/N QoS 0: seq 4; P = 2.5"


@given(st.binary(max_size=200))
def test_the_describer_takes_any_octets(data):
    MqttDescriber().feed(data, received=False)


def spec(**params):
    return ChannelSpec(0, "m", "broker", "mqtt", "127.0.0.1", 1883, "S", params)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"qos": 2}, "qos"),
        ({"qos": 0.5}, "qos"),
        ({"timeout_s": "soon"}, "timeout_s"),
        ({"session": "kept"}, "client_id"),
        ({"session": "some"}, "clean or kept"),
        ({"mqtt_version": 4.0}, "mqtt_version"),
        ({"pasword": "x"}, "pasword"),
    ],
)
def test_parameters_that_cannot_be_used(params, said):
    with pytest.raises(ConfigError, match=said):
        MqttParameters.of(spec(**params))


def test_the_password_comes_from_the_environment_or_a_file_of_ones_own(tmp_path):
    assert MqttParameters.of(spec()).known_password("c") is None
    named = MqttParameters.of(spec(password_env="BROKER_PASSWORD"))
    assert named.known_password("c", {"BROKER_PASSWORD": "x"}) == "x"
    with pytest.raises(ConfigError, match="no BROKER_PASSWORD"):
        named.known_password("c", {})
    path = tmp_path / "password"
    path.write_text("y\n")
    path.chmod(0o644)
    filed = MqttParameters.of(spec(password_file=str(path)))
    with pytest.raises(ConfigError, match="others may read"):
        filed.known_password("c")
    path.chmod(0o600)
    assert filed.known_password("c") == "y"
