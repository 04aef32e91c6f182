"""Which addresses count together, for limits and for evidence."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from realtime.core.addresses import address_key, check_proxies, network_of
from realtime.core.errors import LocalProtocolError


@pytest.mark.parametrize(
    ("address", "key"),
    [
        (None, ""),
        ("", ""),
        ("somewhere", ""),
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_what_limits_per_address_count(address: str | None, key: str) -> None:
    assert address_key(address) == key


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("::FFFF:c000:24d", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("unix", ""),
        (None, ""),
    ],
)
def test_networks(address: str | None, network: str) -> None:
    assert network_of(address) == network


def test_proxies_that_may_be_believed() -> None:
    assert check_proxies(("127.0.0.1", "unix", "10.0.0.0/8")) == [ip_network("127.0.0.1"), ip_network("10.0.0.0/8")]


@pytest.mark.parametrize("name", ["localhost", "10.0.0.1/8", "*", "", 1.5])
def test_what_is_no_address_raises(name: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"^trusted_proxies: "):
        check_proxies((name,))
