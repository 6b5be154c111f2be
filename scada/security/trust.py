"""What is trusted now: the authority, revocation lists and the table of users of a folder, read again when they change."""

from __future__ import annotations

from pathlib import Path

from scada.control.records import Principal
from scada.core.errors import SecurityError
from scada.security.certificates import Certificate, check_certificate
from scada.security.identities import Grants, load_authority, load_grants, principal_of


class Trust:
    """The trust of one folder of identities. Safe to call from several threads.

    Args:
        folder: as ``scada keys`` makes it.

    Attributes:
        revision: grows by one with every change of the files that was taken.
        fault: why files that changed could not be taken, empty if they could; those read last go on to serve.

    Raises:
        SecurityError: a file is missing or cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.revision = 1
        self.fault = ""
        self._authority = load_authority(folder)
        self._grants: Grants = load_grants(folder)

    def refresh(self) -> bool:
        """Take files that have changed; True if anything was taken."""
        try:
            authority, grants = load_authority(self.folder), load_grants(self.folder)
        except SecurityError as error:
            self.fault = str(error)
            return False
        self.fault = ""
        if (authority.encoded, grants) == (self._authority.encoded, self._grants):
            return False
        self._authority, self._grants = authority, grants
        self.revision += 1
        return True

    def check(self, certificate: Certificate, now_ns: int) -> None:
        """Prove that a certificate leads to the authority, is valid now and is not revoked.

        Raises:
            SecurityError: it is not.
        """
        check_certificate(certificate, self._authority, now_ns)

    def principal(self, certificate: Certificate, *, station: str = "", session: str = "") -> Principal:
        """What a proven certificate may do from a workstation: the roles that both the table and the certificate name.

        Raises:
            SecurityError: the table does not know the name.
        """
        return principal_of(certificate, self._grants, station=station, session=session)
