"""Threat table: stale key; and what clocks that are wrong or jump do to it."""

from __future__ import annotations

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.security.challenges import CHALLENGE_S
from scada.security.envelope import (
    EnvelopeError,
    MessageExpiredError,
    ReplayedError,
    SessionExpiredError,
    StaleKeyError,
    TimeWindowError,
    UnknownChallengeError,
    UnknownSessionError,
)
from scada.security.session import SessionPolicy
from scada.security.session_keys import GRACE_S, SWITCH_S
from tests.security.session_rig import ACKNOWLEDGE, READ, REQUEST, SELECT, Rig

HOUR = 3600.0


@pytest.fixture
def rig(made_keys):
    return Rig(made_keys)


def test_stale_key_message_signed_before_rekey(rig):
    client = rig.login()
    before = [client.seal(SELECT, REQUEST, valid_s=60) for _ in range(2)]
    acknowledgement = client.seal(ACKNOWLEDGE, pb.AcknowledgeRequest(), valid_s=60)
    rig.rekey(client)
    rig.open(client, before[0])  # it was under way
    rig.advance(GRACE_S + 0.1)
    with pytest.raises(StaleKeyError):
        rig.open(client, acknowledgement, ACKNOWLEDGE)
    rig.open(client, client.seal(SELECT, REQUEST))


def test_stale_key_of_two_epochs_ago_at_once(rig):
    client = rig.login()
    before = client.seal(SELECT, REQUEST)
    rig.rekey(client)
    rig.rekey(client)
    with pytest.raises(StaleKeyError):
        rig.open(client, before)


def test_stale_key_of_an_epoch_to_come(rig):
    client = rig.login()
    ahead = rig.login()
    rig.rekey(ahead)
    signed = pb.Signed.FromString(client.seal(SELECT, REQUEST))
    header = pb.Header.FromString(signed.header)
    header.epoch = 1
    signed.header = header.SerializeToString()
    with pytest.raises(StaleKeyError):
        rig.open(client, signed.SerializeToString())


def test_a_renewal_is_good_once(rig):
    client = rig.login()
    request = client.rekey_request()
    client.accept_rekey(rig.server.rekey(request, client.session))
    with pytest.raises(ReplayedError):
        rig.server.rekey(request, client.session)
    assert rig.server.find(client.session).ring.epoch == 1


def test_renewed_keys_are_others_in_each_direction(rig):
    client = rig.login()
    keys = [client._state.ring.for_next_request()]
    rig.rekey(client)
    keys.append(client._state.ring.for_next_request())
    tags = {each.tag(b"x") for key in keys for each in (key.requests, key.replies)}
    texts = {each.encipher(0, 1, b"x") for key in keys for each in (key.requests, key.replies)}
    assert len(tags) == len(texts) == 4


def test_the_client_sees_when_to_renew_and_the_server_ends_who_does_not(made_keys):
    rig = Rig(made_keys, SessionPolicy(rekey_after_s=60.0, rekey_after_messages=10))
    client, lazy = rig.login(), rig.login("viewer")
    rig.advance(59)
    assert not client.rekey_due
    rig.advance(1)
    assert client.rekey_due
    rig.rekey(client)
    assert not client.rekey_due
    for _ in range(10):
        rig.open(client, client.seal(SELECT, REQUEST))
    assert client.rekey_due
    rig.rekey(client)
    rig.advance(61)
    assert [each.principal.name for each in rig.server.expire()] == ["viewer"]
    with pytest.raises(UnknownSessionError):
        rig.server.authenticate(lazy.session, READ)
    rig.server.authenticate(client.session, READ)


def test_stale_key_clock_one_hour_on_and_an_old_session(rig):
    client = rig.login()
    sealed = client.seal(SELECT, REQUEST)
    rig.advance(HOUR)
    with pytest.raises(TimeWindowError):
        rig.open(client, sealed)
    rig.advance(11 * HOUR)
    with pytest.raises(SessionExpiredError):
        rig.open(client, client.seal(SELECT, REQUEST))


# ---------------------------------------------------------------- clocks


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_client_with_a_wrong_clock_is_not_locked_out(rig, jump):
    rig.desk_clock.jump(jump)
    client = rig.client()
    with pytest.raises(TimeWindowError):
        rig.server.login(client.login_request())
    challenge = rig.server.challenge().challenge
    client.accept(rig.server.login(client.login_request(challenge))[0])
    with pytest.raises(TimeWindowError):
        rig.open(client, client.seal(SELECT, REQUEST))
    challenge = rig.server.challenge(client.session).challenge
    rig.open(client, client.seal(SELECT, REQUEST, challenge=challenge))


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_the_servers_clock_jumps_and_nobody_is_locked_out_or_let_in(rig, jump):
    client = rig.login()
    held_back = [client.seal(SELECT, REQUEST, valid_s=3 * HOUR) for _ in range(3)]
    rig.clock.jump(jump)
    assert rig.server.expire() == []
    assert rig.server.revalidate() == []
    for sealed in held_back:
        with pytest.raises(TimeWindowError):
            rig.open(client, sealed)
    challenge = rig.server.challenge(client.session).challenge
    rig.open(client, client.seal(SELECT, REQUEST, challenge=challenge))
    rig.server.authenticate(client.session, READ)


def test_what_was_held_back_for_an_hour_is_not_fresh_when_the_clock_goes_back(rig):
    client = rig.login()
    held_back = client.seal(SELECT, REQUEST, valid_s=3 * HOUR)
    rig.advance(HOUR)
    rig.clock.jump(-HOUR)  # the time of the message is now again
    with pytest.raises(TimeWindowError, match="clock was set"):
        rig.open(client, held_back)
    challenge = rig.server.challenge(client.session).challenge
    client.accept_rekey(rig.server.rekey(client.rekey_request(challenge), client.session))
    rig.desk_clock.jump(-HOUR)  # all clocks of the site are wrong together: with new keys times are believed again
    rig.open(client, client.seal(SELECT, REQUEST))
    rig.advance(GRACE_S + 1)
    with pytest.raises(EnvelopeError):
        rig.open(client, held_back)


def test_a_login_is_not_replayed_after_the_clock_went_back(rig):
    request = rig.client().login_request()
    rig.server.login(request)
    rig.advance(HOUR)
    rig.server.expire()  # forgets it
    rig.clock.jump(-HOUR)
    with pytest.raises(TimeWindowError):
        rig.server.login(request)
    client = rig.client()
    client.accept(rig.server.login(client.login_request(rig.server.challenge().challenge))[0])


def test_to_and_fro(rig):
    client = rig.login()
    request = rig.client().login_request()
    rig.server.login(request)
    rig.clock.jump(HOUR)
    rig.server.revalidate()
    rig.advance(90)
    rig.server.expire()
    rig.clock.jump(-HOUR - 90)
    with pytest.raises(TimeWindowError):
        rig.server.login(request)
    rig.server.authenticate(client.session, READ)


def test_slewing_is_no_jump(rig):
    client = rig.login()
    for _ in range(100):
        rig.advance(0.25)
        rig.clock.jump(0.01)
        rig.desk_clock.jump(0.01)
        rig.server.revalidate()
    rig.open(client, client.seal(SELECT, REQUEST))


def test_challenge_good_once_for_one_session_and_a_few_seconds(rig):
    client, other = rig.login(), rig.login("dispatcher")
    challenge = rig.server.challenge(client.session).challenge
    rig.open(client, client.seal(SELECT, REQUEST, challenge=challenge))
    with pytest.raises(UnknownChallengeError):
        rig.open(client, client.seal(SELECT, REQUEST, challenge=challenge))
    for foreign in (
        rig.server.challenge(other.session).challenge,
        rig.server.challenge().challenge,
        Rig(rig.folder).server.challenge().challenge,
        b"x",
        bytes(32),
        challenge[:-1] + bytes((challenge[-1] ^ 1,)),
    ):
        with pytest.raises(UnknownChallengeError):
            rig.open(client, client.seal(SELECT, REQUEST, challenge=foreign))
    late = rig.server.challenge(client.session).challenge
    rig.advance(CHALLENGE_S + 0.1)
    with pytest.raises(UnknownChallengeError):
        rig.open(client, client.seal(SELECT, REQUEST, challenge=late))


def test_a_false_message_uses_no_challenge_up(rig):
    client = rig.login()
    challenge = rig.server.challenge(client.session).challenge
    sealed = client.seal(SELECT, REQUEST, challenge=challenge)
    with pytest.raises(EnvelopeError):
        rig.open(client, sealed[:-1] + bytes((sealed[-1] ^ 1,)))
    rig.open(client, sealed)


def test_a_login_challenge_is_good_once(rig):
    rig.desk_clock.jump(HOUR)
    challenge = rig.server.challenge().challenge
    rig.server.login(rig.client().login_request(challenge))
    with pytest.raises(UnknownChallengeError):
        rig.server.login(rig.client().login_request(challenge))


def test_the_senders_own_deadline_holds_without_a_challenge(rig):
    client = rig.login()
    sealed = client.seal(SELECT, REQUEST, valid_s=1.0)
    rig.advance(1.5)
    with pytest.raises(MessageExpiredError):
        rig.open(client, sealed)


def test_replies_change_keys_a_little_later_and_old_ones_end(rig):
    client = rig.login()
    late = rig.sealer(client).seal(b"old")
    rig.rekey(client)
    during = rig.sealer(client).seal(b"during")
    rig.advance(SWITCH_S + 0.1)
    after = rig.sealer(client).seal(b"after")
    reader = rig.reader(client)
    assert [reader.open(each) for each in (late, during, after)] == [b"old", b"during", b"after"]
    rig.rekey(client)
    still = rig.sealer(client).seal(b"under the keys before")
    rig.advance(SWITCH_S + GRACE_S + 1)
    with pytest.raises(EnvelopeError, match="wrong seal"):
        reader.open(still)


def test_a_renewal_that_was_held_back_does_not_renew_again(rig):
    """Under the former keys orders are taken a little longer; a renewal would take the present ones from its sender."""
    client = rig.login()
    held_back = client.rekey_request()
    rig.rekey(client)
    with pytest.raises(StaleKeyError):
        rig.server.rekey(held_back, client.session)
    rig.advance(3)
    rig.open(client, client.seal(SELECT, REQUEST))
    assert rig.reader(client).open(rig.sealer(client).seal(b"reply")) == b"reply"
