"""What an ACK is about: one message, or all before, never twice; a machine that compares with the simplest model."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from realtime.core.errors import LocalProtocolError
from realtime.protocols.layers.stomp.deliveries import AUTO, CLIENT, INDIVIDUAL, Deliveries, Subscription


def subscription(mode: str, id: str = "0") -> Subscription:
    """One."""
    return Subscription(f"id {id}", id, "/queue/a", mode)


def test_a_subscription_shows_itself() -> None:
    assert repr(subscription(CLIENT)) == "<Subscription '0' to '/queue/a', client>"
    assert subscription(CLIENT).headers == {}


def test_client_is_cumulative_in_one_subscription() -> None:
    some: Deliveries[str] = Deliveries(10)
    one, other = subscription(CLIENT), subscription(CLIENT, "1")
    numbers = [some.give(one, "a"), some.give(other, "b"), some.give(one, "c"), some.give(one, "d")]
    assert numbers == [1, 2, 3, 4]
    assert (some.count(one), some.count(other)) == (3, 1)
    assert some.settle(3) == ["a", "c"]
    assert some.settle(3) == some.settle(1) == []
    assert some.find(4) == (one, "d")
    assert (some.of(one), some.of(subscription(AUTO))) == (["d"], [])
    assert some.find(3) is None
    assert [some.was_given(number) for number in (0, 1, 4, 5)] == [False, True, True, False]
    assert list(some.drop_all()) == ["b", "d"]
    assert (len(some), some.room, some.count(one)) == (0, 10, 0)


def test_individual_is_one() -> None:
    some: Deliveries[str] = Deliveries(10)
    one = subscription(INDIVIDUAL)
    for text in "abc":
        some.give(one, text)
    assert some.settle(2) == ["b"]
    assert some.withdraw(1) == "a"
    assert some.withdraw(1) is None
    assert some.settle(1) == []
    assert some.drop(one) == ["c"]
    assert some.drop(one) == []


def test_what_is_not_given() -> None:
    some: Deliveries[str] = Deliveries(1)
    with pytest.raises(LocalProtocolError):
        some.give(subscription(AUTO), "a")
    some.give(subscription(CLIENT), "a")
    with pytest.raises(LocalProtocolError):
        some.give(subscription(CLIENT, "1"), "b")


class Settling(RuleBasedStateMachine):
    """Against a list of (number, subscription, what), in the order in which they were given."""

    def __init__(self) -> None:
        super().__init__()
        self.real: Deliveries[int] = Deliveries(12)
        self.model: list[tuple[int, Subscription, int]] = []
        self.last = 0
        self.subscriptions = [subscription(mode, str(at)) for at, mode in enumerate((CLIENT, INDIVIDUAL) * 2)]

    @rule(at=st.integers(0, 3), what=st.integers())
    def give(self, at: int, what: int) -> None:
        if self.real.room:
            self.last += 1
            assert self.real.give(self.subscriptions[at], what) == self.last
            self.model.append((self.last, self.subscriptions[at], what))

    @rule(number=st.integers(0, 30))
    def settle(self, number: int) -> None:
        mine = next((one for given, one, _ in self.model if given == number), None)
        gone = [
            entry
            for entry in self.model
            if entry[1] is mine and (entry[0] == number or (entry[0] < number and entry[1].mode == CLIENT))
        ]
        assert self.real.settle(number) == [what for _, _, what in gone]
        self.model = [entry for entry in self.model if entry not in gone]

    @rule(number=st.integers(0, 30))
    def withdraw(self, number: int) -> None:
        gone = [entry for entry in self.model if entry[0] == number]
        assert self.real.withdraw(number) == (gone[0][2] if gone else None)
        self.model = [entry for entry in self.model if entry not in gone]

    @rule(at=st.integers(0, 3))
    def drop(self, at: int) -> None:
        mine = self.subscriptions[at]
        assert self.real.drop(mine) == [what for _, one, what in self.model if one is mine]
        self.model = [entry for entry in self.model if entry[1] is not mine]

    @invariant()
    def the_same_is_open(self) -> None:
        assert len(self.real) == len(self.model) == 12 - self.real.room
        for one in self.subscriptions:
            assert self.real.count(one) == sum(1 for _, mine, _ in self.model if mine is one)
        assert all(self.real.find(number) == (one, what) for number, one, what in self.model)


TestSettling = Settling.TestCase
