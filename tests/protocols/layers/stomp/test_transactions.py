"""Transactions: what waits, in order, within bounds."""

from __future__ import annotations

import pytest

from realtime.core.errors import RemoteProtocolError
from realtime.protocols.layers.stomp.transactions import Transactions


def test_what_waits_comes_in_its_order_once() -> None:
    some: Transactions[str] = Transactions(2, 1000, each=10)
    some.begin("a")
    some.begin("b")
    some.add("a", "1", 5)
    some.add("b", "2", 5)
    some.add("a", "3", 5)
    assert (len(some), some.size) == (2, 45)
    assert some.commit("a") == ["1", "3"]
    some.abort("b")
    assert (len(some), some.size) == (0, 0)
    some.begin("a")
    assert some.commit("a") == []


def test_what_may_not_be() -> None:
    some: Transactions[str] = Transactions(1, 100, each=10)
    some.begin("a")
    with pytest.raises(RemoteProtocolError, match="begun already"):
        some.begin("a")
    with pytest.raises(RemoteProtocolError, match="max_transactions") as caught:
        some.begin("b")
    assert caught.value.close_code == 1008
    for ask in (some.commit, some.abort):
        with pytest.raises(RemoteProtocolError, match="no transaction 'b'") as caught:
            ask("b")
        assert caught.value.close_code == 1002
    with pytest.raises(RemoteProtocolError, match="no transaction 'b'"):
        some.add("b", "x", 0)
    some.add("a", "x", 90)
    with pytest.raises(RemoteProtocolError, match="max_transaction_size") as caught:
        some.add("a", "x", 0)
    assert caught.value.close_code == 1009
    assert some.commit("a") == ["x"]
