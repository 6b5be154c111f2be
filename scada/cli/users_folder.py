"""The table of users in its folder, changed while no server runs: by the same rules, with the same rows in the audit log."""

from __future__ import annotations

import getpass
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scadapb.v1 import scada_pb2 as pb

from scada.api.user_messages import user_info, user_of
from scada.core.clock import SystemClock
from scada.core.errors import SecurityError, StoreError
from scada.core.settings import load_settings
from scada.security.audit import AuditLog, AuditRow
from scada.security.policy import Policy, PolicyFiles, changed_table, load_policy
from scada.security.users import UserRefusedError, UserTable, text_of_user
from scada.security.users_file import change_users


@dataclass(frozen=True, slots=True)
class UserFolder:
    """Files of a site that does not run.

    Attributes:
        files: of the policy.
        audit: folder of the audit log.
    """

    files: PolicyFiles
    audit: Path

    @classmethod
    def of(cls, keys: Path, config: Path | None, audit: Path | None) -> Self:
        """The files of a configuration, else those in the folder of keys and the audit log beside it.

        Raises:
            ConfigError: the configuration cannot be used.
        """
        if config is None:
            return cls(PolicyFiles(keys), audit or keys.parent / "audit")
        security = load_settings(config).security
        return cls(PolicyFiles(security.keys, security.roles, security.zones), audit or security.audit)

    def policy(self) -> Policy:
        """What the files say.

        Raises:
            SecurityError: they cannot be used.
        """
        return load_policy(self.files)

    def read(self) -> pb.UserList:
        """All entries; who is logged in, and when, only a server knows."""
        users = self.policy().users
        return pb.UserList(users=[user_info(user) for user in users.users.values()], revision=users.revision)

    def change(self, order: pb.UserOrder) -> pb.SecurityReply:
        """Carry out an order.

        Raises:
            SecurityError: the files cannot be used, or a server runs: it alone writes the audit log.
        """
        clock, policy, user = SystemClock(), self.policy(), user_of(order.user)
        actor = f"host:{getpass.getuser()}"
        entry = "removed" if order.remove else text_of_user(user)
        step = "remove user" if order.remove else "set user"
        row = AuditRow(
            "security", step, actor, platform.node(), mrid=user.name[:64], path=entry[:1000], reason=order.reason[:1000]
        )

        def change(table: UserTable) -> UserTable:
            return changed_table(
                table,
                policy.zones,
                user,
                remove=order.remove,
                actor=actor,
                reason=order.reason,
                based_on=order.based_on,
                now_ns=clock.now_ns(),
            )

        try:
            with AuditLog(self.audit, clock) as log:
                table = change_users(self.files.folder, policy.roles, change, before=lambda: log.append(row))
        except UserRefusedError as error:
            return pb.SecurityReply(code=error.code, reason=str(error))
        except StoreError as error:
            mend = "leave out --offline while the server runs, or give --audit"
            raise SecurityError(error.what, where=error.where, mend=mend) from error
        return pb.SecurityReply(accepted=True, revision=table.revision)
