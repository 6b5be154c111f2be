"""The service Security: users, sessions and revocations by SECADM, audited first, in force at once."""

from __future__ import annotations

import os
import shutil

import grpc
import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.api import security_services
from scada.api.faults import CallError
from scada.api.user_messages import user_of
from scada.core.errors import StoreError
from scada.events.records import EventKind
from scada.model_cim.tables import AlarmClass
from scada.security.audit import AuditRow
from scada.security.identities import init_identities, issue_identity
from scada.security.issuing import revoke
from scada.security.key_files import load_certificate
from scada.security.sm3 import sm3
from scada.security.users_file import load_users


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    from scada.core.clock import VirtualClock

    folder, clock = tmp_path_factory.mktemp("security-api") / "keys", VirtualClock()
    init_identities(folder, clock)
    issue_identity(folder, "li", ["OPERATOR"], clock)
    return folder


@pytest.fixture
def key_folder(pristine, tmp_path):
    """A folder of keys that the test may change."""
    return shutil.copytree(pristine, tmp_path / "keys")


@pytest.fixture
async def secadm(connect):
    return await connect("secadm")


def li(**fields):
    return pb.UserInfo(**({"name": "li", "roles": ["OPERATOR"], "areas": ["East"], "zones": ["*"]} | fields))


async def test_a_user_comes_acts_and_goes(secadm, connect, server, backend, key_folder):
    with pytest.raises(CallError) as caught:
        await connect("li")
    assert caught.value.code == "untrusted"
    revision = (await secadm.call("Security/ListUsers", pb.ListUsersRequest())).revision
    reply = await secadm.signed("Security/SetUser", pb.UserOrder(user=li(), based_on=revision, reason="shift C"))
    assert (reply.accepted, reply.reason) == (True, "")
    assert load_users(key_folder).users["li"].areas == {"East"}
    client = await connect("li")
    assert client.granted.rights
    (row,) = [row for row in backend.audited if isinstance(row, AuditRow) and row.step == "set user"]
    assert (row.kind, row.actor, row.mrid, row.reason) == ("security", "secadm", "li", "shift C")
    assert pb.Signed.FromString(row.evidence).sig, "the order stands in the log as it was signed"
    (event,) = [event for event in backend.stored if event.key == "security.user_changed"]
    assert (event.kind, event.actor, event.parameters["user"]) == (EventKind.SECURITY, "secadm", "li")
    listed = {user.name: user for user in (await secadm.call("Security/ListUsers", pb.ListUsersRequest())).users}
    assert (listed["li"].sessions, listed["li"].revision, listed["li"].last_login_ns > 0) == (1, 1, True)
    # his rights shrink: the session ends at once, and the next one has what the table says
    await secadm.signed("Security/SetUser", pb.UserOrder(user=li(disabled=True), reason="left"))
    with pytest.raises(CallError) as caught:
        await client.signed("Control/Select", pb.SelectRequest(control="breaker", value=1, device_number="2211"))
    assert caught.value.code == "untrusted"
    assert backend.acted == []
    # what was ordered is not told a second time as an edit by hand
    await server.look()
    assert not [event for event in backend.stored if event.key == "security.table_edited"]


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (pb.UserOrder(user=pb.UserInfo(name="secadm", roles=["SECADM"]), reason="more"), "self_change"),
        (pb.UserOrder(user=pb.UserInfo(name="secadm"), remove=True, reason="bye"), "self_change"),
        (pb.UserOrder(user=li(roles=["OPERATOR", "SECADM"]), reason="x"), "exclusion"),
        (pb.UserOrder(user=li(roles=["KING"]), reason="x"), "unknown_role"),
        (pb.UserOrder(user=li(zones=["moon"]), reason="x"), "unknown_zone"),
        (pb.UserOrder(user=li(), reason=" "), "no_reason"),
        (pb.UserOrder(user=li(), reason="x", based_on=3), "stale"),
        (pb.UserOrder(user=pb.UserInfo(name="nobody"), remove=True, reason="x"), "unknown_user"),
    ],
)
async def test_what_is_refused_changes_nothing_and_is_kept(secadm, backend, key_folder, order, code):
    before = (key_folder / "roles.toml").read_bytes()
    reply = await secadm.signed("Security/SetUser", order)
    assert (reply.accepted, reply.code) == (False, code)
    assert (key_folder / "roles.toml").read_bytes() == before
    assert [row.code for row in backend.audited if getattr(row, "step", "").endswith("refused")][-1] == code


async def test_without_the_audit_log_nothing_is_changed(secadm, backend, key_folder, monkeypatch):
    def fail(row):
        raise StoreError("the disk is full")

    monkeypatch.setattr(backend, "record", fail)
    before = (key_folder / "roles.toml").read_bytes()
    for method, request in (
        ("Security/SetUser", pb.UserOrder(user=li(), reason="x")),
        ("Security/LoadRevocations", pb.RevocationListFile(crl=b"x")),
    ):
        with pytest.raises(CallError) as caught:
            await secadm.signed(method, request)
        assert (caught.value.status, caught.value.code) == (grpc.StatusCode.FAILED_PRECONDITION, "audit_failed")
    assert (key_folder / "roles.toml").read_bytes() == before


async def test_a_remark_where_an_area_names_nothing(secadm):
    reply = await secadm.signed("Security/SetUser", pb.UserOrder(user=li(areas=["East", "Atlantis"]), reason="x"))
    assert reply.accepted
    assert "Atlantis" in reply.reason


async def test_an_order_with_too_much_in_it_is_malformed(secadm, backend):
    for user in (li(name=""), li(areas=[str(number) for number in range(300)]), li(areas=["x" * 1000])):
        with pytest.raises(CallError) as caught:
            await secadm.signed("Security/SetUser", pb.UserOrder(user=user, reason="x"))
        assert caught.value.code == "malformed"
    assert not [row for row in backend.audited if getattr(row, "kind", "") == "security" and row.step == "set user"]


async def test_sessions_are_listed_and_ended(secadm, connect, backend):
    viewer = await connect("viewer")
    found = (await secadm.call("Security/ListSessions", pb.ListSessionsRequest())).sessions
    assert [(one.name, one.workstation, one.mine) for one in found] == [("secadm", "test", True), ("viewer", "test", False)]
    assert found[1].id_digest == sm3(bytes.fromhex(viewer.session.session))[:8]
    assert viewer.session.session not in str(found)
    order = pb.EndSessionRequest(id_digest=found[1].id_digest, reason="forgotten")
    assert (await secadm.signed("Security/EndSession", order)).accepted
    assert (await secadm.signed("Security/EndSession", order)).code == "unknown_session"
    assert (await secadm.signed("Security/EndSession", pb.EndSessionRequest(id_digest=b"", reason="x"))).code == "unknown_session"
    left = (await secadm.call("Security/ListSessions", pb.ListSessionsRequest())).sessions
    assert [one.name for one in left] == ["secadm"]


async def test_the_policy_is_told(secadm):
    policy = await secadm.call("Security/GetPolicy", pb.PolicyRequest())
    roles = {role.name: role for role in policy.roles}
    assert "CONTROL" in roles["OPERATOR"].rights
    assert "SECADM" in roles["OPERATOR"].excludes
    assert [zone.name for zone in policy.zones] == ["control-room"]
    assert "East" in policy.areas
    assert policy.two_person == ["control_type=SwitchPosition: two persons"]


async def test_a_revocation_ends_the_session(secadm, connect, sessions, backend, key_folder, clock, tmp_path):
    operator = await connect("operator")
    elsewhere = shutil.copytree(key_folder, tmp_path / "authority")
    revoke(elsewhere, [load_certificate(elsewhere / "operator.cert.pem")], "keyCompromise", clock)
    crl = (elsewhere / "ca.crl.pem").read_bytes()
    assert not (await secadm.signed("Security/LoadRevocations", pb.RevocationListFile(crl=b"garbage"))).accepted
    assert (await secadm.signed("Security/LoadRevocations", pb.RevocationListFile(crl=crl))).accepted
    assert "operator" not in {session.principal.name for session in sessions.sessions()}
    with pytest.raises(CallError):
        await operator.signed("Control/Select", pb.SelectRequest(control="breaker", value=1, device_number="2211"))
    assert backend.acted == []


async def test_the_operator_is_told_of_a_list_before_and_when_it_is_overdue_and_renewed(
    server, sessions, backend, key_folder, clock
):
    def told():
        keys = ("security.list_due", "security.list_overdue", "security.list_renewed")
        found = [
            (event.key.removeprefix("security.list_"), event.parameters["authority"])
            for event in backend.stored
            if event.key in keys
        ]
        backend.stored.clear()
        return found

    root = "scada root authority"
    revoke(key_folder, [], "unspecified", clock, days=30)
    for days, expected in ((0, []), (22.9, []), (0.2, [("due", root)]), (6, []), (0.9, [("overdue", root)]), (3, [])):
        clock.advance(days * 86_400)
        for _ in range(3):
            await server.look()
        assert told() == expected, days
        assert bool(sessions.trust.stale) == (expected == [("overdue", root)] or days == 3)
    revoke(key_folder, [], "unspecified", clock, days=4)
    await server.look()
    assert told() == [("renewed", root)]
    clock.advance(3.1 * 86_400)
    await server.look()
    assert told() == [("due", root)], "of a list for four days a day before"
    revoke(key_folder, [], "unspecified", clock, days=30)
    await server.look()
    await server.look()
    assert told() == [("renewed", root)]


# ---------------------------------------------------------------------- edits by hand


async def test_an_edit_by_hand_is_in_force_and_told(connect, server, sessions, backend, key_folder):
    await connect("operator")
    path = key_folder / "roles.toml"
    path.write_text(path.read_text().replace('[operator]\nroles = ["OPERATOR"]', '[operator]\nroles = ["VIEWER"]'))
    await server.look()
    assert sessions.sessions() == []
    (event,) = [event for event in backend.stored if event.key == "security.table_edited"]
    assert (event.parameters["user"], event.alarm_class) == ("operator", AlarmClass.ABNORMAL)
    (row,) = [row for row in backend.audited if getattr(row, "step", "") == "file edited"]
    assert row.mrid == "operator"
    assert "VIEWER" in row.path


async def test_a_broken_edit_is_told_once_and_the_old_goes_on(connect, server, sessions, backend, key_folder):
    operator = await connect("operator")
    path = key_folder / "roles.toml"
    good = path.read_text()
    path.write_text("[operator")
    for _ in range(3):
        await server.look()
    assert [event.key for event in backend.stored if event.key == "security.trust_fault"] == ["security.trust_fault"]
    await operator.call("Realtime/GetStatus", pb.GetStatusRequest())
    path.write_text(good)
    os.utime(path)
    await server.look()
    assert sessions.trust.fault == ""


async def test_an_edit_by_hand_does_not_hide_behind_an_order(secadm, server, backend, key_folder):
    """Both come into force at once: what was not ordered is told and audited as an edit, the order is not."""
    path = key_folder / "roles.toml"
    path.write_text(path.read_text().replace("[viewer]\nroles = [", '[viewer]\nroles = ["OPERATOR", '))
    reply = await secadm.signed("Security/SetUser", pb.UserOrder(user=li(), reason="shift C"))
    assert reply.accepted
    await server.look()
    edited = [row for row in backend.audited if getattr(row, "step", "") == "file edited"]
    assert [row.mrid for row in edited] == ["viewer"]
    assert "OPERATOR" in edited[0].path


async def test_who_lost_the_right_while_an_order_waited_changes_nothing(secadm, backend, key_folder, monkeypatch):
    path = key_folder / "roles.toml"
    lost = path.read_text().replace('roles = ["SECADM"]', 'roles = ["VIEWER"]')
    monkeypatch.setattr(security_services, "user_of", lambda user: path.write_text(lost) and user_of(user))
    reply = await secadm.signed("Security/SetUser", pb.UserOrder(user=li(), reason="a last favour"))
    assert (reply.accepted, reply.code) == (False, "unauthorised")
    assert path.read_text() == lost


async def test_an_order_that_is_not_in_force_because_of_a_broken_file_says_so(secadm, sessions, key_folder):
    (key_folder / "site-roles.toml").write_text("[OPERATOR]\nrights = []\n")
    (key_folder / "site-roles.toml").chmod(0o600)
    reply = await secadm.signed("Security/SetUser", pb.UserOrder(user=li(), reason="shift C"))
    assert reply.accepted
    assert "site-roles.toml" in reply.reason
    assert "li" not in sessions.trust.policy.users.users
