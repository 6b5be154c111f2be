"""``scada audit``: check an audit log offline, read and export it, keep its signed checkpoints as a witness."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.history_client import moment, server_time
from scada.cli.link import Link, link_options, make_link, pass_link
from scada.cli.rendering import number, one_line, table, time_text

if TYPE_CHECKING:
    from scada.api.client import ScadaClient
    from scada.security.audit_checking import AuditReport
    from scada.security.audit_evidence import EvidenceChecker
    from scada.security.audit_query import AuditFilter, StoredRecord
    from scada.security.authorities import Authorities

TAMPERED = 3
"""Exit code when something is wrong with a log; 1 is for what cannot be read at all."""

_HEAD = ("number", "time", "kind", "step", "actor", "station", "object", "old", "value", "code", "reason", "envelope")
_KINDS = ("control", "mode", "dispatch", "acknowledge", "alarm", "history", "operator", "model", "security", "system")
_PATH = click.Path(path_type=Path)


@click.group(name="audit")
@link_options("auditor")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """The audit log: check it offline, read and export it, be a witness of its checkpoints.

    With --folder a command reads files, else it asks the server (right AUDIT).
    """
    make_link(ctx, given)


@command.command(name="verify")
@click.argument("folder", type=_PATH)
@click.option("--ca", "authority", type=_PATH, default=None, help="Certificate that is trusted, or a folder of keys.")
@click.option("--witness", type=_PATH, default=None, help="Checkpoints that a witness kept (scada audit witness).")
@click.option("--evidence", is_flag=True, help="Prove the signature of every stored envelope too; slower.")
@click.option(
    "--certificates", type=_PATH, multiple=True, help="Folder of *.cert.pem, for envelopes whose login is not in the log."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(
    folder: Path,
    *,
    authority: Path | None,
    witness: Path | None,
    evidence: bool,
    certificates: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Check a log: chain, segments, signed checkpoints, what is missing. Needs no server, and no key.

    Exit code 0: whole; 3: something is wrong, the first bad record is named; 1: it cannot be read.
    """
    from scada.security.audit_checking import check_log

    trusted = _authorities(authority) if authority else None
    checker = _checker(trusted, certificates) if evidence else None
    watched = sys.stderr.isatty() and not as_json
    report = check_log(
        folder,
        authorities=trusted,
        witness=witness,
        evidence=checker,
        progress=(lambda reached: click.echo(f"\r{reached} records", nl=False, err=True)) if watched else None,
    )
    if watched:
        click.echo("\r", nl=False, err=True)
    click.echo(json.dumps(_report_json(report), ensure_ascii=False) if as_json else _report_text(report))
    if not report.whole:
        raise click.exceptions.Exit(TAMPERED)


def _filters(function: Any) -> Any:
    for option in reversed(
        (
            click.option("--folder", type=_PATH, default=None, help="Read this log instead of asking the server."),
            click.option("--from", "since", default="", help="Start: ISO 8601, now, or a time ago (-2h, -7d)."),
            click.option("--to", "until", default="", help="End, excluded."),
            click.option("--kind", "kinds", type=click.Choice(_KINDS), multiple=True, help="Only of this kind."),
            click.option("--actor", default="", help="Only by this identity."),
            click.option("--object", "target", default="", help="Only of this mRID, or whose path contains this."),
            click.option("--code", default="", help="Only with this result."),
            click.option("--sequence", "sequence_id", default="", help="Only of this control sequence or order."),
            click.option("--text", default="", help="Only with this in path, reason, step, actor or station."),
        )
    ):
        function = option(function)
    return function


@command.command(name="query")
@_filters
@click.option("--limit", type=click.IntRange(1, 2000), default=50, show_default=True, help="Records, the newest.")
@click.option("--before", type=click.IntRange(1), default=None, help="Only records with a number below; for the next page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; unknown numbers are null.")
@pass_link
def query(link: Link, /, *, folder: Path | None, limit: int, before: int | None, as_json: bool, **given: Any) -> None:
    """The newest records, the newest last, each with what its stored envelope is worth."""
    if folder is not None:
        found, more = _offline_page(link, folder, limit, before or 0, given)
    else:
        page = link.run(lambda client: _page(client, limit, before or 0, given))
        found, more = list(page.entries), page.more
    if as_json:
        for entry in reversed(found):
            click.echo(json.dumps(_entry_json(entry), ensure_ascii=False))
    elif found:
        click.echo(table(_HEAD, [_line(entry) for entry in reversed(found)]))
    if more:
        click.echo(f"there are more: --before {found[-1].number}", err=True)


@command.command(name="show")
@click.argument("record", type=click.IntRange(1))
@click.option("--folder", type=_PATH, default=None, help="Read this log instead of asking the server.")
@pass_link
def show(link: Link, /, record: int, *, folder: Path | None) -> None:
    """One record in full, with its envelope decoded."""
    if folder is not None:
        found = _offline_page(link, folder, 1, record + 1, {})[0]
    else:
        found = list(link.run(lambda client: _page(client, 1, record + 1, {})).entries)
    if not found or found[0].number != record:
        raise click.ClickException(f"record {record} is not in the log")
    for name, value in _entry_json(found[0]).items():
        if value not in ("", None) and name != "evidence":
            click.echo(f"{name:12}  {one_line(str(value))}")
    for name, value in _envelope(found[0].evidence):
        click.echo(f"{name:12}  {one_line(value)}")


@command.command(name="export")
@_filters
@click.option("--format", "form", type=click.Choice(("jsonl", "csv")), default="jsonl", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write; - is the terminal.")
@pass_link
def export(link: Link, /, *, folder: Path | None, form: str, out: Path, **given: Any) -> None:
    """All records that are wanted, oldest first, with evidence (base64) and digests."""
    if folder is not None:
        pieces: Iterable[bytes] = _offline_export(folder, form, given)
    else:
        pieces = [link.run(lambda client: _export(client, form, given))]
    if str(out) == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return
    with out.open("wb") as file:
        for piece in pieces:
            file.write(piece)


@command.command(name="prove")
@click.argument("record", type=click.IntRange(1))
@click.option("--ca", "authority", type=_PATH, default=None, help="Certificate that is trusted; default: that of --keys.")
@pass_link
def prove(link: Link, /, record: int, *, authority: Path | None) -> None:
    """Ask the server to prove that a record is under its newest signed checkpoint, and check the proof here."""
    from scada.cli.audit_witness import check_proof

    async def _work(client: ScadaClient) -> pb.AuditProof:
        found: pb.AuditProof = await client.call("Audit/Prove", pb.AuditProofRequest(record=record), timeout_s=60.0)
        return found

    click.echo(check_proof(link.run(_work), record, _authorities(authority or link.keys)))


@command.command(name="control")
@click.argument("sequence")
@click.option("--folder", type=_PATH, required=True, help="The log.")
@click.option("--ca", "authority", type=_PATH, default=None, help="Certificate that is trusted, or a folder of keys.")
@click.option(
    "--certificates", type=_PATH, multiple=True, help="Folder of *.cert.pem, for envelopes whose login is not in the log."
)
def control(sequence: str, *, folder: Path, authority: Path | None, certificates: tuple[Path, ...]) -> None:
    """Prove one control offline: who selected and who confirmed, by their signatures, and that these belong together.

    Exit code 0: nothing contradicts; 3: something does not belong together. Whether the log is whole says `verify`.
    """
    from scada.security.audit import read_audit
    from scada.security.control_proof import prove_control

    checker = _checker(_authorities(authority) if authority else None, certificates)
    found = prove_control(read_audit(folder), sequence, checker)
    if not found.steps:
        raise click.ClickException(f"the log has no control {sequence!r}")
    for step in found.steps:
        record, row = step.record, step.record.row
        where = f"{row.actor} at {row.station}" if row.station else row.actor
        shown = (str(record.number), time_text(record.time_ns), row.step, where, row.code, step.proof.value)
        click.echo("  ".join(shown))
    click.echo(f"operator {found.operator or 'not proven'}, guardian {found.guardian or 'not proven'}")
    for fault in found.faults:
        click.echo(f"does not belong together: {fault}")
    if found.faults:
        raise click.exceptions.Exit(TAMPERED)


@command.command(name="witness")
@click.option("--store", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File of checkpoints, appended to.")
@click.option("--every", type=click.FloatRange(1.0), default=600.0, show_default=True, help="Pause between looks, s.")
@click.option("--once", is_flag=True, help="Look once; exit code 3 if the log does not extend what is stored.")
@pass_link
def witness(link: Link, /, *, store: Path, every: float, once: bool) -> None:
    """Keep the newest signed checkpoints of a server on another host, and say if its log no longer extends them.

    Whoever cuts or rewrites the log and its checkpoints alike is found by what is kept here: `scada audit verify --witness`.
    """
    from scada.cli.audit_witness import follow

    if not follow(link, store, every_s=every, once=once):
        raise click.exceptions.Exit(TAMPERED)


# ---------------------------------------------------------------------- reading


def _offline_page(link: Link, folder: Path, limit: int, before: int, given: dict[str, Any]) -> tuple[list[pb.AuditEntry], bool]:
    from scada.actors.audit_desk import audit_page
    from scada.security.audit_query import AuditReader

    checker_of = _authorities(link.keys) if (link.keys / "ca.cert.pem").exists() else None
    page = audit_page(AuditReader(folder), _offline_filter(given, before), limit, checker_of)
    return list(page.entries), page.more


def _offline_filter(given: dict[str, Any], before: int = 0) -> AuditFilter:
    from scada.core.clock import SystemClock
    from scada.security.audit_query import AuditFilter

    now = SystemClock().now_ns()
    return AuditFilter(
        from_ns=moment(given["since"], now, "--from") if given.get("since") else 0,
        to_ns=moment(given["until"], now, "--to") if given.get("until") else 0,
        kinds=frozenset(given.get("kinds", ())),
        actor=given.get("actor", ""),
        object=given.get("target", ""),
        code=given.get("code", ""),
        text=given.get("text", ""),
        sequence_id=given.get("sequence_id", ""),
        before=before,
    )


def _offline_export(folder: Path, form: str, given: dict[str, Any]) -> Iterator[bytes]:
    from scada.actors.audit_desk import export_head, export_part
    from scada.security.audit_query import AuditReader

    yield export_head(form)
    part: list[StoredRecord]
    for part in AuditReader(folder).oldest(_offline_filter(given)):
        yield export_part(form, part)


async def _request(client: ScadaClient, given: dict[str, Any], before: int = 0) -> pb.AuditQuery:
    now = await server_time(client) if given.get("since") or given.get("until") else 0
    return pb.AuditQuery(
        from_ns=moment(given["since"], now, "--from") if given.get("since") else 0,
        to_ns=moment(given["until"], now, "--to") if given.get("until") else 0,
        kinds=given.get("kinds", ()),
        actor=given.get("actor", ""),
        object=given.get("target", ""),
        code=given.get("code", ""),
        text=given.get("text", ""),
        sequence_id=given.get("sequence_id", ""),
        before=before,
    )


async def _page(client: ScadaClient, limit: int, before: int, given: dict[str, Any]) -> pb.AuditPage:
    request = await _request(client, given, before)
    request.limit = limit
    page: pb.AuditPage = await client.call("Audit/Query", request, timeout_s=60.0)
    return page


async def _export(client: ScadaClient, form: str, given: dict[str, Any]) -> bytes:
    return await client.file("Audit/Export", pb.AuditExportRequest(query=await _request(client, given), format=form))


def _authorities(path: Path) -> Authorities:
    from scada.security.authorities import Authorities, load_authorities
    from scada.security.certificates import parse_certificate_pem
    from scada.security.key_files import read

    return load_authorities(path) if path.is_dir() else Authorities(parse_certificate_pem(read(path)))


def _checker(trusted: Authorities | None, folders: tuple[Path, ...]) -> EvidenceChecker:
    from scada.security.audit_evidence import EvidenceChecker
    from scada.security.certificates import parse_certificate_pem
    from scada.security.key_files import read

    found = [parse_certificate_pem(read(path)) for folder in folders for path in sorted(folder.glob("*.cert.pem"))]
    return EvidenceChecker(trusted, found)


# ---------------------------------------------------------------------- showing


def _report_json(report: AuditReport) -> dict[str, Any]:
    return {
        "whole": report.whole,
        "first": report.first,
        "last": report.last,
        "segments": report.segments,
        "checkpoints": report.checkpoints,
        "covered": report.covered,
        "uncovered": report.uncovered,
        "authority": report.authority,
        "findings": [
            {"record": each.record, "code": each.code, "what": each.what, "where": each.where} for each in report.findings
        ],
        "notes": report.notes,
        "evidence": dict(report.evidence),
        "unknown_signers": dict(report.unknown),
        "rows_compared": report.compared,
        "rows_lying": report.lying,
        "rows_not_compared": dict(report.uncompared),
    }


def _report_text(report: AuditReport) -> str:
    lines = [
        f"records      {report.first} to {report.last} in {report.segments} segments",
        f"checkpoints  {report.checkpoints}, the last one covers record {report.covered}",
    ]
    if report.evidence:
        lines.append("envelopes    " + ", ".join(f"{count} {name}" for name, count in sorted(report.evidence.items())))
    if report.compared:
        lines.append(f"rows         {report.compared} held against their envelopes, {report.lying} say something else")
    lines += [f"unknown      {count} envelopes of {name!r}: no certificate" for name, count in sorted(report.unknown.items())]
    lines += [f"note         {note}" for note in report.notes]
    lines += [f"WRONG        {finding.what} ({finding.where})" for finding in report.findings]
    lines.append("the log is whole" if report.whole else f"the log is NOT whole: {len(report.findings)} findings")
    return "\n".join(lines)


def _line(entry: pb.AuditEntry) -> list[str]:
    return [
        str(entry.number),
        time_text(entry.time_ns),
        entry.kind,
        entry.step,
        entry.actor,
        entry.workstation,
        entry.path or entry.mrid,
        number(entry.old),
        number(entry.value),
        entry.code,
        entry.reason,
        "" if entry.proof == "none" else entry.proof,
    ]


def _entry_json(entry: pb.AuditEntry) -> dict[str, Any]:
    from google.protobuf.descriptor import FieldDescriptor

    shown: dict[str, Any] = {}
    for described in entry.DESCRIPTOR.fields:
        value = getattr(entry, described.name)
        if described.type == FieldDescriptor.TYPE_BYTES:
            value = value.hex()
        elif isinstance(value, float) and not math.isfinite(value):
            value = None
        shown[described.name] = value
    return shown


def _envelope(evidence: bytes) -> Iterator[tuple[str, str]]:
    """What a stored envelope says; a telegram that is none is shown as it came."""
    from google.protobuf.message import DecodeError

    if not evidence:
        return
    try:
        signed = pb.Signed.FromString(evidence)
        header = pb.Header.FromString(signed.header)
    except DecodeError:
        yield "evidence", evidence.decode("utf-8", "backslashreplace")
        return
    yield "signed by", f"{header.sender} (key {header.key_id.hex()})"
    yield "signed for", f"{header.recipient} {header.method}"
    yield "signed at", time_text(header.time_us * 1000)
    yield "body", signed.body.hex()
    yield "signature", signed.sig.hex()
