"""``scada users``: who may do what, where, from where and until when; over the API, or on the folder while no server runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from scadapb.v1 import scada_pb2 as pb

from scada.api.user_messages import user_info, user_of
from scada.cli.link import Link, link_options, make_link
from scada.cli.rendering import table, time_text
from scada.cli.users_folder import UserFolder
from scada.core.errors import ScadaError, SecurityError
from scada.security.key_files import save_file
from scada.security.users import text_of_time, time_of_text, write_table
from scada.security.users_file import parse_table

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

_NAME = click.argument("name")
_ROLES = click.option("--role", "roles", multiple=True, help="A role; may be given more than once.")
_AREAS = click.option("--area", "areas", multiple=True, help="Area, station, bay ... by name, path or mRID; * = all.")
_ZONES = click.option("--zone", "zones", multiple=True, help="Zone of workstations; * = all.")
_REASON = click.option("--reason", required=True, help="Why; goes to the audit log.")


@dataclass(frozen=True, slots=True)
class Users:
    """The table of users, wherever it is.

    Attributes:
        link: language, and the server.
        folder: where the table lies, None = behind the server.
    """

    link: Link
    folder: UserFolder | None

    def read(self) -> pb.UserList:
        """All entries."""
        if self.folder is not None:
            return self.folder.read()
        found: pb.UserList = self.link.run(lambda client: client.call("Security/ListUsers", pb.ListUsersRequest()))
        return found

    def find(self, name: str) -> tuple[pb.UserInfo, int]:
        """The entry of a name and the revision of the table.

        Raises:
            ScadaError: there is none.
        """
        found = self.read()
        user = next((one for one in found.users if one.name == name), None)
        if user is None:
            raise ScadaError(self.link.text("users.unknown", name=name))
        return user, found.revision

    def change(self, order: pb.UserOrder) -> None:
        """Carry out an order; exit code 1 if it is refused."""
        if self.folder is not None:
            reply = self.folder.change(order)
        else:
            reply = self.link.run(lambda client: client.signed("Security/SetUser", order))
        self.tell(reply, order.user.name)

    def order(self, method: str, request: Any, what: str) -> None:
        """An order that only a running server can carry out."""
        self.tell(self.link.run(lambda client: client.signed(method, request)), what)

    def ask(self, work: Callable[[ScadaClient], Any]) -> Any:
        """A question that only a running server can answer."""
        return self.link.run(work)

    def tell(self, reply: pb.SecurityReply, what: str) -> None:
        """What became of an order; exit code 1 if it was refused."""
        if reply.accepted:
            click.echo(self.link.text("users.done", name=what, reason=reply.reason))
            return
        click.echo(self.link.text("users.refused", name=what, reason=reply.reason, code=reply.code))
        sys.exit(1)


_pass_users = click.make_pass_decorator(Users)


@click.group(name="users")
@link_options("secadm")
@click.option("--offline", is_flag=True, help="On the folder of keys, while no server runs.")
@click.option("--config", "-c", type=click.Path(path_type=Path), help="Configuration that names the files; with --offline.")
@click.option("--audit", type=click.Path(path_type=Path), help="Audit log; default: beside the folder of keys. With --offline.")
@click.pass_context
def command(ctx: click.Context, /, *, offline: bool, config: Path | None, audit: Path | None, **given: Any) -> None:
    """Users: roles, areas of responsibility, zones of workstations, sessions. Nobody changes an entry of one's own.

    \b
    Examples:
      scada users list
      scada users grant li --role OPERATOR --area Beishan --reason "shift C"
      scada users set li --role OPERATOR --area East --until 2027-06-30 --reason "on loan"
      scada users disable li --reason "left the site"
      scada users sessions
      scada users --offline list
      scada users password operator
    """  # noqa: D301 - click's mark of lines that stay as they are
    make_link(ctx, given)
    link = ctx.obj
    ctx.obj = Users(link, UserFolder.of(link.keys, config, audit) if offline else None)


@command.command(name="list")
@_pass_users
def list_users(users: Users) -> None:
    """Everybody in the table."""
    found = users.read()
    names = ("user", "roles", "areas", "zones", "state", "until", "sessions", "login")
    rows = [
        [
            user.name,
            " ".join(user.roles),
            " ".join(user.areas),
            " ".join(user.zones),
            users.link.text("users.disabled" if user.disabled else "users.enabled"),
            text_of_time(user.valid_until_ns),
            str(user.sessions),
            time_text(user.last_login_ns) if user.last_login_ns else "",
        ]
        for user in found.users
    ]
    click.echo(table([users.link.text(f"users.head.{name}") for name in names], rows))


@command.command()
@_NAME
@_pass_users
def show(users: Users, *, name: str) -> None:
    """The entry of NAME as the file has it."""
    user, _ = users.find(name)
    click.echo(write_table({name: user_of(user)}).partition("\n\n")[2].rstrip())


@command.command(name="set")
@_NAME
@_ROLES
@_AREAS
@_ZONES
@click.option("--until", help="Day or time with offset after which the entry counts for nothing; empty = no end.")
@_REASON
@_pass_users
def set_user(
    users: Users,
    *,
    name: str,
    roles: tuple[str, ...],
    areas: tuple[str, ...],
    zones: tuple[str, ...],
    until: str | None,
    reason: str,
) -> None:
    """Make the entry NAME, or put what is given in the place of what it has. A new one may act from every zone."""
    found = users.read()
    user = next((one for one in found.users if one.name == name), pb.UserInfo(name=name, zones=["*"]))
    for key, given in (("roles", roles), ("areas", areas), ("zones", zones)):
        if given:
            del getattr(user, key)[:]
            getattr(user, key).extend(given)
    if until is not None:
        user.valid_until_ns = time_of_text(until)
    users.change(pb.UserOrder(user=user, based_on=found.revision, reason=reason))


@command.command()
@_NAME
@_ROLES
@_AREAS
@_ZONES
@_REASON
@_pass_users
def grant(
    users: Users, *, name: str, roles: tuple[str, ...], areas: tuple[str, ...], zones: tuple[str, ...], reason: str
) -> None:
    """Add roles, areas and zones to the entry NAME; it is made if there is none."""
    found = users.read()
    user = next((one for one in found.users if one.name == name), pb.UserInfo(name=name, zones=["*"]))
    for key, given in (("roles", roles), ("areas", areas), ("zones", zones)):
        getattr(user, key).extend(one for one in given if one not in getattr(user, key))
    users.change(pb.UserOrder(user=user, based_on=found.revision, reason=reason))


@command.command()
@_NAME
@_ROLES
@_AREAS
@_ZONES
@_REASON
@_pass_users
def revoke(
    users: Users, *, name: str, roles: tuple[str, ...], areas: tuple[str, ...], zones: tuple[str, ...], reason: str
) -> None:
    """Take roles, areas and zones from the entry NAME; its sessions end within a second."""
    user, revision = users.find(name)
    for key, given in (("roles", roles), ("areas", areas), ("zones", zones)):
        if absent := set(given) - set(getattr(user, key)):
            raise ScadaError(users.link.text("users.absent", name=name, what=", ".join(sorted(absent))))
        kept = [one for one in getattr(user, key) if one not in given]
        del getattr(user, key)[:]
        getattr(user, key).extend(kept)
    users.change(pb.UserOrder(user=user, based_on=revision, reason=reason))


@command.command()
@_NAME
@_REASON
@_pass_users
def disable(users: Users, *, name: str, reason: str) -> None:
    """Let NAME log in no more; its sessions end within a second."""
    _able(users, name, reason, disabled=True)


@command.command()
@_NAME
@_REASON
@_pass_users
def enable(users: Users, *, name: str, reason: str) -> None:
    """Let NAME log in again."""
    _able(users, name, reason, disabled=False)


def _able(users: Users, name: str, reason: str, *, disabled: bool) -> None:
    user, revision = users.find(name)
    user.disabled = disabled
    users.change(pb.UserOrder(user=user, based_on=revision, reason=reason))


@command.command()
@_NAME
@_REASON
@_pass_users
def remove(users: Users, *, name: str, reason: str) -> None:
    """Remove the entry NAME. Its certificate stays valid: revoke it with `scada keys`."""
    user, revision = users.find(name)
    users.change(pb.UserOrder(user=user, remove=True, based_on=revision, reason=reason))


@command.command(name="export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_pass_users
def export_users(users: Users, *, file: Path) -> None:
    """Write the whole table to FILE, as roles.toml has it."""
    found = users.read()
    save_file(file, write_table({user.name: user_of(user) for user in found.users}))
    click.echo(users.link.text("users.exported", count=str(len(found.users)), file=str(file)))


@command.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--prune", is_flag=True, help="Remove who is not in FILE.")
@_REASON
@_pass_users
def import_users(users: Users, *, file: Path, prune: bool, reason: str) -> None:
    """Make every entry of FILE that differs so, one order each; the first refusal ends it."""
    try:
        wanted = parse_table(file.read_bytes(), str(file), None).users
    except OSError as error:
        raise SecurityError(f"cannot read: {error.strerror}", where=str(file)) from error
    present = {user.name: user_of(user) for user in users.read().users}
    for name, user in wanted.items():
        if not user.is_like(present.get(name)):
            users.change(pb.UserOrder(user=user_info(user), reason=reason))
    for name in present.keys() - wanted.keys() if prune else ():
        users.change(pb.UserOrder(user=pb.UserInfo(name=name), remove=True, reason=reason))


@command.command()
@_pass_users
def policy(users: Users) -> None:
    """Roles with their rights and what they exclude, zones of workstations, areas, and which controls need two persons."""
    if users.folder is not None:
        raise ScadaError(users.link.text("users.server_only"))
    found: pb.Policy = users.ask(lambda client: client.call("Security/GetPolicy", pb.PolicyRequest()))
    text = users.link.text
    head = [text(f"users.head.{name}") for name in ("role", "rights", "excludes")]
    click.echo(table(head, [[role.name, " ".join(role.rights), " ".join(role.excludes)] for role in found.roles]))
    head = [text(f"users.head.{name}") for name in ("zone", "workstations", "rights")]
    click.echo("\n" + table(head, [[zone.name, " ".join(zone.workstations), " ".join(zone.rights)] for zone in found.zones]))
    click.echo("\n" + text("users.areas", areas=", ".join(found.areas)))
    click.echo(text("users.two_person", rules="; ".join(found.two_person) or "-"))


@command.command()
@_pass_users
def sessions(users: Users) -> None:
    """Who is logged in, from where and since when; the first column names a session for `end`."""
    if users.folder is not None:
        raise ScadaError(users.link.text("users.server_only"))
    found: pb.SessionList = users.ask(lambda client: client.call("Security/ListSessions", pb.ListSessionsRequest()))
    names = ("session", "user", "roles", "workstation", "zone", "peer", "since", "order", "state")
    rows = [
        [
            one.id_digest.hex(),
            one.name,
            " ".join(one.roles),
            one.workstation,
            one.zone,
            one.peer,
            time_text(one.began_ns),
            time_text(one.last_order_ns) if one.last_order_ns else "",
            users.link.text("users.looks" if one.locked else "users.acts") + (" *" if one.mine else ""),
        ]
        for one in found.sessions
    ]
    click.echo(table([users.link.text(f"users.head.{name}") for name in names], rows))


@command.command()
@click.argument("session")
@_REASON
@_pass_users
def end(users: Users, *, session: str, reason: str) -> None:
    """End a SESSION, as `sessions` names it. Its owner may log in again unless disabled."""
    if users.folder is not None:
        raise ScadaError(users.link.text("users.server_only"))
    try:
        digest = bytes.fromhex(session)
    except ValueError as error:
        raise click.BadParameter(f"{session!r} is no session; see `scada users sessions`") from error
    users.order("Security/EndSession", pb.EndSessionRequest(id_digest=digest, reason=reason), session)


@command.command()
@_NAME
@_pass_users
def password(users: Users, *, name: str) -> None:
    """Put the private key of NAME, in the folder of keys here, behind a new password."""
    from scada.cli.unlock import ask_password
    from scada.security.key_files import key_path, load_key, replace
    from scada.security.passwords import seal_key

    folder = users.link.keys
    key = load_key(folder, name, ask_password(folder, name))
    prompt = users.link.text("users.new_password", name=name)
    new: str = click.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True)
    path = key_path(folder, name)
    try:
        replace(path, seal_key(key, new), 0o600)
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(path)) from error
    click.echo(users.link.text("users.password_set", file=str(path)))
