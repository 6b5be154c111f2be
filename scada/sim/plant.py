"""The simulated plant: switchgear, network, machines, loads and weather in one state that moves in simulated time.

Dynamics and power flow are made consistent so. The frequency dynamics own the mechanical powers, the frequencies and
the tie powers between areas. At each power flow a machine delivers its mechanical power less its share, by stored
energy, of the power that accelerates its group; the sum over a group is then load + losses + export of the dynamics.
The network's slack is shared by stored energy, too, and only has to find the losses; what it found goes back into the
dynamics as the group's losses, and if it moved by more than 0.05 MW the power flow is repeated. So the ties *measured
in the power flow* are those of the dynamics, and both agree with every other flow.

A group is an area, or the part of one inside one electrical island. Bus by bus a group's frequency is what a meter there shows.
An island without a synchronous machine on line is dead and reads 0 kV. Where the power flow has no solution the plant has no
electrical values (NaN): the outstations then send *invalid*.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from scada.apps.network.busbranch import BusBranch, reduce
from scada.apps.network.equipment import Equipment
from scada.apps.network.powerflow import Injections, PowerFlow, Solution
from scada.core.clock import NS_PER_S
from scada.sim.contacts import contact_matrix, would_earth
from scada.sim.dynamics import FrequencyDynamics
from scada.sim.neighbour import AreaPlan, NeighbourControl, balance
from scada.sim.profiles import LoadProfile, Weather
from scada.sim.settings import SimSettings
from scada.sim.units import unit_settings, unit_table

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_log = logging.getLogger(__name__)
_LOSS_TOLERANCE_MW = 0.05
_EFFICIENCY = 0.95
"""Of a storage, each way."""


def total(rows: I8, values: npt.ArrayLike, count: int) -> F8:
    """Sum of ``values`` by row number, for rows 0 .. ``count`` - 1."""
    return np.bincount(rows, np.asarray(values, dtype=np.float64), count).astype(np.float64)


class Plant:
    """State of the plant at :attr:`now_ns`.

    Args:
        equipment: the model's network and machines.
        area_of_substation: area name by substation mRID.
        areas: the areas.
        settings: ``sim.toml``.
        start_ns: simulated UTC at the start.
        nominal_hz: nominal frequency.
    """

    def __init__(
        self,
        equipment: Equipment,
        area_of_substation: Mapping[str, str],
        areas: Sequence[AreaPlan],
        settings: SimSettings,
        start_ns: int,
        *,
        nominal_hz: float = 50.0,
    ) -> None:
        self.equipment = equipment
        self.settings = settings
        self.areas = list(areas) or [AreaPlan("", 0.0, controlled=True)]
        self.nominal_hz = nominal_hz
        self.now_ns = start_ns
        self._start_ns = start_ns
        self.elapsed_s = 0.0
        """Simulated seconds since the start; does not jump with the clock."""
        self.flow_ns = start_ns
        """Time of the last power flow."""
        self.switch_open = equipment.switch_open.copy()
        self.tap_step = equipment.tap_step.copy()
        self.sections = equipment.sections.copy()
        names = [area.name for area in self.areas]
        self._area_of_node = np.array(
            [names.index(area) if (area := area_of_substation.get(sub, "")) in names else 0 for sub in equipment.substation]
        )
        self._take_ratings(settings)
        machines = equipment.machines
        seed = settings.seed
        self._profile = LoadProfile(settings.load, len(equipment.load_p), seed)
        self.weather = Weather(settings.weather, max(1, len(machines)), seed + 100)
        self.load_factor = np.ones(len(equipment.load_p))
        self.network: BusBranch
        self._solver = PowerFlow()
        none = np.zeros(0)
        self.solution = Solution(none.astype(complex), none.astype(bool), none.astype(bool), none)
        self.machine_p = np.array([machine.p for machine in machines])
        self.machine_q = np.zeros(len(machines))
        self._weather_and_loads(1e6)
        output = np.minimum(self.machine_p, self._available())
        output = np.where(self.synchronous, self.machine_p, output)
        area_of_machine = self._area_of_node[equipment.grid.machine_node]
        self.dynamics = FrequencyDynamics(
            unit_table(machines, settings), output, area_of_machine, len(self.areas), nominal_hz=self.nominal_hz, step_s=0.05
        )
        self.dynamics.available = self._available()
        self.groups: list[tuple[int, int]] = []
        """(island, area) of each group."""
        self.losses: dict[tuple[int, int], float] = {}
        """Losses of each group by the last power flow, MW."""
        self._neighbours = NeighbourControl()
        self._contact_key: tuple[int, tuple[int, ...]] = (0, ())
        self._contact = np.zeros((0, 0))
        self._unsolved = False
        self._tripped = np.zeros(len(machines), dtype=bool)
        self.switched()
        balance(self)

    def _take_ratings(self, settings: SimSettings) -> None:
        """Ratings and set-points of the machines as the model gives them."""
        machines = self.equipment.machines
        self.p_min = np.array([machine.p_min for machine in machines])
        self.p_max = np.array([machine.p_max for machine in machines])
        self.kind = np.array([machine.kind for machine in machines])
        self.synchronous = np.array([machine.synchronous for machine in machines], dtype=bool)
        grid = self.equipment.grid
        node_kv = grid.node_kv[grid.machine_node]
        self.v_set = np.array([machine.v_set for machine in machines]) / node_kv
        self.v_set = np.where(self.synchronous & np.isnan(self.v_set), 1.0, self.v_set)
        self.q_target = np.where(np.isnan(self.v_set), [machine.q for machine in machines], np.nan)
        self.state_of_charge = np.array([unit_settings(machine, settings).state_of_charge or 0.0 for machine in machines])

    # ------------------------------------------------------------------ time

    def advance(self, to_ns: int) -> None:
        """Move to ``to_ns`` (rounded down to whole steps of the dynamics) and solve the network there."""
        seconds = (to_ns - self.now_ns) // int(self.dynamics.step_s * NS_PER_S) * self.dynamics.step_s
        if seconds <= 0:
            return
        self._neighbours.act(self, seconds)
        self.dynamics.advance(seconds)
        self._store(seconds)
        self._weather_and_loads(seconds)
        self.dynamics.available = self._available()
        self.dynamics.floor = self._floor()
        self.now_ns += round(seconds * NS_PER_S)
        self.elapsed_s += seconds
        self._protect()
        self._regulate_reactive(seconds)
        self.solve()

    def set_time(self, now_ns: int) -> None:
        """The clock was set, or the host slept: go on from there without living through the time between."""
        self._start_ns += now_ns - self.now_ns
        self.now_ns = self.flow_ns = now_ns

    @property
    def local_hour(self) -> float:
        """Hour of the day of the curves."""
        if self.settings.start_hour is not None:
            return (self.settings.start_hour + (self.now_ns - self._start_ns) / NS_PER_S / 3600.0) % 24.0
        return (self.now_ns / NS_PER_S / 3600.0 + self.settings.time_zone_hours) % 24.0

    def _weather_and_loads(self, seconds: float) -> None:
        self.weather.advance(self.local_hour, seconds)
        self.load_factor = self._profile.factors(self.local_hour, seconds)

    def _available(self) -> F8:
        """Power each unit could give now: by weather, by stored energy, else its maximum."""
        kind = self.kind
        sun, wind = self.weather.solar_share, self.weather.wind_share
        share = np.where(kind == "pv", sun, np.where(kind == "wind", wind, 1.0))
        share = np.where((kind == "storage") & (self.state_of_charge <= 0.02), 0.0, share)
        return np.asarray(self.p_max * share)

    @property
    def available(self) -> F8:
        """Available power of each unit, MW."""
        return self.dynamics.available

    def _floor(self) -> F8:
        full = self.state_of_charge >= 0.98
        return np.asarray(np.where(full, np.maximum(self.dynamics.units.p_min, 0.0), self.dynamics.units.p_min))

    def _store(self, seconds: float) -> None:
        energy = np.array([machine.energy_mwh for machine in self.equipment.machines])
        power = self.dynamics.power
        drawn = np.where(power > 0, power / _EFFICIENCY, power * _EFFICIENCY) * seconds / 3600.0
        change = np.divide(drawn, energy, out=np.zeros_like(drawn), where=energy > 0)
        self.state_of_charge = np.clip(self.state_of_charge - change, 0.0, 1.0)

    # ------------------------------------------------------------------ network

    def switched(self) -> None:
        """Call after a switch, a tap or a bank moved: rebuild buses and groups, start and stop machines, solve."""
        self.network = reduce(self.equipment.grid, self.switch_open, self.tap_step, self.sections)
        self._connect_machines()
        self._regroup()
        self.solve()

    def island_of(self, nodes: I8) -> I8:
        """Electrical island of nodes."""
        return self.network.island[self.network.bus_of_node[nodes]]

    def _connect_machines(self) -> None:
        """A machine runs while its island has load and, to be synchronised with, another running synchronous machine.

        One that a relay stopped is synchronised again only after its breaker was opened.
        """
        grid = self.equipment.grid
        islands = self.island_of(grid.machine_node)
        loaded = np.isin(islands, self.island_of(grid.load_node))
        dynamics = self.dynamics
        self._tripped &= loaded
        for unit in np.flatnonzero(dynamics.online & ~loaded):
            dynamics.stop(int(unit))
        spinning = dynamics.online & self.synchronous
        for unit in np.flatnonzero(dynamics.online & ~np.isin(islands, islands[spinning])):
            dynamics.stop(int(unit))
        for unit in np.flatnonzero(~dynamics.online & ~self._tripped & np.isin(islands, islands[spinning])):
            dynamics.start(int(unit))

    def _regroup(self) -> None:
        """Groups are (island, area) pairs with a synchronous machine; keep frequencies and tie powers across switching."""
        grid, dynamics = self.equipment.grid, self.dynamics
        islands = self.island_of(grid.machine_node)
        areas = self._area_of_node[grid.machine_node]
        spinning = dynamics.online & self.synchronous
        groups = sorted({(int(i), int(a)) for i, a in zip(islands[spinning], areas[spinning], strict=True)})
        home = {group: row for row, group in enumerate(groups)}
        first = {island: row for row, (island, _) in reversed(list(enumerate(groups)))}
        node_island = self.island_of(np.arange(len(grid.node_ids)))
        self.group_of_node = np.array(
            [home.get((i, a), first.get(i, -1)) for i, a in zip(node_island.tolist(), self._area_of_node.tolist(), strict=True)]
        )
        old_group, old_ties, old_areas = dynamics.group, dynamics.tie_mw, [area for _, area in self.groups]
        member = np.maximum(self.group_of_node[grid.machine_node], 0)
        weight = dynamics.units.inertia_mws * spinning
        felt = dynamics.deviation_hz[old_group] * weight
        count = max(1, len(groups))
        stored = total(member, weight, count)
        deviation = np.divide(total(member, felt, count), stored, out=np.zeros(count), where=stored > 0)
        dynamics.regroup(member, count, deviation)
        for i, (island_i, area_i) in enumerate(groups):
            for j, (island_j, area_j) in enumerate(groups):
                if i != j and island_i == island_j and area_i in old_areas and area_j in old_areas:
                    dynamics.tie_mw[i, j] = old_ties[old_areas.index(area_i), old_areas.index(area_j)]
        self.groups = groups
        self._stiffen()

    def _stiffen(self) -> None:
        """Synchronising and damping coefficients from the tie lines in service."""
        network, dynamics = self.network, self.dynamics
        group = self._group_of_bus()
        a, b = group[network.branch_from], group[network.branch_to]
        for i, j in zip(a.tolist(), b.tolist(), strict=True):
            if i != j and i >= 0 and j >= 0:
                for pair in ((i, j), (j, i)):
                    dynamics.stiffness[pair] += 2 * np.pi * self.settings.network.tie_mw_per_rad
                    dynamics.damper[pair] += self.settings.network.tie_damping_mw_per_hz

    def _group_of_bus(self) -> I8:
        group = np.full(self.network.bus_count, -1)
        group[self.network.bus_of_node] = self.group_of_node
        return group

    def load_mw(self) -> tuple[F8, F8]:
        """Present active and reactive power of every load; 0 where it is dead."""
        group = self.group_of_node[self.equipment.grid.load_node]
        deviation = np.where(group >= 0, self.dynamics.deviation_hz[np.maximum(group, 0)], 0.0)
        factor = self.load_factor * (group >= 0)
        damped = factor * (1.0 + self.settings.network.load_damping * deviation / self.nominal_hz)
        return self.equipment.load_p * damped, self.equipment.load_q * factor

    def solve(self) -> None:
        """Power flow at the present state; feeds the losses it finds back into the dynamics."""
        for _ in range(4):
            self._feed_dynamics()
            self._power_flow()
            if not self.solution.converged:
                break
            if self._learn_losses() < _LOSS_TOLERANCE_MW:
                break
        self.flow_ns = self.now_ns
        reasons = [island.reason for island in self.solution.islands if not island.converged]
        if bool(reasons) != self._unsolved:
            self._unsolved = bool(reasons)
            _log.warning("power flow: %s", f"no solution, {reasons[0]}" if reasons else "solved again")

    def _feed_dynamics(self) -> None:
        grid, dynamics = self.equipment.grid, self.dynamics
        group = self.group_of_node[grid.load_node]
        inside = group >= 0
        nominal = (self.equipment.load_p * self.load_factor)[inside]
        load = total(group[inside], nominal, len(dynamics.load_mw))
        losses = [self.losses.get(key, 0.0) for key in self.groups]
        dynamics.load_mw = load + np.array(losses) if losses else load * 0.0
        dynamics.damping = load * self.settings.network.load_damping / self.nominal_hz

    def _power_flow(self) -> None:
        grid, network, dynamics = self.equipment.grid, self.network, self.dynamics
        n = network.bus_count
        weight = dynamics.units.inertia_mws * dynamics.online
        stored = np.maximum(dynamics.stored_mws, 1e-9)
        accelerating = dynamics.accelerating_mw()[dynamics.group] * weight / stored[dynamics.group]
        self._machine_spec = dynamics.power - accelerating
        at = network.bus_of_node[grid.machine_node]
        loads = network.bus_of_node[grid.load_node]
        load_p, load_q = self.load_mw()
        p = total(at, self._machine_spec, n) - total(loads, load_p, n)
        holding = dynamics.online & (self.synchronous | np.isnan(self.q_target)) & ~np.isnan(self.v_set)
        follow = dynamics.online & ~holding
        q_spec = np.where(follow, np.nan_to_num(self.q_target), 0.0)
        q = total(at, q_spec, n) - total(loads, load_q, n)
        v_set = np.full(n, np.nan)
        held = total(at[holding], np.ones(int(holding.sum())), n)
        v_set[held > 0] = (total(at[holding], self.v_set[holding], n) / np.maximum(held, 1))[held > 0]
        self._q_min = np.array([machine.q_min for machine in self.equipment.machines]) * holding
        self._q_max = np.array([machine.q_max for machine in self.equipment.machines]) * holding
        start = self.solution.voltage if len(self.solution.voltage) == n else None
        self.solution = self._solver.solve(
            network,
            Injections(p, q, v_set, total(at, self._q_min, n), total(at, self._q_max, n), total(at, weight, n)),
            start=start,
            tolerance=1e-5,
        )
        self._share_out(at, weight, q_spec, n)

    def _share_out(self, at: I8, weight: F8, q_spec: F8, n: int) -> None:
        """Split each bus' solved injection among its machines: slack by stored energy, reactive power by range."""
        slack = np.zeros(n)
        shared = np.zeros(n)
        for island in self.solution.islands:
            inside = self.network.island == island.island
            slack[inside] = island.slack_mw if island.converged else np.nan
            shared[inside] = max(float(weight[inside[at]].sum()), 1e-9)
        share = np.divide(weight, shared[at], out=np.zeros(len(at)), where=shared[at] > 0)
        self.machine_p = self._machine_spec + share * slack[at]
        span = self._q_max - self._q_min
        bus_span = np.maximum(total(at, span, n), 1e-9)
        low = total(at, self._q_min, n)
        placed = (self.solution.q_held[at] - low[at]) / bus_span[at]
        self.machine_q = q_spec + np.where(span > 0, self._q_min + span * placed, 0.0)

    def _learn_losses(self) -> float:
        """Losses of each group by the solution: generation less load less export; returns the greatest change."""
        grid, network = self.equipment.grid, self.network
        count = len(self.groups)
        if not count:
            return 0.0
        group = self._group_of_bus()
        machine_group, load_group = self.group_of_node[grid.machine_node], self.group_of_node[grid.load_node]
        load_p, _ = self.load_mw()
        kept: F8 = total(np.maximum(machine_group, 0), self.machine_p * (machine_group >= 0), count)
        kept = kept - total(np.maximum(load_group, 0), load_p * (load_group >= 0), count)
        s_from, s_to = network.branch_flow(self.solution.voltage)
        a, b = group[network.branch_from], group[network.branch_to]
        ties = (a != b) & (a >= 0) & (b >= 0)
        flow = (s_from.real - s_to.real)[ties] / 2.0  # losses of a tie line are shared by its two sides
        kept = kept - total(a[ties], flow, count) + total(b[ties], flow, count)
        found = dict(zip(self.groups, kept.tolist(), strict=True))
        moved = max(abs(found[key] - self.losses.get(key, 0.0)) for key in found)
        self.losses = found
        return float(moved)

    # ------------------------------------------------------------------ protection and regulators

    def _protect(self) -> None:
        """Frequency relays: machines of a group outside the allowed band trip, which blacks it out."""
        net = self.settings.network
        frequency = self.nominal_hz + self.dynamics.deviation_hz
        bad = (frequency < net.minimum_hz) | (frequency > net.maximum_hz)
        if not bad.any():
            return
        for unit in np.flatnonzero(bad[self.dynamics.group] & self.dynamics.online):
            _log.warning("%s: frequency relay, unit stopped", self.equipment.machines[unit].name)
            self.dynamics.stop(int(unit))
            self._tripped[unit] = True
        self.switched()

    def _regulate_reactive(self, seconds: float) -> None:
        """A synchronous machine with a reactive set-point: its regulator moves the voltage reference towards it."""
        wanted = self.q_target
        acting = self.synchronous & ~np.isnan(wanted) & self.dynamics.online & np.isfinite(self.machine_q)
        rated = np.array([machine.rated_mva for machine in self.equipment.machines])
        missing = np.where(acting, np.nan_to_num(wanted) - self.machine_q, 0.0) / rated
        step = np.clip(0.06 * missing, -0.004, 0.004) * min(seconds, 1.0)
        self.v_set = np.where(acting, np.clip(self.v_set + step, 0.9, 1.1), self.v_set)

    # ------------------------------------------------------------------ what can be asked

    @property
    def live_node(self) -> Mask:
        """Nodes with a voltage."""
        return self.solution.live[self.network.bus_of_node]

    def node_kv(self) -> F8:
        """Voltage of every node, kV; 0 where dead, NaN where the network has no solution."""
        per_unit = np.abs(self.solution.voltage) * self.network.bus_kv
        return np.asarray(per_unit[self.network.bus_of_node])

    def node_hz(self) -> F8:
        """Frequency at every node; 0 where dead."""
        frequency = self.nominal_hz + self.dynamics.deviation_hz
        return np.asarray(np.where(self.group_of_node >= 0, frequency[np.maximum(self.group_of_node, 0)], 0.0))

    def switch_power(self, switches: Sequence[int]) -> npt.NDArray[np.complex128]:
        """Complex power through closed switches from their first to their second terminal, MVA; 0 through open ones.

        Kirchhoff's law alone leaves it open where switches form a ring; there all contacts are taken as equally resistive.
        """
        if self._contact_key != (id(self.network), tuple(switches)):
            self._contact_key = (id(self.network), tuple(switches))
            self._contact = contact_matrix(self.equipment.grid, self.switch_open, np.asarray(switches, dtype=np.int64))
        return np.asarray(self._contact @ self.node_injection())

    def node_injection(self) -> npt.NDArray[np.complex128]:
        """Power that equipment other than switches feeds into each node, MVA."""
        grid = self.equipment.grid
        injected = np.zeros(len(grid.node_ids), dtype=np.complex128)
        s_from, s_to = self.network.branch_flow(self.solution.voltage)
        load_p, load_q = self.load_mw()
        np.add.at(injected, grid.branch_from, -s_from)
        np.add.at(injected, grid.branch_to, -s_to)
        np.add.at(injected, grid.load_node, -(load_p + 1j * load_q))
        np.add.at(injected, grid.machine_node, self.machine_p + 1j * self.machine_q)
        np.add.at(injected, grid.shunt_node, -self.shunt_power())
        return injected

    def shunt_power(self) -> npt.NDArray[np.complex128]:
        """Power each bank draws, MVA (a capacitor's reactive power is negative)."""
        grid = self.equipment.grid
        kv = self.node_kv()[grid.shunt_node]
        return np.asarray(np.conj(grid.shunt_admittance(self.sections)) * kv**2)

    def would_earth(self, switch: int) -> bool:
        """Whether closing a switch would connect a live part to earth."""
        return would_earth(self.equipment.grid, self.switch_open, self.equipment.earthing, self.live_node, switch)

    def frequencies(self) -> dict[str, float]:
        """Frequency of each area by its first group, Hz; NaN if the area is dead."""
        found = dict.fromkeys((area.name for area in self.areas), float("nan"))
        for number, (_, area) in reversed(list(enumerate(self.groups))):
            found[self.areas[area].name] = self.nominal_hz + float(self.dynamics.deviation_hz[number])
        return found

    def exports(self) -> dict[str, float]:
        """Export of each area, MW."""
        found = dict.fromkeys((area.name for area in self.areas), 0.0)
        for number, (_, area) in enumerate(self.groups):
            found[self.areas[area].name] += float(self.dynamics.flow_mw[number].sum())
        return found
