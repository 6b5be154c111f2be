"""What is trusted now: authorities, revocation lists and the table of users of a folder, read again when they change."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from threading import Lock

from scada.control.records import Principal
from scada.core.clock import NS_PER_S, Clock, SystemClock
from scada.core.errors import SecurityError
from scada.security.authorities import Authorities, load_list
from scada.security.certificates import Certificate
from scada.security.issuing import place_list
from scada.security.key_files import AUTHORITY_SUFFIX, LIST_SUFFIX, Stamp, load_authority, load_certificate, stamp_of, trusted
from scada.security.peer import NO_PEER, Peer
from scada.security.policy import Policy, PolicyFiles, load_policy
from scada.security.revocation import ListTerm, RevocationError, RevocationList, parse_list
from scada.security.revocation_memory import NEWER, RevocationMemory, owner_of

_ROOT = "ca.cert.pem"
_CLOCK_SLACK_NS = 300 * NS_PER_S
_REMEMBERED = 64
"""Changes whose files are remembered."""


class Trust:
    """The trust of one folder of identities. Safe to call from several threads.

    Args:
        folder: as ``scada keys`` makes it.
        clock: by which lists become overdue; None is the host's.
        lists_demanded: an authority without a revocation list is as good as one whose list is overdue.
        files: of the policy; None takes those that lie in the folder.
        memory: what was ever revoked; None remembers while this object lives.

    Attributes:
        files: of the policy.
        policy: roles, zones and users in force.
        revision: grows by one with every change of the files that was taken.
        fault: why files that changed could not be taken, empty if they could; those read last go on to serve.

    Raises:
        SecurityError: a file is missing or cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock | None = None,
        *,
        lists_demanded: bool = False,
        files: PolicyFiles | None = None,
        memory: RevocationMemory | None = None,
    ) -> None:
        self.folder = folder
        self.revision = 1
        self._clock = clock or SystemClock()
        self._lists_demanded = lists_demanded
        self._lock = Lock()
        self._taken: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)
        self._parsed: dict[str, tuple[Stamp, Certificate | RevocationList]] = {}
        self._stamps = self._look()
        self._memory = memory or RevocationMemory()
        self._authorities = self._read_authorities(self._stamps)
        self._behind = self._memory.damage or self._older(self._authorities)
        self._take(self._authorities)
        self.fault = self._rollback
        self.files = files or PolicyFiles(folder)
        self._policy_stamps = self._look_at_policy()
        self.policy: Policy = load_policy(self.files)

    @property
    def authorities(self) -> Authorities:
        """Roots, subordinate authorities and revocation lists in force; a set that never changes."""
        return self._authorities

    @property
    def stale(self) -> str:
        """Which revocation lists are overdue, older than what was in force, or missing though demanded; empty if none.

        While it is not empty it is not known who was revoked: whatever acts must be refused, looking may go on.
        """
        return "; ".join(filter(None, (self._behind, self._authorities.stale(self._clock.now_ns()))))

    @property
    def list_terms(self) -> list[ListTerm]:
        """Revocation lists that are overdue, or soon will be."""
        return self._authorities.list_terms(self._clock.now_ns())

    def taken_since(self, revision: int) -> str:
        """Names of the files that were taken after a revision, as far back as is remembered."""
        with self._lock:
            return "; ".join(dict.fromkeys(names for taken, names in self._taken if taken > revision))

    def refresh(self) -> bool:
        """Take files that have changed; True if anything was taken. Cheap if nothing changed.

        Authorities and lists are taken all or none, and so is the policy, apart from them: who was revoked is out although an
        edit of the table of users is broken.
        """
        with self._lock:
            return self._refresh()

    def load_crl(self, data: bytes) -> None:
        """Prove a revocation list (DER or PEM), put it in place of its predecessor in one step, and take it.

        Raises:
            SecurityError: malformed, not by an authority of ours, overdue, not newer than the one in force, or the folder cannot
                be written.
        """
        revocations = parse_list(data)
        with self._lock:
            owner = self._authorities.authority_of(revocations)
            now, known = self._clock.now_ns(), self._authorities.list_of(owner)
            if revocations.due_ns <= now:
                raise RevocationError("the revocation list is overdue already", where=owner.name, mend="issue the next one")
            if revocations.issued_ns > now + _CLOCK_SLACK_NS:
                raise RevocationError("the revocation list is from the future", where=owner.name, mend="check the clocks")
            if known and revocations.number <= known.number:
                raise RevocationError(f"list {revocations.number} is not newer than {known.number} in force", where=owner.name)
            if why := self._memory.older(_owner(owner), revocations.number):
                raise RevocationError(why, where=owner.name, mend=NEWER)
            place_list(self.folder, revocations)
            self._refresh()
            if self._authorities.list_of(owner) != revocations:
                raise RevocationError(f"the list lies in the folder but is not in force: {self.fault}", where=owner.name)

    def check(self, certificate: Certificate, now_ns: int) -> None:
        """Prove that a certificate leads to a root, is valid now and is not revoked.

        Raises:
            SecurityError: it is not.
        """
        self._authorities.check(certificate, now_ns)

    def principal(self, certificate: Certificate, *, station: str = "", session: str = "", peer: Peer = NO_PEER) -> Principal:
        """What a proven certificate may do from a workstation (:meth:`Policy.principal`).

        Raises:
            SecurityError: the table does not know the name, has disabled it, or its entry is over.
        """
        return self.policy.principal(certificate, self._clock.now_ns(), station=station, session=session, peer=peer)

    def expires_ns(self, certificate: Certificate) -> int:
        """When a certificate or its user's entry ends, whichever is first; ns UTC."""
        user = self.policy.users.users.get(certificate.name)
        return min(certificate.not_after_ns, user.valid_until_ns if user and user.valid_until_ns else certificate.not_after_ns)

    def _refresh(self) -> bool:
        taken, faults = False, []
        for take in (self._take_authorities, self._take_policy):
            try:
                taken |= take()
            except SecurityError as error:
                faults.append(str(error))
        self._memory.save()
        faults += filter(None, (self._rollback, self._memory.unsaved))
        self.fault = "; ".join(faults)
        self.revision += taken
        return taken

    def _take_authorities(self) -> bool:
        stamps = self._look()
        if stamps == self._stamps:
            return False
        authorities = self._read_authorities(stamps)
        if why := self._older(authorities):
            raise RevocationError(why, mend=NEWER)
        touched = sorted(name for name, _ in stamps.items() ^ self._stamps.items())
        self._stamps = stamps
        changed = not authorities.same_as(self._authorities)
        if changed:
            self._note(touched)
            self._behind = self._memory.damage
            self._take(authorities)
        return changed

    def _take_policy(self) -> bool:
        stamps = self._look_at_policy()
        if stamps == self._policy_stamps:
            return False
        gone = {path for path, _ in self._policy_stamps} - {path for path, _ in stamps}
        if gone:  # without it somebody might do more than with it
            where = ", ".join(map(str, gone))
            raise SecurityError("the file has gone", where=where, mend="put it back, or start the server anew")
        policy = load_policy(self.files)
        if not policy.users.users:  # an editor empties a file before it writes it
            raise SecurityError("the table has no user", where=str(self.folder), mend="write one, or restore the file")
        touched = sorted(path.name for path, _ in {*stamps} ^ {*self._policy_stamps})
        self._policy_stamps = stamps
        changed, self.policy = policy != self.policy, policy
        if changed:
            self._note(touched)
        return changed

    def _note(self, touched: list[str]) -> None:
        self._taken.append((self.revision + 1, ", ".join(dict.fromkeys(touched))))

    def _look_at_policy(self) -> list[tuple[Path, Stamp]]:
        try:
            return [(path, stamp_of(path.stat())) for path in self.files.paths]
        except OSError as error:
            raise SecurityError(f"cannot read: {error.strerror}", where=str(error.filename)) from error

    def _look(self) -> dict[str, Stamp]:
        """Stamps of all files that count."""
        try:
            with os.scandir(self.folder) as entries:
                return {
                    entry.name: stamp_of(entry.stat())
                    for entry in entries
                    if entry.name == _ROOT or entry.name.endswith((AUTHORITY_SUFFIX, LIST_SUFFIX))
                }
        except OSError as error:
            raise SecurityError(f"cannot read: {error.strerror}", where=str(self.folder)) from error

    def _read_authorities(self, stamps: dict[str, Stamp]) -> Authorities:
        """The authorities and lists; only files with another stamp are read."""
        parsed: dict[str, tuple[Stamp, Certificate | RevocationList]] = {}
        for name, stamp in sorted(stamps.items()):
            known = self._parsed.get(name)
            parsed[name] = known if known and known[0] == stamp else (stamp, self._read(name))
        root = parsed.pop(_ROOT, None)
        held = [each for _, each in parsed.values()]
        others = [each for each in held if isinstance(each, Certificate)]
        lists = [each for each in held if isinstance(each, RevocationList)]
        first = root[1] if root else load_authority(self.folder)
        assert isinstance(first, Certificate)
        made = Authorities(first, others, lists, lists_demanded=self._lists_demanded)
        self._parsed = parsed | ({_ROOT: root} if root else {})
        return made

    def _read(self, name: str) -> Certificate | RevocationList:
        if name == _ROOT:
            return load_authority(self.folder)
        path = self.folder / name
        return load_list(path) if name.endswith(LIST_SUFFIX) else load_certificate(trusted(path))

    @property
    def _rollback(self) -> str:
        """Why it is not known who was revoked since the lists that lie here, and what to do; empty if it is."""
        return f"{self._behind} ({NEWER})" if self._behind else ""

    def _older(self, authorities: Authorities) -> str:
        """Which lists have gone or are older than what was in force, even if their authority went in between; empty if none."""
        found = ((each, authorities.list_of(each)) for each in authorities)
        whys = (self._memory.older(_owner(each), known.number if known else None) for each, known in found)
        return "; ".join(filter(None, whys))

    def _take(self, authorities: Authorities) -> None:
        """Put them in force, with what is remembered besides."""
        remembered = {}
        for each in authorities:
            known = authorities.list_of(each)
            remembered[each.public_key.point()] = self._memory.revoked(_owner(each), known.number if known else None)
            if known:
                self._memory.learn(_owner(each), each.name, known.number, known.revoked.values())
        self._authorities = authorities.remembering(remembered)
        self._memory.save()


def _owner(authority: Certificate) -> str:
    return owner_of("SM2", authority.public_key.point())
