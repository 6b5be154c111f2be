"""Order of notifications: gaps, keep-alives, wrap-around, a server that counts anew."""

from hypothesis import given
from hypothesis import strategies as st

from scada.protocols.opcua.sequence import NotificationOrder, following


def test_a_keepalive_shows_what_is_missing_and_uses_no_number():
    order = NotificationOrder()
    assert not order.arrived(1, has_data=False).missing
    assert not order.arrived(1, has_data=True).missing
    assert list(order.arrived(4, has_data=False).missing) == [2, 3]
    assert order.expected == 4
    assert not order.arrived(4, has_data=True).missing
    assert order.expected == 5


def test_after_the_last_number_comes_one():
    order = NotificationOrder()
    order.expected = 0xFFFF_FFFF
    assert list(order.arrived(2, has_data=True).missing) == [0xFFFF_FFFF, 1]
    assert order.expected == 3


def test_a_number_that_goes_back_is_no_gap_of_four_thousand_millions():
    order = NotificationOrder()
    order.expected = 50
    arrival = order.arrived(1, has_data=True)
    assert arrival.broken
    assert not arrival.missing
    assert order.expected == 2
    assert order.arrived(0, has_data=True).broken


@given(st.integers(1, 0xFFFF_FFFF), st.lists(st.integers(0, 20), max_size=30))
def test_missing_and_arrived_together_are_every_number_once(first, gaps):
    order = NotificationOrder()
    order.expected = number = first
    seen = []
    for gap in gaps:
        number = following(number, gap)
        arrival = order.arrived(number, has_data=True)
        assert not arrival.broken
        seen += [*arrival.missing, number]
        number = following(number)
    assert seen == [following(first, by) for by in range(len(seen))]
    assert order.expected == number
