"""What the plant's meters and contacts read: one vector of quantities, and for every point the place in it.

A point is bound once, by its measurement type and its equipment or terminal. A type that the plant cannot measure is reported and
read as *invalid*: a reading is never made up. Signals of protection and supervision that nothing in the plant drives stand at 0.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE, RecordFlag, Records
from scada.core.quality import Quality
from scada.model_cim.cim import CimModel
from scada.model_cim.tables import Point, PointKind
from scada.sim.faults import PointFaults
from scada.sim.members import Members
from scada.sim.plant import Plant
from scada.sim.switchgear import Switchgear

F8 = npt.NDArray[np.float64]
_log = logging.getLogger(__name__)

_FLOWS = {
    "ThreePhaseActivePower": "p",
    "ThreePhaseReactivePower": "q",
    "LineCurrent": "i",
    "ActiveEnergyExport": "out",
    "ActiveEnergyImport": "in",
}
_UNIT = {
    "UnitRunning": "running",
    "AgcRemote": "remote",
    "AvcRemote": "remote",
    "ActivePowerSetpoint": "p_set",
    "ReactivePowerSetpoint": "q_set",
    "VoltageSetpoint": "v_set",
    "AvailableActivePower": "available",
    "StateOfCharge": "soc",
    "Irradiance": "irradiance",
    "WindSpeed": "wind",
}


class _Layout:
    """Places of named blocks in one vector."""

    def __init__(self) -> None:
        self.start: dict[str, int] = {}
        self.length = 0

    def add(self, name: str, count: int) -> None:
        self.start[name] = self.length
        self.length += count


class Instruments:
    """Reads the plant.

    Args:
        plant: what is measured.
        switchgear: positions and local switches.
        model: for the direction of measurements.
        points: points that come by a channel.
    """

    def __init__(self, plant: Plant, switchgear: Switchgear, model: CimModel, points: Sequence[Point]) -> None:
        self.plant = plant
        self.switchgear = switchgear
        self.points = list(points)
        self._model = model
        grid = plant.equipment.grid
        self._ports: dict[str, int] = {}
        """Row of the flow table by mRID of a terminal or one-terminal equipment."""
        self._switch_ports: list[int] = []
        self._count = 2 * len(grid.branch_ids) + len(grid.load_ids) + len(grid.machine_ids) + len(grid.shunt_ids)
        self._machine_row = 2 * len(grid.branch_ids) + len(grid.load_ids)
        self._name_ports()
        self._add_switch_ports()
        self.energy_mwh = np.zeros((2, self._count))
        self._metered_s = plant.elapsed_s
        self._transformers = self._transformer_rows()
        self._layout = _Layout()
        machines = len(grid.machine_ids)
        self._members = Members(model, switchgear.unit_index)
        for name, count in (
            ("zero", 1),
            ("none", 1),
            ("kv", len(grid.node_ids)),
            ("hz", len(grid.node_ids)),
            *[(name, self._count) for name in ("p", "q", "i", "out", "in")],
            ("switch", len(grid.switch_ids)),
            ("trip", len(grid.switch_ids)),
            ("tap", len(grid.tap_ids)),
            ("sections", len(grid.shunt_ids)),
            ("oil", len(self._transformers)),
            *[(name, machines) for name in dict.fromkeys(_UNIT.values())],
            ("local", 1 + max((point.channel for point in points), default=0)),
            ("temperature", 1),
            ("member", len(self._members)),
        ):
            self._layout.add(name, count)
        self._oil = np.full(len(self._transformers), math.nan)
        self._oil_s = plant.elapsed_s
        bound = [self._bind(point) for point in self.points]
        self.index = np.array([index for index, _ in bound], dtype=np.int64)
        self.sign = np.array([sign for _, sign in bound], dtype=np.float64)
        self._report_once([p for p, (index, _) in zip(self.points, bound, strict=True) if index == self._layout.start["none"]])
        self._prepare_scan()

    # ------------------------------------------------------------------ binding

    def _name_ports(self) -> None:
        equipment, grid = self.plant.equipment, self.plant.equipment.grid
        branches = len(grid.branch_ids)
        for terminal, (row, side) in equipment.branch_side.items():
            self._ports[terminal] = row + side * branches
        first = 2 * branches
        for ids in (grid.load_ids, grid.machine_ids, grid.shunt_ids):
            for number, mrid in enumerate(ids):
                self._ports[mrid] = first + number
            first += len(ids)

    def _add_switch_ports(self) -> None:
        """Flows through switches are solved only where somebody measures them."""
        switches = self.switchgear.switch_index
        for point in self.points:
            if point.measurement_type in _FLOWS and point.equipment in switches and point.equipment not in self._ports:
                self._ports[point.equipment] = self._count
                self._switch_ports.append(switches[point.equipment])
                self._count += 1

    def _transformer_rows(self) -> dict[str, tuple[int, float]]:
        """First winding's row and rated MVA of each transformer."""
        model, rows = self._model, {}
        for mrid in model.ids("PowerTransformer"):
            ends = model.refs_to(mrid, "PowerTransformerEnd.PowerTransformer")
            rated = max((model.number(end, "PowerTransformerEnd.ratedS", 0.0) for end in ends), default=0.0)
            sides = [self._ports.get(model.ref(end, "TransformerEnd.Terminal") or "", -1) for end in ends]
            if rated > 0 and sides and sides[0] >= 0:
                rows[mrid] = (sides[0], rated)
        return rows

    def _bind(self, point: Point) -> tuple[int, float]:
        start = self._layout.start
        measures, where = point.measurement_type, self.plant.equipment.node_of
        place = point.terminal or point.equipment
        if measures == "ThreePhaseActivePower" and point.equipment in self._members.row:
            return start["member"] + self._members.row[point.equipment], 1.0
        if measures in _FLOWS:
            return self._bind_flow(point)
        if measures in _UNIT and point.equipment in self.switchgear.unit_index:
            return start[_UNIT[measures]] + self.switchgear.unit_index[point.equipment], 1.0
        for block, names, table in (
            ("kv", ("LineToLineVoltage",), where),
            ("hz", ("Frequency",), where),
        ):
            if measures in names and place in table:
                return start[block] + table[place], 1.0
        for block, name, rows in (
            ("switch", "SwitchPosition", self.switchgear.switch_index),
            ("trip", "ProtectionTrip", self.switchgear.switch_index),
            ("tap", "TapPosition", self.switchgear.tap_index),
            ("sections", "ShuntSections", self.switchgear.shunt_index),
            ("oil", "OilTemperature", {mrid: row for row, mrid in enumerate(self._transformers)}),
        ):
            if measures == name and point.equipment in rows:
                return start[block] + rows[point.equipment], 1.0
        fixed = {"LocalControl": start["local"] + point.channel, "AmbientTemperature": start["temperature"]}
        # a signal that nothing in the plant drives is at rest; anything else cannot be read
        return fixed.get(measures, start["zero" if point.kind is PointKind.STATUS else "none"]), 1.0

    def _bind_flow(self, point: Point) -> tuple[int, float]:
        row = self._ports.get(point.terminal, self._ports.get(point.equipment))
        if row is None:
            return self._layout.start["none"], 1.0
        start = self._layout.start[_FLOWS[point.measurement_type]] + row
        if point.measurement_type not in ("ThreePhaseActivePower", "ThreePhaseReactivePower"):
            return start, 1.0
        model = self._model
        measurement = model.ref(point.mrid, "AnalogValue.Analog") or point.mrid
        machine = point.equipment in self.switchgear.unit_index
        return start, 1.0 if model.truth(measurement, "Analog.positiveFlowIn", default=not machine) else -1.0

    @staticmethod
    def _report_once(points: Sequence[Point]) -> None:
        kinds: dict[str, list[str]] = {}
        for point in points:
            kinds.setdefault(point.measurement_type or "(no type)", []).append(point.path)
        for kind, paths in kinds.items():
            _log.warning("the plant cannot measure %s: %d points read invalid, the first is %s", kind, len(paths), paths[0])

    # ------------------------------------------------------------------ reading

    def flows(self) -> tuple[npt.NDArray[np.complex128], F8]:
        """Complex power in MVA into the equipment at every port, and the voltage there in kV."""
        plant, grid = self.plant, self.plant.equipment.grid
        s_from, s_to = plant.network.branch_flow(plant.solution.voltage)
        load_p, load_q = plant.load_mw()
        machine = plant.machine_p + 1j * plant.machine_q
        parts = [s_from, s_to, load_p + 1j * load_q, -machine, plant.shunt_power()]
        kv = plant.node_kv()
        nodes = [grid.branch_from, grid.branch_to, grid.load_node, grid.machine_node, grid.shunt_node]
        if self._switch_ports:
            parts.append(plant.switch_power(self._switch_ports))
            nodes.append(grid.switch_from[self._switch_ports])
        return np.concatenate(parts), kv[np.concatenate(nodes)]

    def read(self) -> F8:
        """The vector of all quantities at the plant's present time."""
        plant, gear = self.plant, self.switchgear
        s, kv = self.flows()
        amperes = np.divide(np.abs(s) * 1e3, np.sqrt(3.0) * kv, out=np.zeros(len(kv)), where=kv > 0)
        amperes = np.where(np.isnan(kv), np.nan, amperes)
        self._count_energy(s.real)
        self._warm_oil(np.abs(s))
        dynamics = plant.dynamics
        node_kv = plant.equipment.grid.node_kv[plant.equipment.grid.machine_node]
        local = np.zeros(self._layout.start["temperature"] - self._layout.start["local"])
        local[list(gear.local)] = 1.0
        blocks = {
            "zero": np.zeros(1),
            "none": np.full(1, np.nan),
            "kv": plant.node_kv(),
            "hz": plant.node_hz(),
            "p": s.real,
            "q": s.imag,
            "i": amperes,
            "out": self.energy_mwh[0],
            "in": self.energy_mwh[1],
            "switch": gear.position.astype(float),
            "trip": gear.tripped.astype(float),
            "tap": plant.tap_step,
            "sections": plant.sections,
            "oil": self._oil,
            "running": dynamics.online.astype(float),
            "remote": gear.unit_remote.astype(float),
            "p_set": dynamics.target,
            "q_set": np.where(np.isnan(plant.q_target), plant.machine_q, plant.q_target),
            "v_set": plant.v_set * node_kv,
            "available": plant.available,
            "soc": plant.state_of_charge * 100.0,
            "irradiance": plant.weather.irradiance_w_m2,
            "wind": plant.weather.wind_m_s,
            "local": local,
            "temperature": np.full(1, plant.weather.temperature_c),
            "member": self._members.power(plant.machine_p, plant.available),
        }
        return np.concatenate([blocks[name] for name in self._layout.start])

    def _count_energy(self, into: F8) -> None:
        """Energy meters: ``out`` leaves the busbar into the equipment; a generator's ``out`` is what it delivers."""
        hours = (self.plant.elapsed_s - self._metered_s) / 3600.0
        self._metered_s = self.plant.elapsed_s
        known = np.nan_to_num(into)
        machines = slice(self._machine_row, self._machine_row + len(self.plant.equipment.machines))
        known[machines] *= -1.0
        self.energy_mwh[0] += np.maximum(known, 0.0) * hours
        self.energy_mwh[1] += np.maximum(-known, 0.0) * hours

    def _warm_oil(self, mva: F8) -> None:
        """Top-oil temperature: ambient and a rise with the load, by a time constant of an hour (after IEC 60076-7)."""
        rows = np.array([row for row, _ in self._transformers.values()], dtype=np.int64)
        rated = np.array([rated for _, rated in self._transformers.values()])
        load = np.nan_to_num(mva[rows]) / rated if len(rows) else np.zeros(0)
        final = self.plant.weather.temperature_c + 52.0 * ((1.0 + 6.0 * load**2) / 7.0) ** 0.8
        seconds = self.plant.elapsed_s - self._oil_s
        self._oil_s = self.plant.elapsed_s
        keep = math.exp(-seconds / 3600.0)
        self._oil = np.where(np.isnan(self._oil), final, keep * self._oil + (1.0 - keep) * final)

    # ------------------------------------------------------------------ scanning for changes

    def _prepare_scan(self) -> None:
        points = self.points
        self.pid = np.array([point.pid for point in points], dtype=np.uint32)
        self.channel = np.array([point.channel for point in points], dtype=np.int64)
        self.row_of_pid = {int(pid): row for row, pid in enumerate(self.pid)}
        span = np.array([point.maximum - point.minimum for point in points])
        share = np.where(np.isfinite(span) & (span > 0), span * self.plant.settings.report_share, 0.0)
        given = np.array([point.deadband for point in points])
        analog = np.array([point.kind is PointKind.ANALOG for point in points], dtype=bool)
        counter = np.array([point.kind is PointKind.COUNTER for point in points], dtype=bool)
        self._threshold = np.where(analog, np.where(given > 0, given, share), 0.0)
        self._event = ~analog & ~counter
        self._rounded = counter
        self._sent = np.full(len(points), np.nan)
        self._sent_quality = np.full(len(points), 0xFFFF_FFFF, dtype=np.uint32)
        switch_start = self._layout.start["switch"]
        self._points_of_switch: dict[int, list[int]] = {}
        for row, index in enumerate(self.index.tolist()):
            if 0 <= index - switch_start < len(self.switchgear.position):
                self._points_of_switch.setdefault(index - switch_start, []).append(row)

    def scan(self, faults: PointFaults, *, everything: bool = False) -> Records:
        """Values that changed since the last scan, positions in the order in which they moved.

        Args:
            faults: what is wrong with the meters.
            everything: all values, changed or not, as after a station's start.
        """
        moved = [
            (row, position, at)
            for at, switch, position in self.switchgear.take_moves()
            for row in self._points_of_switch.get(switch, ())
            if not faults.holds(row)
        ]
        value = self.read()[self.index] * self.sign
        value = np.where(self._rounded, np.floor(np.nan_to_num(value)), value)
        quality = np.where(np.isfinite(value), 0, int(Quality.INVALID)).astype(np.uint32)
        value, quality = faults.apply(np.nan_to_num(value), quality, self._sent)
        with np.errstate(invalid="ignore"):
            still = np.abs(value - self._sent) <= self._threshold
        changed = ~still | (quality != self._sent_quality)
        if everything:
            changed[:] = True
        path = np.array([row for row, _, _ in moved], dtype=np.int64)
        changed[path] = everything
        rows = np.flatnonzero(changed)
        records = np.zeros(len(moved) + len(rows), dtype=POINT_DTYPE)
        head, tail = records[: len(moved)], records[len(moved) :]
        head["pid"], head["value"] = self.pid[path], [position for _, position, _ in moved]
        head["source_time"], head["flags"] = [at for _, _, at in moved], RecordFlag.EVENT
        head["quality"] = quality[path]
        tail["pid"], tail["value"], tail["quality"] = self.pid[rows], value[rows], quality[rows]
        tail["source_time"] = self.plant.flow_ns
        tail["flags"] = np.where(self._event[rows], RecordFlag.EVENT, 0)
        records["channel"] = self.channel[np.concatenate([path, rows])]
        self._sent[rows], self._sent_quality[rows] = value[rows], quality[rows]
        self._sent[path] = value[path]
        self._sent_quality[path] = quality[path]
        return records

    def present(self, channel: int) -> Records:
        """All values of a channel as last scanned: what a station that starts reads first."""
        rows = np.flatnonzero(self.channel == channel)
        records = np.zeros(len(rows), dtype=POINT_DTYPE)
        records["pid"], records["value"], records["quality"] = self.pid[rows], self._sent[rows], self._sent_quality[rows]
        records["source_time"], records["channel"] = self.plant.flow_ns, channel
        return records


def bind_units(model: CimModel, plant: Plant) -> dict[str, int]:
    """Machine rows by mRID of the machine and of its generating unit."""
    del model
    rows: dict[str, int] = {}
    for row, machine in enumerate(plant.equipment.machines):
        rows[machine.mrid] = rows[machine.unit_id] = row
    return rows


def bind_taps(model: CimModel, plant: Plant) -> dict[str, int]:
    """Tap changer rows by mRID of the tap changer, its winding and, where it is the only one, its transformer."""
    rows: dict[str, int] = {}
    for row, mrid in enumerate(plant.equipment.grid.tap_ids):
        rows[mrid] = row
        end = model.ref(mrid, "RatioTapChanger.TransformerEnd") or ""
        transformer = model.ref(end, "PowerTransformerEnd.PowerTransformer") or ""
        rows[end] = row
        rows.setdefault(transformer, row)
    return rows
