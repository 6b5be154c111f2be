"""Entries of the table of users on the wire."""

from __future__ import annotations

from scadapb.v1 import scada_pb2 as pb

from scada.security.users import User


def user_info(user: User, sessions: int = 0, last_login_ns: int = 0) -> pb.UserInfo:
    """An entry, how many sessions its owner has, and when the last began (ns UTC)."""
    return pb.UserInfo(
        name=user.name,
        roles=sorted(user.roles),
        areas=sorted(user.areas),
        zones=sorted(user.zones),
        disabled=user.disabled,
        valid_until_ns=user.valid_until_ns,
        revision=user.revision,
        sessions=sessions,
        last_login_ns=last_login_ns,
    )


def user_of(info: pb.UserInfo) -> User:
    """The entry that a message holds; where it names no zone there is none, and one may only look."""
    names = (frozenset(info.roles), frozenset(info.areas), frozenset(info.zones))
    return User(info.name, *names, info.disabled, info.valid_until_ns, info.revision)
