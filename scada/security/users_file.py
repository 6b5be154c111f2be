"""The file of the table of users, ``roles.toml`` in the folder of identities: read, replaced, changed by one writer at a time.

It is replaced in one step. It may be edited by hand: what is wrong in it is refused as a whole, and what was read last goes on to
serve.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scada.core.errors import SecurityError
from scada.security import key_files
from scada.security.roles import DEFAULT_ROLES, RoleTable
from scada.security.rule_files import names_of, parse_toml, read_guarded, table_of
from scada.security.users import ROLES_FILE, User, UserRefusedError, UserTable, check_user, write_table
from scada.security.zones import ALL

_LOCK = "roles.lock"
_KEYS = {"roles", "areas", "zones", "disabled", "valid_until", "revision"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load_users(folder: Path, roles: RoleTable = DEFAULT_ROLES) -> UserTable:
    """The table of a folder of identities.

    Raises:
        SecurityError: missing, writable by others, not TOML, or an entry that cannot be: unknown key or role, an exclusion.
    """
    path = folder / ROLES_FILE
    return parse_table(read_guarded(path), str(path), roles)


def parse_table(text: bytes, where: str, roles: RoleTable | None = DEFAULT_ROLES) -> UserTable:
    """The table that a file holds; without ``roles`` they are not judged: the server does, which knows those of its site.

    Raises:
        SecurityError: as :func:`load_users`.
    """
    users = {}
    for name, entry in parse_toml(text, where).items():
        user = _user(name, entry, f"{where} [{name}]")
        try:
            if roles is not None:
                check_user(user, roles)
        except UserRefusedError as error:
            raise SecurityError(error.what, where=f"{where} [{name}]", mend=error.mend) from error
        users[name] = user
    return UserTable(users, roles or DEFAULT_ROLES)


def save_users(folder: Path, table: UserTable) -> None:
    """Put a table in place (:func:`scada.security.key_files.save_file`).

    Raises:
        SecurityError: the folder cannot be written.
    """
    key_files.save_file(folder / ROLES_FILE, write_table(table.users))


def change_users(
    folder: Path, roles: RoleTable, change: Callable[[UserTable], UserTable], before: Callable[[], object] = lambda: None
) -> UserTable:
    """Read, change and replace the table, one writer at a time.

    Args:
        folder: of identities.
        roles: what the roles are.
        change: makes the new table out of the one that is there now.
        before: called once the change is found good and before it is made: the audit; if it raises, nothing is changed.

    Raises:
        SecurityError: the file cannot be used or written, or what ``change`` or ``before`` raise.
    """
    with _locked(folder):
        table = change(load_users(folder, roles))
        before()
        save_users(folder, table)
    return table


def grant_identity(folder: Path, name: str, roles: Sequence[str], areas: Sequence[str], table: RoleTable = DEFAULT_ROLES) -> bool:
    """Give a new identity its roles and areas; an entry that is there stays as it is.

    Returns:
        True if an entry was added.

    Raises:
        SecurityError: the table is corrupt, a role does not exist, roles exclude each other, or the file cannot be written.
    """
    added = False

    def add(users: UserTable) -> UserTable:
        nonlocal added
        added = name not in users.users
        new = User(name, frozenset(roles), frozenset(areas))
        return users.with_user(new, actor="", now_ns=0) if added else users

    change_users(folder, table, add)
    return added


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(folder / _LOCK)) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _user(name: str, entry: object, where: str) -> User:
    found = table_of(entry, _KEYS, where)
    disabled, revision, until = found.get("disabled", False), found.get("revision", 0), found.get("valid_until")
    if not isinstance(disabled, bool):
        raise SecurityError("disabled is true or false", where=where)
    if isinstance(revision, bool) or not isinstance(revision, int) or not 0 <= revision < 1 << 31:
        raise SecurityError("revision is a number", where=where)
    if until is not None and (not isinstance(until, datetime) or until.tzinfo is None):
        mend = "write valid_until = 2027-01-01T00:00:00+08:00, without quotes"
        raise SecurityError("valid_until must be a time with its offset", where=where, mend=mend)
    if until is not None and until <= _EPOCH:
        raise SecurityError("valid_until is before 1970", where=where, mend="write disabled = true")
    return User(
        name,
        names_of(found.get("roles", []), "roles", where),
        names_of(found.get("areas", []), "areas", where),
        names_of(found.get("zones", [ALL]), "zones", where),
        disabled,
        0 if until is None else (until - _EPOCH) // timedelta(microseconds=1) * 1000,
        revision,
    )
