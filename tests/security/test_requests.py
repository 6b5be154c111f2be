from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.security.certificates import CertificateError
from scada.security.requests import make_request, parse_request
from scada.security.sm2 import Sm2Key


@pytest.fixture(scope="module")
def request_of_wang():
    return make_request("wang", Sm2Key.generate())


def test_a_request_reads_as_it_was_written(request_of_wang):
    for data in (request_of_wang.encoded, request_of_wang.pem()):
        read = parse_request(data)
        assert read.name == "wang"
        assert read.public_key.point() == request_of_wang.public_key.point()


def test_every_byte_of_a_request_counts(request_of_wang):
    for position in range(len(request_of_wang.encoded)):
        altered = bytearray(request_of_wang.encoded)
        altered[position] ^= 0x01
        with pytest.raises(CertificateError):
            parse_request(bytes(altered))


def test_nobody_asks_for_a_key_that_is_not_his():
    class Thief:
        def __init__(self, point):
            self.sign, self.point = Sm2Key.generate().sign, lambda: point

    with pytest.raises(CertificateError, match="does not hold the key"):
        make_request("wang", Thief(Sm2Key.generate().point()))


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_is_no_request(data):
    with pytest.raises(CertificateError):
        parse_request(data)
