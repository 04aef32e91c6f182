"""Which worker has a durable session, as its record names it, and whether that is there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from ..core.durable.takeover import NOBODY
from ..core.errors import BrokerError, Refusal
from ..core.leases import Gone, Later, Peer, Reached
from ..owners import UNSURE, Owners, Reach
from ..sessions import SHUTTING, Sessions

__all__ = ["Whose", "owner_of"]

TRIES = 3  # of a worker, where another incarnation is found each time
LOOK = 0.5  # seconds after which a worker's lease is looked at again, while it does not answer


def owner_of(worker: str, incarnation: str) -> str:
    """What records name a worker by."""
    return f"{worker}/{incarnation}"


class Whose:
    """Asks the directory of a cluster, and tries whoever it says. A worker alone has nobody to ask: it takes over, and
    whoever had the session finds itself fenced. So does one whose lease is over, which is why nobody waits to see
    whether it answers."""

    def __init__(self, sessions: Sessions, reach: Callable[[], Reach | None]) -> None:
        self._sessions = sessions
        self._reach = reach

    async def __call__(self, owner: str) -> Peer | Gone | Later:
        """Who has what a record names so: a worker that is reached, nobody, or that is not known now. Raises Refusal
        where this worker has left its cluster."""
        owners, reach = self._sessions.owners, self._reach()
        worker, _, incarnation = owner.partition("/")
        if owners is None or owner in ("", NOBODY):
            return Gone()
        try:
            found: object = await owners.alive(worker)
            for _ in range(TRIES):
                if not isinstance(found, Peer) or found.incarnation != incarnation:
                    return Gone()
                if reach is None:
                    return found
                reached = await _tried(owners, reach, found)
                if reached is None:
                    return Gone()
                if reached is Reached.UNTRIED:
                    return found
                found = await (owners.refused if reached is Reached.REFUSED else owners.unreachable)(found)
        except BrokerError:
            pass
        return Later.LATER

    async def another(self, why: str = SHUTTING, gone: str = "") -> Peer:
        """Another worker, for what this one does not take, or not any more; not the one that is `gone`, as records name
        it. Raises Refusal where there is none."""
        owners = self._sessions.owners
        try:
            others = [] if owners is None else [peer for peer in await owners.others() if owner_of(*peer[:2]) != gone]
        except BrokerError:
            raise Refusal(4503, UNSURE) from None
        if not others:
            raise Refusal(4503, why)
        return random.choice(others)  # no secret


async def _tried(owners: Owners, reach: Reach, peer: Peer) -> Reached | None:
    """How a connection to a worker goes; None as soon as its lease is over. Raises BrokerError."""
    trying = asyncio.ensure_future(reach(peer))
    try:
        while not (await asyncio.wait([trying], timeout=LOOK))[0]:
            if await owners.alive(peer.worker) != peer:
                return None
        return trying.result()
    finally:
        trying.cancel()
