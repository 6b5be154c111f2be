"""The work of ``scada audit witness`` and ``prove``: nothing the server says is believed that is not signed and consistent."""

from __future__ import annotations

import time
from pathlib import Path

import click
from scadapb.v1 import scada_pb2 as pb

from scada.api.client import ScadaClient
from scada.api.faults import CallError
from scada.cli.link import Link
from scada.cli.rendering import one_line, time_text
from scada.core.errors import ScadaError
from scada.security.audit_chain import LENGTH_SIZE, decode
from scada.security.audit_chain import link as chain_link
from scada.security.authorities import Authorities, load_authorities
from scada.security.checkpoints import CheckpointError, CheckpointFile, SignedCheckpoint, parse_checkpoint
from scada.security.merkle import leaf_hash, proves_consistency, proves_inclusion


def follow(link: Link, store: Path, *, every_s: float, once: bool) -> bool:
    """Keep checkpoints until Ctrl-C; False as soon as the log does not extend what is stored.

    Raises:
        ScadaError: with ``once``, the server does not answer.
    """
    authorities, kept = load_authorities(link.keys), CheckpointFile(store)
    if kept.last is not None:
        kept.last.check(authorities)
    while True:
        try:
            told = link.run(lambda client: _ask(client, kept.last))
            if told is not None:
                click.echo(take(told, kept, authorities, link.site))
        except CheckpointError as error:
            click.echo(f"WRONG  {error}", err=True)
            return False
        except ScadaError as error:
            if once:
                raise
            click.echo(f"no checkpoint: {error}", err=True)
        if once:
            return True
        time.sleep(every_s)


def take(told: pb.AuditCheckpoint, kept: CheckpointFile, authorities: Authorities, site: str) -> str:
    """Prove a checkpoint and that it extends the one kept last, then keep it; returns one line about it.

    Raises:
        CheckpointError: it is not signed by a trusted server of the site, or the log was cut or written anew.
        StoreError: it cannot be kept.
    """
    given = parse_checkpoint(told.encoded, told.signature, told.certificate)
    given.check(authorities)
    now, last = given.checkpoint, kept.last
    if now.site != site:
        raise CheckpointError(f"the checkpoint is of site {now.site!r}, not {site!r}")
    if last is not None:
        _check_extends(last, given, list(told.consistency))
    line = f"checkpoint {now.number}: {now.records} records, {time_text(now.time_ns)}, signed by {now.signer}"
    if last is not None and last.encoded == given.encoded:
        return f"{line}; nothing new"
    kept.append([given])
    return line


def check_proof(proof: pb.AuditProof, record: int, authorities: Authorities) -> str:
    """Prove that a record is under a signed checkpoint, from what the server sent; returns one line.

    Raises:
        CheckpointError: the proof does not hold.
    """
    signed = parse_checkpoint(proof.checkpoint.encoded, proof.checkpoint.signature, proof.checkpoint.certificate)
    signed.check(authorities)
    state = signed.checkpoint
    leaf, index = leaf_hash(chain_link(proof.before, proof.stored)), record - 1 - state.start
    if not proves_inclusion(leaf, index, state.records - state.start, list(proof.path), state.root):
        raise CheckpointError(f"record {record} is not under checkpoint {state.number}: the proof does not hold")
    stored = decode(Path(), record, proof.stored[LENGTH_SIZE:])
    row = stored.row
    what = f"{row.kind} {row.step} by {row.actor or '-'} on {row.path or row.mrid or '-'} at {time_text(stored.time_ns)}"
    return f"record {record} is under checkpoint {state.number} of {state.signer} ({time_text(state.time_ns)}): {one_line(what)}"


def _check_extends(last: SignedCheckpoint, given: SignedCheckpoint, proof: list[bytes]) -> None:
    before, now = last.checkpoint, given.checkpoint
    if now.records < before.records:
        missing = before.records - now.records
        raise CheckpointError(f"the log was truncated: it had {before.records} records, {missing} of them are missing")
    if now.number < before.number:
        raise CheckpointError(f"the log was written anew: it had {before.number} checkpoints, now {now.number}")
    if now.start != before.start:
        raise CheckpointError("the log is another one: it begins elsewhere")
    if now.records == before.records:
        same = now.digest == before.digest and now.root == before.root
    else:
        same = proves_consistency(before.records - before.start, now.records - now.start, proof, before.root, now.root)
    if not same:
        raise CheckpointError(f"the log does not extend what it was at checkpoint {before.number}: it was written anew")


async def _ask(client: ScadaClient, last: SignedCheckpoint | None) -> pb.AuditCheckpoint | None:
    """The newest checkpoint; None if there is none yet. A log that does not know the one kept is asked without a proof."""
    try:
        return await _checkpoint(client, last.checkpoint.number if last else 0)
    except CallError as error:
        if error.code == "not_found" and last is None:
            return None
        if error.code not in ("inconsistent", "not_found"):
            raise
        try:
            return await _checkpoint(client, 0)
        except CallError as second:
            if second.code == "not_found":
                raise CheckpointError("the log was truncated: it has no checkpoint any more") from second
            raise


async def _checkpoint(client: ScadaClient, since: int) -> pb.AuditCheckpoint:
    found: pb.AuditCheckpoint = await client.call("Audit/GetCheckpoint", pb.CheckpointRequest(since=since), timeout_s=120.0)
    return found
