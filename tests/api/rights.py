"""What a test lets its identities do, without a word in the shared folder of keys."""

from __future__ import annotations

from dataclasses import replace

from scada.security.session import SessionServer


def edit_users(sessions: SessionServer, name: str = "", **fields) -> None:
    """Give every identity, or the named one, these fields of its entry (``areas``, ``roles``, ``zones``, ``disabled`` ...)."""
    policy = sessions.trust.policy
    users = {key: replace(user, **fields) if name in ("", key) else user for key, user in policy.users.users.items()}
    sessions.trust.policy = replace(policy, users=replace(policy.users, users=users))


def confine(sessions: SessionServer, *areas: str, name: str = "") -> None:
    """Every identity, or the named one, is responsible for these areas only; sessions that are open stay as they are."""
    edit_users(sessions, name, areas=frozenset(areas))
