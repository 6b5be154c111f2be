from __future__ import annotations

import json
import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.core.errors import SecurityError, StoreError
from scada.rest.tokens import Buckets, TokenError, TokenStore

DAY = 86_400


@pytest.fixture
def store(tmp_path, clock):
    return TokenStore(tmp_path / "rest" / "tokens.json", clock)


def issue(store, **changed):
    return store.issue("lab", **{"days": 2.0, "scopes": ["values"], "stations": ["East"], "per_minute": 60, **changed})


def test_a_token_is_good_and_its_secret_is_kept_nowhere(store, tmp_path):
    made = issue(store)
    found = store.check(made)
    assert (found.name, found.scopes, found.stations) == ("lab", ("values",), ("East",))
    path = tmp_path / "rest" / "tokens.json"
    assert path.stat().st_mode & 0o777 == 0o600
    secret = made.rpartition("_")[2] if "_" not in made.split("_", 2)[2] else made.split("_", 2)[2]
    assert len(secret) == 43
    assert secret not in path.read_text()
    assert issue(store) != made


def test_revoked_and_expired_ones_are_refused(store, clock, tmp_path):
    made, other = issue(store), issue(store, days=1.0)
    elsewhere = TokenStore(tmp_path / "rest" / "tokens.json", clock)
    assert elsewhere.check(made)
    store.revoke(made.split("_")[1])
    with pytest.raises(TokenError, match="revoked"):  # by another process, with the very next request
        elsewhere.check(made)
    clock.advance(DAY)
    with pytest.raises(TokenError, match="expired") as refused:
        store.check(other)
    assert refused.value.code == "expired"
    with pytest.raises(SecurityError, match="no token"):
        store.revoke("0123456789abcdef")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 200), letter=st.sampled_from("A0_-=é\x00 "))
def test_no_changed_token_is_good(store, position, letter):
    made = issue(store)
    at = position % len(made)
    changed = made[:at] + letter + made[at + 1 :]
    if changed != made:
        if at == len(made) - 1:  # the last character bears two bits that base64 leaves open
            return
        with pytest.raises(TokenError):
            store.check(changed)
    for short in (made[:-1], made + "A", "", "scada", "scada_", made.upper(), f"x{made}"):
        with pytest.raises(TokenError):
            store.check(short)


def test_a_secret_is_good_for_its_own_id_only(store):
    one, two = issue(store).split("_", 2), issue(store).split("_", 2)
    with pytest.raises(TokenError):
        store.check(f"scada_{one[1]}_{two[2]}")


@pytest.mark.parametrize("changed", [{"scopes": []}, {"scopes": ["control"]}, {"days": 0.0}, {"days": 1e9}, {"per_minute": 0}])
def test_what_cannot_be_issued(store, changed):
    with pytest.raises(SecurityError):
        issue(store, **changed)
    with pytest.raises(SecurityError):
        store.issue("a\nb", days=1.0, scopes=["values"], stations=[], per_minute=1)


def test_a_file_that_others_may_write_or_that_is_broken_lets_nobody_in(store, tmp_path):
    made, path = issue(store), tmp_path / "rest" / "tokens.json"
    path.chmod(0o666)
    os.utime(path, ns=(1, 1))
    with pytest.raises(StoreError, match="by others"):
        store.check(made)
    path.chmod(0o600)
    kept = path.read_text()
    for broken in ("", "{}", '{"tokens": [{"id": 1}]}', '{"tokens": 5}'):
        path.write_text(broken)
        with pytest.raises(StoreError):
            store.check(made)
    path.write_text(kept)
    assert store.check(made)
    path.unlink()
    with pytest.raises(TokenError):
        store.check(made)


def test_two_who_issue_at_once_lose_no_token(tmp_path, clock):
    def run():
        mine = TokenStore(tmp_path / "tokens.json", clock)
        for _ in range(10):
            issue(mine)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads((tmp_path / "tokens.json").read_text())["tokens"]) == 30


def test_a_bucket_lets_a_burst_through_and_then_its_rate(clock):
    buckets = Buckets(clock, most=3)
    assert [buckets.take("a", 60) for _ in range(15)] == [0.0] * 15
    assert buckets.take("a", 60) == pytest.approx(1.0)
    assert buckets.take("b", 60) == 0.0
    clock.advance(2)
    assert [buckets.take("a", 60) == 0.0 for _ in range(3)] == [True, True, False]
    for number in range(50):
        buckets.take(str(number), 60)
    assert len(buckets._levels) == 3
