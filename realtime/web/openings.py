"""Opens that the application is being asked about: one that comes again meanwhile is asked about, and counted, once."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from ..core.errors import Refusal
from ..server import Server
from ..session import SessionRequest

__all__ = ["Openings"]

# What the protocol itself puts into a query: it differs from one attempt to the next.
OWN = ("open", "frame", "batch", "callback")


class Asked(NamedTuple):
    """An open, and what the application will say of it. Cancelled when it was not told."""

    facts: SessionRequest
    answer: asyncio.Future[str | Refusal | None]


class Openings:
    """By nonce."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._asked: dict[tuple[str, str], Asked] = {}

    def __len__(self) -> int:
        return len(self._asked)

    async def identify(self, path: str, nonce: str, facts: SessionRequest, address: str) -> str | None:
        """Who opens a session at the endpoint `path`: see Server.check_rate() and Server.identify(). Raises Refusal.

        A client that finds the answer late opens again by the same nonce; when it shows the same credentials, auth
        data, query and address, it gets the answer to the question that was asked already.
        """
        key = path, nonce
        while (first := self._asked.get(key)) is not None and _alike(first.facts, facts):
            await asyncio.wait([first.answer])
            if not first.answer.cancelled():
                answer = first.answer.result()
                if isinstance(answer, Refusal):
                    raise answer
                return answer
        self._server.check_rate(address)
        if first is not None:  # another's question, by a nonce that only one client should know
            return await self._server.identify(facts)
        asked = self._asked[key] = Asked(facts, asyncio.get_running_loop().create_future())
        try:
            identity = await self._server.identify(facts)
        except Refusal as refusal:
            asked.answer.set_result(refusal)
            raise
        else:
            asked.answer.set_result(identity)
            return identity
        finally:
            asked.answer.cancel()  # nothing, if it was told
            del self._asked[key]


def _alike(one: SessionRequest, other: SessionRequest) -> bool:
    """Whether the application would be asked the same again."""
    try:
        return (
            one.remote == other.remote
            and one._credentials == other._credentials
            and one.auth == other.auth
            and _query(one) == _query(other)
        )
    except RecursionError:  # auth data may be nested deeply
        return False


def _query(request: SessionRequest) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.query.items() if name not in OWN]
