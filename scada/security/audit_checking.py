"""A whole look at an audit log, offline: chain, segments, checkpoints, a witness, and the envelopes it keeps.

The first record that is not what it was is named. What is wrong is a finding; nothing is ever repaired here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from scada.core.clock import NS_PER_S
from scada.security.audit_chain import AuditError, AuditRow, Chain, decode, read_start, segments
from scada.security.audit_evidence import Evidence, EvidenceChecker, Proof
from scada.security.audit_statements import PACKAGE, compare
from scada.security.audit_tree import lost
from scada.security.authorities import Authorities
from scada.security.checkpoints import CHECKPOINTS, Checkpoint, CheckpointError, SignedCheckpoint, check_order, read_checkpoints
from scada.security.merkle import Frontier, leaf_hash

PROGRESS_EVERY: Final = 20_000
"""Records between two calls of the listener."""

_SIGNING_BEGINS: Final = b"\xa6system\xa5start"
"""In the row that a server writes when it begins to sign checkpoints, and only then."""
_TOLD = 20
"""Rows that lie, and envelopes that prove nothing, of which each is a finding; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        record: first record concerned, 0 = none in particular.
        what: one sentence.
        where: file.
        code: ``chain``, ``torn``, ``truncated``, ``rewritten``, ``checkpoint``, ``witness``, ``unsigned``, ``beginning``,
            ``row`` (it says something else than its envelope) or ``evidence``.
    """

    record: int
    what: str
    where: str
    code: str


@dataclass(slots=True)
class AuditReport:
    """What was found.

    Attributes:
        first, last: numbers of the records that are there; 0 = none.
        segments: files.
        checkpoints: signed ones that were looked at, those of the witness included.
        covered: last record that is under a checkpoint.
        authority: signatures were proven up to a trusted authority.
        findings: what is wrong, the earliest record first.
        notes: what is not wrong but not known.
        evidence: stored envelopes by what they are worth.
        unknown: envelopes that could not be proven because the certificate was not found, by signer.
        compared: rows that were held against the body of their envelope.
        lying: those of them that say something else.
        uncompared: rows whose envelope is of a method that this version does not know, by method.
    """

    first: int = 0
    last: int = 0
    segments: int = 0
    checkpoints: int = 0
    covered: int = 0
    authority: bool = False
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    evidence: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    lying: int = 0
    uncompared: Counter[str] = field(default_factory=Counter)

    @property
    def whole(self) -> bool:
        """Nothing is wrong."""
        return not self.findings

    @property
    def uncovered(self) -> int:
        """Records that are not yet under a checkpoint."""
        return max(0, self.last - self.covered)


def check_log(
    folder: Path,
    *,
    authorities: Authorities | None = None,
    witness: Path | None = None,
    evidence: EvidenceChecker | None = None,
    progress: Callable[[int], None] | None = None,
) -> AuditReport:
    """Look at a whole log.

    Args:
        folder: of the log; it may be in service.
        authorities: who is trusted; None proves only that the signatures agree with their own certificates.
        witness: checkpoints that someone else kept.
        evidence: proves the stored envelopes too; a good deal slower.
        progress: called with the number of a record now and then.

    Raises:
        StoreError: there is no log, or a file cannot be read.
    """
    return _Check(folder, authorities, witness, evidence, progress).run()


class _Check:
    def __init__(
        self,
        folder: Path,
        authorities: Authorities | None,
        witness: Path | None,
        evidence: EvidenceChecker | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._folder, self._authorities = folder, authorities
        self._evidence, self._progress = evidence, progress
        self._report = AuditReport(authority=authorities is not None)
        # checkpoints before the log: one that is made meanwhile covers records that were read before it
        self._signed = self._proven(folder / CHECKPOINTS, "checkpoint")
        if witness is not None:
            self._signed += self._proven(witness, "witness")
        self._paths = segments(folder, needed=True)
        self._wanted: dict[int, list[Checkpoint]] = {}
        for each in self._signed:
            self._wanted.setdefault(each.checkpoint.records, []).append(each.checkpoint)
        self._tree: Frontier | None = None
        self._site = self._signed[0].checkpoint.site if self._signed else ""
        self._signing = 0
        """First record that says that checkpoints were signed; looked for where there is none."""
        self._good = 0
        """Last record that a checkpoint was found to agree with."""

    def run(self) -> AuditReport:
        """Walk through all."""
        report, chain = self._report, Chain(self._paths)
        report.segments, report.checkpoints = len(self._paths), len(self._signed)
        report.covered = max(self._wanted, default=0)
        try:
            self._begin()
            self._walk(chain)
        except AuditError as error:
            report.last = max(report.last, error.record - 1)
            self._say(error.record, error.what, error.where, "chain")
        else:
            if chain.torn:
                self._say(report.last + 1, f"record {report.last + 1} is cut short", str(chain.path), "torn")
            self._find_truncation(chain)
        self._find_clock_set_back()
        if not self._signed and self._signing:
            what = f"record {self._signing} says that a server began to sign, and there is no checkpoint: they were removed"
            self._say(self._signing, what, str(self._folder / CHECKPOINTS), "checkpoint")
        elif not self._signed:
            report.notes.append("there is no checkpoint: whoever could write to the folder could have written the log anew")
        elif report.uncovered:
            report.notes.append(f"{report.uncovered} records after the last checkpoint are not yet under one")
        if not report.authority and self._signed:
            report.notes.append("signatures were not proven up to an authority: say which one is trusted")
        if report.uncompared:
            named = ", ".join(f"{count} of {method}" for method, count in sorted(report.uncompared.items()))
            report.notes.append(f"rows that this version cannot hold against their envelopes: {named}")
        report.findings.sort(key=lambda each: each.record or 1 << 63)
        return report

    def _proven(self, path: Path, code: str) -> list[SignedCheckpoint]:
        """Checkpoints of a file whose signatures hold; what does not is a finding."""
        try:
            found = read_checkpoints(path)
        except CheckpointError as error:
            self._say(0, error.what, error.where or str(path), code)
            return []
        if code == "checkpoint":
            try:
                check_order(found)
            except CheckpointError as error:  # each that is left still says what it signed
                self._say(0, error.what, str(path), code)
        if not found and code == "witness":
            self._say(0, "the witness has no checkpoints", str(path), code)
        good = []
        for each in found:
            try:
                each.check(self._authorities)
                good.append(each)
            except CheckpointError as error:
                self._say(0, f"checkpoint {each.checkpoint.number}: {error.what}", str(path), code)
        return good

    def _begin(self) -> None:
        """Where the tree starts: at the beginning, or at a checkpoint where older segments were archived."""
        start = read_start(self._paths[0])
        self._report.first = start.number + 1
        self._report.last = self._good = start.number
        if start.number:
            agreed = [each for each in self._wanted.get(start.number, ()) if each.digest == start.digest]
            if agreed:
                self._tree = agreed[0].tree
                self._report.notes.append(
                    f"records before {start.number + 1} are archived; checkpoint {agreed[0].number} covers them"
                )
            else:
                what = f"records before {start.number + 1} are not here, and no checkpoint says that they end so"
                (self._say_beginning if self._signed else self._report.notes.append)(what)
        if self._tree is None and all(each.start == start.number for group in self._wanted.values() for each in group):
            self._tree = Frontier()

    def _say_beginning(self, what: str) -> None:
        self._say(self._report.first, what, str(self._paths[0]), "beginning")

    def _walk(self, chain: Chain) -> None:
        report, wanted, tree = self._report, self._wanted, self._tree
        evidence, progress, unsigned = self._evidence, self._progress, not self._signed
        for number, body, digest in chain:
            report.last = number
            if tree is not None and wanted:
                tree.add(leaf_hash(digest))
            if number in wanted:
                tree = self._compare(number, digest, tree, chain)
            if unsigned and not self._signing and _SIGNING_BEGINS in body:
                self._signing = number
            if evidence is not None or PACKAGE in body:
                self._look(number, body, chain.path)
            if progress is not None and number % PROGRESS_EVERY == 0:
                progress(number)

    def _compare(self, number: int, digest: bytes, tree: Frontier | None, chain: Chain) -> Frontier | None:
        """Hold a record against the checkpoints made behind it."""
        agreed = None
        for each in self._wanted[number]:
            if each.digest != digest:
                self._say(
                    self._good + 1,
                    f"records {self._good + 1} to {number} are not those that checkpoint {each.number} signed: one or more of "
                    "them were changed and the chain was written anew",
                    str(chain.path),
                    "rewritten",
                )
            elif tree is not None and each.root != tree.root():
                self._say(self._good + 1, f"the Merkle root of checkpoint {each.number} is another", str(chain.path), "rewritten")
            else:
                agreed = each
        if agreed is None:
            return tree
        self._good = number
        return agreed.tree if tree is None else tree

    def _find_clock_set_back(self) -> None:
        """Rows are in the order of their numbers whatever the clock said; that it was set back is said, and by how much."""
        states = [each.checkpoint for each in self._signed]
        for before, now in pairwise(sorted(states, key=lambda state: state.records)):
            if now.records > before.records and now.time_ns < before.time_ns:
                back_s = (before.time_ns - now.time_ns) / NS_PER_S
                self._report.notes.append(
                    f"the clock of the host was set back by at least {back_s:.0f} s before checkpoint {now.number}: "
                    f"times of records {before.records + 1} to {now.records} overlap earlier ones"
                )

    def _find_truncation(self, chain: Chain) -> None:
        last = self._report.last
        beyond = [each for records, group in self._wanted.items() if records > last for each in group]
        if beyond:
            most = max(beyond, key=lambda each: each.records)
            self._say(last + 1, lost(chain, most).what, str(chain.path), "truncated")

    def _look(self, number: int, body: bytes, path: Path) -> None:
        """Hold a row against its envelope, and prove the envelope if that is asked."""
        row, report = decode(path, number, body).row, self._report
        found = compare(row, self._site)
        if found is not None:
            report.compared += found.known
            report.uncompared.update([] if found.known else [found.method])
        lie = found.why if found else ""
        if lie:
            report.lying += 1
            if report.lying <= _TOLD:
                self._say(number, f"record {number} does not say what its envelope says: {lie}", str(path), "row")
        if self._evidence is not None:
            self._prove(number, row, path, self._evidence, told=bool(lie))

    def _prove(self, number: int, row: AuditRow, path: Path, checker: EvidenceChecker, *, told: bool) -> None:
        checker.learn(row)
        found: Evidence = checker.check(row)
        if found.proof is Proof.NONE:
            return
        self._report.evidence[found.proof.value] += 1
        if found.proof is Proof.UNKNOWN:
            self._report.unknown[found.signer] += 1
        elif found.proof in {Proof.FALSE, Proof.UNTRUSTED} and not told:
            bad = self._report.evidence[Proof.FALSE.value] + self._report.evidence[Proof.UNTRUSTED.value]
            if bad <= _TOLD:
                self._say(number, f"the envelope of record {number} is {found.proof.value}: {found.why}", str(path), "evidence")

    def _say(self, record: int, what: str, where: str, code: str) -> None:
        self._report.findings.append(Finding(record, what, where, code))
