"""Tables from CIM + SC: what a point becomes, stable pids, and a finding for every fault while the rest loads."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.errors import ModelError, StoreError
from scada.expressions.language import parse
from scada.model_cim.addresses import Iec104Address, ModbusAddress, OpcUaAddress
from scada.model_cim.findings import Severity, has_errors
from scada.model_cim.numbers import Numbers, keep_numbers, kept_numbers
from scada.model_cim.points import build_tables, load_model
from scada.model_cim.reader import ModelReader
from scada.model_cim.regulation import ForbiddenZone
from scada.model_cim.tables import AlarmClass, ControlKind, PointKind


def rules(findings):
    return [finding.rule for finding in findings]


def test_the_demo_loads_without_a_finding(demo_path):
    _, tables, findings = load_model(demo_path)
    assert findings == []
    assert 2000 <= len(tables.points) <= 2600
    assert [point.pid for point in tables.points] == list(range(len(tables.points)))
    assert [control.cid for control in tables.controls] == list(range(len(tables.controls)))
    assert len(tables.by_path) == len(tables.by_mrid) == len(tables.points)
    assert len({control.path for control in tables.controls}) == len(tables.controls)


def test_the_demo_has_what_it_promises(demo):
    model, tables, _ = demo
    assert {c.protocol for c in tables.channels} == {"iec104", "modbus-tcp", "opcua"}
    assert sum(c.protocol == "iec104" for c in tables.channels) == 6
    east, west = tables.areas
    assert (east.name, east.controlled, west.name, west.controlled) == ("East", True, "West", False)
    assert len(east.ties) == len(west.ties) == 2
    assert len(east.frequency) >= 2
    assert len(west.frequency) >= 2
    assert sorted(unit.fuel for unit in east.units) == ["hydro", "hydro", "pv", "storage", "thermal", "thermal", "wind"]
    assert [unit.forbidden for unit in east.units if unit.forbidden] == [(ForbiddenZone(18.0, 30.0, 120.0),)]
    assert all(unit.ramp_up > 0 and unit.remote is not None for unit in east.units)
    assert east.scheduled_interchange == -65.0
    assert len(tables.stations) == 10
    devices = [device for zone in tables.zones for device in zone.devices]
    assert {device.kind for device in devices} == {"capacitor", "reactor", "tap"}
    assert all(device.raise_increases_voltage is (device.kind != "tap") for device in devices)
    for switch in (*model.ids("Breaker"), *model.ids("Disconnector")):
        [control] = [c for c in tables.controls if c.equipment == switch]
        assert control.kind is ControlKind.DOUBLE
        assert control.select
        assert re.fullmatch(r"\d{4}", control.device_number)
        assert control.feedback is not None
        assert tables.points[control.feedback].kind is PointKind.DOUBLE
    setpoints = [c for c in tables.controls if c.kind is ControlKind.SETPOINT]
    assert len(setpoints) == 14
    assert all(tables.points[c.feedback].measurement_type.endswith("Setpoint") for c in setpoints if c.feedback is not None)


def test_the_station_for_the_foreign_stack_keeps_to_plain_types(demo):
    _, tables, _ = demo
    [channel] = [c for c in tables.channels if c.name == "Nanping RTU"]
    points, controls = tables.points_of_channel(channel.index), tables.controls_of_channel(channel.index)
    assert len(points) < 1000
    assert {p.address.type_id for p in points} <= {1, 3, 5, 9, 13, 30, 31, 36}
    assert {c.address.type_id for c in controls} <= {45, 46, 47, 50}


def test_every_expression_of_the_demo_can_be_read_and_names_known_points(demo):
    _, tables, _ = demo
    for point in tables.points:
        if not point.expression or point.expression == "topology" or point.expression.startswith("agc."):
            continue
        parse(point.expression)
        for path in re.findall(r'"([^"]+)"', point.expression):
            assert path in tables.by_path
    generation = tables.by_path["East/Generation"]
    assert (generation.measurement_type, generation.unit, generation.channel) == ("AreaGeneration", "MW", -1)


def test_addresses_limits_and_states_arrive_as_written(demo):
    _, tables, _ = demo
    voltage = tables.by_path["Beishan/220kV/Bus I/Uab"]
    assert voltage.address == Iec104Address(1, 16385, 36)
    assert (voltage.limits.lolo, voltage.limits.lo, voltage.limits.hi, voltage.limits.hihi) == (209.0, 213.4, 237.6, 242.0)
    assert voltage.limits.hysteresis == pytest.approx(1.1)
    assert voltage.unit == "kV"
    trip = tables.by_path["Nanping/10kV/F1/Protection trip"]
    assert (trip.kind, trip.alarm_class, trip.normal_value, trip.priority) == (PointKind.STATUS, AlarmClass.ACCIDENT, 0.0, 1)
    breaker = tables.by_path["Nanping/10kV/F1/9110 Position"]
    assert (breaker.kind, breaker.states[1], breaker.states[2]) == (PointKind.DOUBLE, "open", "closed")
    assert math.isnan(breaker.normal_value)
    tap = tables.by_path["Nanping/T1/Tap position"]
    assert (tap.kind, tap.address, tap.minimum, tap.maximum) == (PointKind.STEP, Iec104Address(5, 3001, 5), -8.0, 8.0)
    assert isinstance(tables.by_path["Qingyuan/35kV/PV1/P"].address, ModbusAddress)
    assert isinstance(tables.by_path["Fenghe/35kV/W1/P"].address, OpcUaAddress)
    soc = tables.by_path["Fenghe/B1/SOC"]
    assert (soc.unit, soc.limits.lolo, soc.limits.hihi) == ("%", 5.0, 95.0)
    params = next(c for c in tables.channels if c.name == "Beishan RTU").params
    assert (params["k"], params["w"], params["interrogation_s"], params["common_address"]) == (12.0, 8.0, 900.0, 1.0)


CLASS, PACKED, SAMPLED = "<sc:Measurement.alarmClass>", "sc:Measurement.historyCompression", "sc:Measurement.historySample"
FAULTS = [
    ("SC.xml", "<sc:RemoteUnit.protocol>iec104<", "<sc:RemoteUnit.protocol>dnp3<", "channel.protocol"),
    ("SC.xml", "<sc:RemoteUnit.port>12404<", "<sc:RemoteUnit.port>99999<", "channel.port"),
    ("SC.xml", ">Donghu RTU<", ">Beishan RTU<", "channel.name"),
    ("SC.xml", "<sc:ControlArea.frequencyBias>-27<", "<sc:ControlArea.frequencyBias>27<", "area.bias"),
    ("SC.xml", "<sc:ForbiddenZone.lowP>18<", "<sc:ForbiddenZone.lowP>48<", "unit.forbidden-zone"),
    ("SC-Nanping.xml", "<sc:RemotePoint.ioa>16386<", "<sc:RemotePoint.ioa>16385<", "point.duplicate-address"),
    ("SC-Nanping.xml", "<sc:RemotePoint.ioa>16386<", "<sc:RemotePoint.ioa>many<", "point.address"),
    ("SC-Nanping.xml", "<sc:RemotePoint.ioa>24578<", "<sc:RemotePoint.ioa>24577<", "control.duplicate-address"),
    ("SC-Nanping.xml", "<sc:RemotePoint.typeId>46<", "<sc:RemotePoint.typeId>460<", "control.address"),
    ("SC-Nanping.xml", "<sc:AnalogLimit.kind>lolo<", "<sc:AnalogLimit.kind>lowest<", "limit.kind"),
    ("SC-Nanping.xml", "<cim:AnalogLimit.value>104.5<", "<cim:AnalogLimit.value>204.5<", "limit.order"),
    ("SC-Nanping.xml", "<sc:Discrete.kind>double<", "<sc:Discrete.kind>triple<", "point.kind"),
    ("SC-Nanping.xml", "<sc:Measurement.alarmClass>ACCIDENT<", "<sc:Measurement.alarmClass>HORROR<", "point.alarm-class"),
    ("SC-Nanping.xml", f"{CLASS}ACCIDENT<", f"<{PACKED}>zip</{PACKED}>{CLASS}ACCIDENT<", "history.compression"),
    ("SC-Nanping.xml", f"{CLASS}ACCIDENT<", f"<{SAMPLED}>7</{SAMPLED}>{CLASS}ACCIDENT<", "history.sample"),
    ("SC-Nanping.xml", "<cim:IdentifiedObject.name>Ubc<", "<cim:IdentifiedObject.name>Uab<", "point.duplicate-path"),
    ("SC-Nanping.xml", "<cim:RemotePoint.RemoteUnit ", "<cim:RemotePoint.Other ", "point.channel"),
    ("SC-Nanping.xml", "<cim:RemoteSource.MeasurementValue ", "<cim:RemoteSource.Other ", "point.source"),
    ("SC-Nanping.xml", "<cim:Command.DiscreteValue ", "<cim:Command.Other ", "control.feedback"),
    ("SC-Nanping.xml", "<sc:Control.deviceNumber>1013<", "<sc:Control.deviceNumber>1011<", "control.device-number"),
    ("SC-Nanping.xml", "<sc:Control.deviceNumber>1010</sc:Control.deviceNumber>", "", "control.device-number"),
    ("SC-Nanping.xml", "<cim:RemoteControl.Control ", "<cim:RemoteControl.Other ", "control.channel"),
    ("SC-Nanping.xml", "<cim:AnalogValue.Analog ", "<cim:AnalogValue.Other ", "point.measurement"),
    ("SC-Nanping.xml", "<cim:Measurement.PowerSystemResource ", "<cim:Measurement.Other ", "point.resource"),
    ("EQ.xml", "<cim:IdentifiedObject.name>Nanping<", "<cim:IdentifiedObject.name>Beishan<", "station.name"),
    ("EQ.xml", "<cim:GeneratingUnit.raiseRampRate>7<", "<cim:GeneratingUnit.raiseRampRate>-7<", "unit.ramp"),
    ("EQ.xml", "<cim:GeneratingUnit.minOperatingP>100<", "<cim:GeneratingUnit.minOperatingP>320<", "unit.limits"),
    ("SC-Fenghe.xml", "<sc:RemotePoint.nodeId>ns=2;s=", "<sc:RemotePoint.nodeId>", "point.address"),
    ("SC-Qingyuan.xml", "<sc:RemotePoint.table>input<", "<sc:RemotePoint.table>output<", "point.address"),
]


@pytest.mark.parametrize(("name", "old", "new", "rule"), FAULTS, ids=[f"{fault[3]}-{n}" for n, fault in enumerate(FAULTS)])
def test_a_fault_is_found_with_its_place_and_the_rest_loads(edited, demo, name, old, new, rule):
    path = edited(name, old, new)
    _, tables, findings = load_model(path)
    [finding] = [f for f in findings if f.rule == rule][:1]
    assert re.match(rf"{re.escape(str(path))}/[\w.-]+\.xml:\d+$", finding.where)
    assert finding.line > 0
    assert finding.severity in (Severity.ERROR, Severity.WARNING)
    assert len(tables.points) >= 0.99 * len(demo[1].points)


def test_a_duplicate_address_leaves_the_second_point_without_one(edited):
    path = edited("SC-Nanping.xml", "<sc:RemotePoint.ioa>16386<", "<sc:RemotePoint.ioa>16385<")
    _, tables, findings = load_model(path)
    first, second = tables.by_path["Nanping/110kV/Bus I/Uab"], tables.by_path["Nanping/110kV/Bus I/Ubc"]
    assert first.address == Iec104Address(5, 16385, 13)
    assert (second.channel, second.address) == (-1, None)
    assert has_errors(findings)


def test_pids_survive_an_edit_and_a_removed_point_leaves_a_tombstone(edited, demo):
    _, before, _ = demo
    path = edited("SC-Nanping.xml", "<cim:AnalogValue.Analog ", "<cim:AnalogValue.Other ")
    model = ModelReader(path).read()
    after, _ = build_tables(model, Numbers.of(before))
    assert len(after.points) == len(before.points)
    gone = [point for point in after.points if point.removed]
    assert len(gone) == 1
    assert gone[0].channel == -1
    assert all(now.removed or now.mrid == then.mrid for now, then in zip(after.points, before.points, strict=True))
    again, _ = build_tables(demo[0], Numbers.of(after))
    assert [p.mrid for p in again.points] == [p.mrid for p in before.points]
    assert not any(p.removed for p in again.points)


def test_a_removed_control_and_a_removed_channel_leave_tombstones_and_the_rest_keeps_its_numbers(edited, demo, tmp_path):
    _, before, _ = demo
    path = edited("SC.xml", "<sc:RemoteUnit.protocol>iec104<", "<sc:RemoteUnit.protocol>telex<")
    after, _ = build_tables(ModelReader(path).read(), Numbers.of(before))
    lost = [spec for spec in after.channels if spec.removed]
    assert len(lost) == 1
    assert [spec.index for spec in after.channels] == list(range(len(before.channels)))
    assert {spec.mrid: spec.index for spec in after.live_channels} == {
        spec.mrid: spec.index for spec in before.channels if spec.mrid != lost[0].mrid
    }
    removed = [control for control in after.controls if control.removed]
    assert (
        {control.mrid for control in removed} == {control.mrid for control in before.controls_of_channel(lost[0].index)} != set()
    )
    assert [control.cid for control in after.controls] == list(range(len(before.controls)))
    assert not any(control.mrid in after.control_by_mrid for control in removed)
    keep_numbers(tmp_path, after)
    again, _ = build_tables(demo[0], kept_numbers(tmp_path))
    assert (again.controls, again.channels) == (before.controls, before.channels)


def test_numbers_of_earlier_programs_are_read_on(demo, tmp_path):
    tables = demo[1]
    (tmp_path / "points.json").write_text(json.dumps({point.mrid: int(point.pid) for point in tables.points}), "utf-8")
    assert kept_numbers(tmp_path) == Numbers(points=Numbers.of(tables).points)
    keep_numbers(tmp_path, build_tables(demo[0], kept_numbers(tmp_path))[0])
    assert kept_numbers(tmp_path) == Numbers.of(tables)


def test_numbers_given_meanwhile_are_not_overwritten(demo, edited, tmp_path):
    fewer, _ = build_tables(ModelReader(edited("SC-Nanping.xml", "<cim:AnalogValue.Analog ", "<cim:AnalogValue.Other ")).read())
    keep_numbers(tmp_path, demo[1])
    with pytest.raises(StoreError, match="given meanwhile"):
        keep_numbers(tmp_path, fewer)
    assert kept_numbers(tmp_path) == Numbers.of(demo[1])


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_known_pids_are_kept_and_new_ones_follow_whatever_was_known(demo, data):
    model, tables, _ = demo
    mrids = [point.mrid for point in tables.points]
    known = data.draw(st.lists(st.sampled_from(mrids), unique=True, max_size=30))
    numbers = data.draw(st.permutations(range(len(known) + 5)))
    pid_of = dict(zip(known, numbers, strict=False)) | {"gone-1": max(numbers) + 3}
    built, _ = build_tables(model, Numbers(pid_of))
    assert [point.pid for point in built.points] == list(range(len(built.points)))
    assert all(built.points[pid].mrid == mrid for mrid, pid in pid_of.items())
    assert built.points[pid_of["gone-1"]].removed
    assert {p.mrid for p in built.points if not p.removed} == set(mrids)


@pytest.mark.parametrize("numbers", [{"a": 1, "b": 1}, {"a": -1}])
def test_corrupt_point_numbers_are_refused(demo, numbers):
    with pytest.raises(ModelError, match="kept numbers are corrupt"):
        build_tables(demo[0], Numbers(controls=numbers))


def test_a_foreign_model_whose_measurements_have_no_values_says_so(public_models):
    _, tables, findings = load_model(public_models / "mini_nb_with_measurements_cim16.zip")
    assert tables.channels == tables.points == []
    assert rules(findings).count("measurement.value") == 4
