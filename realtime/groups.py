"""Sending messages that are nothing without each other, such as an event and the bytes in it: all of them, or none.

What is said to rooms in this way, and dropped, does BaseSession._offer_group(). Knows sessions of both ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from .base_session import BaseSession
from .core.frames import KEPT, Group

__all__ = ["put_kept", "send_contents", "send_group", "send_kept"]


def send_contents(session: BaseSession[Any], contents: Sequence[str | bytes], *, kept: bool = False) -> Awaitable[None]:
    """BaseSession.send() for messages that are nothing without each other; raises as that does. `kept`: no outbox drops
    them to make room."""
    if len(contents) == 1 and not kept:  # as it usually is
        return session.send(contents[0])
    return send_group(session, Group(*contents, kept=kept))


def send_kept(session: BaseSession[Any], contents: Sequence[str | bytes]) -> Awaitable[None] | None:
    """send_contents(), kept: at once, or what this returns waits for room."""
    if len(contents) == 1 and not session._senders:
        item = session._outgoing(contents[0])
        item.code = KEPT
        half_full = session._machine.offer(item)
        if half_full is not None:
            if half_full:
                session._ask_for_room()
            return None
    group = Group(*contents, kept=True)
    for part in group.parts:
        session._outgoing(part.data)
    if session._senders or not session._machine.outbox.has_room(group.size, len(group.parts)):
        return send_group(session, group)
    session._put(group.parts)
    return None


def put_kept(session: BaseSession[Any], contents: Sequence[str | bytes]) -> None:
    """send_kept() without waiting, whether there is room or not: for what is bounded in another way. Raises as that."""
    group = Group(*contents, kept=True)
    for part in group.parts:
        session._outgoing(part.data)
    session._put(group.parts)


async def send_group(session: BaseSession[Any], group: Group) -> None:
    """BaseSession.send() for a group; raises as that does. One that is kept is not dropped for want of room, either: it
    waits, and others are dropped for it."""
    try:
        for part in group.parts:
            session._outgoing(part.data)  # which raises unless it may be sent
        machine = session._machine
        if not session._senders and machine.outbox.has_room(group.size, len(group.parts)):
            session._put(group.parts)
        elif session._on_full == "wait":
            await session._wait_and_put(group.size, group.parts)
        elif session._on_full == "drop_oldest" and group.kept:
            await session._wait_and_put(group.size, group.parts, drop=True)
        else:
            await asyncio.sleep(0)
            session._offer_group(group)
            machine.check_open()
    except Exception:
        await asyncio.sleep(0)  # who catches that, and tries again for ever, gives way
        raise
