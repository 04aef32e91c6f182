"""Sending messages that are nothing without each other, such as an event and the bytes in it: all of them, or none.

What is said to rooms in this way, and dropped, does BaseSession._offer_group(). Knows sessions of both ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .base_session import BaseSession
from .core.frames import Group

__all__ = ["send_group"]


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
