"""What a change of the model means to people: each effect is found, named and, if it is dangerous, flagged."""

import json
import string
from dataclasses import replace
from importlib.resources import files

import pytest

from scada.model_cim.effects import DANGEROUS, Effect, EffectKind, effects, file_effects
from scada.model_cim.effects.points import states_moved
from scada.model_cim.effects.values import shown
from scada.model_cim.numbers import Numbers
from scada.model_cim.points import build_tables, load_model
from scada.model_cim.statements import Difference, Statement, ValueKind
from scada.model_cim.writer import write_model

K = EffectKind
VOLTAGE = "Beishan/220kV/Bus I/Uab"
SWITCH = "Beishan/220kV/T1/2011"


class Edit:
    """An edit of the demo grid, property by property."""

    def __init__(self, demo):
        self.model, self.tables, _ = demo
        self.forward, self.reverse, self.added, self.removed = [], [], {}, {}

    def put(self, mrid, prop, value, kind=ValueKind.TEXT):
        self.drop(mrid, prop)
        self.forward.append(Statement(mrid, prop, value, kind))

    def drop(self, mrid, prop):
        self.reverse += [one for one in self.model.statements_of(mrid) if one.prop == prop]

    def remove(self, mrid):
        self.removed[mrid] = self.model.class_of(mrid)
        self.reverse += self.model.statements_of(mrid)

    def effects(self):
        model = self.model.edited(Difference(self.added, self.removed, tuple(self.forward), tuple(self.reverse)))
        tables, _ = build_tables(model)
        found = effects(self.tables, tables, self.model, model)
        assert not any("{" in line for line in (*found.lines("en"), *found.lines("zh")))
        return found

    def point(self, path):
        return self.tables.by_path[path]

    def measurement(self, path):
        return self.model.ref(self.point(path).mrid, "AnalogValue.Analog") or self.model.ref(
            self.point(path).mrid, "DiscreteValue.Discrete"
        )

    def source(self, path):
        return self.model.refs_to(self.point(path).mrid, "RemoteSource.MeasurementValue")[0]

    def control(self, path):
        return next(one for one in self.tables.controls if one.path == path)

    def remote(self, path):
        return (
            self.model.ref(self.control(path).mrid, "Control.RemoteControl")
            or self.model.refs_to(self.control(path).mrid, "RemoteControl.Control")[0]
        )

    def limit(self, path, kind):
        sets = self.model.refs_to(self.measurement(path), "AnalogLimitSet.Measurements")
        limits = self.model.refs_to(sets[0], "AnalogLimit.LimitSet")
        return next(one for one in limits if self.model.text(one, "sc:AnalogLimit.kind") == kind)


@pytest.fixture
def edit(demo):
    return Edit(demo)


def rows(found, *kinds):
    return [(one.kind, one.path, one.field, one.old, one.new) for one in found.rows if not kinds or one.kind in kinds]


def test_nothing_changed_has_no_effect(edit):
    assert not edit.effects()


def test_a_point_that_goes_is_lost_and_dangerous(edit):
    source, point = edit.source(VOLTAGE), edit.point(VOLTAGE)
    edit.remove(source)
    edit.remove(point.mrid)
    found = edit.effects()
    assert found.lost_points == (point.mrid,)
    assert rows(found, K.POINT_LOST) == [(K.POINT_LOST, VOLTAGE, "", "Beishan RTU CA 1 IOA 16385 type 36", "")]
    assert found.dangerous[0].key == f"point-lost:{point.mrid}"
    assert ("  ! point " + VOLTAGE + " goes: Beishan RTU CA 1 IOA 16385 type 36") in found.lines()
    assert f"  ! 测点 {VOLTAGE} 消失：Beishan RTU CA 1 IOA 16385 type 36" in found.lines("zh")  # noqa: RUF001
    assert rows(found, K.CHANNEL_REBOUND) == [(K.CHANNEL_REBOUND, "Beishan RTU", "", "", "1")]


def test_a_new_address_moves_a_point_and_leaves_its_connection(edit):
    edit.put(edit.source(VOLTAGE), "sc:RemotePoint.ioa", "19999")
    found = edit.effects()
    assert rows(found) == [
        (K.POINT_READDRESSED, VOLTAGE, "", "Beishan RTU CA 1 IOA 16385 type 36", "Beishan RTU CA 1 IOA 19999 type 36"),
        (K.CHANNEL_REBOUND, "Beishan RTU", "", "", "1"),
    ]
    assert found.restarting == ()


def test_swapped_addresses_are_taken_ones(edit):
    other = "Beishan/220kV/Bus I/Ubc"
    first, second = edit.source(VOLTAGE), edit.source(other)
    texts = [edit.model.text(one, "sc:RemotePoint.ioa") for one in (first, second)]
    edit.put(first, "sc:RemotePoint.ioa", texts[1])
    edit.put(second, "sc:RemotePoint.ioa", texts[0])
    found = edit.effects()
    assert {(one.path, one.old) for one in found.dangerous} == {(VOLTAGE, other), (other, VOLTAGE)}
    assert {one.kind for one in found.dangerous} == {K.ADDRESS_TAKEN}


def test_scaling_kind_object_and_calculation_of_a_point(edit):
    source, measurement = edit.source(VOLTAGE), edit.measurement(VOLTAGE)
    edit.put(source, "sc:RemotePoint.scale", "0.1")
    edit.put(measurement, "IdentifiedObject.name", "U12")
    edit.put(measurement, "Measurement.measurementType", "Voltage")
    found = edit.effects()
    path = "Beishan/220kV/Bus I/U12"
    assert rows(found)[:3] == [
        (K.POINT_RENAMED, path, "", VOLTAGE, path),
        (K.POINT_RESCALED, path, "", "x 1", "x 0.1"),
        (K.POINT_CHANGED, path, "measurement_type", "LineToLineVoltage", "Voltage"),
    ]
    assert not found.dangerous
    edit.forward.clear()
    edit.put(source, "sc:RemotePoint.scale", "-1")
    assert [one.kind for one in edit.effects().dangerous] == [K.POINT_INVERTED]


def test_limits_and_alarms(edit):
    measurement = edit.measurement(VOLTAGE)
    edit.put(edit.limit(VOLTAGE, "hi"), "AnalogLimit.value", "240")
    edit.remove(edit.limit(VOLTAGE, "lolo"))
    edit.put(measurement, "sc:Measurement.alarmClass", "NOTICE")
    edit.put(measurement, "sc:Measurement.alarmPriority", "1")
    found = edit.effects()
    assert ("Beishan/220kV/Bus I/Ubc", "hi") in {(one.path, one.field) for one in found.rows}, "the limits are shared"
    assert [row for row in rows(found) if row[1] == VOLTAGE] == [
        (K.LIMIT_REMOVED, VOLTAGE, "lolo", "209", ""),
        (K.ALARM_DOWNGRADED, VOLTAGE, "alarm_class", "LIMIT", "NOTICE"),
        (K.LIMIT_CHANGED, VOLTAGE, "hi", "237.6", "240"),
        (K.ALARM_CHANGED, VOLTAGE, "priority", "2", "1"),
    ]
    assert [one.dangerous for one in found.rows if one.path == VOLTAGE] == [True, True, False, False]
    downgraded = next(line for line in found.lines("zh") if "告警降级" in line)
    assert "越限 → 告知" in downgraded
    assert found.stations == ("Beishan",)


def test_a_control_loses_its_select_its_feedback_and_its_object(edit):
    control = edit.control(SWITCH)
    feedback = edit.tables.points[control.feedback].path
    other = next(one.equipment for one in edit.tables.controls if one.path == "Beishan/220kV/T1/2012")
    edit.put(control.mrid, "sc:Control.select", "false")
    for prop in ("sc:Control.feedback", "Command.DiscreteValue"):
        edit.drop(control.mrid, prop)
    edit.put(control.mrid, "Control.PowerSystemResource", other, ValueKind.REF)
    found = edit.effects()
    kinds = {one.kind for one in found.dangerous}
    assert {K.SELECT_OFF, K.CONTROL_MOVED} <= kinds
    lost = rows(found, K.FEEDBACK_LOST, K.FEEDBACK_CHANGED)
    assert len(lost) == 1
    assert lost[0][3] == feedback


def test_a_control_with_another_address_and_one_that_goes(edit):
    edit.put(edit.remote(SWITCH), "sc:RemotePoint.ioa", "29999")
    gone = edit.control("Beishan/220kV/T1/2012")
    edit.remove(edit.remote(gone.path))
    edit.remove(gone.mrid)
    found = edit.effects()
    assert {(one.kind, one.path) for one in found.dangerous} >= {(K.CONTROL_READDRESSED, SWITCH), (K.CONTROL_LOST, gone.path)}
    assert rows(found, K.CHANNEL_REBOUND)[0][4] == "2"


def test_a_channel_restarts_only_if_it_is_reached_differently(edit):
    units = {one.name: one.mrid for one in edit.tables.channels}
    edit.put(units["Donghu RTU"], "sc:RemoteUnit.port", "2404")
    edit.put(units["Beishan RTU"], "sc:RemoteUnit.k", "24")
    edit.put(units["Heishan RTU"], "IdentifiedObject.name", "Heishan gateway")
    found = edit.effects()
    assert set(found.restarting) == {"Beishan RTU", "Donghu RTU", "Heishan gateway"}
    assert (K.CHANNEL_CHANGED, "Donghu RTU", "port", "12405", "2404") in rows(found)
    assert (K.CHANNEL_CHANGED, "Beishan RTU", "k", "12", "24") in rows(found)
    assert (K.CHANNEL_RENAMED, "Heishan gateway", "", "Heishan RTU", "Heishan gateway") in rows(found)


def test_switches_and_equipment(edit):
    model = edit.model
    breakers = model.ids("Breaker")
    first, second, third = breakers[:3]
    edit.put(first, "Switch.normalOpen", "true" if not model.truth(first, "Switch.normalOpen") else "false")
    edit.removed[second], edit.added[second] = "Breaker", "Disconnector"
    one, two = model.refs_to(third, "Terminal.ConductingEquipment")
    nodes = [model.ref(terminal, "Terminal.ConnectivityNode") for terminal in (one, two)]
    for terminal, node in ((one, nodes[1]), (two, nodes[0])):
        edit.put(terminal, "Terminal.ConnectivityNode", node, ValueKind.REF)
    line = model.ids("ACLineSegment")[0]
    was = model.text(line, "ACLineSegment.x")
    edit.put(line, "ACLineSegment.x", "77.5")
    edit.added["new"] = "Breaker"
    edit.forward.append(Statement("new", "IdentifiedObject.name", "Q0"))
    found = edit.effects()
    assert {(one.kind, one.mrid) for one in found.rows} == {
        (K.SWITCH_NORMAL, first), (K.SWITCH_CLASS, second), (K.SWITCH_CONNECTED, third), (K.EQUIPMENT_CHANGED, line),
        (K.SWITCH_GAINED, "new"),
    }  # fmt: skip
    assert {one.mrid for one in found.dangerous} == {second, third}, "the interlocks judge by class and connection"
    assert rows(found, K.EQUIPMENT_CHANGED) == [(K.EQUIPMENT_CHANGED, model.path(line), "ACLineSegment.x", was, "77.5")]


def test_a_switch_on_another_node_of_the_same_name_or_disconnected_is_seen(edit):
    model = edit.model
    first, second = model.ids("Breaker")[:2]
    terminals = model.refs_to(first, "Terminal.ConductingEquipment")
    nodes = [model.ref(terminal, "Terminal.ConnectivityNode") for terminal in terminals]
    edit.model = model.edited(
        Difference(
            {},
            {},
            tuple(Statement(node, "IdentifiedObject.name", "N") for node in nodes),
            tuple(one for node in nodes for one in model.statements_of(node) if one.prop == "IdentifiedObject.name"),
        )
    )
    edit.put(terminals[0], "Terminal.ConnectivityNode", nodes[1], ValueKind.REF)
    edit.put(terminals[1], "Terminal.ConnectivityNode", nodes[0], ValueKind.REF)
    edit.put(model.refs_to(second, "Terminal.ConductingEquipment")[0], "ACDCTerminal.connected", "false")
    found = edit.effects()
    assert {one.mrid for one in found.dangerous if one.kind is K.SWITCH_CONNECTED} == {first, second}
    moved = next(one for one in found.rows if one.mrid == first)
    assert moved.old == f"N {nodes[0]} - N {nodes[1]}"
    assert moved.new == f"N {nodes[1]} - N {nodes[0]}"


def test_two_controls_that_swap_their_names_and_two_channels_that_swap_their_hosts(edit):
    """Nothing is readdressed, and yet a command for the one goes to the other."""
    paths = SWITCH, "Beishan/220kV/T1/2012"
    first, second = (edit.control(path) for path in paths)
    edit.put(first.mrid, "IdentifiedObject.name", second.name)
    edit.put(second.mrid, "IdentifiedObject.name", first.name)
    one, two = edit.tables.channels[:2]
    for unit, other in ((one, two), (two, one)):
        edit.put(unit.mrid, "sc:RemoteUnit.host", other.host)
        edit.put(unit.mrid, "sc:RemoteUnit.port", str(other.port))
    found = edit.effects()
    assert {(row.kind, row.mrid, row.path, row.old) for row in found.dangerous if row.field != "device_number"} == {
        (K.NAME_TAKEN, first.mrid, second.path, first.path),
        (K.NAME_TAKEN, second.mrid, first.path, second.path),
        (K.CHANNEL_TAKEN, one.mrid, one.name, two.name),
        (K.CHANNEL_TAKEN, two.mrid, two.name, one.name),
    }


def test_a_control_called_as_another_device_of_its_station_is_dangerous(edit):
    """Breakers of two bays: their paths differ, the number that an operator is told to type does not."""
    first, second = edit.control(SWITCH), edit.control("Beishan/220kV/T2/2021")
    edit.put(first.mrid, "IdentifiedObject.name", second.name)
    edit.put(second.mrid, "sc:Control.deviceNumber", first.device_number)
    found = edit.effects()
    assert {(row.kind, row.mrid, row.path, row.field) for row in found.dangerous} == {
        (K.NAME_TAKEN, first.mrid, "Beishan/220kV/T1/2021 (2021)", "device_number"),
        (K.NAME_TAKEN, second.mrid, "Beishan/220kV/T2/2021 (2011)", "device_number"),
    }


def test_a_new_name_a_new_host_and_one_more_state_are_no_danger(edit):
    control = edit.control(SWITCH)
    edit.put(control.mrid, "IdentifiedObject.name", "Q0")
    edit.put(edit.tables.channels[0].mrid, "sc:RemoteUnit.host", "10.9.9.9")
    assert not edit.effects().dangerous
    assert not states_moved({1: "open", 2: "closed"}, {1: "off", 2: "on", 3: "faulty"})


def test_a_point_without_a_source_an_inverted_alarm_and_states_that_change_places(edit):
    edit.remove(edit.source(VOLTAGE))
    trip = edit.point("Beishan/220kV/T1/Protection trip")
    assert trip.normal_value == 0
    edit.put(edit.measurement(trip.path), "sc:Measurement.normalState", "1")
    alias_set = edit.model.ref(edit.measurement(trip.path), "Discrete.ValueAliasSet")
    for alias in edit.model.refs_to(alias_set, "ValueToAlias.ValueAliasSet"):
        value = edit.model.text(alias, "ValueToAlias.value")
        edit.put(alias, "ValueToAlias.value", {"0": "1", "1": "0"}[value])
    found = edit.effects()
    assert rows(found, K.SOURCE_LOST) == [(K.SOURCE_LOST, VOLTAGE, "", "Beishan RTU CA 1 IOA 16385 type 36", "")]
    assert rows(found, K.ALARM_INVERTED) == [(K.ALARM_INVERTED, trip.path, "normal_value", "0", "1")]
    assert trip.path in {one.path for one in found.rows if one.kind is K.STATES_MOVED}
    assert all(one.dangerous for one in found.rows if one.kind in (K.SOURCE_LOST, K.ALARM_INVERTED, K.STATES_MOVED))


def test_feedback_of_another_device_is_dangerous(edit):
    """The command would be reported done by a switch that nobody operated."""
    control, other = edit.control(SWITCH), edit.control("Beishan/220kV/T1/2012")
    point = edit.tables.points[other.feedback]
    prop = next(p for p in ("sc:Control.feedback", "Command.DiscreteValue") if edit.model.ref(control.mrid, p))
    edit.put(control.mrid, prop, point.mrid, ValueKind.REF)
    assert [(one.kind, one.new) for one in edit.effects().dangerous] == [(K.FEEDBACK_CHANGED, point.path)]


def test_agc_avc_and_stations(edit):
    tables, model = edit.tables, edit.model
    area = next(one for one in tables.areas if one.units)
    unit = area.units[0]
    zone = tables.zones[0]
    changed = replace(
        tables,
        areas=[replace(area, bias=area.bias - 1, units=[replace(unit, maximum=unit.maximum + 5), *area.units[2:]])]
        + [one for one in tables.areas if one is not area],
        zones=[replace(zone, pilots=[replace(zone.pilots[0], target=999.0), *zone.pilots[1:]]), *tables.zones[1:]],
        stations=[replace(tables.stations[0], area="Elsewhere"), *tables.stations[1:]],
    )
    found = effects(tables, changed, model, model)
    assert set(rows(found)) == {
        (K.AGC_CHANGED, area.name, "bias", shown(area.bias), shown(area.bias - 1)),
        (K.AGC_CHANGED, area.name, f"{unit.name}: maximum", shown(unit.maximum), shown(unit.maximum + 5)),
        (K.AGC_LOST, area.name, "", area.units[1].name, ""),
        (K.AVC_CHANGED, zone.name, f"{zone.pilots[0].name}: target", shown(zone.pilots[0].target), "999"),
        (K.STATION_CHANGED, tables.stations[0].name, "area", tables.stations[0].area, "Elsewhere"),
    }


def test_regulation_that_acts_elsewhere_or_the_other_way_round_is_dangerous(edit):
    tables, model = edit.tables, edit.model
    area = next(one for one in tables.areas if one.units and one.ties)
    tie, unit = area.ties[0], area.units[0]
    units = [replace(unit, setpoint=area.units[1].setpoint), *area.units[1:]]
    changed = replace(area, ties=[replace(tie, sign=-tie.sign), *area.ties[1:]], units=units)
    found = effects(tables, replace(tables, areas=[changed if one is area else one for one in tables.areas]), model, model)
    assert {(one.kind, one.field) for one in found.dangerous} == {
        (K.REGULATION_MOVED, f"{tie.name}: sign"),
        (K.REGULATION_MOVED, f"{unit.name}: setpoint"),
    }


def test_parts_of_one_name_are_all_compared(edit):
    """G1 of one plant must not hide what becomes of G1 of another."""
    tables, model = edit.tables, edit.model
    area = next(one for one in tables.areas if len(one.units) > 1)

    def named(**change):
        units = [replace(one, name="G1") for one in area.units]
        units[0] = replace(units[0], **change)
        return replace(tables, areas=[replace(area, units=units) if one is area else one for one in tables.areas])

    found = effects(named(), named(maximum=9e3), model, model)
    assert [(one.kind, one.field, one.new) for one in found.rows] == [(K.AGC_CHANGED, "G1: maximum", "9000")]


def test_numbers_of_points_may_differ_between_versions(edit):
    """A running server keeps numbers of versions before; that is no change."""
    kept = Numbers(*({row.mrid: number + 5 for number, row in enumerate(rows)} for rows in (
        edit.tables.points, edit.tables.controls, edit.tables.channels,
    )))  # fmt: skip
    tables, _ = build_tables(edit.model, kept)
    tables = replace(tables, stations=edit.tables.stations)
    assert tables.points[0].removed
    assert rows(effects(edit.tables, tables, edit.model, edit.model)) == []


def test_forwarded_rows(edit):
    tables = edit.tables
    station = tables.upstream[0]
    first, second, *rest = station.points
    moved = [replace(first, address=second.address), replace(second, address=replace(second.address, ioa=65_000)), *rest[1:]]
    changed = replace(tables, upstream=[replace(station, port=9999, points=moved), *tables.upstream[1:]])
    found = effects(tables, changed, edit.model, edit.model)
    paths = [tables.points[row.pid].path for row in (first, second)]
    assert rows(found, K.FORWARD_TAKEN)[0][3:] == (paths[1], paths[0])
    assert {one[2] for one in rows(found, K.FORWARD_READDRESSED)} == set(paths)
    assert rows(found, K.FORWARD_LOST)[0][3].startswith(tables.points[rest[0].pid].path)
    control = station.controls[0]
    changed = replace(station, controls=[replace(control, select=False), *station.controls[1:]])
    direct = effects(tables, replace(tables, upstream=[changed, *tables.upstream[1:]]), edit.model, edit.model)
    assert control.select
    assert [one.kind for one in direct.dangerous] == [K.FORWARD_SELECT_OFF]
    assert ("port", "9999") in {(one[2], one[4]) for one in rows(found, K.FORWARD_CHANGED)}


def test_files_beside_the_xml():
    old = {"EQ.xml": "1", "templates/a.toml": "1", "templates/b.toml": "1", "diagrams/x.svg": "1", "map.toml": "1"}
    new = {"EQ.xml": "2", "templates/a.toml": "2", "templates/c.toml": "1", "diagrams/x.svg": "2"}
    assert [(one.kind, one.path, one.new) for one in file_effects(old, new)] == [
        (K.FILE_CHANGED, "map.toml", "removed"),
        (K.TEMPLATE_CHANGED, "templates/a.toml", "changed"),
        (K.TEMPLATE_CHANGED, "templates/b.toml", "removed"),
        (K.TEMPLATE_CHANGED, "templates/c.toml", "added"),
    ]


def test_as_dict_is_json_and_tells_dangers_and_counts(edit):
    edit.put(edit.control(SWITCH).mrid, "sc:Control.select", "false")
    read = json.loads(json.dumps(edit.effects().as_dict()))
    assert read["dangerous"] == 1
    assert read["counts"] == {"select-off": 1}
    assert read["effects"][0]["station"] == "Beishan"
    assert read["effects"][0]["text"] == f"control {SWITCH}: select before operate is switched off"


def test_every_effect_has_words_in_both_languages_with_the_same_parameters():
    texts = {
        lang: json.loads(files("scada.model_cim").joinpath("data", f"effects-{lang}.json").read_text()) for lang in ("en", "zh")
    }
    for part in ("effects", "fields", "words"):
        assert texts["en"][part].keys() == texts["zh"][part].keys()
    assert set(texts["en"]["effects"]) == {kind.value for kind in K}
    for kind in K:
        named = [{name for _, name, _, _ in string.Formatter().parse(texts[lang]["effects"][kind]) if name} for lang in texts]
        assert named[0] == named[1], kind
    assert {K.POINT_LOST, K.ADDRESS_TAKEN, K.CONTROL_MOVED, K.SELECT_OFF, K.LIMIT_REMOVED, K.ALARM_DOWNGRADED} <= DANGEROUS
    assert Effect(K.POINT_LOST, "m", "P").text("de") == "point P goes: nothing"


def test_a_model_written_anew_has_no_effect(demo, tmp_path):
    """The writer sorts by mRID: no table, not even the order of redundant sources, may hang on the order of the files."""
    model, tables, _ = demo
    write_model(model, tmp_path)
    again, same, _ = load_model(tmp_path)
    assert rows(effects(tables, same, model, again)) == []


def test_what_has_no_effect_is_counted_and_not_hidden(edit):
    edit.added = {"a": "Analog", "l": "Location"}
    edit.forward = [Statement("a", "IdentifiedObject.name", "A"), Statement("l", "IdentifiedObject.name", "L")]
    assert rows(edit.effects()) == [(K.OTHER, "Analog", "", "", "1"), (K.OTHER, "Location", "", "", "1")]
