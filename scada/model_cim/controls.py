"""Controls: CIM Command, RaiseLowerCommand and SetPoint with their RemoteControl and the SC attributes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from scada.model_cim.addresses import Iec104Address
from scada.model_cim.channels import address_key, address_of
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.locate import Locator
from scada.model_cim.permissions import with_permissions
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Enabling, Point, PointKind, removed_control
from scada.protocols.registry import Drivers

_KINDS = {
    "single": ControlKind.SINGLE,
    "double": ControlKind.DOUBLE,
    "step": ControlKind.STEP,
    "setpoint": ControlKind.SETPOINT,
}
_KIND_OF_TYPE = {
    **dict.fromkeys((45, 58), ControlKind.SINGLE),
    **dict.fromkeys((46, 59), ControlKind.DOUBLE),
    **dict.fromkeys((47, 60), ControlKind.STEP),
    **dict.fromkeys((48, 49, 50, 61, 62, 63), ControlKind.SETPOINT),
}
_ENABLING = (
    ("sc:Control.enabledBy", True, True),
    ("sc:Control.openEnabledBy", True, False),
    ("sc:Control.closeEnabledBy", False, True),
)
"""Property, whether it is asked before opening, before closing."""
_STATES = {
    ControlKind.SINGLE: {0: "off", 1: "on"},
    ControlKind.DOUBLE: {1: "open", 2: "close"},
    ControlKind.STEP: {1: "lower", 2: "raise"},
    ControlKind.SETPOINT: {},
}


def build_controls(
    model: CimModel,
    channels: Mapping[str, ChannelSpec],
    drivers: Drivers,
    locator: Locator,
    points: Mapping[str, Point],
    findings: list[Finding],
    known: Mapping[str, int],
) -> list[Control]:
    """Controls by cid, tombstones between them; those not in ``known`` (earlier versions) follow in file order.

    One that cannot be sent (no channel, no address, address taken) is left out with an error.
    """
    controls: list[Control] = []
    fresh = count(max(known.values(), default=-1) + 1)
    addresses: dict[tuple[int | str, ...], str] = {}
    paths: dict[str, str] = {}
    for mrid in model.ids("Control"):
        if model.class_of(mrid) == "AccumulatorReset":
            continue
        resource = model.ref(mrid, "Control.PowerSystemResource") or ""
        remote = next(iter(model.refs_to(mrid, "RemoteControl.Control")), "")
        unit = model.ref(remote, "RemotePoint.RemoteUnit") or ""
        spec = channels.get(unit)
        fault = _fault(resource, remote, spec)
        if fault or spec is None:
            findings.append(model.finding(Severity.ERROR, "control.channel", mrid, f"control {fault}; left out"))
            continue
        address = address_of(model, remote, unit, spec.protocol, drivers)
        if isinstance(address, str):
            findings.append(model.finding(Severity.ERROR, "control.address", remote, f"RemoteControl {address}; left out"))
            continue
        first = addresses.setdefault((spec.index, *address_key(address)), mrid)
        if first != mrid:
            text = f"same address in channel {spec.name} as the control at {model.where(first)}; left out"
            findings.append(model.finding(Severity.ERROR, "control.duplicate-address", remote, text, "give it its own"))
            continue
        place = locator.place(resource)
        path = "/".join((*place.names, model.name(mrid)))
        first = paths.setdefault(path, mrid)
        if first != mrid:
            text = f"same path {path!r} as the control at {model.where(first)}"
            findings.append(model.finding(Severity.ERROR, "control.duplicate-path", mrid, text, "rename one"))
            path = f"{path} [{mrid[:8]}]"
        type_id = address.type_id if isinstance(address, Iec104Address) else 0
        kind = _kind(model, mrid, type_id, findings)
        feedback = _feedback(model, mrid, points, findings)
        controls.append(
            Control(
                cid=known[mrid] if mrid in known else next(fresh),
                mrid=mrid,
                path=path,
                name=model.name(mrid),
                kind=kind,
                control_type=model.text(mrid, "Control.controlType") or "",
                unit=feedback.unit if feedback else "",
                equipment=resource,
                station=model.name(place.station) if place.station else place.names[0],
                channel=spec.index,
                address=address,
                feedback=feedback.pid if feedback else None,
                device_number=model.text(mrid, "sc:Control.deviceNumber") or "",
                select=model.truth(mrid, "sc:Control.select", default=kind is not ControlKind.SETPOINT),
                minimum=model.number(mrid, "AnalogControl.minValue"),
                maximum=model.number(mrid, "AnalogControl.maxValue"),
                scale=model.number(remote, "sc:RemotePoint.scale", 1.0),
                offset=model.number(remote, "sc:RemotePoint.offset", 0.0),
                states=_STATES[kind],
                feedback_timeout_s=model.number(mrid, "sc:Control.feedbackTimeout", 10.0),
                feedback_tolerance=model.number(mrid, "sc:Control.feedbackTolerance", 0.0),
                enabled_by=_enabled_by(model, mrid, points, findings),
            )
        )
    _check_device_numbers(model, controls, findings)
    table = {cid: removed_control(mrid, cid) for mrid, cid in known.items()} | {control.cid: control for control in controls}
    rows = [table.get(cid) or removed_control(f"cid-{cid}", cid) for cid in range(max(table, default=-1) + 1)]
    return with_permissions(model, rows, points, findings)


def _check_device_numbers(model: CimModel, controls: list[Control], findings: list[Finding]) -> None:
    """An operator confirms by the number: within a station it must name one device only."""
    first: dict[tuple[str, str], Control] = {}
    for control in controls:
        if not control.device_number:
            text = "control has no device number: an operator has nothing to confirm it by"
            findings.append(
                model.finding(Severity.WARNING, "control.device-number", control.mrid, text, "sc:Control.deviceNumber")
            )
            continue
        other = first.setdefault((control.station, control.device_number), control)
        if other.equipment != control.equipment:
            text = f"device number {control.device_number} is also that of {other.path} at {model.where(other.mrid)}"
            findings.append(model.finding(Severity.WARNING, "control.device-number", control.mrid, text, "give each its own"))


def _fault(resource: str, remote: str, spec: ChannelSpec | None) -> str:
    if not resource:
        return "has no power system resource"
    if not remote:
        return "has no RemoteControl"
    return "" if spec else "belongs to no usable RemoteUnit"


def _kind(model: CimModel, mrid: str, type_id: int, findings: list[Finding]) -> ControlKind:
    text = model.text(mrid, "sc:Control.kind")
    if text is not None and text not in _KINDS:
        hint = f"one of {', '.join(_KINDS)}"
        findings.append(model.finding(Severity.ERROR, "control.kind", mrid, f"sc:Control.kind is {text!r}", hint))
    elif text is not None:
        return _KINDS[text]
    by_class = {"SetPoint": ControlKind.SETPOINT, "RaiseLowerCommand": ControlKind.STEP}
    return _KIND_OF_TYPE.get(type_id, by_class.get(model.class_of(mrid), ControlKind.SINGLE))


def _enabled_by(model: CimModel, mrid: str, points: Mapping[str, Point], findings: list[Finding]) -> tuple[Enabling, ...]:
    """The engineered interlocks; one whose point cannot tell yes from no stays, and forbids."""
    found: list[Enabling] = []
    for prop, opens, closes in _ENABLING:
        if model.column(prop) is None:
            continue
        for target in [said.value for said in model.statements_of(mrid) if said.prop == prop]:  # dangling ones too
            point = points.get(target)
            usable = point is not None and point.kind in (PointKind.STATUS, PointKind.ANALOG)
            if not usable:
                why = "is not in the model" if point is None else f"is a {point.kind.name.lower()} point, not a status"
                text = f"the point that enables it, {point.path if point else target}, {why}: it can never be operated"
                hint = "name a status or a calculated point that is 1 while the control is allowed"
                findings.append(model.finding(Severity.ERROR, "control.enabled-by", mrid, text, hint, prop=prop))
            pid = point.pid if point is not None and usable else None
            found.append(Enabling(target, pid, point.path if point else target, opens, closes))
    return tuple(found)


def _feedback(model: CimModel, mrid: str, points: Mapping[str, Point], findings: list[Finding]) -> Point | None:
    value = (
        model.ref(mrid, "sc:Control.feedback")
        or model.ref(mrid, "Command.DiscreteValue")
        or model.ref(mrid, "AnalogControl.AnalogValue")
    )
    point = points.get(value or "")
    if point is None:
        text = "control has no feedback: nobody will see whether it worked"
        hint = "set Command.DiscreteValue, AnalogControl.AnalogValue or sc:Control.feedback"
        findings.append(model.finding(Severity.WARNING, "control.feedback", mrid, text, hint))
    return point
