"""How a client is sent what it has missed, which has to arrive, in another session."""

from __future__ import annotations

import asyncio

from ..core.errors import SessionClosed
from ..core.frames import Group
from ..session import Session
from .keeping import Keeping

__all__ = ["catch_up", "check_kept", "give_group"]

# After so many events others have their turn.
TURN = 256


def check_kept(session: Session, keeping: Keeping, number: int) -> None:
    """Ends the session, and raises SessionClosed, where the event of this number is not kept any more: its client comes
    in anew."""
    if number < keeping.sent.first:
        code, reason = 1008, "too slow: what it has missed is not kept any more"
        session._machine.end(code, reason, session._now())
        raise SessionClosed(code, reason)


async def catch_up(session: Session, keeping: Keeping, number: int) -> None:
    """Sends all that a client has missed, from the event of this number on; then what comes is sent at once. Whoever is
    put out meanwhile is sent no more. Raises SessionClosed."""
    sent = keeping.sent
    while number < sent.end:
        if not number % TURN:
            await asyncio.sleep(0)
        if keeping.ended is None:
            return
        check_kept(session, keeping, number)
        kept = sent.at(number)
        assert kept is not None
        await give_group(session, kept.group)
        number += 1
    keeping.live = True  # nothing has happened since the last was sent


async def give_group(session: Session, group: Group) -> None:
    """Sends an event that has to arrive: waits for room, whatever `on_full` says. What the client's protocol can't
    carry is skipped, and counted as dropped. Raises SessionClosed."""
    machine = session._machine
    machine.check_open()
    if group.size > machine.config.max_outbox_size or (machine.selective and any(map(machine.unfit, group.parts))):
        session._offer_group(group)
    elif session._senders or not machine.outbox.has_room(group.size, len(group.parts)):
        await session._wait_and_put(group.size, group.parts)
    else:
        session._put(group.parts)
