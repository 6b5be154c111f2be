"""What the model actor publishes, and versions, reports and log as the faces show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.model_cim.version_log import Entry, State, Version
from scada.model_cim.versions import VersionStore

PAGE = 200
MOST_EFFECTS = 5000


@dataclass(slots=True)
class ModelView:
    """Written by the model actor alone, each field replaced as a whole, read by any thread."""

    progress: Mapping[int, tuple[float, str]] = field(default_factory=dict)
    """Share done and what is being done, by version, of the work at hand."""


class VersionReader:
    """Answers about versions.

    Args:
        store: of the versions.
        view: of the model actor.
        approval: a second engineer is needed.
    """

    def __init__(self, store: VersionStore, view: ModelView, *, approval: bool) -> None:
        self._store, self._view, self._approval = store, view, approval

    def versions(self, limit: int = 0) -> pb.VersionList:
        """Versions, the newest first."""
        newest = sorted(self._store.versions.values(), key=lambda one: -one.number)
        shown = [self._version(one) for one in newest[: limit or None]]
        return pb.VersionList(versions=shown, current=self._store.current, approval=self._approval)

    def detail(self, request: pb.GetVersionRequest) -> pb.VersionDetail:
        """One version with its reports.

        Raises:
            ModelError: there is none of this number.
            CorruptFileError: a report is not what the log says of it.
        """
        version = self._store.version(request.number)
        findings = [one for one in self._report(version, "findings") or [] if request.severity in ("", one["severity"])]
        page = findings[request.offset : request.offset + (request.limit or PAGE)]
        effects = self._report(version, "effects") or []
        difference = self._store.report(version.number, "difference").decode() if request.difference else ""
        return pb.VersionDetail(
            version=self._version(version),
            findings=[_finding(one) for one in page],
            findings_total=len(findings),
            effects=[pb.EffectInfo(**one) for one in effects[:MOST_EFFECTS]],
            shadow=_shadow(self._report(version, "shadow") or {}),
            difference_xml=difference,
            files=version.files,
        )

    def log(self, request: pb.VersionLogRequest) -> pb.VersionLog:
        """Entries, the newest first."""
        entries = self._store.entries(request.number)[::-1]
        return pb.VersionLog(entries=[_entry(one) for one in entries[: request.limit or None]])

    def _report(self, version: Version, name: str) -> Any:
        blob = self._store.report(version.number, name)
        return json.loads(blob) if blob else None

    def _version(self, version: Version) -> pb.ModelVersion:
        store = self._store
        progress, work = self._view.progress.get(version.number, (0.0, ""))
        return pb.ModelVersion(
            number=version.number,
            state=version.state.value,
            maker=version.maker,
            made_ns=version.made_ns,
            description=version.description,
            base=version.base,
            origin=version.origin,
            digest=version.digest,
            checked_on=version.checked_on,
            counts=version.counts,
            dangers=dangers_of(version.dangers),
            stations=version.stations,
            lost=len(version.lost),
            approver=version.approver,
            approved_ns=version.approved_ns,
            applied_by=version.applied_by,
            applied_ns=version.applied_ns,
            result=version.result,
            kept=version.kept,
            current=version.number == store.current,
            previous=version.number == store.previous,
            needs_approval=self._approval and version.state is State.READY and not version.approver,
            progress=progress,
            work=work,
        )


def dangers_of(dangers: Mapping[str, Any]) -> list[pb.Danger]:
    """Dangers in the order of their keys."""
    return [pb.Danger(key=key, text=texts[0], text_zh=texts[1]) for key, texts in sorted(dangers.items())]


def _finding(one: Mapping[str, Any]) -> pb.FindingInfo:
    place = f"{one['file']}:{one['line']}" if one["line"] else one["file"]
    words = {name: one[name] for name in ("severity", "rule", "mrid", "path", "text", "hint", "waived")}
    return pb.FindingInfo(place=place, **words)


def _shadow(report: Mapping[str, Any]) -> pb.ShadowInfo:
    lines = report.get("lines")
    if lines is None:
        return pb.ShadowInfo(reason=report.get("reason", ""))
    return pb.ShadowInfo(done=True, refuse=not report["ok"], lines=lines["en"], lines_zh=lines["zh"])


def _entry(entry: Entry) -> pb.VersionEntry:
    return pb.VersionEntry(
        seq=entry.seq,
        time_ns=entry.time_ns,
        step=entry.step.value,
        version=entry.version,
        actor=entry.actor,
        text=entry.text,
        hash=entry.before.hex(),
    )
