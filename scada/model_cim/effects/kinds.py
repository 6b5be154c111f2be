"""What an effect is, and its words in English and Chinese."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from importlib.resources import files
from typing import Final

LANGUAGES: Final = ("en", "zh")


class EffectKind(StrEnum):
    """What becomes of something when a model takes over; grouped by what it is about."""

    POINT_GAINED = "point-gained"
    POINT_LOST = "point-lost"
    POINT_RENAMED = "point-renamed"
    POINT_READDRESSED = "point-readdressed"
    ADDRESS_TAKEN = "address-taken"
    """An address that fed another point before."""
    SOURCE_LOST = "source-lost"
    """It has neither an address nor a calculation any more: it will never have a value again."""
    NAME_TAKEN = "name-taken"
    """A name that stood for another point or control, which is there still: who knows it by heart is misled."""
    STATES_MOVED = "states-moved"
    """A label stands for another value than before: open for closed."""
    POINT_RESCALED = "point-rescaled"
    POINT_INVERTED = "point-inverted"
    """Rescaled so that its sign turns round."""
    POINT_KIND = "point-kind"
    POINT_MOVED = "point-moved"
    """It measures another object now."""
    POINT_CALCULATION = "point-calculation"
    POINT_CHANGED = "point-changed"
    LIMIT_ADDED = "limit-added"
    LIMIT_REMOVED = "limit-removed"
    LIMIT_CHANGED = "limit-changed"
    ALARM_CHANGED = "alarm-changed"
    ALARM_DOWNGRADED = "alarm-downgraded"
    ALARM_REMOVED = "alarm-removed"
    """Its state is no alarm any more, whatever it is."""
    ALARM_INVERTED = "alarm-inverted"
    """Another state is the normal one: what was an alarm is none."""
    ALARM_SUPPRESSED = "alarm-suppressed"
    """Suppressed by design, by a point that did not suppress it before."""
    CONTROL_GAINED = "control-gained"
    CONTROL_LOST = "control-lost"
    CONTROL_RENAMED = "control-renamed"
    CONTROL_READDRESSED = "control-readdressed"
    CONTROL_MOVED = "control-moved"
    """It operates another object now."""
    CONTROL_KIND = "control-kind"
    CONTROL_RESCALED = "control-rescaled"
    CONTROL_CHANGED = "control-changed"
    SELECT_OFF = "select-off"
    SELECT_ON = "select-on"
    FEEDBACK_LOST = "feedback-lost"
    FEEDBACK_CHANGED = "feedback-changed"
    INTERLOCK_REMOVED = "interlock-removed"
    INTERLOCK_ADDED = "interlock-added"
    CHANNEL_GAINED = "channel-gained"
    CHANNEL_LOST = "channel-lost"
    CHANNEL_RENAMED = "channel-renamed"
    CHANNEL_CHANGED = "channel-changed"
    CHANNEL_TAKEN = "channel-taken"
    """It reaches the device that another channel reached: its commands go there."""
    CHANNEL_RESTARTS = "channel-restarts"
    """Its connection is dropped and made again."""
    CHANNEL_REBOUND = "channel-rebound"
    """Its points or controls change under a connection that stays."""
    SWITCH_GAINED = "switch-gained"
    SWITCH_LOST = "switch-lost"
    SWITCH_NORMAL = "switch-normal"
    """Its normal position."""
    SWITCH_CLASS = "switch-class"
    SWITCH_CONNECTED = "switch-connected"
    """It joins other nodes now."""
    EQUIPMENT_GAINED = "equipment-gained"
    EQUIPMENT_LOST = "equipment-lost"
    EQUIPMENT_CONNECTED = "equipment-connected"
    EQUIPMENT_CHANGED = "equipment-changed"
    STATION_GAINED = "station-gained"
    STATION_LOST = "station-lost"
    STATION_CHANGED = "station-changed"
    DIAGRAM_CHANGED = "diagram-changed"
    AGC_GAINED = "agc-gained"
    AGC_LOST = "agc-lost"
    AGC_CHANGED = "agc-changed"
    AVC_GAINED = "avc-gained"
    AVC_LOST = "avc-lost"
    AVC_CHANGED = "avc-changed"
    REGULATION_MOVED = "regulation-moved"
    """AGC or AVC acts on another control, or the other way round."""
    FORWARD_GAINED = "forward-gained"
    FORWARD_LOST = "forward-lost"
    FORWARD_READDRESSED = "forward-readdressed"
    FORWARD_TAKEN = "forward-taken"
    """An upstream control centre gets another object under an address it knows."""
    FORWARD_SELECT_OFF = "forward-select-off"
    """An upstream control centre may execute without selecting first."""
    FORWARD_CHANGED = "forward-changed"
    TEMPLATE_CHANGED = "template-changed"
    FILE_CHANGED = "file-changed"
    OTHER = "other"
    """Objects that change nothing listed above: state variables, drawings, names of things without points."""


DANGEROUS: Final = frozenset(
    {
        EffectKind.POINT_LOST,
        EffectKind.ADDRESS_TAKEN,
        EffectKind.SOURCE_LOST,
        EffectKind.NAME_TAKEN,
        EffectKind.STATES_MOVED,
        EffectKind.POINT_INVERTED,
        EffectKind.POINT_KIND,
        EffectKind.POINT_MOVED,
        EffectKind.LIMIT_REMOVED,
        EffectKind.ALARM_DOWNGRADED,
        EffectKind.ALARM_REMOVED,
        EffectKind.ALARM_INVERTED,
        EffectKind.ALARM_SUPPRESSED,
        EffectKind.CONTROL_LOST,
        EffectKind.CONTROL_READDRESSED,
        EffectKind.CONTROL_MOVED,
        EffectKind.CONTROL_KIND,
        EffectKind.CONTROL_RESCALED,
        EffectKind.SELECT_OFF,
        EffectKind.FEEDBACK_LOST,
        EffectKind.FEEDBACK_CHANGED,
        EffectKind.INTERLOCK_REMOVED,
        EffectKind.CHANNEL_TAKEN,
        EffectKind.SWITCH_CLASS,
        EffectKind.SWITCH_CONNECTED,
        EffectKind.REGULATION_MOVED,
        EffectKind.FORWARD_TAKEN,
        EffectKind.FORWARD_SELECT_OFF,
    }
)
"""Effects by which someone may be hurt, misled or left unwarned; whoever applies a model must have named each of them."""


@dataclass(frozen=True, slots=True)
class _Words:
    """Texts of one language, from ``data/effects-*.json``."""

    effects: Mapping[str, str]
    fields: Mapping[str, str]
    words: Mapping[str, str]
    no_station: str


@cache
def _words(lang: str) -> _Words:
    name = f"effects-{lang if lang in LANGUAGES else 'en'}.json"
    return _Words(**json.loads(files("scada.model_cim").joinpath("data", name).read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that changes for the people in the control room."""

    kind: EffectKind
    mrid: str
    """Of the point, control, channel, equipment ...; the name of a file."""
    path: str
    """Its name for people, as it is afterwards; as it was, if it goes."""
    station: str = ""
    """Name of the substation or plant, empty if it belongs to none."""
    field: str = ""
    """What of it changes."""
    old: str = ""
    new: str = ""

    @property
    def dangerous(self) -> bool:
        """True if someone may be hurt, misled or left unwarned by it, see :data:`DANGEROUS`."""
        return self.kind in DANGEROUS

    @property
    def key(self) -> str:
        """By which whoever applies a model names an effect: the same for the same effect of the same two models."""
        return ":".join(part for part in (self.kind.value, self.mrid, self.field) if part)

    def text(self, lang: str = "en") -> str:
        """One sentence.

        Args:
            lang: ``en`` or ``zh``; any other speaks English.
        """
        texts = _words(lang)
        return texts.effects[self.kind].format(
            path=self.path or self.mrid,
            field=texts.fields.get(self.field, self.field),
            old=texts.words.get(self.old, self.old),
            new=texts.words.get(self.new, self.new),
        )

    def as_dict(self) -> dict[str, str | bool]:
        """Fields by name, with the danger, the key and the English text; for JSON."""
        return {
            "kind": self.kind.value,
            "mrid": self.mrid,
            "path": self.path,
            "station": self.station,
            "field": self.field,
            "old": self.old,
            "new": self.new,
            "dangerous": self.dangerous,
            "key": self.key,
            "text": self.text(),
        }


@dataclass(frozen=True)
class Effects:
    """Everything that changes from one model to the next; true if anything does."""

    rows: Sequence[Effect]
    """By station (what belongs to none last), the dangerous first, then in the order of :class:`EffectKind`."""

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def dangerous(self) -> tuple[Effect, ...]:
        """Those that must be confirmed one by one."""
        return tuple(row for row in self.rows if row.dangerous)

    @property
    def restarting(self) -> tuple[str, ...]:
        """Names of the channels whose connection is made anew."""
        return tuple(row.path for row in self.rows if row.kind is EffectKind.CHANNEL_RESTARTS)

    @property
    def lost_points(self) -> tuple[str, ...]:
        """MRIDs of the points that go."""
        return tuple(row.mrid for row in self.rows if row.kind is EffectKind.POINT_LOST)

    @property
    def stations(self) -> tuple[str, ...]:
        """Names of the stations concerned; the empty name if something belongs to none."""
        return tuple(dict.fromkeys(row.station for row in self.rows))

    def by_station(self) -> dict[str, list[Effect]]:
        """Rows by station."""
        found: dict[str, list[Effect]] = {}
        for row in self.rows:
            found.setdefault(row.station, []).append(row)
        return found

    def counts(self) -> dict[str, int]:
        """Number of effects by kind."""
        found: dict[str, int] = {}
        for row in self.rows:
            found[row.kind.value] = found.get(row.kind.value, 0) + 1
        return found

    def lines(self, lang: str = "en") -> list[str]:
        """Sentences by station, each station with a heading; ``!`` before what is dangerous."""
        found: list[str] = []
        for station, rows in self.by_station().items():
            found.append(station or _words(lang).no_station)
            found.extend(f"  {'!' if row.dangerous else ' '} {row.text(lang)}" for row in rows)
        return found

    def as_dict(self) -> dict[str, object]:
        """For JSON: rows, counts, channels that restart."""
        return {
            "effects": [row.as_dict() for row in self.rows],
            "counts": self.counts(),
            "dangerous": len(self.dangerous),
            "restarting": list(self.restarting),
        }


_ORDER: Final = {kind: number for number, kind in enumerate(EffectKind)}


def ordered(rows: Iterable[Effect]) -> Effects:
    """Effects in their order."""
    return Effects(
        sorted(
            rows,
            key=lambda row: (not row.station, row.station, not row.dangerous, _ORDER[row.kind], row.path, row.field, row.mrid),
        )
    )
