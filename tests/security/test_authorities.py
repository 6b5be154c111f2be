from __future__ import annotations

import pytest

from scada.security.authorities import Authorities
from scada.security.certificates import CertificateError
from scada.security.revocation import RevocationError, RevokedError
from tests.security.authority_rig import DAY, NOW, Made


@pytest.fixture(scope="module")
def root():
    return Made("root", path_length=1)


@pytest.fixture(scope="module")
def sub(root):
    return Made("sub", root, authority=True, path_length=0)


@pytest.fixture(scope="module")
def wang(sub):
    return Made("wang", sub, roles=("OPERATOR",))


@pytest.fixture(scope="module")
def li(root):
    return Made("li", root)


def of(root, *others, lists=(), **words):
    return Authorities(root.certificate, [each.certificate for each in others], lists, **words)


def test_a_chain_is_proven_link_by_link(root, sub, wang, li):
    trust = of(root, sub)
    assert [each.name for each in trust.chain(wang.certificate)] == ["wang", "sub", "root"]
    trust.check(wang.certificate, NOW)
    trust.check(li.certificate, NOW)
    with pytest.raises(CertificateError, match="not issued by the trusted"):
        of(root).check(wang.certificate, NOW)


def test_an_authority_of_the_right_name_and_the_wrong_key(root, sub, wang):
    twin = Made("sub", root, authority=True, path_length=0)
    of(root, twin, sub).check(wang.certificate, NOW)  # the key identifier tells them apart
    with pytest.raises(CertificateError):
        of(root, twin).check(wang.certificate, NOW)


def test_an_identity_cannot_issue(root, li):
    forged = Made("mallory", li)
    with pytest.raises(CertificateError):
        of(root).check(forged.certificate, NOW)
    with pytest.raises(CertificateError, match="not the certificate of an authority"):
        of(root, li)


def test_path_lengths_are_kept(root, sub):
    below = Made("below", sub, authority=True)
    with pytest.raises(CertificateError, match="path length 0"):
        of(root, sub, below)
    free = Made("free root")
    first = Made("first", free, authority=True, path_length=1)
    second = Made("second", first, authority=True)
    third = Made("third", second, authority=True)
    of(free, first, second)
    with pytest.raises(CertificateError, match="longer than its authority allows"):
        of(free, first, second, third)


def test_chains_end(root):
    line = [Made("free root")]
    line += [Made("a", line[0], authority=True)]
    line += [Made("b", line[1], authority=True)]
    leaf = Made("leaf", line[2])
    of(*line).check(leaf.certificate, NOW)
    line += [Made("c", line[2], authority=True)]
    with pytest.raises(CertificateError, match="more than 4"):
        of(*line).check(Made("leaf", line[3]).certificate, NOW)


def test_a_foreign_root_and_a_self_signed_identity(root):
    foreign = Made("root", path_length=1)
    with pytest.raises(CertificateError):
        of(root).check(Made("wang", foreign).certificate, NOW)
    with pytest.raises(CertificateError):
        of(root).check(foreign.certificate, NOW)
    # an identity that bears the root's own name and is issued by the root ends no chain
    with pytest.raises(CertificateError):
        of(root).check(Made("root", root).certificate, NOW)


def test_two_roots_while_they_are_exchanged(root, li):
    new = Made("root", path_length=1)
    both = of(root, new)
    both.check(li.certificate, NOW)
    both.check(Made("li", new).certificate, NOW)


def test_an_authority_that_has_expired_takes_its_identities_along(root):
    short = Made("short", root, authority=True, after=NOW + DAY)
    leaf = Made("leaf", short)
    of(root, short).check(leaf.certificate, NOW)
    with pytest.raises(CertificateError, match="short: the certificate has expired"):
        of(root, short).check(leaf.certificate, NOW + 2 * DAY)


def test_revoked_identities_and_authorities(root, sub, wang, li):
    trust = of(root, sub, lists=[sub.revocations(wang), root.revocations()])
    with pytest.raises(RevokedError, match=r"revoked since 2023-11-14 22:13 UTC: keyCompromise"):
        trust.check(wang.certificate, NOW)
    trust.check(li.certificate, NOW)
    with pytest.raises(RevokedError, match="sub: the certificate is revoked"):
        of(root, sub, lists=[root.revocations(sub)]).check(wang.certificate, NOW)


def test_a_list_revokes_only_what_its_authority_issued(root, sub, wang, li):
    """Serial numbers are numbers of one authority."""
    trust = of(root, sub, lists=[root.revocations(wang), sub.revocations(li)])
    trust.check(wang.certificate, NOW)
    trust.check(li.certificate, NOW)


def test_a_list_that_is_not_by_its_authority(root, sub, wang):
    with pytest.raises(RevocationError, match="not of a trusted"):
        of(root, lists=[sub.revocations(wang)])
    with pytest.raises(RevocationError, match="not of a trusted"):
        of(root, sub, lists=[sub.revocations(wang, signer=wang.key)])
    with pytest.raises(RevocationError, match="two revocation lists"):
        of(root, lists=[root.revocations(), root.revocations(number=2)])


def test_overdue_and_missing_lists_are_told_and_do_not_stop_checks(root, sub, wang):
    trust = of(root, sub, lists=[sub.revocations(days=30)])
    assert trust.stale(NOW + 29 * DAY) == ""
    assert trust.stale(NOW + 30 * DAY).startswith("sub: revocation list was to be replaced by 2023-12-14")
    trust.check(wang.certificate, NOW + 40 * DAY)
    assert of(root, sub, lists=[sub.revocations()], lists_demanded=True).stale(NOW) == "root: no revocation list"


def test_an_authority_that_is_over_needs_no_list_any_more(root):
    """Nothing that it issued can be good: its list will never be renewed, and controls must not rest for ever."""
    old = Made("old", root, authority=True, path_length=0, after=NOW + 20 * DAY)
    bad = Made("bad", root, authority=True, path_length=0)
    trust = of(root, old, bad, lists=[old.revocations(days=10), bad.revocations(days=10)])
    assert trust.stale(NOW + 15 * DAY).count("was to be replaced") == 2
    assert trust.stale(NOW + 20 * DAY).startswith("bad: ")
    trust = of(root, old, bad, lists=[old.revocations(days=10), bad.revocations(days=10), root.revocations(bad, days=400)])
    assert trust.stale(NOW + 20 * DAY) == ""
    assert of(root, old, lists=[root.revocations(days=400)], lists_demanded=True).stale(NOW + 20 * DAY) == ""
