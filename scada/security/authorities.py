"""Authorities that are trusted: roots, what stands below them, and their revocation lists; one unchanging set.

A certificate is proven up to a root: every signature, the right to issue, path lengths, validity and revocation of each link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from pathlib import Path
from typing import Final

from scada.core.errors import SecurityError
from scada.security.certificates import (
    Certificate,
    CertificateError,
    check_authority,
    check_issued,
    check_validity,
    names_as_issuer,
)
from scada.security.key_files import AUTHORITY_SUFFIX, LIST_SUFFIX, load_authority, load_certificate, read, trusted
from scada.security.revocation import (
    ListTerm,
    RevocationError,
    RevocationList,
    Revoked,
    RevokedError,
    check_list,
    day_text,
    parse_list,
)

LONGEST_CHAIN: Final = 4
"""Certificates from an identity up to its root."""

_REMEMBERED = 4096
"""Certificates whose signature need not be verified again."""


class Authorities:
    """Roots, subordinate authorities and their lists. Safe to call from several threads.

    Args:
        root: a self-signed authority.
        others: subordinate authorities, and further roots while roots are being exchanged.
        lists: revocation lists; one an authority at most, a missing one revokes nothing.
        lists_demanded: every authority must have a list that is up to date, else :meth:`stale` complains.

    Raises:
        CertificateError: an authority does not lead to a root, a list is of none of them or not signed by it.
    """

    def __init__(
        self,
        root: Certificate,
        others: Iterable[Certificate] = (),
        lists: Iterable[RevocationList] = (),
        *,
        lists_demanded: bool = False,
    ) -> None:
        self.root = root
        self._issuer: dict[bytes, Certificate] = {}
        self._all = [root, *others]
        self._lists_demanded = lists_demanded
        self._remembered: Mapping[bytes, Mapping[int, Revoked]] = {}
        for each in self._all:
            if each.is_root:
                check_authority(each)
        for each in self._all:
            if not each.is_authority:
                raise CertificateError("not the certificate of an authority", where=each.name)
            self.chain(each)
        self.lists: Mapping[bytes, RevocationList] = self._owned(lists)

    def __iter__(self) -> Iterator[Certificate]:
        """The authorities, the root first."""
        return iter(self._all)

    def remembering(self, revoked: Mapping[bytes, Mapping[int, Revoked]]) -> Authorities:
        """The same set, for which these count as revoked too.

        Args:
            revoked: by the point of the authority's key and the serial number.
        """
        made = copy(self)
        made._remembered = revoked  # noqa: SLF001 - of its own kind
        return made

    def same_as(self, other: Authorities) -> bool:
        """True if the other set trusts the same by the same lists."""
        return [each.encoded for each in self] == [each.encoded for each in other] and self.lists == other.lists

    def check(self, certificate: Certificate, now_ns: int) -> None:
        """Prove that an identity's certificate leads to a root, is valid now (ns UTC) and is not revoked.

        Raises:
            CertificateError: it does not, a link is not valid now, or (:class:`RevokedError`) revoked.
        """
        if certificate.is_authority:
            raise CertificateError("an authority's certificate is no identity", where=certificate.name)
        for each in self.chain(certificate):
            check_validity(each, now_ns)
            if revoked := self.revoked(each):
                raise RevokedError(
                    f"the certificate is revoked since {day_text(revoked.when_ns)}: {revoked.reason}", where=each.name
                )

    def chain(self, certificate: Certificate) -> list[Certificate]:
        """The certificate, its issuer, ... , the root; signatures and rights to issue are proven, validity is not.

        Raises:
            CertificateError: it leads to no root of ours.
        """
        chain = [certificate]
        while not chain[-1].is_root:
            if len(chain) == LONGEST_CHAIN:
                raise CertificateError(f"the chain has more than {LONGEST_CHAIN} certificates", where=certificate.name)
            issuer = self.issuer(chain[-1])
            if issuer.path_length is not None and sum(each.is_authority for each in chain) > issuer.path_length:
                raise CertificateError("the chain is longer than its authority allows", where=issuer.name)
            chain.append(issuer)
        if not any(chain[-1].encoded == each.encoded for each in self._all):
            raise CertificateError("the certificate is not issued by the trusted authority", where=certificate.name)
        return chain

    def issuer(self, certificate: Certificate) -> Certificate:
        """The authority that issued a certificate.

        Raises:
            CertificateError: none of ours did.
        """
        found = self._issuer.get(certificate.encoded)
        if found is not None:
            return found
        candidates = [each for each in self._all if each.is_authority and names_as_issuer(certificate, each)]
        if not candidates:
            raise CertificateError("the certificate is not issued by the trusted authority", where=certificate.name)
        for candidate in candidates[:-1]:
            try:
                check_issued(certificate, candidate)
            except CertificateError:
                continue
            return self._remember(certificate, candidate)
        check_issued(certificate, candidates[-1])
        return self._remember(certificate, candidates[-1])

    def check_then(self, certificate: Certificate, time_ns: int) -> None:
        """Prove that a certificate was good when it signed something.

        Args:
            certificate: of the signer.
            time_ns: ns UTC of the signature; what was revoked later counts.

        Raises:
            CertificateError: it leads to no root of ours, or one of its chain was not valid or revoked by then.
        """
        for each in self.chain(certificate):
            check_validity(each, time_ns)
            revoked = self.revoked(each)
            if revoked and revoked.when_ns <= time_ns:
                raise RevokedError(f"the certificate of {each.name!r} was revoked before", where=each.name)

    def revoked(self, certificate: Certificate) -> Revoked | None:
        """The entry of a certificate in its authority's list, or what is remembered of it; None if there is none."""
        point = (certificate if certificate.is_root else self.issuer(certificate)).public_key.point()
        found = self.lists.get(point)
        listed = found.revoked.get(certificate.serial) if found else None
        return listed or self._remembered.get(point, {}).get(certificate.serial)

    def list_of(self, authority: Certificate) -> RevocationList | None:
        """The list of an authority."""
        return self.lists.get(authority.public_key.point())

    def stale(self, now_ns: int) -> str:
        """What is wrong with the lists at a time (ns UTC): one that is overdue, or missing where lists are demanded; else empty.

        Who was revoked since then is not known: nothing that acts should be allowed.
        """
        return "; ".join(
            f"{term.authority}: revocation list was to be replaced by {day_text(term.due_ns)}"
            if term.due_ns
            else f"{term.authority}: no revocation list"
            for term in self.list_terms(now_ns)
            if term.overdue
        )

    def list_terms(self, now_ns: int) -> list[ListTerm]:
        """Lists that are overdue at a time (ns UTC), missing although demanded, or soon overdue."""
        terms = []
        for authority in self._all:
            known = self.list_of(authority)
            if known is not None:
                term = ListTerm.of(authority.name, known.issued_ns, known.due_ns, now_ns)
            else:
                term = ListTerm(authority.name, 0, overdue=True) if self._lists_demanded else None
            if term is not None and not self.is_over(authority, now_ns):
                terms.append(term)
        return terms

    def is_over(self, authority: Certificate, now_ns: int) -> bool:
        """True if nothing that an authority issued can be good any more: it, or one above it, has expired or is revoked.

        Its list need not be renewed, and mostly cannot be.
        """
        return any(now_ns >= each.not_after_ns or self.revoked(each) for each in self.chain(authority))

    def _owned(self, lists: Iterable[RevocationList]) -> dict[bytes, RevocationList]:
        owned: dict[bytes, RevocationList] = {}
        for each in lists:
            authority = self.authority_of(each)
            point = authority.public_key.point()
            if point in owned:
                raise RevocationError("two revocation lists of one authority", where=authority.name, mend="remove the older one")
            owned[point] = each
        return owned

    def authority_of(self, revocations: RevocationList) -> Certificate:
        """The authority that signed a list.

        Raises:
            RevocationError: none of ours did.
        """
        for authority in self._all:
            if authority.subject == revocations.issuer and authority.key_id == revocations.issuer_key_id:
                check_list(revocations, authority)
                return authority
        raise RevocationError("the revocation list is not of a trusted authority")

    def _remember(self, certificate: Certificate, issuer: Certificate) -> Certificate:
        if len(self._issuer) >= _REMEMBERED:
            self._issuer.clear()
        self._issuer[certificate.encoded] = issuer
        return issuer


def load_authorities(folder: Path, *, lists_demanded: bool = False) -> Authorities:
    """The authorities and revocation lists of a folder.

    Raises:
        SecurityError: a file is missing, corrupt, writable by others, or does not lead to the root.
    """
    others = [load_certificate(trusted(path)) for path in sorted(folder.glob(f"*{AUTHORITY_SUFFIX}"))]
    lists = [load_list(path) for path in sorted(folder.glob(f"*{LIST_SUFFIX}"))]
    return Authorities(load_authority(folder), others, lists, lists_demanded=lists_demanded)


def load_list(path: Path) -> RevocationList:
    """A revocation list, not proven.

    Raises:
        SecurityError: missing, corrupt or writable by others.
    """
    try:
        return parse_list(read(trusted(path)))
    except SecurityError as error:
        raise SecurityError(error.what, where=error.where or str(path), mend=error.mend) from error
