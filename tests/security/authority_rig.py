"""A root, an authority below it and identities of both, made in memory."""

from __future__ import annotations

from scada.core.clock import NS_PER_S
from scada.security.certificates import issue_certificate
from scada.security.revocation import Revoked, issue_list
from scada.security.sm2 import Sm2Key

NOW = 1_700_000_000 * NS_PER_S
DAY = 86400 * NS_PER_S


class Made:
    """A certificate, its key and what it issues."""

    def __init__(self, name, issuer=None, *, authority=False, path_length=None, roles=(), after=NOW + 365 * DAY, key=None):
        self.key = key or Sm2Key.generate()
        self.certificate = issue_certificate(
            name,
            self.key.point(),
            roles=roles,
            issuer=issuer.certificate if issuer else None,
            signer=issuer.key if issuer else self.key,
            not_before_ns=NOW - DAY,
            not_after_ns=after,
            authority=authority,
            path_length=path_length,
        )

    def revocations(self, *revoked, number=1, now=NOW, days=30, reason="keyCompromise", signer=None):
        entries = [Revoked(each.certificate.serial, now, reason) for each in revoked]
        return issue_list(self.certificate, signer or self.key, entries, number=number, now_ns=now, due_ns=now + days * DAY)
