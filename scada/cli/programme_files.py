"""Programmes as files: TOML with name, title, kind and a ``[[step]]`` for each step."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from scadapb.v1 import scada_pb2 as pb

from scada.cli.rendering import control_value, control_values
from scada.core.errors import ConfigError

_FIELDS: Final = {"control", "value", "condition", "timeout_s", "pause_s", "note", "accept_no_feedback"}
Controls = dict[str, pb.ControlInfo]
"""By path and by mRID."""


def read_programme(file: Path) -> dict[str, Any]:
    """What a file says.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the programme: {error.strerror}", where=str(file)) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"not TOML: {error}", where=str(file)) from error


def programme_of_file(plain: dict[str, Any], controls: Controls, where: str) -> pb.Programme:
    """What is to be saved.

    Args:
        plain: what the file says.
        controls: by path and by mRID.
        where: the file, for errors.

    Raises:
        ConfigError: something in it is not known, or is no value of its control.
    """
    unknown = [name for name in plain if name not in ("name", "title", "kind", "step")]
    if unknown:
        raise ConfigError(f"unknown: {', '.join(unknown)}", where=where, mend="name, title, kind and [[step]] are known")
    steps = plain.get("step", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ConfigError("steps are written as [[step]]", where=where)
    return pb.Programme(
        name=str(plain.get("name", "")),
        title=str(plain.get("title", "")),
        kind=str(plain.get("kind", "sequence")),
        steps=[_step(step, controls, f"{where}: step {at}") for at, step in enumerate(steps, 1)],
    )


def _step(step: dict[str, Any], controls: Controls, where: str) -> pb.ProgrammeStep:
    if unknown := sorted(step.keys() - _FIELDS):
        raise ConfigError(f"unknown: {', '.join(unknown)}", where=where, mend=f"known are {', '.join(sorted(_FIELDS))}")
    found = controls.get(str(step.get("control", "")))
    if found is None:
        raise ConfigError(f"the model has no control {step.get('control', '')!r}", where=where, mend="see `scada ctl controls`")
    value = control_value(found, str(step.get("value", "")))
    if value is None:
        raise ConfigError(f"{step.get('value', '')!r} is no value of it", where=where, mend=f"values: {control_values(found)}")
    try:
        timeout_s, pause_s = (float(step.get(name, 0.0)) for name in ("timeout_s", "pause_s"))
    except (TypeError, ValueError) as error:
        raise ConfigError("timeout_s and pause_s are numbers of seconds", where=where) from error
    accepted = step.get("accept_no_feedback", False)
    if not isinstance(accepted, bool):
        raise ConfigError("accept_no_feedback is true or false", where=where)
    return pb.ProgrammeStep(
        control=found.mrid,
        value=value,
        condition=str(step.get("condition", "")),
        timeout_s=timeout_s,
        pause_s=pause_s,
        note=str(step.get("note", "")),
        accept_no_feedback=accepted,
    )
