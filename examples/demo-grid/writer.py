"""Writes points and controls in the SC profile: measurement, value, source; control and remote control; limit sets."""

from __future__ import annotations

from collections.abc import Sequence

from cimxml import Enum, Profile, Ref, Value, mrid
from parts import Station, Unit
from remote import Channel

UNITS = {
    "MW": ("M", "W"),
    "Mvar": ("M", "VAr"),
    "A": ("none", "A"),
    "kV": ("k", "V"),
    "Hz": ("none", "Hz"),
    "degC": ("none", "degC"),
    "%": ("c", "none"),
    "MWh": ("M", "Wh"),
    "m/s": ("none", "mPers"),
    "W/m2": ("none", "WPerm2"),
    "": ("none", "none"),
}
Signal = tuple[str, str, str, int]
"""Name, measurementType, alarm class, priority."""


class PointWriter:
    """Points and controls of one file.

    Args:
        file: where they are written.
        channel: hands out addresses; None if all points of the file are calculated.
    """

    def __init__(self, file: Profile, channel: Channel | None) -> None:
        self.file = file
        self._channel = channel
        self._limit_sets: dict[str, tuple[tuple[float, ...], dict[str, Value], list[Value]]] = {}

    def analog(
        self,
        where: Sequence[str],
        name: str,
        measures: str,
        resource: str,
        terminal: str,
        unit: str,
        *,
        limits: str = "",
        deadband: float = 0.0,
        phases: str = "",
        generator: bool = False,
        expression: str = "",
        span: tuple[float, float] | None = None,
        sample_s: int = 0,
    ) -> str:
        """An Analog with its value, source and limits; returns the mRID of the value."""
        multiplier, symbol = UNITS[unit]
        properties: dict[str, Value | list[Value]] = {
            "IdentifiedObject.name": name,
            "Measurement.measurementType": measures,
            "Measurement.unitMultiplier": Enum(f"UnitMultiplier.{multiplier}"),
            "Measurement.unitSymbol": Enum(f"UnitSymbol.{symbol}"),
            "Measurement.PowerSystemResource": Ref(resource),
        }
        if span is not None:
            properties["Analog.minValue"], properties["Analog.maxValue"] = span
        if sample_s:
            properties["sc:Measurement.historySample"] = sample_s
        if terminal:
            properties["Measurement.Terminal"] = Ref(terminal)
        if phases:
            properties["Measurement.phases"] = Enum(f"PhaseCode.{'AC' if phases == 'CA' else phases}")  # CIM has no CA
        if unit in ("MW", "Mvar", "A") and terminal:
            properties["Analog.positiveFlowIn"] = not generator
        if limits:
            properties["sc:Measurement.alarmClass"] = "LIMIT"
            properties["sc:Measurement.alarmPriority"] = "2"
        measurement = self.file.put("Analog", mrid(*where, name), properties)
        if limits:
            self._limit_sets[limits][2].append(Ref(measurement))
        return self._value("Analog", measurement, where, name, "analog", expression, deadband)

    def discrete(
        self,
        where: Sequence[str],
        name: str,
        measures: str,
        resource: str,
        *,
        terminal: str = "",
        kind: str,
        states: str = "",
        alarm: str = "NOTICE",
        priority: int = 3,
        normal: int | None = None,
        suppressed_by: str = "",
        limits: tuple[int, int] | None = None,
        expression: str = "",
    ) -> str:
        """A Discrete with its value and source; returns the mRID of the value."""
        properties: dict[str, Value | list[Value]] = {
            "IdentifiedObject.name": name,
            "Measurement.measurementType": measures,
            "Measurement.PowerSystemResource": Ref(resource),
            "sc:Discrete.kind": kind,
            "sc:Measurement.alarmClass": alarm,
            "sc:Measurement.alarmPriority": str(priority),
        }
        if terminal:
            properties["Measurement.Terminal"] = Ref(terminal)
        if states:
            properties["Discrete.ValueAliasSet"] = Ref(mrid("states", states))
        if limits:
            properties["Discrete.minValue"], properties["Discrete.maxValue"] = str(limits[0]), str(limits[1])
        if normal is not None:
            properties["sc:Measurement.normalState"] = str(normal)
        if suppressed_by:
            properties["sc:Measurement.suppressedBy"] = Ref(suppressed_by)
        measurement = self.file.put("Discrete", mrid(*where, name), properties)
        return self._value("Discrete", measurement, where, name, kind, expression, 0.0)

    def signal(self, where: Sequence[str], signal: Signal, resource: str, suppressed_by: str = "") -> None:
        """An alarm signal: normal 0, alarm 1; while the signal ``suppressed_by`` of the same place is 1 it gives no alarm."""
        name, measures, alarm, priority = signal
        self.discrete(
            where,
            name,
            measures,
            resource,
            kind="status",
            states="alarm",
            alarm=alarm,
            priority=priority,
            normal=0,
            suppressed_by=mrid(*where, suppressed_by, "value") if suppressed_by else "",
        )

    def energised(self, where: Sequence[str], resource: str, terminal: str, alarm: str = "CHANGE") -> None:
        """The calculated energised state of equipment."""
        normal = 1 if alarm == "ABNORMAL" else None
        self.discrete(
            where,
            "Energised",
            "EnergisedState",
            resource,
            terminal=terminal,
            kind="state",
            states="energised",
            alarm=alarm,
            priority=2,
            normal=normal,
            expression="topology",
        )

    def energy(self, where: Sequence[str], resource: str, terminal: str) -> None:
        """Counters of energy out of and into the station, where the channel has any."""
        assert self._channel is not None
        if not self._channel.counters:
            return
        for name, measures in (("Energy export", "ActiveEnergyExport"), ("Energy import", "ActiveEnergyImport")):
            measurement = self.file.put(
                "Accumulator",
                mrid(*where, name),
                {
                    "IdentifiedObject.name": name,
                    "Measurement.measurementType": measures,
                    "Measurement.unitMultiplier": Enum("UnitMultiplier.M"),
                    "Measurement.unitSymbol": Enum("UnitSymbol.Wh"),
                    "Measurement.PowerSystemResource": Ref(resource),
                    "Measurement.Terminal": Ref(terminal),
                },
            )
            self._value("Accumulator", measurement, where, name, "counter", "", 0.0)

    def _value(
        self, kind: str, measurement: str, where: Sequence[str], name: str, address: str, expression: str, deadband: float
    ) -> str:
        value = mrid(*where, name, "value")
        properties: dict[str, Value | list[Value]] = {
            "IdentifiedObject.name": name,
            f"{kind}Value.{kind}": Ref(measurement),
        }
        if expression:
            properties["sc:MeasurementValue.expression"] = expression
            return self.file.put(f"{kind}Value", value, properties)
        self.file.put(f"{kind}Value", value, properties)
        assert self._channel is not None
        source: dict[str, Value | list[Value]] = {
            "IdentifiedObject.name": name,
            "RemotePoint.RemoteUnit": Ref(self._channel.identity),
            "RemoteSource.MeasurementValue": Ref(value),
            **self._channel.source(address, where, name),
        }
        if deadband:
            source["RemoteSource.deadband"] = deadband
        self.file.put("RemoteSource", mrid(*where, name, "source"), source)
        return value

    # limits

    def limits(self, name: str, values: tuple[float, ...], hysteresis: float, delay: float, **more: Value) -> None:
        """Announce a set of limits: two or four values, hysteresis, delay in s, further attributes of the set."""
        attributes: dict[str, Value] = {"hysteresis": hysteresis, "delay": delay, **more}
        self._limit_sets.setdefault(name, (values, attributes, []))

    def write_limits(self, station: Station) -> None:
        """Write the limit sets that points took."""
        for name, (values, attributes, measurements) in self._limit_sets.items():
            if not measurements:
                continue
            limit_set = self.file.put(
                "AnalogLimitSet",
                mrid(station.name, "limits", name),
                {
                    "IdentifiedObject.name": name,
                    **{f"sc:AnalogLimitSet.{attribute}": value for attribute, value in attributes.items()},
                    "AnalogLimitSet.Measurements": measurements,
                },
            )
            kinds = (
                ("lolo", "lo", "hi", "hihi")
                if len(values) == 4
                else ("lo", "hi")
                if values[0] < 0.5 * values[1]
                else ("hi", "hihi")
            )
            for kind, value in zip(kinds, values, strict=True):
                self.file.put(
                    "AnalogLimit",
                    mrid(station.name, "limits", name, kind),
                    {
                        "IdentifiedObject.name": kind,
                        "AnalogLimit.value": value,
                        "AnalogLimit.LimitSet": Ref(limit_set),
                        "sc:AnalogLimit.kind": kind,
                    },
                )

    # controls

    def command(self, where: Sequence[str], switch: str, number: str, feedback: str, *, timeout: float) -> None:
        """A double command of a switch."""
        control = self.file.put(
            "Command",
            mrid(*where, f"{number} command"),
            {
                "IdentifiedObject.name": number,
                "Control.controlType": "SwitchPosition",
                "Control.PowerSystemResource": Ref(switch),
                "Command.DiscreteValue": Ref(feedback),
                "Command.ValueAliasSet": Ref(mrid("states", "switch")),
                "sc:Control.kind": "double",
                "sc:Control.select": True,
                "sc:Control.deviceNumber": number,
                "sc:Control.feedbackTimeout": timeout,
            },
        )
        self._remote_control(control, where, number, "command")

    def tap(self, where: tuple[str, str], tap: str, low: int, high: int) -> str:
        """Position and raise/lower command of a tap changer; returns the mRID of the command."""
        position = self.discrete(
            where, "Tap position", "TapPosition", tap, kind="step", alarm="CHANGE", priority=4, limits=(low, high)
        )
        control = self.file.put(
            "RaiseLowerCommand",
            mrid(*where, "tap command"),
            {
                "IdentifiedObject.name": "Tap",
                "Control.controlType": "TapPosition",
                "Control.PowerSystemResource": Ref(tap),
                "AnalogControl.minValue": str(low),
                "AnalogControl.maxValue": str(high),
                "sc:Control.kind": "step",
                "sc:Control.select": True,
                "sc:Control.feedback": Ref(position),
                "sc:Control.deviceNumber": f"700{where[1][-1]}",
                "sc:Control.feedbackTimeout": 10.0,
            },
        )
        self._remote_control(control, where, "Tap", "step-command")
        return control

    def setpoint(
        self, where: tuple[str, str], unit: Unit, letter: str, kind: str, symbol: str, limits: tuple[float, float]
    ) -> None:
        """A set-point of a unit with its echo."""
        echo = self.analog(where, f"{letter} set-point echo", f"{kind}Setpoint", unit.identity, "", symbol)
        multiplier, unit_symbol = UNITS[symbol]
        control = self.file.put(
            "SetPoint",
            mrid(*where, f"{letter} set-point"),
            {
                "IdentifiedObject.name": f"{letter} set-point",
                "Control.controlType": kind,
                "Control.unitMultiplier": Enum(f"UnitMultiplier.{multiplier}"),
                "Control.unitSymbol": Enum(f"UnitSymbol.{unit_symbol}"),
                "Control.PowerSystemResource": Ref(unit.identity),
                "AnalogControl.AnalogValue": Ref(echo),
                "AnalogControl.minValue": limits[0],
                "AnalogControl.maxValue": limits[1],
                "sc:Control.kind": "setpoint",
                "sc:Control.select": False,
                "sc:Control.deviceNumber": f"60{unit.number}{1 if letter == 'P' else 2}",
                "sc:Control.feedbackTimeout": 5.0,
                "sc:Control.feedbackTolerance": 0.1,
            },
        )
        self._remote_control(control, where, f"{letter} set-point", "setpoint")

    def _remote_control(self, control: str, where: Sequence[str], name: str, kind: str) -> None:
        assert self._channel is not None
        self.file.put(
            "RemoteControl",
            mrid(*where, name, kind, "remote"),
            {
                "IdentifiedObject.name": name,
                "RemotePoint.RemoteUnit": Ref(self._channel.identity),
                "RemoteControl.Control": Ref(control),
                **self._channel.control(kind, where, name),
            },
        )
