"""Rules about regulating controls: what they regulate, where, to which value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits, hits, rule
from scada.model_cim.rules.view import View

_MODES: Final = (
    ("RatioTapChanger", "TapChanger.TapChangerControl", ("voltage", "reactivePower", "powerFactor"), "RatioTapChanger"),
    ("PhaseTapChanger", "TapChanger.TapChangerControl", ("activePower", "voltage"), "PhaseTapChanger"),
    ("ShuntCompensator", "RegulatingCondEq.RegulatingControl", ("voltage", "reactivePower", "powerFactor"), "ShuntCompensator"),
    (
        "SynchronousMachine",
        "RegulatingCondEq.RegulatingControl",
        ("voltage", "reactivePower", "powerFactor"),
        "SynchronousMachine",
    ),
    ("StaticVarCompensator", "RegulatingCondEq.RegulatingControl", ("voltage", "reactivePower"), "StaticVarCompensator"),
)
_TARGET: Final = "RegulatingControl.targetValue"
_STEPPED: Final = (
    ("TapChanger", "TapChanger.TapChangerControl", "TapChanger.step", "TapChanger.controlEnabled"),
    (
        "ShuntCompensator",
        "RegulatingCondEq.RegulatingControl",
        "ShuntCompensator.sections",
        "RegulatingCondEq.controlEnabled",
    ),
)


@rule(
    "regulation.mode",
    Severity.WARNING,
    "equipment cannot regulate what its control wants",
    "设备不能实现所设调节方式",
    "C:452:EQ:SynchronousMachine:controlMode",
)
def control_mode(view: View) -> Iterator[Hits]:
    """A ratio tap changer does not regulate active power."""
    for class_name, prop, modes, name in _MODES:
        rows = view.rows(class_name)
        control = view.target(rows, prop)
        mode = np.where(control >= 0, view.words(np.maximum(control, 0), "RegulatingControl.mode"), "") if len(rows) else rows
        broken = np.fromiter((word not in ("", *modes) for word in mode), np.bool_, len(rows))
        yield from hits(
            rows,
            broken,
            lambda i, mode=mode, modes=modes: f"its control wants {mode[i]}; it can regulate {', '.join(modes)}",  # type: ignore[misc]
            prop=prop,
            standard=f"C:452:EQ:{name}:controlMode",
        )


@rule(
    "regulation.terminal",
    Severity.WARNING,
    "a control without a place to measure",
    "调节控制没有受控端子",
    "C:301:EQ:RegulatingControl:terminalConnectivityNode",
)
def control_terminal(view: View) -> Iterator[Hits]:
    """It has no terminal, or one that is connected to nothing."""
    rows = view.rows("RegulatingControl")
    terminal = view.target(rows, "RegulatingControl.Terminal")
    broken = (terminal < 0) | (view.node(terminal) < 0)
    yield from hits(rows, broken, "no terminal with a node: what it holds is not known", hint="set RegulatingControl.Terminal")


@rule(
    "regulation.target",
    Severity.WARNING,
    "a voltage target that is none",
    "电压目标值无效",
    "C:456:SSH:RegulatingControl.targetValue:value",
)
def voltage_target(view: View) -> Iterator[Hits]:
    """Positive, and within a quarter of the nominal voltage of its node."""
    rows = view.rows("RegulatingControl")
    mode = view.words(rows, "RegulatingControl.mode")
    multiplier = view.words(rows, "RegulatingControl.targetValueUnitMultiplier")
    target = view.numbers(rows, _TARGET) * np.where((multiplier == "none") | (multiplier == "-"), 1e-3, 1.0)
    kv = view.at(view.kv_of, view.target(rows, "RegulatingControl.Terminal"))
    voltage = mode == "voltage"
    broken = voltage & ((target <= 0) | (np.abs(target - kv) > 0.25 * kv))
    enabled = view.truths(rows, "RegulatingControl.enabled", default=True)
    for which, severity in ((broken & enabled, None), (broken & ~enabled, Severity.INFO)):
        yield from hits(
            rows,
            which,
            lambda i: f"targetValue {target[i]:g} kV at {kv[i]:g} kV",
            prop=_TARGET,
            hint="in kV, unless its multiplier says otherwise",
            severity=severity,
        )


@rule(
    "regulation.deadband",
    Severity.WARNING,
    "a dead band that regulation cannot work with",
    "调节死区不合理",
    "C:301:SSH:RegulatingControl.targetDeadband:applicability",
)
def deadband(view: View) -> Iterator[Hits]:
    """Of steps: above 0, or they hunt; below a fifth of the target, or nothing is held."""
    rows = view.rows("RegulatingControl")
    band, target = view.numbers(rows, "RegulatingControl.targetDeadband"), view.numbers(rows, _TARGET)
    discrete = view.truths(rows, "RegulatingControl.discrete", default=False)
    enabled = view.truths(rows, "RegulatingControl.enabled", default=False)
    voltage = view.words(rows, "RegulatingControl.mode") == "voltage"
    hunting = discrete & enabled & (band == 0)
    wide = voltage & (target > 0) & (band > 0.2 * target)
    yield from hits(
        rows,
        hunting,
        "steps are regulated with a dead band of 0: they would hunt",
        prop="RegulatingControl.targetDeadband",
        severity=Severity.INFO,
    )
    yield from hits(
        rows, wide, lambda i: f"dead band {band[i]:g} of a target of {target[i]:g}", prop="RegulatingControl.targetDeadband"
    )


@rule(
    "regulation.step",
    Severity.WARNING,
    "a stepped device between two steps",
    "有级设备处于非整数档位",
    "C:456:SSH:TapChanger.step:value",
)
def whole_steps(view: View) -> Iterator[Hits]:
    """Where control is discrete and enabled, steps are whole numbers."""
    for class_name, link, prop, own in _STEPPED:
        rows = view.rows(class_name)
        control = view.target(rows, link)
        safe = np.maximum(control, 0)
        on = (control >= 0) & view.truths(rows, own, default=False)
        if len(rows):
            on &= view.truths(safe, "RegulatingControl.discrete", default=False)
            on &= view.truths(safe, "RegulatingControl.enabled", default=False)
        step = view.numbers(rows, prop, math.nan)
        broken = on & (step != np.round(step)) & ~np.isnan(step)
        yield from hits(
            rows,
            broken,
            lambda i, prop=prop, step=step: f"{prop} is {step[i]:g} under discrete control",  # type: ignore[misc]
            prop=prop,
            standard=f"C:456:SSH:{prop}:value",
        )


@rule(
    "regulation.idle",
    Severity.INFO,
    "equipment is set to regulate, its control is off",
    "设备投入调节而控制未启用",
    "IEC 61970-456",
)
def idle_control(view: View) -> Iterator[Hits]:
    """ControlEnabled without an enabled RegulatingControl does nothing."""
    for class_name, link, own in (
        ("RegulatingCondEq", "RegulatingCondEq.RegulatingControl", "RegulatingCondEq.controlEnabled"),
        ("TapChanger", "TapChanger.TapChangerControl", "TapChanger.controlEnabled"),
    ):
        rows = view.rows(class_name)
        control = view.target(rows, link)
        if len(rows):
            off = (control < 0) | ~view.truths(np.maximum(control, 0), "RegulatingControl.enabled", default=True)
            broken = view.truths(rows, own, default=False) & off
            yield from hits(rows, broken, "controlEnabled, but it has no control that is enabled", prop=own)
