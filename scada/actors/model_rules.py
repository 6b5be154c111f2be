"""Whether an engineer's order about a version may be carried out: :func:`judge`. Nothing is done here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scadapb.v1 import scada_pb2 as pb

from scada.control.records import Principal
from scada.core.settings import ModelSettings
from scada.model_cim.responsible import EVERYONE
from scada.model_cim.version_log import State, Version
from scada.model_cim.versions import VersionStore
from scada.security.roles import ALL_AREAS, Right

MOST_TEXT: Final = 1000
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an order is not carried out.

    Attributes:
        code: machine-readable.
        reason: one sentence.
        unconfirmed: dangers that the order does not name, with their texts.
    """

    code: str
    reason: str
    unconfirmed: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """What an order is judged by.

    Attributes:
        store: of the versions.
        settings: of the model.
        applying: version that is being applied, 0 = none.
        alarmed: mRIDs of points with an alarm standing.
        most_open: versions that may be open at a time.
    """

    store: VersionStore
    settings: ModelSettings
    applying: int
    alarmed: Collection[str]
    most_open: int


def judge(
    request: pb.ProposeRequest | pb.ApproveRequest | pb.WithdrawRequest | pb.ApplyRequest | pb.RollbackRequest,
    principal: Principal,
    number: int,
    ask: Ask,
) -> Verdict | None:
    """None if the order may be carried out.

    Args:
        request: the order.
        principal: who asks.
        number: version it is about, 0 = none.
        ask: what it is judged by.
    """
    if Right.ENGINEER not in principal.rights:
        return Verdict("no_right", f"{principal.name} does not have the right {Right.ENGINEER}")
    if isinstance(request, pb.ProposeRequest):
        return _propose(request, ask)
    version = ask.store.versions.get(number)
    if version is None:
        return Verdict("unknown", f"there is no version {number}" if number else "there is no earlier version to go back to")
    return _too_long("reason", request.reason) or _judge(request, principal, version, ask)


def _judge(
    request: pb.ApproveRequest | pb.WithdrawRequest | pb.ApplyRequest | pb.RollbackRequest,
    principal: Principal,
    version: Version,
    ask: Ask,
) -> Verdict | None:
    match request:
        case pb.ApproveRequest():
            return _state(version, State.READY) or _seen(request.digest, version) or _approve(version, principal)
        case pb.WithdrawRequest():
            return _withdraw(version, principal)
        case pb.ApplyRequest():
            wrong = _state(version, State.READY) or _seen(request.digest, version) or _busy(ask)
            return wrong or _apply(version, principal, ask) or _confirmed(request.confirm, version, ask)
        case pb.RollbackRequest():
            return _busy(ask) or _rollback(version, principal, ask)


def outside(areas: Collection[str], stations: Collection[str], areas_of: Mapping[str, str]) -> list[str]:
    """Stations, in an order that can be shown, that are in none of the areas; ``*`` = what belongs to no station.

    >>> outside({"East"}, ["Beishan", "Longtan", "*"], {"Beishan": "East", "Longtan": "West"})
    ['Longtan', 'what belongs to no station']
    """
    if ALL_AREAS in areas:
        return []
    found = [name for name in sorted(stations) if name != EVERYONE and name not in areas and areas_of.get(name, "") not in areas]
    return found + (["what belongs to no station"] if EVERYONE in stations else [])


def _propose(request: pb.ProposeRequest, ask: Ask) -> Verdict | None:
    store = ask.store
    base = base_of(request, store)
    absent = next((number for number in (base, request.version or base) if not _has_files(store, number)), -1)
    uploaded = _SHA256.fullmatch(request.sha256) and (store.uploads / request.sha256).is_file()
    opened = sum(version.open for version in store.versions.values())
    reasons = (
        (not request.description.strip(), "no_description", "say in one sentence what the version is for"),
        (bool(request.version) == bool(request.sha256), "source", "name either an upload or a version"),
        (request.sha256 and not uploaded, "no_upload", "there is no upload of this SHA-256; upload the files first"),
        (absent >= 0, "unknown", f"there are no files of version {absent}"),
        (opened >= ask.most_open, "too_many", f"{opened} versions are open; apply or withdraw one of them"),
    )
    found = next((Verdict(code, reason) for wrong, code, reason in reasons if wrong), None)
    return found or _too_long("description", request.description)


def base_of(request: pb.ProposeRequest, store: VersionStore) -> int:
    """Version that the work started from: as it is said, else the one that a version taken was laid over, else what runs."""
    taken = store.versions.get(request.version)
    return request.base or (taken.checked_on if taken else 0) or store.current


def _has_files(store: VersionStore, number: int) -> bool:
    version = store.versions.get(number)
    return version is not None and bool(version.digest) and version.kept


def _too_long(what: str, text: str) -> Verdict | None:
    return Verdict("too_long", f"the {what} is longer than {MOST_TEXT} characters") if len(text) > MOST_TEXT else None


def _state(version: Version, wanted: State) -> Verdict | None:
    if version.state is wanted:
        return None
    return Verdict("state", f"version {version.number} is {version.state}, not {wanted}")


def _seen(digest: str, version: Version) -> Verdict | None:
    """An order names the digest of what its sender has seen."""
    if digest == version.digest:
        return None
    return Verdict("digest", f"the digest is not that of version {version.number}; look at it again")


def _busy(ask: Ask) -> Verdict | None:
    return Verdict("busy", f"version {ask.applying} is being applied") if ask.applying else None


def _mine(version: Version, principal: Principal) -> Verdict | None:
    places = outside(principal.areas, version.stations, version.areas_of)
    return Verdict("no_area", f"outside {principal.name}'s areas of responsibility: {', '.join(places)}") if places else None


def _approve(version: Version, principal: Principal) -> Verdict | None:
    if _alike(principal.name) == _alike(version.maker):
        return Verdict("same_person", f"{principal.name} made version {version.number}; another engineer must approve it")
    return _mine(version, principal)


def _alike(name: str) -> str:
    """A name as people read it: full-width letters, capitals and the way accents are coded make no other person."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _withdraw(version: Version, principal: Principal) -> Verdict | None:
    if not version.open:
        return Verdict("state", f"version {version.number} is {version.state}")
    if version.applied_ns:
        return Verdict("state", f"version {version.number} has run before; it cannot be withdrawn")
    if principal.name != version.maker and ALL_AREAS not in principal.areas:
        return Verdict("no_area", f"version {version.number} is {version.maker}'s; an engineer of all areas may withdraw it")
    return None


def _apply(version: Version, principal: Principal, ask: Ask) -> Verdict | None:
    if version.checked_on != ask.store.current:
        text = f"version {version.number} was checked on version {version.checked_on}, now {ask.store.current} runs"
        return Verdict("stale", f"{text}; propose it anew")
    counts, settings = version.counts, ask.settings
    errors = counts.get("new", 0)
    if errors and not settings.apply_with_errors:
        text = f"version {version.number} has {errors} errors that the one which runs does not have"
        return Verdict("errors", f"{text}; mend or waive them")
    if settings.approval and not version.approver:
        return Verdict("approval", f"a second engineer must approve version {version.number} first")
    return _mine(version, principal)


def _confirmed(confirm: Collection[str], version: Version, ask: Ask) -> Verdict | None:
    dangers = dict(version.dangers)
    standing = sorted(set(version.lost) & set(ask.alarmed))
    if standing:
        count = len(standing)
        dangers["lost-alarms"] = [
            f"{count} points with a present alarm are gone: {', '.join(standing[:5])}",
            f"{count} 个有告警的点将消失",
        ]
    missing = {key: texts for key, texts in dangers.items() if key not in confirm}
    if not missing:
        return None
    return Verdict("unconfirmed", f"not confirmed: {'; '.join(texts[0] for texts in missing.values())}", missing)


def _rollback(version: Version, principal: Principal, ask: Ask) -> Verdict | None:
    if version.number == ask.store.current:
        return Verdict("state", f"version {version.number} runs already")
    if not version.applied_ns:
        return Verdict("state", f"version {version.number} has never run; apply it")
    if not version.kept:
        return Verdict("unknown", f"the files of version {version.number} were removed")
    for one in _between(version, ask.store):
        if wrong := _mine(one, principal):
            return wrong
    return None


def _between(target: Version, store: VersionStore) -> list[Version]:
    """Versions whose changes the way back undoes: those that ran since; all that were ever applied if that is not known."""
    ran = store.ran
    if target.number in ran:
        return [store.version(number) for number in ran[ran.index(target.number) + 1 :]]
    return [version for version in store.versions.values() if version.applied_ns]
