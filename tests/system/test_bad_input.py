"""Bad input from the field: one clear line, one event, no traceback, nothing lost or made up, the rest goes on."""

import math

import numpy as np
import pytest
from system.conftest import BAD, plain
from system.proofs import proves_life, told_once
from system.raw_rtu import asdu

from scada.actors.channel import LOST
from scada.core.quality import Quality
from scada.protocols.driver import LinkState


@pytest.fixture
def bad(plant):
    """The misbehaving station, connected."""
    rtu = plant.rtus[BAD]
    plant.until(lambda: next(v for v in plant.system.channel_views if v.spec.name == BAD).state is LinkState.UP, 15)
    return rtu


def test_a_value_in_order_arrives(plant, bad, tables):
    point = plain(tables, BAD, 13)[0]
    bad.analog(point.address.ioa, 12.5)
    plant.until(lambda: plant.value(point.pid) == (pytest.approx(12.5 * point.scale + point.offset), 0))
    proves_life(plant, tables)


def test_an_address_the_model_does_not_know(plant, bad, tables):
    before = plant.snapshot()
    for _ in range(5):
        bad.analog(16_000_000, 1.0)
    told_once(plant, "protocol.unknown_address", "CA 5", "16000000", "left out")
    np.testing.assert_array_equal(plant.snapshot()[1][: len(before[1])], before[1])
    proves_life(plant, tables)


def test_a_type_the_model_does_not_expect(plant, bad, tables):
    point = plain(tables, BAD, 13)[1]
    before = plant.value(point.pid)
    bad.double(point.address.ioa, 2)
    told_once(plant, "protocol.type_mismatch", point.path)
    assert str(plant.value(point.pid)) == str(before)


def test_an_unknown_type_is_refused(plant, bad, tables):
    bad.send(asdu(200, 3, 5, (1, b"\x00")))
    told_once(plant, "protocol.unsupported_type", "type 200", "refused")
    plant.until(lambda: any(data[0] == 200 and data[2] & 0x3F == 44 for data in bad.received), what="the refusal on the wire")
    proves_life(plant, tables)


def test_not_a_number(plant, bad, tables):
    point = plain(tables, BAD, 13)[2]
    bad.analog(point.address.ioa, 7.0)
    plant.until(lambda: plant.value(point.pid)[0] == pytest.approx(7.0 * point.scale))
    for _ in range(3):
        bad.analog(point.address.ioa, math.nan)
    told_once(plant, "protocol.not_a_number", point.path)
    plant.until(lambda: math.isnan(plant.value(point.pid)[0]))
    assert plant.value(point.pid)[1] & Quality.INVALID
    bad.analog(point.address.ioa, 8.0)
    plant.until(lambda: plant.value(point.pid) == (pytest.approx(8.0 * point.scale), 0), what="good again")


def test_a_malformed_asdu(plant, bad, tables):
    connections = bad.connections
    bad.send(asdu(13, 3, 5, (1, b"\x00"), vsq=9))
    told_once(plant, "protocol.malformed", "13")
    proves_life(plant, tables)
    assert bad.connections == connections


def test_a_malformed_frame_ends_the_connection(plant, bad, tables):
    point = plain(tables, BAD, 13)[0]
    bad.analog(point.address.ioa, 99.0)
    plant.until(lambda: plant.value(point.pid)[0] == pytest.approx(99.0 * point.scale + point.offset))
    bad.raw(b"\x99\x99\x99")
    told_once(plant, "protocol.protocol_fault")
    plant.until(lambda: plant.value(point.pid)[1] & LOST == LOST, what="the values say that they are old")
    assert plant.value(point.pid)[0] == pytest.approx(99.0 * point.scale + point.offset)
    plant.until(lambda: plant.events("channel.down", channel=BAD) or plant.events("channel.down"))
    proves_life(plant, tables)
    bad.wait_started(15)


def test_the_same_fault_many_times_is_told_once(plant, bad, tables):
    for ioa in range(9_000_000, 9_000_050):
        bad.analog(ioa, 1.0)
    proves_life(plant, tables)
    bad.analog(plain(tables, BAD, 13)[4].address.ioa, 1.0)
    plant.until(lambda: plant.value(plain(tables, BAD, 13)[4].pid)[1] == 0)
    assert len(plant.events("protocol.unknown_address")) == 1
