"""What every test of bad input asks: was it told once, and does the rest go on."""

import itertools

from system.conftest import BAD, GOOD, plain
from system.raw_rtu import asdu, float_element

from scada.events.records import EventKind

numbers = itertools.count(1)


def proves_life(plant, tables, name=GOOD):
    """A value of another station still arrives."""
    point = plain(tables, name, 36)[0]
    value = float(next(numbers))
    plant.rtus[name].send(asdu(13, 3, 4, (point.address.ioa, float_element(value))))
    plant.until(lambda: plant.value(point.pid) == (value * point.scale + point.offset, 0), what="the other station goes on")


def told_once(plant, key, *words, channel=BAD):
    """One line and one event; returns the event."""
    event = plant.until(lambda: plant.events(key, channel=channel), what=key)
    assert len(event) == 1, event
    assert event[0].kind is EventKind.PROTOCOL
    assert event[0].path == channel
    kind = key.partition(".")[2]
    lines = plant.log.lines(f"kind={kind}", channel)
    assert len(lines) == 1, plant.log.text()
    assert all(word in lines[0] and word in event[0].parameters["text"] for word in words), lines
    assert "Traceback" not in plant.log.text()
    return event[0]
