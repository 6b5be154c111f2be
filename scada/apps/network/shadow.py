"""Shadow run: what a candidate model makes of the present values, beside what the running model makes of them.

Both sides get the same live values; nothing is written and nothing is guessed: what cannot be known or computed is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from scada.apps.network.shadow_flow import Flows, flows
from scada.apps.network.shadow_state import UNKNOWN, Readings, Side, Sight
from scada.apps.network.shadow_text import say
from scada.model_cim.tables import Point
from scada.rtdb.changes import Snapshot

__all__ = ["FlowChange", "Remark", "ShadowReport", "Side", "SideSummary", "shadow_run"]

FLOW_LIMIT_MW = 5.0
"""Flows that differ by less are not worth a remark."""
_MEANING = ("kind", "measurement_type", "unit", "equipment", "terminal", "scale", "offset", "states")
_ABSENT = "absent"
_STATE_REMARKS = {
    "goes_dead": (("energised",), ("dead", "earthed")),
    "removed_live": (("energised",), (_ABSENT,)),
    "comes_alive": (("dead", "earthed"), ("energised",)),
    "turns_unknown": (("energised", "dead", "earthed"), (UNKNOWN,)),
    "turns_earthed": (("dead",), ("earthed",)),
    "loses_earth": (("earthed",), ("dead",)),
}
"""States before and after, by the remark they give."""
_NAMED = 5
_LISTED = 50


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing an engineer must see. ``count`` things, the first of them by name."""

    key: str
    names: tuple[str, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)

    def text(self, lang: str) -> str:
        """The sentence in ``zh`` or ``en``."""
        values = {name: say(str(value), lang) if name == "side" else value for name, value in self.values.items()}
        named = ", ".join(self.names[:_NAMED])
        if len(self.names) > _NAMED:
            named += " " + say("more", lang, count=len(self.names) - (_NAMED if lang == "en" else 0))
        return say(self.key, lang, names=named, count=len(self.names), **values)


@dataclass(frozen=True, slots=True)
class SideSummary:
    """Counts of one side."""

    title: str
    digest: str
    nodes: int
    buses: int
    live_islands: int
    states: Mapping[str, int]
    """Equipment by state: ``energised``, ``dead``, ``earthed``, ``unknown``."""
    switches: int
    switches_known: int
    injections: int
    """Loads and machines of the network; 0 where no network could be built."""
    injections_measured: int
    points: int
    points_good: int
    flows: str
    """Why there are no flows; empty = solved."""
    flows_dc_because: str
    """Why the flows are DC flows; empty = AC."""
    flow_buses: int
    slack_mw: tuple[float, ...]
    misfit_mw: tuple[float, float] | None
    """Median and greatest difference between calculated and measured flows."""


@dataclass(frozen=True, slots=True)
class EquipmentChange:
    """Equipment whose state is another in the candidate; ``absent`` = not in that model."""

    mrid: str
    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class FlowChange:
    """A flow into a branch at one of its terminals, MW; None = not measured, or not computed on that side."""

    terminal: str
    path: str
    measured: float | None
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class PointChange:
    """A point that means something else in the candidate."""

    mrid: str
    path: str
    fields: tuple[str, ...]
    """Names of the fields of :class:`~scada.model_cim.tables.Point` that differ."""


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """Result of :func:`shadow_run`.

    Attributes:
        live: True if live values were used; False = positions and powers of the files.
        seq: sequence number of the snapshot; 0 without one.
        now_ns: when it was made, as given.
        running, candidate: counts of the two sides.
        equipment: state changes, those going dead first.
        flows: the greatest changes of flows first, at most 50.
        points_lost: paths of points that vanish.
        points_new: paths of points that come; they have no value before the apply.
        points_changed: points that mean something else.
        refuse: reasons against the apply; an engineer must confirm each explicitly.
        look: what to look at.
    """

    live: bool
    seq: int
    now_ns: int
    running: SideSummary
    candidate: SideSummary
    equipment: tuple[EquipmentChange, ...]
    flows: tuple[FlowChange, ...]
    points_lost: tuple[str, ...]
    points_new: tuple[str, ...]
    points_changed: tuple[PointChange, ...]
    refuse: tuple[Remark, ...]
    look: tuple[Remark, ...]

    @property
    def ok(self) -> bool:
        """True if nothing speaks against the apply."""
        return not self.refuse

    def as_dict(self) -> dict[str, object]:
        """Everything, for JSON; remarks with their sentences."""
        told = asdict(self)
        for name, remarks in (("refuse", self.refuse), ("look", self.look)):
            told[name] = [
                {"key": one.key, "names": list(one.names), "zh": one.text("zh"), "en": one.text("en")} for one in remarks
            ]
        return {"ok": self.ok, **told}

    def lines(self, lang: str = "en") -> list[str]:
        """The report for people, ``zh`` or ``en``: a table now/then, the remarks, the verdict."""
        head = say("head_live", lang, seq=self.seq) if self.live else say("head_files", lang)
        rows = [f"{say(key, lang)}: {now} -> {then}" for key, now, then in self._rows()]
        marks = [f"{say('refuse', lang)}: {one.text(lang)}" for one in self.refuse]
        marks += [f"{say('look', lang)}: {one.text(lang)}" for one in self.look]
        verdict = "verdict_refuse" if self.refuse else "verdict_look" if self.look else "verdict_ok"
        return [head, *rows, *marks, say(verdict, lang)]

    def _rows(self) -> Iterable[tuple[str, str, str]]:
        sides = self.running, self.candidate

        def row(key: str, *cells: str) -> tuple[str, str, str]:
            return key, cells[0], cells[1]

        yield row("row_network", *(f"{one.nodes}/{one.buses}/{one.live_islands}" for one in sides))
        words = ("energised", "dead", "earthed", UNKNOWN)
        yield row("row_equipment", *("/".join(str(one.states.get(word, 0)) for word in words) for one in sides))
        yield row("row_switches", *(f"{one.switches_known}/{one.switches}" for one in sides))
        yield row("row_injections", *(f"{one.injections_measured}/{one.injections}" for one in sides))
        if self.live:
            yield row("row_points", *(f"{one.points_good}/{one.points}" for one in sides))
        if self.running.slack_mw or self.candidate.slack_mw:
            yield row("row_slack", *(", ".join(f"{value:.1f}" for value in one.slack_mw) or "-" for one in sides))


def shadow_run(
    running: Side, candidate: Side, snapshot: Snapshot | None, *, alarmed: Collection[int] = (), now_ns: int = 0
) -> ShadowReport:
    """Compare what two models make of the same values.

    Args:
        running: the model that runs.
        candidate: the model that shall.
        snapshot: live values by the running model's pids; None = no server: positions and powers of the files (SSH).
        alarmed: pids of the running model with an alarm standing.
        now_ns: ns UTC, written into the report.
    """
    live = snapshot is not None
    now, then = (Sight(side, Readings(side, running.tables, snapshot), live=live) for side in (running, candidate))
    return _Comparison(now, then, flows(now), flows(then)).report(alarmed, 0 if snapshot is None else snapshot.seq, now_ns)


class _Comparison:
    """Two sights side by side."""

    def __init__(self, now: Sight, then: Sight, flows_now: Flows, flows_then: Flows) -> None:
        self.now, self.then = now, then
        self.flows_now, self.flows_then = flows_now, flows_then
        self.refuse: list[Remark] = []
        self.look: list[Remark] = []

    def report(self, alarmed: Collection[int], seq: int, now_ns: int) -> ShadowReport:
        changes = self._equipment()
        self._islands()
        lost, new, changed = self._points(alarmed)
        self._coverage()
        flow_changes = self._flows()
        return ShadowReport(
            live=self.now.live,
            seq=seq,
            now_ns=now_ns,
            running=_summary(self.now, self.flows_now),
            candidate=_summary(self.then, self.flows_then),
            equipment=tuple(changes),
            flows=tuple(flow_changes[:_LISTED]),
            points_lost=tuple(point.path for point in lost),
            points_new=tuple(point.path for point in new),
            points_changed=tuple(changed),
            refuse=tuple(self.refuse),
            look=tuple(self.look),
        )

    def _remark(self, where: list[Remark], key: str, names: Iterable[str], **values: object) -> None:
        found = tuple(names)
        if found:
            where.append(Remark(key, found, values))

    # ---------------------------------------------------------------- topology

    def _equipment(self) -> list[EquipmentChange]:
        before, after = self.now.states, self.then.states
        changes = []
        for mrid in [*before, *(mrid for mrid in after if mrid not in before)]:
            was, becomes = before.get(mrid, _ABSENT), after.get(mrid, _ABSENT)
            if was != becomes:
                path = (self.then if was == _ABSENT else self.now).path(mrid)
                changes.append(EquipmentChange(mrid, path, was, becomes))
        for key, (was_one_of, becomes_one_of) in _STATE_REMARKS.items():
            named = (one.path for one in changes if one.before in was_one_of and one.after in becomes_one_of)
            self._remark(self.refuse if key == "goes_dead" else self.look, key, named)
        return sorted(changes, key=lambda one: (one.before != "energised", one.before == _ABSENT, one.path))

    def _islands(self) -> None:
        """Live islands that part or join, judged by the equipment energised on both sides."""
        before, after = self.now.live_island, self.then.live_island
        parts: dict[int, dict[int, list[str]]] = {}
        joins: dict[int, dict[int, list[str]]] = {}
        for mrid, island in before.items():
            if mrid in after:
                parts.setdefault(island, {}).setdefault(after[mrid], []).append(mrid)
                joins.setdefault(after[mrid], {}).setdefault(island, []).append(mrid)
        for number, pieces in parts.items():
            if len(pieces) > 1:
                self._remark(self.refuse, "island_split", self._smaller(pieces.values()), pieces=len(pieces), island=number + 1)
        for pieces in joins.values():
            if len(pieces) > 1:
                self._remark(self.look, "island_joined", self._smaller(pieces.values()), pieces=len(pieces))

    def _smaller(self, pieces: Collection[list[str]]) -> list[str]:
        """Names of what is in all pieces but the largest."""
        ordered = sorted(pieces, key=len)
        return [self.now.path(mrid) for piece in ordered[:-1] for mrid in piece]

    # ---------------------------------------------------------------- points

    def _points(self, alarmed: Collection[int]) -> tuple[list[Point], list[Point], list[PointChange]]:
        before = {point.mrid: point for point in self.now.side.tables.points if not point.removed}
        after = {point.mrid: point for point in self.then.side.tables.points if not point.removed}
        lost = [point for mrid, point in before.items() if mrid not in after]
        new = [point for mrid, point in after.items() if mrid not in before]
        standing = frozenset(alarmed)
        self._remark(self.refuse, "alarm_lost", (point.path for point in lost if point.pid in standing))
        valued = sum(bool(self.now.readings.good[point.pid]) for point in lost)
        self._remark(self.look, "points_lost", (point.path for point in lost), valued=valued)
        self._remark(self.look, "points_new", (point.path for point in new))
        changed = []
        for mrid, point in before.items():
            other = after.get(mrid)
            if other is not None:
                differs = tuple(name for name in _MEANING if getattr(point, name) != getattr(other, name))
                if differs:
                    changed.append(PointChange(mrid, point.path, differs))
        self._remark(self.look, "points_changed", (f"{one.path} ({', '.join(one.fields)})" for one in changed))
        return lost, new, changed

    def _coverage(self) -> None:
        """Switches and injections of both models that are measured well now and would not be."""
        if not self.now.live:
            return
        before, after = _measured(self.now), _measured(self.then)
        worse = [mrid for mrid, good in before.items() if good and not after.get(mrid, True)]
        self._remark(self.refuse, "coverage", (self.now.path(mrid) for mrid in worse))
        blind = [mrid for mrid in after if mrid not in before and not _has_point(self.then, mrid)]
        self._remark(self.look, "unmeasured_new", (self.then.path(mrid) for mrid in blind))

    # ---------------------------------------------------------------- flows

    def _flows(self) -> list[FlowChange]:
        now, then = self.flows_now, self.flows_then
        for side, sight, found in (("running", self.now, now), ("candidate", self.then, then)):
            if found.reason:
                self.look.append(Remark("flows_none", (), {"side": side, "reason": found.reason}))
            elif found.dc_because:
                self.look.append(Remark("flows_dc", (), {"side": side, "reason": found.dc_because}))
            if side == "candidate" or found.assumed != then.assumed:
                self._remark(self.look, "assumed", (sight.path(mrid) for mrid in found.assumed), side=side)
        changes = []
        for terminal in dict.fromkeys([*now.branch, *then.branch, *then.measured, *now.measured]):
            measured = then.measured.get(terminal, now.measured.get(terminal))
            one = FlowChange(terminal, self._branch_path(terminal), measured, now.branch.get(terminal), then.branch.get(terminal))
            changes.append(one)
        changes.sort(key=_moved, reverse=True)
        if not now.reason and not then.reason:
            far = [one for one in changes if _moved(one) > FLOW_LIMIT_MW]
            named = (f"{one.path} {one.before:.1f} -> {one.after:.1f}" for one in far)
            self._remark(self.look, "flows_differ", named, limit=FLOW_LIMIT_MW)
        fits = now.misfit, then.misfit
        if fits[0] and fits[1] and fits[1][1] > max(fits[0][1], FLOW_LIMIT_MW):
            words = [f"{median:.2f}/{greatest:.1f}" for median, greatest in (fits[0], fits[1])]
            self.look.append(Remark("flows_fit", (), {"before": words[0], "after": words[1]}))
        return changes

    def _branch_path(self, terminal: str) -> str:
        sight = self.then if terminal in self.then.side.model else self.now
        equipment = sight.side.model.ref(terminal, "Terminal.ConductingEquipment")
        return sight.path(equipment or terminal)


def _moved(change: FlowChange) -> float:
    return 0.0 if change.before is None or change.after is None else abs(change.after - change.before)


def _measured(sight: Sight) -> dict[str, bool]:
    """Whether each switch has a good position, each load and machine good powers."""
    topology = sight.topology
    found = dict(zip(topology.switches, sight.switch_known.tolist(), strict=True))
    found |= dict(zip(topology.earthing, sight.earthing_known.tolist(), strict=True))
    for mrid in _injections(sight):
        powers = [sight.point_of.get((mrid, what)) for what in ("ThreePhaseActivePower", "ThreePhaseReactivePower")]
        found[mrid] = all(sight.readings.of(point) is not None for point in powers)
    return found


def _injections(sight: Sight) -> list[str]:
    model = sight.side.model
    names = ("EnergyConsumer", "RotatingMachine", "PowerElectronicsConnection", "ExternalNetworkInjection", "EquivalentInjection")
    return [mrid for name in names for mrid in model.ids(name)]


def _has_point(sight: Sight, mrid: str) -> bool:
    return any((mrid, what) in sight.point_of for what in ("SwitchPosition", "ThreePhaseActivePower"))


def _summary(sight: Sight, found: Flows) -> SideSummary:
    states = list(sight.states.values())
    points = [point for point in sight.side.tables.points if not point.removed]
    topology = sight.topology
    return SideSummary(
        title=sight.side.model.title,
        digest=sight.side.model.digest,
        nodes=len(topology.nodes),
        buses=sight.state.buses,
        live_islands=sight.live_islands,
        states={word: states.count(word) for word in dict.fromkeys(states)},
        switches=len(topology.switches) + len(topology.earthing),
        switches_known=int(np.sum(sight.switch_known) + np.sum(sight.earthing_known)),
        injections=found.injections,
        injections_measured=found.injections_measured,
        points=len(points),
        points_good=sum(bool(sight.readings.good[point.pid]) for point in points),
        flows=found.reason,
        flows_dc_because=found.dc_because,
        flow_buses=found.buses,
        slack_mw=found.slack_mw,
        misfit_mw=found.misfit,
    )
