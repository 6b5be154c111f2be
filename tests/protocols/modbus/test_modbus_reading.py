"""What is new of a block: first values, changes, and reads that fail in between."""

import numpy as np

from scada.core.batch import RecordFlag
from scada.core.quality import Quality
from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import ChannelSpec, Point, PointKind
from scada.protocols.modbus.plan import plan
from scada.protocols.modbus.reading import Reading


def status_reading(**more):
    where = ModbusAddress(1, "holding", 0, **{"data_type": "bit", "bit": 0, **more})
    status = Point(0, "m0", "S/0", "0", PointKind.STATUS, "", "", "", "", "S", "", 0, where)
    blocks, _ = plan([status])
    return Reading(blocks[0], ChannelSpec(3, "m", "DEV", "modbus-tcp", "127.0.0.1", 502, "S"))


def registers(*words):
    return np.array(words, dtype=np.uint16)


def flags_of(batch):
    return batch.records["flags"].tolist()


def test_a_first_value_is_no_change_even_after_a_failed_read():
    """Nobody saw it change: not at the start, and not where the first requests of a new connection fail."""
    reading = status_reading()
    reading.start()
    assert flags_of(reading.fail(Quality.NOT_TOPICAL, "no answer", 1)) == [RecordFlag.REFRESH]
    assert flags_of(reading.take(registers(1), 2)) == [RecordFlag.REFRESH]
    assert flags_of(reading.take(registers(0), 3)) == [RecordFlag.EVENT]
    reading.start()
    reading.fail(Quality.NOT_TOPICAL, "no answer", 4)
    assert flags_of(reading.take(registers(1), 5)) == [RecordFlag.REFRESH]


def test_a_change_found_after_some_failed_reads_is_an_event():
    reading = status_reading()
    reading.start()
    reading.take(registers(0), 1)
    reading.fail(Quality.NOT_TOPICAL, "no answer", 2)
    assert flags_of(reading.take(registers(1), 3)) == [RecordFlag.EVENT]


def test_the_first_state_after_registers_that_meant_nothing_is_no_change():
    reading = status_reading(data_type="uint16", bit=-1, values=((4, 1), (5, 0)))
    reading.start()
    assert flags_of(reading.take(registers(77), 1)) == [RecordFlag.REFRESH]
    assert flags_of(reading.take(registers(4), 2)) == [RecordFlag.REFRESH]
    assert flags_of(reading.take(registers(5), 3)) == [RecordFlag.EVENT]
