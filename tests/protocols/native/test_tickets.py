"""Tickets: who gets them, and how many."""

from __future__ import annotations

from realtime.core.proof import Key, Proof, ticket
from realtime.protocols.native import ticket_frame, ticket_frames

from .ends import serving


def tickets(use: str, first: int, count: int) -> str:
    """A frame of so many tickets of the key "K"."""
    return ",".join([f"{use}{first}", *(ticket("K", use, number) for number in range(first, first + count))])


def test_tickets_are_handed_out() -> None:
    machine, _, _ = serving()
    machine.key = Key("K")
    assert ticket_frame(machine, 2, 3) == tickets("k", 2, 3)
    assert machine.handed == 4
    assert ticket_frame(machine, 1, 2) == tickets("k", 1, 2)
    assert machine.handed == 4
    assert ticket_frame(machine, 2) == tickets("k", 2, 4)  # as a session's opening does
    assert ticket_frame(machine, 3) == tickets("k", 3, 4)
    assert machine.handed == 6


def test_the_answer_to_a_send_has_the_tickets_it_asks_for() -> None:
    machine, _, _ = serving()
    machine.key = Key("K")
    machine.gen = machine.handed = 5
    assert ticket_frames(machine, ["mtext", b"bytes"]) == []
    attaches, sends = ticket_frames(machine, ["s7", "mtext", "k9"])
    assert attaches.startswith(tickets("k", 9, 1))
    assert sends.startswith(tickets("s", 7, 1))
    assert ticket_frames(machine, [f"s{2**53 - 1}"])[0].startswith(f"s{2**53 - 1},")


def test_who_has_used_the_last_ticket_gets_more() -> None:
    machine, _, _ = serving()
    machine.key = Key("K")
    machine.gen = machine.handed = 5
    assert machine.prove(Proof(Key(ticket("K", "k", 5)), "k", 5))
    (more,) = ticket_frames(machine, ["mtext"])
    assert more.startswith(tickets("k", 6, 1))
