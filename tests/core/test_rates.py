"""Token buckets: of one thing, of a session's messages, of many addresses."""

from __future__ import annotations

import pytest

from realtime.core.config import Config
from realtime.core.errors import RemoteProtocolError
from realtime.core.rates import AddressBuckets, Bucket, Meter


def test_a_bucket_is_full_at_first_and_fills_again() -> None:
    bucket = Bucket(rate=2.0, burst=4.0, now=100.0)
    assert bucket.level(100.0) == 4.0
    assert bucket.spend(4, 100.0) == 100.0
    assert bucket.level(101.0) == 2.0
    assert bucket.level(1000.0) == 4.0  # never more than the burst


def test_what_is_owed_says_when() -> None:
    bucket = Bucket(rate=2.0, burst=4.0, now=0.0)
    assert [bucket.spend(2, 0.0) for _ in range(4)] == [0.0, 0.0, 1.0, 2.0]
    assert bucket.level(1.0) == -2.0
    assert bucket.spend(2, 1.0) == 3.0


def test_a_clock_that_goes_back_changes_nothing() -> None:
    bucket = Bucket(rate=1.0, burst=1.0, now=10.0)
    bucket.spend(1, 10.0)
    assert bucket.level(5.0) == 0.0
    assert bucket.level(10.5) == 0.5


def test_no_limits_no_meter() -> None:
    assert Meter.of(Config(), 0.0) is None


def test_messages_and_bytes_count_each_for_themselves() -> None:
    messages = Meter.of(Config(max_message_rate=2, rate_burst=1), 0.0)
    assert messages is not None
    assert [messages.charge(10**6, 0.0) for _ in range(4)] == [0.0, 0.0, 0.5, 1.0]
    size = Meter.of(Config(max_byte_rate=100, rate_burst=2), 0.0)
    assert size is not None
    assert [size.charge(100, 0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    both = Meter.of(Config(max_message_rate=1, max_byte_rate=100, rate_burst=1), 0.0)
    assert both is not None
    assert both.charge(300, 0.0) == 2.0
    assert both.charge(0, 0.0) == 2.0
    assert both.charge(0, 4.0) == 4.0


def test_one_message_may_always_come() -> None:
    meter = Meter.of(Config(max_message_rate=0.1, rate_burst=1), 0.0)
    assert meter is not None
    assert [meter.charge(1, 0.0), meter.charge(1, 0.0)] == [0.0, 10.0]


def test_the_policy_close() -> None:
    config = Config(max_message_rate=2, max_byte_rate=2_000_000, rate_burst=1, on_rate="close")
    meter = Meter.of(config, 0.0)
    assert meter is not None
    meter.charge(1, 0.0)
    meter.charge(1, 0.0)
    assert meter.charge(1, 0.5) == 0.5
    with pytest.raises(
        RemoteProtocolError, match="max_message_rate=2, max_byte_rate=2e\\+06, on_rate='close'"
    ) as caught:
        meter.charge(1, 0.5)
    assert (caught.value.close_code, caught.value.http_status) == (1008, 410)
    only = Meter.of(Config(max_message_rate=1, rate_burst=1, on_rate="close"), 0.0)
    assert only is not None
    only.charge(1, 0.0)
    with pytest.raises(RemoteProtocolError, match=r"\(max_message_rate=1, on_rate"):
        only.charge(1, 0.0)


# -- addresses -------------------------------------------------------------------------------------------------------


def test_each_address_has_its_own_bucket() -> None:
    opens = AddressBuckets(0.2)
    assert opens.burst == 2.0
    assert [opens.take("a", 0.0) for _ in range(3)] == [0.0, 0.0, 5.0]
    assert opens.take("a", 1.0) == 4.0  # a refusal costs nothing
    assert opens.take("b", 1.0) == 0.0
    assert opens.take("a", 5.0) == 0.0
    assert AddressBuckets(0.01).burst == 1.0


def test_addresses_are_forgotten_once_their_bucket_is_full() -> None:
    opens = AddressBuckets(1.0)
    for name in ("a", "b", "c"):
        opens.take(name, 0.0)
    assert len(opens) == 3
    opens.take("d", 1.0)
    assert len(opens) == 1


def test_memory_is_bounded_whoever_comes() -> None:
    opens = AddressBuckets(0.1, most=10)
    for number in range(1000):
        assert opens.take(str(number), 0.0) == 0.0
    assert len(opens) == 10
    assert opens.take("999", 0.0) > 0  # the latest are remembered
    assert opens.take("5", 0.0) == 0.0


def test_what_is_no_message_has_its_own_bucket() -> None:
    config = Config(max_message_rate=2, rate_burst=2, max_queue=16)
    meter = Meter.of(config, 0.0)
    assert meter is not None
    for _ in range(4 + 16):
        meter.charge_other(0.0)
    assert meter.charge(1, 0.0) == 0.0
    with pytest.raises(RemoteProtocolError, match="no message") as caught:
        meter.charge_other(0.0)
    assert caught.value.close_code == 1008
    meter.charge_other(2.0)
    seldom = Meter.of(Config(max_message_rate=0.01, rate_burst=1, max_queue=16), 0.0)
    assert seldom is not None
    for second in range(100):  # the answers to the server's pings, say
        seldom.charge_other(float(second))
    only = Meter.of(Config(max_byte_rate=1e9), 0.0)
    assert only is not None
    for _ in range(1000):
        only.charge_other(0.0)
