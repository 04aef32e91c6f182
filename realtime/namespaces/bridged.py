"""A client that goes on at another worker: its packets go there, and those of that worker come to it, for as long as
this worker's session lives. They are not looked at, but for which messages belong together.
"""

from __future__ import annotations

import asyncio
import re

from ..core.errors import SessionClosed
from ..core.frames import Group
from ..core.plain_machine import INTERRUPTED
from ..loops import begin
from ..owners import Bridge, BridgeEnded
from ..session import Session
from .catching_up import give_group

__all__ = ["carry_over"]

# How the text of a packet with attachments begins.
_COUNTED = re.compile(r"[56]([0-9]+)-")


async def carry_over(session: Session, bridge: Bridge, first: str) -> None:
    """Until the session ends, which it does when the bridge does. `first` is said before all that comes. Raises
    SessionClosed."""
    down = begin(_down(session, bridge), "realtime carries events down")
    try:
        await bridge.send(first)
        while True:
            await bridge.send(await session.receive())
    except BridgeEnded as end:
        _end(session, end)
    finally:
        bridge.close()
        down.cancel()
        await asyncio.wait({down})


async def _down(session: Session, bridge: Bridge) -> None:
    try:
        while True:
            messages = [await bridge.receive()]
            counted = _COUNTED.match(messages[0]) if isinstance(messages[0], str) else None
            for _ in range(int(counted[1]) if counted else 0):
                messages.append(await bridge.receive())
            await give_group(session, Group(*messages))
    except BridgeEnded as end:
        _end(session, end)
    except SessionClosed:
        pass


def _end(session: Session, end: BridgeEnded) -> None:
    """The other worker has ended it, or is gone: its client comes again."""
    if end.clean:
        session._machine.close(1000, "", session._now())
    else:
        session._machine.end(INTERRUPTED, "the worker that has the client's state is gone", session._now())
