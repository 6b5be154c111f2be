"""Rule profiles by which each AGC command of a unit is judged: speed, response and accuracy ("two detailed rules" of China).

Every region has its own rules, and they change: a profile is data (TOML, see ``profiles/`` beside this file) with its source
and the dates it is in force. A site adds its own in a file that ``[performance] rules_file`` names; one of the same name replaces
ours.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from scada.apps.agc_avc.performance.following import CommandMeasure, Measure
from scada.core.errors import ConfigError
from scada.core.section import Section

Part = Literal["speed", "response", "accuracy"]
PARTS: Final[tuple[Part, ...]] = ("speed", "response", "accuracy")
_DEFAULT: Final = "default"

Percent = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class MeasureRules(Section):
    """How a command is measured; percentages are of the unit's rated power."""

    deadband_percent: Percent = Field(0.5, description="The unit responds once it left its output by more, in the right sense.")
    arrival_percent: Percent = Field(1.0, description="The target is reached within this.")
    smallest_percent: Percent = Field(1.0, description="Commands that ask for less are not judged.")
    hold_s: Seconds = Field(60.0, description="Time after arrival in which accuracy is measured.")
    timeout_s: Seconds = Field(600.0, description="A command not reached by then ends.")
    mill_switch_s: float = Field(
        0.0, ge=0, le=86_400, allow_inf_nan=False, description="Time in a forbidden zone (change of mills) left out, at most."
    )

    def of(self, rated_mw: float) -> Measure:
        """In MW for one unit."""
        deadband, arrival, smallest = (
            share * rated_mw / 100.0 for share in (self.deadband_percent, self.arrival_percent, self.smallest_percent)
        )
        return Measure(deadband, arrival, smallest, self.hold_s, self.timeout_s, self.mill_switch_s)


class Weights(Section):
    """Weights of a sum."""

    speed: float = Field(1.0, ge=0, allow_inf_nan=False)
    response: float = Field(1.0, ge=0, allow_inf_nan=False)
    accuracy: float = Field(1.0, ge=0, allow_inf_nan=False)


class ScoreRules(Section):
    """How the three measures become parts and the parts one figure."""

    speed: Literal["ratio", "inverse"] = Field("ratio", description="ratio: v/vN; inverse: 2 - vN/v.")
    response: Literal["one-minus", "two-minus"] = Field("one-minus", description="1 - t/tN or 2 - t/tN.")
    accuracy: Literal["one-minus", "two-minus"] = Field("one-minus", description="1 - e/eN or 2 - e/eN.")
    combine: Literal["sum", "product"] = Field("sum", description="Weighted sum or product of the parts.")
    weights: Weights = Field(Weights(), description="Of the sum.")
    labels: tuple[Part, Part, Part] = Field(
        ("speed", "response", "accuracy"), description="Which part the rules call K1, K2 and K3."
    )
    floor: float = Field(0.0, ge=0, allow_inf_nan=False, description="Least value of a part.")
    part_cap: float | None = Field(None, gt=0, allow_inf_nan=False, description="Greatest value of a part.")
    cap: float | None = Field(None, gt=0, allow_inf_nan=False, description="Greatest value of the figure.")

    @model_validator(mode="after")
    def _all_parts(self) -> Self:
        if sorted(self.labels) != sorted(PARTS):
            raise ValueError("labels must name speed, response and accuracy once each")
        return self


class Standard(Section):
    """What a unit of one kind is expected to do; percentages of its rated power."""

    speed_percent: Percent = Field(description="vN, % a minute.")
    response_s: Seconds = Field(description="tN.")
    accuracy_percent: Percent = Field(description="eN.")


class RuleProfile(Section):
    """The rules of one region."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="By which it is chosen.")
    title: dict[str, str] = Field(description="For people, by language.")
    source: str = Field(min_length=1, description="Where formulas and figures are from; [K] = general knowledge.")
    certain: bool = Field(description="The text of the rules was at hand for every figure.")
    effective_from: date | None = Field(None, description="First day in force.")
    effective_to: date | None = Field(None, description="Last day in force.")
    measure: MeasureRules = MeasureRules()
    score: ScoreRules = ScoreRules()
    standard: dict[str, Standard] = Field(description="By kind of unit (thermal, hydro, pv, wind, storage); default = others.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if _DEFAULT not in self.standard:
            raise ValueError(f"standard.{_DEFAULT} is missing")
        if self.effective_from and self.effective_to and self.effective_from > self.effective_to:
            raise ValueError("effective_from is after effective_to")
        return self

    def in_force(self, first: date, last: date) -> bool:
        """Whether it is in force on all days of a span."""
        return (self.effective_from is None or self.effective_from <= first) and (
            self.effective_to is None or last <= self.effective_to
        )

    def caption(self, language: str) -> str:
        """Title in a language, else in English, else its name."""
        return self.title.get(language) or self.title.get("en") or self.name


@dataclass(frozen=True, slots=True)
class CommandScore:
    """A command under a profile; NaN = not judged."""

    speed: float
    response: float
    accuracy: float
    total: float


NOT_JUDGED: Final = CommandScore(math.nan, math.nan, math.nan, math.nan)


def score(measured: CommandMeasure, profile: RuleProfile, fuel: str, rated_mw: float) -> CommandScore:
    """Judge one command.

    A command that was superseded, or that could be watched for less than half of its time, is not judged.

    Args:
        measured: what was measured.
        profile: the rules.
        fuel: kind of the unit.
        rated_mw: its rated power.
    """
    if not measured.complete or measured.valid < 0.5 or not rated_mw > 0:
        return NOT_JUDGED
    rules, standard = profile.score, profile.standard.get(fuel) or profile.standard[_DEFAULT]
    wanted = standard.speed_percent * rated_mw / 100.0
    if rules.speed == "ratio":
        speed = measured.speed_mw_min / wanted
    else:
        speed = 2.0 - wanted / measured.speed_mw_min if measured.speed_mw_min > 0 else -math.inf
    parts = {
        "speed": speed,
        "response": (1.0 if rules.response == "one-minus" else 2.0) - measured.delay_s / standard.response_s,
        "accuracy": (1.0 if rules.accuracy == "one-minus" else 2.0)
        - measured.error_mw / (standard.accuracy_percent * rated_mw / 100.0),
    }
    if any(math.isnan(part) for part in parts.values()):
        return NOT_JUDGED
    most = math.inf if rules.part_cap is None else rules.part_cap
    held = {name: min(max(part, rules.floor), most) for name, part in parts.items()}
    if rules.combine == "sum":
        total = sum(getattr(rules.weights, name) * part for name, part in held.items())
    else:
        total = math.prod(held.values())
    return CommandScore(**held, total=total if rules.cap is None else min(total, rules.cap))


@cache
def own_profiles() -> Mapping[str, RuleProfile]:
    """The profiles of the package, by name."""
    found = [
        parse_profile(tomllib.loads(entry.read_text(encoding="utf-8")), entry.name)
        for entry in sorted((files(__package__) / "profiles").iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    ]
    return {profile.name: profile for profile in found}


def load_profiles(path: Path | None = None) -> Mapping[str, RuleProfile]:
    """Our profiles and those of a site.

    Args:
        path: a TOML file with one table ``[[profile]]`` each; None or a folder = none of its own.

    Raises:
        ConfigError: it cannot be read, or a profile is wrong or stands twice.
    """
    own = own_profiles()
    if path is None or path.is_dir():
        return own
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the rule profiles cannot be read: {error}", where=str(path)) from error
    tables = raw.get("profile")
    if not isinstance(tables, list) or set(raw) != {"profile"}:
        raise ConfigError("the file must hold tables [[profile]] only", where=str(path))
    theirs: dict[str, RuleProfile] = {}
    for number, table in enumerate(tables, 1):
        profile = parse_profile(table, f"{path}: profile {number}")
        if profile.name in theirs:
            raise ConfigError(f"profile {profile.name} stands twice", where=str(path), mend="rename one")
        theirs[profile.name] = profile
    return {**own, **theirs}


def parse_profile(raw: dict[str, Any], where: str) -> RuleProfile:
    """Check one profile.

    Raises:
        ConfigError: naming every wrong value.
    """
    try:
        return RuleProfile.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(faults, where=where, mend="see docs/regulation/performance.md") from error


def profile_named(profiles: Mapping[str, RuleProfile], name: str) -> RuleProfile:
    """The profile of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in profiles:
        raise ConfigError(f"there is no rule profile {name!r}", mend=f"one of {', '.join(sorted(profiles))}")
    return profiles[name]
