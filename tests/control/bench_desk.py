from __future__ import annotations

import itertools

from scada.control.desk import ControlDesk
from scada.control.effects import Audit, Reply, Report, SendCancel, SendExecute, SendSelect
from scada.control.plant import Reading, SwitchKind
from scada.control.records import Principal
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Control, ControlKind, ModelTables, Point, PointKind, Station
from scada.protocols.driver import CommandResult, LinkState, Outcome
from scada.security.roles import ALL_AREAS, Right, rights_of, system_principal

OPEN, CLOSE = 1.0, 2.0
YES = CommandResult(Outcome.CONFIRMED)
NO = CommandResult(Outcome.REFUSED, "negative confirmation")
SILENT = CommandResult(Outcome.TIMEOUT)
CUT = CommandResult(Outcome.LINK_DOWN, "the channel was down")

BREAKER, TAP, POWER, BARE, STATUS, SINGLE = range(6)
"""cids of the controls; the feedback of each has the same pid, BARE has none."""


def point(pid, kind):
    return Point(
        pid=pid,
        mrid=f"p-{pid}",
        path=f"S1/220/B1/p{pid}",
        name=f"p{pid}",
        kind=kind,
        measurement_type="SwitchPosition",
        unit="",
        equipment=f"e-{pid}",
        terminal="",
        station="S1",
        bay="B1",
        channel=0,
        address=None,
    )


def control(cid, kind, **more):
    given = {
        "cid": cid,
        "mrid": f"c-{cid}",
        "path": f"S1/220/B1/c{cid}",
        "name": f"c{cid}",
        "kind": kind,
        "control_type": "SwitchPosition",
        "unit": "",
        "equipment": f"e-{cid}",
        "station": "S1",
        "channel": 0,
        "address": Iec104Address(1, 6000 + cid, 46),
        "feedback": cid,
        "device_number": f"22{cid}",
        "states": {1: "open", 2: "closed"} if kind is ControlKind.DOUBLE else {},
    }
    return Control(**{**given, **more})


TABLES = ModelTables(
    version="1",
    name="test",
    points=[
        point(BREAKER, PointKind.DOUBLE),
        point(TAP, PointKind.STEP),
        point(POWER, PointKind.ANALOG),
        point(BARE, PointKind.DOUBLE),
        point(STATUS, PointKind.STATUS),
        point(SINGLE, PointKind.DOUBLE),
    ],
    controls=[
        control(BREAKER, ControlKind.DOUBLE),
        control(TAP, ControlKind.STEP, control_type="TapPosition"),
        control(
            POWER,
            ControlKind.SETPOINT,
            unit="MW",
            minimum=10.0,
            maximum=100.0,
            select=False,
            feedback_tolerance=0.5,
            device_number="",
        ),
        control(BARE, ControlKind.DOUBLE, feedback=None),
        control(STATUS, ControlKind.DOUBLE),
        control(SINGLE, ControlKind.SINGLE, select=False),
    ],
    channels=[],
    stations=[Station("s-1", "S1", "North", ())],
    areas=[],
    zones=[],
)


class TablePlant:
    """Readings and links that a test sets."""

    def __init__(self):
        self.readings = {pid: Reading(1.0, 0) for pid in range(len(TABLES.points))}
        self.link = LinkState.UP
        self.connections = 1

    def reading(self, pid):
        return self.readings.get(pid, Reading(float("nan"), int(Quality.NEVER_RECEIVED)))

    def link_state(self, channel):
        return self.link

    def connection(self, channel):
        return self.connections


class TableTopology:
    """Answers that a test sets; by default an open, dead, unearthed breaker bay."""

    def __init__(self):
        self.kinds = {"e-0": SwitchKind.BREAKER}
        self.closed = {}
        self.breakers = {}
        self.bypassed = False
        self.energised = False
        self.earthed = False
        self.entered = []
        self.doubting = self

    def substituted(self):
        return self.entered

    def without_substituted(self):
        return self.doubting

    def without(self, switches):
        self.moving = frozenset(switches)
        return self.doubting

    def switch_kind(self, equipment):
        return self.kinds.get(equipment)

    def is_closed(self, equipment):
        return self.closed.get(equipment)

    def bay_breakers(self, equipment):
        return self.breakers.get(equipment, [])

    def is_bypassed(self, equipment):
        return self.bypassed

    def is_energised(self, equipment):
        return self.energised

    def is_earthed(self, equipment):
        return self.earthed


def person(name="wang", *roles, areas=(ALL_AREAS,)):
    roles = roles or ("OPERATOR",)
    return Principal(name, frozenset(roles), frozenset(rights_of(roles)), frozenset(areas), "desk 1", f"session of {name}")


OPERATOR = person()
AGC = system_principal("agc", {Right.SETPOINT})
AVC = system_principal("avc", {Right.SETPOINT, Right.CONTROL})


class Bench:
    """A desk with everything around it, and short ways to look at effects."""

    def __init__(self, tables=TABLES, **more):
        self.clock = VirtualClock()
        self.plant = TablePlant()
        self.topology = TableTopology()
        numbers = itertools.count(1)
        self.desk = ControlDesk(tables, self.clock, self.plant, self.topology, identifier=lambda: f"q{next(numbers)}", **more)

    def select(self, cid=BREAKER, value=CLOSE, who=OPERATOR, number=None, ticket="select"):
        typed = TABLES.controls[cid].device_number if number is None else number
        return self.desk.select(ticket, f"c-{cid}", value, typed, who, b"evidence")

    def selected(self, cid=BREAKER, value=CLOSE, who=OPERATOR):
        """Id of a sequence that stands selected."""
        effects = self.select(cid, value, who)
        if sends(effects):
            effects = self.desk.on_answer(sends(effects)[0].sequence_id, "select", YES)
        return reply(effects).sequence_id

    def feedback(self, pid, value, quality=0):
        self.plant.readings[pid] = Reading(value, quality)
        return self.desk.on_changes([pid])


def sends(effects):
    return [effect for effect in effects if isinstance(effect, SendSelect | SendExecute | SendCancel)]


def reply(effects):
    (found,) = [effect.reply for effect in effects if isinstance(effect, Reply)]
    return found


def replies(effects):
    return {effect.ticket: effect.reply for effect in effects if isinstance(effect, Reply)}


def audits(effects):
    return [effect.row for effect in effects if isinstance(effect, Audit)]


def events(effects):
    return [effect.event for effect in effects if isinstance(effect, Report)]
