"""The table of users: who has which roles, where, from which zones and until when; and which changes of it are refused.

A table is never changed, a new one takes its place. Its file is kept by :mod:`scada.security.users_file`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from scada.core.clock import NS_PER_S
from scada.core.errors import SecurityError
from scada.security.roles import ALL_AREAS, DEFAULT_ROLES, Right, RoleTable
from scada.security.sm3 import sm3
from scada.security.zones import ALL

ROLES_FILE: Final = "roles.toml"
_HEAD = """\
# Who may do what, where and from where. A role acts only if the identity's certificate bears it too.
# areas: control areas, regions, stations, voltage levels, bays, equipment, by name, path or mRID; "*" = all.
# zones: zones of workstations; "*" = all. valid_until: a time with its offset, after which the entry counts for nothing.
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_NAME: Final = 64
"""Characters of a user's name."""
_ALPHABETS = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}
"""Those that have letters which look like another's."""


class UserRefusedError(SecurityError):
    """A change of the table of users is refused; ``code`` names the cause for machines."""

    def __init__(self, code: str, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what, where=where, mend=mend)
        self.code = code


@dataclass(frozen=True, slots=True)
class User:
    """One entry.

    Attributes:
        name: of the identity, as in its certificate.
        roles: it acts by those that its certificate bears too.
        areas: areas of responsibility, ``"*"`` = all.
        zones: zones of workstations from which it may do more than look, ``"*"`` = all.
        disabled: it cannot log in.
        valid_until_ns: ns UTC at which the entry ends; 0 = never.
        revision: number of the changes of this entry that were made by order.
    """

    name: str
    roles: frozenset[str]
    areas: frozenset[str]
    zones: frozenset[str] = frozenset({ALL})
    disabled: bool = False
    valid_until_ns: int = 0
    revision: int = 0

    def is_like(self, other: User | None) -> bool:
        """Both say the same, however often they were changed."""
        return other is not None and replace(other, revision=self.revision) == self

    def is_valid(self, now_ns: int) -> bool:
        """It is neither disabled nor over."""
        return not self.disabled and not 0 < self.valid_until_ns <= now_ns


@dataclass(frozen=True)
class UserTable:
    """All entries.

    Attributes:
        users: by name.
        roles: what the roles are.
    """

    users: Mapping[str, User] = field(default_factory=dict)
    roles: RoleTable = DEFAULT_ROLES

    @property
    def revision(self) -> int:
        """Names this state of the table: another one has another number, also after an edit by hand. Not 0."""
        return int.from_bytes(sm3(write_table(self.users).encode())[:4]) | 1

    def find(self, name: str, now_ns: int) -> User:
        """The entry of a name that counts now.

        Raises:
            SecurityError: there is none, it is disabled, or it is over.
        """
        user = self.users.get(name)
        if user is None:
            raise SecurityError("the identity has no entry in the table of users", where=name, mend=f"add it to {ROLES_FILE}")
        if user.disabled:
            raise SecurityError("the identity is disabled", where=name)
        if not user.is_valid(now_ns):
            raise SecurityError(f"the identity was valid until {text_of_time(user.valid_until_ns)}", where=name)
        return user

    def with_user(self, user: User, *, actor: str, now_ns: int) -> UserTable:
        """The table with an entry put in or replaced.

        Args:
            user: the entry; its revision is counted here.
            actor: who asks; nobody changes an entry of one's own.
            now_ns: ns UTC.

        Raises:
            UserRefusedError: ``self_change``, ``bad_user``, ``unknown_role``, ``exclusion``, ``last_administrator`` or
                ``last_operator``.
        """
        check_user(user, self.roles)
        before = self.users.get(user.name)
        if before is None:
            _check_unlike(user.name, self.users)
        counted = replace(user, revision=before.revision + 1 if before else 1)
        return self._changed({**self.users, user.name: counted}, user.name, actor, now_ns)

    def without(self, name: str, *, actor: str, now_ns: int) -> UserTable:
        """The table without an entry.

        Raises:
            UserRefusedError: ``unknown_user``, ``self_change``, ``last_administrator`` or ``last_operator``.
        """
        if name not in self.users:
            raise UserRefusedError("unknown_user", f"there is no user {name!r}")
        return self._changed({key: user for key, user in self.users.items() if key != name}, name, actor, now_ns)

    def _changed(self, users: Mapping[str, User], name: str, actor: str, now_ns: int) -> UserTable:
        if name == actor:
            raise UserRefusedError("self_change", "nobody changes an entry of one's own", where=name, mend="ask another SECADM")
        table = UserTable(users, self.roles)
        for right, code, who in (
            (Right.SECURITY, "last_administrator", "administers the rights"),
            (Right.CONTROL, "last_operator", "operates the plant"),
        ):
            if table.standing(right, now_ns) < self.standing(right, now_ns):
                raise UserRefusedError(code, f"nobody would be left who {who}", where=name, mend="make another one first")
        return table

    def holds(self, name: str, right: Right, now_ns: int) -> bool:
        """True if the entry of a name counts now and has a right."""
        user = self.users.get(name)
        return user is not None and user.is_valid(now_ns) and right in self.roles.rights_of(user.roles)

    def standing(self, right: Right, now_ns: int) -> int:
        """How far a right is held: 2 = by somebody without an end, 1 = by somebody for a time, 0 = by nobody."""
        holders = [user for name, user in self.users.items() if self.holds(name, right, now_ns)]
        return 2 if any(not user.valid_until_ns for user in holders) else int(bool(holders))


def write_table(users: Mapping[str, User]) -> str:
    """The file of these entries."""
    return _HEAD + "".join(_entry(user) for user in users.values())


def new_table(identities: Mapping[str, Sequence[str]]) -> UserTable:
    """A table of identities and their roles, everywhere."""
    return UserTable({name: User(name, frozenset(roles), frozenset({ALL_AREAS})) for name, roles in identities.items()})


def text_of_user(user: User) -> str:
    """An entry in one line, for the audit log and for people.

    >>> text_of_user(User("li", frozenset({"OPERATOR"}), frozenset({"East"})))
    'roles OPERATOR; areas East; zones *'
    """
    parts = [f"{key} {', '.join(sorted(getattr(user, key))) or 'none'}" for key in ("roles", "areas", "zones")]
    parts += [f"until {text_of_time(user.valid_until_ns)}"] if user.valid_until_ns else []
    return "; ".join([*parts, "disabled"] if user.disabled else parts)


def text_of_time(time_ns: int) -> str:
    """A time as the file has it, in UTC; empty for 0.

    >>> text_of_time(1_700_000_000_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    return f"{_EPOCH + timedelta(microseconds=time_ns // 1000):%Y-%m-%dT%H:%M:%SZ}" if time_ns else ""


def time_of_text(text: str) -> int:
    """Ns UTC of a time with its offset, or of a day in UTC; 0 for empty.

    >>> time_of_text("2023-11-14T22:13:20Z")
    1700000000000000000

    Raises:
        SecurityError: it is none.
    """
    if not text:
        return 0
    try:
        time = datetime.fromisoformat(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError as error:
        raise SecurityError(f"{text!r} is no time", mend="write 2027-01-01 or 2027-01-01T00:00:00+08:00") from error
    if time.tzinfo is None:
        raise SecurityError(f"{text!r} has no offset", mend="write 2027-01-01T00:00:00+08:00, or Z for UTC")
    if time <= _EPOCH:
        raise SecurityError(f"{text!r} is before 1970", mend="disable the user instead")
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def alike(one: str, other: str) -> bool:
    """Two names that people take for one: they differ in the case or the width of letters only.

    >>> alike("Wang", "wang"), alike("wang", "wang2")
    (True, False)
    """
    return unicodedata.normalize("NFKC", one).casefold() == unicodedata.normalize("NFKC", other).casefold()


def _check_unlike(name: str, users: Collection[str]) -> None:
    """A new name is not taken for another: neither for one that is there, nor by letters of several alphabets."""
    for other in users:
        if alike(name, other):
            raise UserRefusedError("bad_user", f"{name!r} would be taken for {other!r}", mend="give it another name")
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in name if letter.isalpha()} & _ALPHABETS
    if len(scripts) > 1:
        raise UserRefusedError("bad_user", f"{name!r} has letters of several alphabets: {', '.join(sorted(scripts))}")


def check_user(user: User, roles: RoleTable) -> None:
    """Refuse an entry that cannot be.

    Raises:
        UserRefusedError: ``bad_user``, ``unknown_role`` or ``exclusion``.
    """
    if not 1 <= len(user.name) <= LONGEST_NAME or user.name != user.name.strip() or not user.name.isprintable():
        raise UserRefusedError("bad_user", f"{user.name!r} cannot be a user's name")
    if "" in user.areas:
        raise UserRefusedError("bad_user", "an area has no name", where=user.name)
    if user.valid_until_ns and user.valid_until_ns < NS_PER_S:
        raise UserRefusedError("bad_user", "the entry would have ended before 1970", where=user.name, mend="disable it")
    if unknown := user.roles - roles.rights.keys():
        names = ", ".join(sorted(unknown))
        raise UserRefusedError("unknown_role", f"unknown role {names}", mend=f"roles are {', '.join(roles.rights)}")
    if why := roles.conflict(user.roles):
        raise UserRefusedError("exclusion", f"these roles exclude each other: {why}", where=user.name)


def _entry(user: User) -> str:
    key = user.name if re.fullmatch(r"[A-Za-z0-9_-]+", user.name) else _text(user.name)
    lines = [f"\n[{key}]", f"roles = {_list(user.roles)}", f"areas = {_list(user.areas)}"]
    if user.zones != {ALL}:
        lines.append(f"zones = {_list(user.zones)}")
    if user.disabled:
        lines.append("disabled = true")
    if user.valid_until_ns:
        lines.append(f"valid_until = {text_of_time(user.valid_until_ns)}")
    if user.revision:
        lines.append(f"revision = {user.revision}")
    return "\n".join(lines) + "\n"


def _list(names: Collection[str]) -> str:
    return f"[{', '.join(map(_text, sorted(names)))}]"


def _text(text: str) -> str:
    # a JSON string is a TOML basic string, but for DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
