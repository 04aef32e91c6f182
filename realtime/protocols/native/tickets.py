"""The tickets that a server hands out, for requests that can show only a URL: `k` and `s` (docs/protocol.md §9)."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.numbered_machine import NumberedMachine
from ...core.proof import ATTACH, SEND, TOGETHER, first_tickets, tickets
from ...transports import Frame
from .values import MAX_NUMBER

__all__ = ["MORE_TICKETS", "ticket_frame", "ticket_frames"]

FIRST = 2  # the gen of whoever comes back first
TICKETS = 4  # handed out unasked: a few attempts may fail before a client has to ask
MORE_TICKETS = 16  # and when it asks


def ticket_frame(machine: NumberedMachine, gen: int, count: int = TICKETS) -> str:
    """The server's `k`: tickets for attaches by URL, from this gen on."""
    if gen + count > machine.handed:
        machine.handed = gen + count - 1
    if gen == FIRST and count == TOGETHER:  # as it is when a session opens
        return f"{ATTACH}{gen},{first_tickets(machine.secret, ATTACH)}"
    gen = min(gen, MAX_NUMBER)
    return ",".join([f"{ATTACH}{gen}", *tickets(machine.secret, ATTACH, gen, count)])


def ticket_frames(machine: NumberedMachine, frames: Sequence[Frame]) -> list[str]:
    """The tickets that are due in the answer to a send with these frames, which were fed: those that it asks for, and
    new ones where the last was used."""
    asked: dict[str, int] = {}
    for frame in frames:
        if isinstance(frame, str) and frame[:1] in (ATTACH, SEND):
            asked[frame[:1]] = int(frame[1:])
    found = []
    if ATTACH in asked:
        found.append(ticket_frame(machine, asked[ATTACH], MORE_TICKETS))
    elif machine.tickets is not None and machine.out_of_tickets:
        found.append(ticket_frame(machine, machine.gen + 1))
    if SEND in asked:
        first = min(asked[SEND], MAX_NUMBER)
        found.append(",".join([f"{SEND}{first}", *tickets(machine.secret, SEND, first, MORE_TICKETS)]))
    return found
