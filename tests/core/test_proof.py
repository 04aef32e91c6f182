"""Keys and tickets: what fits, what was used, and what is late (docs/protocol.md §5.1)."""

from __future__ import annotations

import json

import pytest

from realtime.core.errors import Refusal
from realtime.core.proof import ATTACH, SEND, TOGETHER, Key, Proof, Tickets, first_tickets, ticket, tickets

KEY = Key("a-key")


def test_a_key_shows_itself_on_the_wire_and_nowhere_else() -> None:
    assert json.dumps([KEY]) == '["a-key"]'
    assert f"r,{KEY}" == "r,a-key"
    assert repr([KEY]) == "[<key>]"


def test_a_ticket_is_of_one_key_use_and_number() -> None:
    made = {ticket(key, use, number) for key in ("a", "b") for use in (ATTACH, SEND) for number in (1, 11, 111)}
    assert len(made) == 12
    assert {len(text) for text in made} == {32}
    assert ticket("a", ATTACH, 1) == ticket("a", ATTACH, 1)


def test_tickets_in_a_row_are_those_of_their_numbers() -> None:
    """Wherever the row begins in what is reckoned at once, and however long it is."""
    for use in (ATTACH, SEND):
        singly = {number: ticket(KEY, use, number) for number in range(30)}
        assert len(set(singly.values())) == len(singly)
        for first in range(9):
            for count in (0, 1, 2, 4, 7, 16):
                assert tickets(KEY, use, first, count) == [singly[number] for number in range(first, first + count)]
        assert first_tickets(KEY, use) == ",".join(tickets(KEY, use, 2, TOGETHER))
    assert len(set(tickets(KEY, ATTACH, 2**53 - 1, 16))) == 16


@pytest.mark.parametrize("shown", ["", "a-ke", "a-key ", "A-key", "é", "\ud800", "a-key\0"])
def test_only_the_key_fits(shown: str) -> None:
    assert Proof(KEY).fits(KEY)
    assert not Proof(Key(shown)).fits(KEY)
    assert not Proof(Key("")).fits("")  # no key: nobody fits
    assert not Proof(Key(shown), ATTACH, 1).fits(KEY)
    assert not Proof(KEY, ATTACH, 1).fits(KEY)
    assert Proof(Key(ticket(KEY, ATTACH, 1)), ATTACH, 1).fits(KEY)
    assert not Proof(Key(ticket(KEY, ATTACH, 1)), ATTACH, 2).fits(KEY)
    assert not Proof(Key(ticket(KEY, ATTACH, 1)), SEND, 1).fits(KEY)


def test_a_ticket_is_good_for_one_request() -> None:
    tickets = Tickets()

    def take(number: int, request: bytes, least: int = 0, use: str = ATTACH) -> bool:
        return tickets.take(Proof(KEY, use, number, request), least)

    assert take(3, b"x")
    assert take(3, b"x")  # again
    assert take(3, b"x", 9)  # also where new ones have to be higher
    with pytest.raises(Refusal, match="no ticket for this request"):
        take(3, b"y")
    assert not take(2, b"x")
    assert take(2, b"x", use=SEND)  # the uses have nothing to do with one another
    assert not take(4, b"y", 5)
    assert take(5, b"y", 5)
    assert not take(3, b"x")  # a higher one has come
    assert (tickets.used(ATTACH), tickets.used(SEND)) == (5, 2)


def test_who_shows_the_wrong_thing_is_told_what_is_wanted() -> None:
    assert "the session's key" in Proof(Key("no")).refusal().reason
    assert "no ticket" in Proof(Key("no"), ATTACH, 1).refusal().reason
    assert Proof(Key("no")).refusal().code == 4403
