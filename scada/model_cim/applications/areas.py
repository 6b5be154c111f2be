"""Control areas of AGC: CIM ControlArea, TieFlow, AltTieMeas with SC attributes; groups of units with common limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scada.model_cim.applications.finder import Finder
from scada.model_cim.applications.units import units_of
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding
from scada.model_cim.regulation import AgcUnit, ControlArea, RegulationGroup, TieLine
from scada.model_cim.tables import Control, Point


def build_areas(
    model: CimModel, points: Sequence[Point], controls: Sequence[Control], findings: list[Finding]
) -> list[ControlArea]:
    """Control areas of type AGC, in file order."""
    finder = Finder(model, points, controls, findings)
    areas = [mrid for mrid in model.ids("ControlArea") if model.enum(mrid, "ControlArea.type") in (None, "AGC")]
    return [_area(finder, mrid) for mrid in areas]


def _area(finder: Finder, mrid: str) -> ControlArea:
    model = finder.model
    sources = model.refs_to(mrid, "sc:AltFrequencyMeas.ControlArea")
    frequency = finder.by_priority(sources, "sc:AltFrequencyMeas.AnalogValue", "sc:AltFrequencyMeas.priority")
    meters = model.refs_to(mrid, "sc:AltInterchangeMeas.ControlArea")
    controlled = model.truth(mrid, "sc:ControlArea.controlled")
    bias = model.number(mrid, "sc:ControlArea.frequencyBias")
    bias_sum = model.number(mrid, "sc:ControlArea.biasSum")
    if controlled and not frequency:
        finder.error("area.frequency", mrid, "controlled area has no frequency source", "add sc:AltFrequencyMeas")
    if controlled and not bias < 0:
        finder.error("area.bias", mrid, "controlled area has no negative frequency bias", "sc:ControlArea.frequencyBias")
    if bias_sum > bias:
        text = f"biasSum {bias_sum:g} MW/0.1 Hz of the interconnection is weaker than frequencyBias {bias:g} of this area alone"
        finder.error("area.bias-sum", mrid, text, "negative, and at least the area's own", prop="sc:ControlArea.biasSum")
        bias_sum = math.nan
    groups = _groups(finder, mrid)
    return ControlArea(
        name=model.name(mrid),
        mrid=mrid,
        frequency=frequency,
        nominal_hz=model.number(mrid, "sc:ControlArea.nominalFrequency", 50.0),
        bias=bias,
        # CIM counts the net interchange into the area as positive, dispatch the export
        scheduled_interchange=0.0 - model.number(mrid, "ControlArea.netInterchange", 0.0),
        ties=_ties(finder, mrid),
        units=_in_known_groups(finder, units_of(finder, mrid, controlled=controlled), groups),
        controlled=controlled,
        deadband=model.number(mrid, "ControlArea.pTolerance", 5.0),
        groups=groups,
        interchange_meter=finder.by_priority(meters, "sc:AltInterchangeMeas.AnalogValue", "sc:AltInterchangeMeas.priority"),
        time_error=finder.pid([mrid], "TimeError"),
        bias_sum=bias_sum,
        performance_rules=model.text(mrid, "sc:ControlArea.performanceRules") or "",
    )


def _ties(finder: Finder, area: str) -> list[TieLine]:
    """Tie lines. A flow is positive into the equipment at its terminal; at the area's own end that is export."""
    model = finder.model
    ties: list[TieLine] = []
    for tie in model.refs_to(area, "TieFlow.ControlArea"):
        flow = finder.by_priority(model.refs_to(tie, "AltTieMeas.TieFlow"), "AltTieMeas.AnalogValue", "AltTieMeas.priority")
        if not flow:
            finder.error("area.tie", tie, "tie flow has no measurement", "add AltTieMeas")
            continue
        # CIM: positiveFlowIn true = the measured positive flow goes into the control area
        sign = -1.0 if model.truth(tie, "TieFlow.positiveFlowIn") else 1.0
        ties.append(TieLine(model.name(tie), flow, sign))
    return ties


def _groups(finder: Finder, area: str) -> tuple[RegulationGroup, ...]:
    """Groups of an area, each with a way up to it: one in a circle, or under a group of another area, is under the area."""
    model = finder.model
    mrids = model.refs_to(area, "sc:RegulationGroup.ControlArea")
    parents = {mrid: model.ref(mrid, "sc:RegulationGroup.Parent") or "" for mrid in mrids}
    for mrid, parent in parents.items():
        if parent and parent not in parents:
            finder.error("group.parent", mrid, "the group above is none of the same control area", "sc:RegulationGroup.Parent")
            parents[mrid] = ""
    for mrid in mrids:
        way = {mrid}
        above = parents[mrid]
        while above and above not in way:
            way.add(above)
            above = parents[above]
        if above == mrid:
            text = f"groups stand in a circle: {', '.join(sorted(model.name(one) for one in way))}"
            finder.error("group.cycle", mrid, text, "one of them has no Parent", prop="sc:RegulationGroup.Parent")
            parents[mrid] = ""
    found = []
    for mrid in mrids:
        low = model.number(mrid, "sc:RegulationGroup.minimumP", -math.inf)
        high = model.number(mrid, "sc:RegulationGroup.maximumP", math.inf)
        if not low < high:
            finder.error(
                "group.limits", mrid, f"minimumP {low:g} is not below maximumP {high:g} MW; not limited", "correct the values"
            )
            low, high = -math.inf, math.inf
        found.append(RegulationGroup(model.name(mrid), mrid, parents[mrid], low, high))
    return tuple(found)


def _in_known_groups(finder: Finder, units: list[AgcUnit], groups: Sequence[RegulationGroup]) -> list[AgcUnit]:
    """Units whose group the area has, and groups that have somebody."""
    known = {group.mrid for group in groups}
    for unit in units:
        if unit.group and unit.group not in known:
            text = "its regulation group is none of its control area: AGC leaves the unit out"
            finder.error("group.unit", unit.mrid, text, "sc:GeneratingUnit.RegulationGroup")
    kept = [unit for unit in units if not unit.group or unit.group in known]
    used = {unit.group for unit in kept} | {group.parent for group in groups}
    for group in groups:
        if group.mrid not in used:
            finder.warn("group.empty", group.mrid, "no unit and no group belongs to it", "sc:GeneratingUnit.RegulationGroup")
    return kept
