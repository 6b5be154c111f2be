"""The table of users: what it refuses, what a crash leaves, and that what is in force follows it."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.core.errors import SecurityError
from scada.model_cim.tables import ModelTables
from scada.security import key_files
from scada.security.identities import load_identity
from scada.security.peer import NO_PEER, Peer
from scada.security.policy import Policy, PolicyFiles, changed_table, findings, load_policy
from scada.security.roles import DEFAULT_ROLES, Right
from scada.security.trust import Trust
from scada.security.users import User, UserRefusedError, UserTable, new_table, time_of_text, write_table
from scada.security.users_file import change_users, load_users, parse_table
from scada.security.zones import DEFAULT_ZONES, Zone, load_zones, zone_of

NOW = time_of_text("2026-11-22")
DAY = 86_400_000_000_000
PEOPLE = {"zhao": ("SECADM",), "wang": ("SECADM",), "li": ("OPERATOR",), "chen": ("GUARDIAN",)}


def table(**people):
    return new_table(people or PEOPLE)


def refused(change):
    with pytest.raises(UserRefusedError) as caught:
        change()
    return caught.value.code


def test_nobody_changes_an_entry_of_ones_own():
    users = table()
    for user in (users.users["zhao"], replace(users.users["zhao"], areas=frozenset({"East"}))):
        assert refused(lambda user=user: users.with_user(user, actor="zhao", now_ns=NOW)) == "self_change"
    assert refused(lambda: users.without("zhao", actor="zhao", now_ns=NOW)) == "self_change"
    assert refused(lambda: users.with_user(User("new", frozenset(), frozenset()), actor="new", now_ns=NOW)) == "self_change"


def test_nobody_grants_what_excludes_itself():
    both = User("li", frozenset({"OPERATOR", "SECADM"}), frozenset({"*"}))
    assert refused(lambda: table().with_user(both, actor="zhao", now_ns=NOW)) == "exclusion"
    king = User("li", frozenset({"KING"}), frozenset())
    assert refused(lambda: table().with_user(king, actor="zhao", now_ns=NOW)) == "unknown_role"
    for name in ("", " x", "a\nb", "x" * 65):
        assert (
            refused(lambda name=name: table().with_user(User(name, frozenset(), frozenset()), actor="", now_ns=NOW)) == "bad_user"
        )


@pytest.mark.parametrize("name", ["Li", "\uff4c\uff49", "w\u0430ng", "li\u200b", "\u202ewang", "a\x85b", "a\u2028b"])
def test_a_new_name_is_not_taken_for_another(name):
    """Case, width, a Cyrillic letter, signs that nobody sees: who guards would be whom he guards."""
    assert (
        refused(lambda: table().with_user(User(name, frozenset({"GUARDIAN"}), frozenset()), actor="zhao", now_ns=NOW))
        == "bad_user"
    )


def test_a_zone_that_acts_by_a_name_which_anybody_can_give_is_told():
    acts, looks = frozenset({Right.CONTROL}), frozenset({Right.VIEW})
    named, proven = frozenset({"desk"}), frozenset({"operator"})
    zones = (
        Zone("a", named, frozenset(), acts),
        Zone("b", named, proven, acts),
        Zone("c", named, frozenset(), looks),
        *DEFAULT_ZONES,
    )
    told = [one for one in findings(Policy(table(), zones)) if one.startswith("zone")]
    assert [one.partition(":")[0] for one in told] == ["zone a"]


def test_names_that_are_alike_in_a_file_are_told():
    users = table(zhao=("SECADM",), li=("OPERATOR",), Li=("GUARDIAN",), 王=("VIEWER",))
    assert [one for one in findings(Policy(users, DEFAULT_ZONES)) if "taken for" in one] == ["li: would be taken for Li"]
    changed = users.with_user(replace(users.users["Li"], disabled=True), actor="zhao", now_ns=NOW)
    assert changed.users["Li"].disabled


@pytest.mark.parametrize(
    "wrong",
    [{"areas": frozenset({"East", ""})}, {"valid_until_ns": 1}, {"valid_until_ns": 999_999_999}, {"valid_until_ns": -DAY}],
)
def test_no_order_writes_a_file_that_cannot_be_read_or_says_more_than_was_ordered(wrong):
    """An area without a name made the table unreadable, an end in 1970 was written as no end."""
    user = replace(User("sun", frozenset({"OPERATOR"}), frozenset({"East"})), **wrong)
    assert refused(lambda: table().with_user(user, actor="zhao", now_ns=NOW)) == "bad_user"


@pytest.mark.parametrize("text", ["1970-01-01", "1960-06-01T00:00:00+08:00"])
def test_an_end_before_1970_is_no_end_that_never_comes(text):
    with pytest.raises(SecurityError, match="before 1970"):
        time_of_text(text)
    time = text if "T" in text else f"{text}T00:00:00Z"
    with pytest.raises(SecurityError, match="before 1970"):
        parse_table(f'[li]\nroles = ["OPERATOR"]\nvalid_until = {time}\n'.encode(), "x")


@pytest.mark.parametrize(
    "lose",
    [
        lambda users, name: users.without(name, actor="boss", now_ns=NOW),
        lambda users, name: users.with_user(replace(users.users[name], disabled=True), actor="boss", now_ns=NOW),
        lambda users, name: users.with_user(replace(users.users[name], roles=frozenset({"VIEWER"})), actor="boss", now_ns=NOW),
        lambda users, name: users.with_user(replace(users.users[name], valid_until_ns=NOW), actor="boss", now_ns=NOW),
        lambda users, name: users.with_user(replace(users.users[name], valid_until_ns=NOW + DAY), actor="boss", now_ns=NOW),
    ],
)
def test_the_last_administrator_and_the_last_operator_stay(lose):
    users = table()
    assert refused(lambda: lose(users, "li")) == "last_operator"
    without_zhao = lose(users, "zhao")
    assert refused(lambda: lose(without_zhao, "wang")) == "last_administrator"
    lose(users, "chen")


def test_who_is_there_for_a_time_counts_while_nobody_else_is():
    temporary = replace(table().users["li"], valid_until_ns=NOW + DAY)
    users = replace(table(), users={**table().users, "li": temporary})
    assert refused(lambda: users.without("li", actor="zhao", now_ns=NOW)) == "last_operator"
    longer = users.with_user(replace(temporary, valid_until_ns=NOW + 2 * DAY), actor="zhao", now_ns=NOW)
    assert longer.users["li"].revision == 1
    # a shift leader operates too, so the operator may go
    led = users.with_user(User("zhou", frozenset({"SHIFT_LEADER"}), frozenset({"*"})), actor="zhao", now_ns=NOW)
    assert "li" not in led.without("li", actor="zhao", now_ns=NOW).users


def test_orders_say_why_and_know_what_they_change():
    users = table()
    new = User("sun", frozenset({"VIEWER"}), frozenset())
    given_ = {"remove": False, "actor": "zhao", "reason": "why", "based_on": users.revision, "now_ns": NOW}

    def order(user=new, **other):
        return changed_table(users, DEFAULT_ZONES, user, **{**given_, **other})

    after = order()
    assert after.users["sun"] == replace(new, revision=1)
    assert refused(lambda: order(reason="  ")) == "no_reason"
    assert refused(lambda: order(based_on=after.revision)) == "stale"
    assert refused(lambda: order(replace(new, zones=frozenset({"moon"})))) == "unknown_zone"
    assert refused(lambda: order(replace(new, name="nobody"), remove=True)) == "unknown_user"
    assert after.revision != users.revision


NAMES = st.text(min_size=1, max_size=20).filter(lambda text: text == text.strip() and text.isprintable())
USERS = st.builds(
    User,
    NAMES,
    st.sampled_from([frozenset(), frozenset({"OPERATOR", "GUARDIAN"}), frozenset({"SECADM"})]),
    st.frozensets(NAMES, max_size=3),
    st.frozensets(NAMES, max_size=3),
    st.booleans(),
    st.integers(0, 4_000_000_000).map(lambda second: second * 1_000_000_000),
    st.integers(0, 2**31 - 1),
)


@given(st.lists(USERS, max_size=5, unique_by=lambda user: user.name))
def test_what_is_written_is_what_is_read(users):
    kept = UserTable({user.name: user for user in users})
    again = parse_table(write_table(kept.users).encode(), "x")
    assert again == kept
    assert again.revision == kept.revision


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[li]\nroles = ["OPERATOR", "SECADM"]', "exclude each other"),
        ('[li]\nroles = ["OPERATOR"]\nareas = [1]', "areas must be a list"),
        ("[li]\nvalid_until = 2027-01-01", "time with its offset"),
        ("[li]\nvalid_until = 2027-01-01T00:00:00", "time with its offset"),
        ('[li]\nvalid_until = "2027-01-01T00:00:00Z"', "time with its offset"),
        ("[li]\ndisabled = 1", "disabled is true or false"),
        ("[li]\nrevision = -1", "revision is a number"),
        ("revision = 3", "must be a table"),
    ],
)
def test_a_table_that_cannot_be_is_refused_whole(text, fault):
    with pytest.raises(SecurityError, match=fault):
        parse_table(text.encode(), "roles.toml")


def test_times_have_an_offset():
    assert time_of_text("2027-01-01T08:00:00+08:00") == time_of_text("2027-01-01") == time_of_text("2027-01-01T00:00:00Z")
    assert time_of_text("") == 0
    for text in ("soon", "2027-01-01T00:00:00", "2027-13-01"):
        with pytest.raises(SecurityError):
            time_of_text(text)


def test_a_crash_while_writing_leaves_the_old_table(keys, monkeypatch):
    before = load_users(keys)

    def die(*_):
        raise OSError(28, "No space left on device")

    for moment in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os if moment == "fsync" else key_files.Path, moment, die)
            with pytest.raises(SecurityError, match="No space"):
                change_users(keys, DEFAULT_ROLES, lambda users: users.without("viewer", actor="", now_ns=NOW))
        assert load_users(keys) == before
    after = change_users(keys, DEFAULT_ROLES, lambda users: users.without("viewer", actor="", now_ns=NOW))
    assert load_users(keys) == after
    assert (keys / "roles.toml").stat().st_mode & 0o777 == 0o600


def test_nothing_is_changed_that_could_not_be_audited(keys):
    before = load_users(keys)

    def no_audit():
        raise SecurityError("the disk is full")

    with pytest.raises(SecurityError, match="disk is full"):
        change_users(keys, DEFAULT_ROLES, lambda users: users.without("viewer", actor="", now_ns=NOW), before=no_audit)
    assert load_users(keys) == before


def test_many_writers_lose_nothing(keys):
    def add(number):
        new = User(f"user-{number}", frozenset({"VIEWER"}), frozenset({"*"}))
        change_users(keys, DEFAULT_ROLES, lambda users: users.with_user(new, actor="", now_ns=NOW))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"user-{number}" for number in range(12)} <= set(load_users(keys).users)


# ---------------------------------------------------------------------- what is in force


@pytest.fixture
def trust(keys, clock):
    return Trust(keys, clock)


def certificate(keys, clock, name):
    return load_identity(keys, name, clock).certificate


def test_disabled_and_over_are_out(trust, keys, clock):
    operator = certificate(keys, clock, "operator")
    soon = clock.now_ns() + 3600 * 1_000_000_000
    change_users(
        keys,
        DEFAULT_ROLES,
        lambda users: users.with_user(replace(users.users["operator"], valid_until_ns=soon), actor="", now_ns=clock.now_ns()),
    )
    assert trust.refresh()
    assert trust.expires_ns(operator) // 10**9 == soon // 10**9
    assert trust.principal(operator).rights
    clock.advance(3601)
    with pytest.raises(SecurityError, match="valid until"):
        trust.principal(operator)
    viewer = certificate(keys, clock, "viewer")
    disable = replace(load_users(keys).users["viewer"], disabled=True)
    change_users(keys, DEFAULT_ROLES, lambda users: users.with_user(disable, actor="", now_ns=NOW))
    trust.refresh()
    with pytest.raises(SecurityError, match="disabled"):
        trust.principal(viewer)


ZONES = """
[control-room]
certificates = ["station-1"]
rights = ["*"]
[both]
workstations = ["desk"]
certificates = ["station-2"]
rights = ["VIEW", "CONTROL"]
[remote]
workstations = ["laptop"]
rights = ["VIEW", "HISTORY"]
"""


@pytest.fixture
def zoned(keys):
    path = keys / "zones.toml"
    path.write_text(ZONES)
    path.chmod(0o600)
    return path


def test_rights_are_those_of_the_role_and_of_the_zone(zoned, keys, clock):
    trust, operator = Trust(keys, clock), certificate(keys, clock, "operator")

    def at(station, name=""):
        peer = Peer(name=name) if name else NO_PEER
        who = trust.principal(operator, station=station, peer=peer)
        return who.zone, set(who.rights)

    assert at("anything", "station-1") == ("control-room", set(DEFAULT_ROLES.rights["OPERATOR"]))
    assert at("desk", "station-2") == ("both", {"VIEW", "CONTROL"})
    assert at("laptop") == ("remote", {"VIEW", "HISTORY"})
    # a name that is only claimed, or half of what the zone asks for, is no place in it
    assert at("station-1") == ("", {"VIEW"})
    assert at("desk") == ("", {"VIEW"})
    assert at("desk", "station-3") == ("", {"VIEW"})
    assert at("") == ("", {"VIEW"})
    only = replace(load_users(keys).users["operator"], zones=frozenset({"remote"}))
    change_users(keys, DEFAULT_ROLES, lambda users: users.with_user(only, actor="", now_ns=NOW))
    trust.refresh()
    assert at("anything", "station-1") == ("control-room", {"VIEW"})
    assert at("laptop") == ("remote", {"VIEW", "HISTORY"})
    # the zone gives nothing that the role does not have
    viewer = trust.principal(certificate(keys, clock, "viewer"), peer=Peer(name="station-1"))
    assert viewer.rights == {"VIEW", "HISTORY"}


def test_a_file_that_vanishes_or_breaks_opens_nothing(zoned, keys, clock):
    trust, operator = Trust(keys, clock), certificate(keys, clock, "operator")
    zoned.unlink()
    assert not trust.refresh()
    assert "has gone" in trust.fault
    assert trust.principal(operator, station="x").rights == {"VIEW"}
    zoned.write_text("[control-room]\nrights = ['*']")
    trust.refresh()
    assert "no workstation" in trust.fault
    assert trust.principal(operator, station="x").rights == {"VIEW"}
    with pytest.raises(SecurityError):
        Trust(keys, clock)
    zoned.write_text("[control-room]\nworkstations = ['*']\nrights = ['*']")
    assert trust.refresh()
    assert "CONTROL" in trust.principal(operator, station="x").rights


@pytest.mark.parametrize(
    ("text", "fault"),
    [("", "no zone"), ("[a]\nrights=[]", "no workstation"), ("[a]\nworkstations=['x']\nrights=['FLY']", "unknown right FLY")],
)
def test_bad_zones(tmp_path, text, fault):
    path = tmp_path / "zones.toml"
    path.write_text(text)
    with pytest.raises(SecurityError, match=fault):
        load_zones(path)


def test_without_a_file_of_zones_everything_is_one_room():
    assert load_zones(None) == DEFAULT_ZONES
    zone = zone_of(DEFAULT_ZONES, "", NO_PEER)
    assert zone.rights == set(Right)


def test_a_site_role_is_in_force(keys, clock):
    path = keys / "site-roles.toml"
    path.write_text('[OPERATOR]\nwithout = ["CONTROL"]')
    path.chmod(0o600)
    trust, operator = Trust(keys, clock), certificate(keys, clock, "operator")
    assert "CONTROL" not in trust.principal(operator).rights
    path.write_text("[OPERATOR]\nwithout = []")
    assert trust.refresh()
    assert "CONTROL" in trust.principal(operator).rights


def test_findings(keys):
    policy = load_policy(PolicyFiles(keys))
    empty = ModelTables("v", "n", [], [], [], [], [], [])
    assert findings(policy, empty) == []
    users = {
        "a": User("a", frozenset({"VIEWER"}), frozenset({"Nowhere"}), frozenset({"moon"})),
        "b": User("b", frozenset(), frozenset({"*"})),
    }
    found = findings(replace(policy, users=UserTable(users)), empty)
    nobody = [f"nobody {what}" for what in ("administers the rights", "operates", "guards")]
    assert [line.partition(":")[0] for line in found] == ["a", "a", "b", *nobody]
    assert len(findings(replace(policy, users=UserTable(users)))) == len(found) - 1
