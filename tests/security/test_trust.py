from __future__ import annotations

import pytest

from scada.core.clock import VirtualClock
from scada.core.errors import SecurityError
from scada.security import trust as trust_module
from scada.security.identities import issue_identity, load_authority
from scada.security.issuing import make_subordinate, revoke
from scada.security.key_files import load_certificate, load_key
from scada.security.revocation import RevocationError, RevokedError, issue_list
from scada.security.trust import Trust

DAY_S = 86400.0


@pytest.fixture
def trust(keys, clock):
    return Trust(keys, clock)


def of(keys, name):
    return load_certificate(keys / f"{name}.cert.pem")


def revoke_operator(keys, clock, **words):
    return revoke(keys, [of(keys, "operator")], "keyCompromise", clock, **words)


def test_nothing_changed_reads_nothing(trust, monkeypatch):
    monkeypatch.setattr(trust_module, "load_authority", None)
    monkeypatch.setattr(trust_module, "load_list", None)
    assert not trust.refresh()
    assert (trust.fault, trust.revision, trust.stale) == ("", 1, "")


def test_a_revocation_is_taken_at_the_next_look(trust, keys, clock):
    operator = of(keys, "operator")
    trust.check(operator, clock.now_ns())
    revoke_operator(keys, clock)
    trust.check(operator, clock.now_ns())
    assert trust.refresh()
    assert trust.revision == 2
    with pytest.raises(RevokedError):
        trust.check(operator, clock.now_ns())
    trust.check(of(keys, "viewer"), clock.now_ns())
    assert not trust.refresh()


def test_an_authority_that_comes_later(trust, keys, clock):
    make_subordinate(keys, "north", clock)
    operator = issue_identity(keys, "operator", ["OPERATOR"], clock, authority="north")
    with pytest.raises(SecurityError):
        trust.check(operator, clock.now_ns())
    assert trust.refresh()
    trust.check(operator, clock.now_ns())


def test_a_broken_table_is_told_and_stops_no_revocation(trust, keys, clock):
    """Two files change, the table of users is spoilt: what it said goes on, and who was revoked is out nevertheless."""
    revoke_operator(keys, clock)
    table = keys / "roles.toml"
    good = table.read_text()
    table.write_text("[operator")
    assert trust.refresh()
    assert "not TOML" in trust.fault
    with pytest.raises(RevokedError):
        trust.check(of(keys, "operator"), clock.now_ns())
    assert trust.principal(of(keys, "viewer")).roles == {"VIEWER"}
    table.write_text(good.replace('["VIEWER"]', '["OPERATOR"]'))
    assert trust.refresh()
    assert trust.fault == ""
    assert trust.principal(of(keys, "viewer")).roles == set()


def test_a_list_neither_goes_away_nor_back(trust, keys, clock):
    path = keys / "ca.crl.pem"
    revoke(keys, [], "unspecified", clock)
    empty = path.read_bytes()
    revoke_operator(keys, clock)
    trust.refresh()
    second = path.read_bytes()
    path.unlink()
    assert not trust.refresh()
    assert "has gone" in trust.fault
    path.write_bytes(empty)
    assert not trust.refresh()
    assert "older" in trust.fault
    with pytest.raises(RevokedError):
        trust.check(of(keys, "operator"), clock.now_ns())
    path.write_bytes(second)
    trust.refresh()
    assert trust.fault == ""


def test_a_list_does_not_go_back_by_way_of_its_authority(trust, keys, clock):
    """The authority is taken away with its list, and comes back with an older one, or without."""
    make_subordinate(keys, "north", clock)
    li = issue_identity(keys, "li", ["OPERATOR"], clock, authority="north")
    authority, path = keys / "north.ca.pem", keys / "north.crl.pem"
    held = authority.read_bytes()
    revoke(keys, [], "unspecified", clock, authority="north")
    empty = path.read_bytes()
    revoke(keys, [li], "keyCompromise", clock, authority="north")
    assert trust.refresh()
    newest = path.read_bytes()
    authority.unlink()
    path.unlink()
    assert trust.refresh()
    authority.write_bytes(held)
    assert not trust.refresh()
    path.write_bytes(empty)
    assert not trust.refresh()
    assert trust.fault
    with pytest.raises(SecurityError):
        trust.check(li, clock.now_ns())
    path.write_bytes(newest)
    assert trust.refresh()
    with pytest.raises(RevokedError):
        trust.check(li, clock.now_ns())


def test_a_clock_that_was_ahead_once_hinders_no_revocation(trust, keys, clock):
    revoke(keys, [], "unspecified", VirtualClock(clock.now_ns() + int(1000 * DAY_S * 1e9)))
    trust.refresh()
    with pytest.raises(SecurityError, match="issued later than now"):
        revoke(keys, [], "unspecified", clock)
    revoke_operator(keys, clock)
    trust.refresh()
    with pytest.raises(RevokedError):
        trust.check(of(keys, "operator"), clock.now_ns())
    clock.advance(31 * DAY_S)
    assert trust.stale, "the new list is overdue by the right clock"


def test_overdue_by_the_clock_alone(trust, keys, clock):
    revoke_operator(keys, clock, days=7)
    trust.refresh()
    clock.advance(7 * DAY_S - 1)
    assert trust.stale == ""
    clock.advance(2)
    assert "scada root authority: revocation list" in trust.stale
    trust.check(of(keys, "viewer"), clock.now_ns())  # looking goes on
    revoke(keys, [], "unspecified", clock)
    trust.refresh()
    assert trust.stale == ""
    with pytest.raises(RevokedError):  # renewing the list keeps its entries
        trust.check(of(keys, "operator"), clock.now_ns())


def test_a_missing_list_where_lists_are_demanded(keys, clock):
    trust = Trust(keys, clock, lists_demanded=True)
    assert trust.stale == "scada root authority: no revocation list"
    revoke(keys, [], "unspecified", clock)
    trust.refresh()
    assert trust.stale == ""


def make(keys, clock, number, *, serials=(), days=30, ahead=0.0, name="ca"):
    from scada.security.revocation import Revoked

    now = clock.now_ns() + int(ahead * 1e9)
    entries = [Revoked(serial, now, "superseded") for serial in serials]
    day = int(DAY_S * 1e9)
    key = load_key(keys, name, None)
    return issue_list(load_authority(keys), key, entries, number=number, now_ns=now, due_ns=now + days * day)


def test_load_crl_puts_a_newer_list_in_place(trust, keys, clock):
    operator = of(keys, "operator")
    trust.load_crl(make(keys, clock, 5, serials=[operator.serial]).encoded)
    with pytest.raises(RevokedError):
        trust.check(operator, clock.now_ns())
    assert trust.revision == 2
    assert Trust(keys, clock).authorities.same_as(trust.authorities)
    trust.load_crl(make(keys, clock, 6).pem())
    with pytest.raises(RevokedError):
        trust.check(operator, clock.now_ns())  # revoked is for ever: an authority restored from a backup forgets nobody for us
    assert trust.revision == 3
    assert [path.name for path in keys.glob("*.crl.pem")] == ["ca.crl.pem"]


def test_load_crl_refuses_and_changes_nothing(trust, keys, clock, tmp_path):
    trust.load_crl(make(keys, clock, 5).encoded)
    before = (keys / "ca.crl.pem").read_bytes()
    for text, data in {
        "not newer than 5": make(keys, clock, 5).encoded,
        "is not newer": make(keys, clock, 4).encoded,
        "future": make(keys, clock, 6, ahead=3600).encoded,
        "not a readable": b"garbage",
        "not of a trusted": make(keys, clock, 9, name="operator").encoded,
    }.items():
        with pytest.raises(RevocationError, match=text):
            trust.load_crl(data)
    late = make(keys, clock, 7, days=1).encoded
    clock.advance(2 * DAY_S)
    with pytest.raises(RevocationError, match="overdue already"):
        trust.load_crl(late)
    assert (keys / "ca.crl.pem").read_bytes() == before
    assert trust.revision == 2


def test_files_that_others_may_write_are_not_trusted(trust, keys, clock):
    for name in ("ca.cert.pem", "ca.crl.pem"):
        revoke(keys, [], "unspecified", clock)
        trust.refresh()
        path = keys / name
        path.chmod(0o666)
        assert not trust.refresh()
        assert "others may write" in trust.fault
        with pytest.raises(SecurityError, match="others may write"):
            Trust(keys, clock)
        path.chmod(0o644)
        trust.refresh()
        assert trust.fault == ""


def test_a_folder_that_goes_away_and_comes_back(trust, keys, tmp_path):
    keys.rename(tmp_path / "away")
    assert not trust.refresh()
    assert "cannot read" in trust.fault
    (tmp_path / "away").rename(keys)
    assert not trust.refresh()
    assert trust.fault == ""


def test_an_editor_that_empties_the_file_first_puts_nobody_out(trust, keys):
    path = keys / "roles.toml"
    text = path.read_text()
    path.write_text("")
    assert not trust.refresh()
    assert "no user" in trust.fault
    assert "operator" in trust.policy.users.users
    path.write_text(text.replace("[viewer]", "[viewer]\ndisabled = true"))
    assert trust.refresh()
    assert trust.fault == ""
    assert trust.policy.users.users["viewer"].disabled
