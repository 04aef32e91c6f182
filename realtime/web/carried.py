"""Requests for sessions of other workers: what web/ asks of the cluster, where there is one, and what is known of a
request that another worker has brought here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

from aiohttp import web

from ..owners import Elsewhere
from ..service import Service
from .threshold import HandOver

__all__ = ["Carried", "Carrying", "Counts", "carried", "carrying", "hop_of", "mark"]


class Carried(NamedTuple):
    """What the worker that a request came to says of it, beside what its request says itself."""

    worker: str  # which that is
    handed: str = ""  # the sid of the claim that it was brought here for, if it opens a session
    leaving: float | None = None  # it is no client's: that worker is going away (see cluster.port.Facts)
    pid: str = ""  # its client goes on here by this, and has come to that worker


# aiohttp has had keys of their own for such things since 3.14, and has warned of others since.
KEY: Any = web.RequestKey("realtime carried", Carried) if hasattr(web, "RequestKey") else "realtime carried"


class Counts(NamedTuple):
    """What was carried."""

    forwards: int = 0  # requests and WebSockets to other workers, so far
    hops: int = 0  # connections to other workers now
    refused: int = 0  # so far: who came to the inner port without the secret, and requests there that were not sealed


class Carrying(Protocol):
    """Carries requests to other workers."""

    def counts(self) -> Counts:
        """What was carried. May be called from any thread."""

    def seen(self, request: web.Request) -> None:
        """A request may open a session here: others may be brought to the same application."""

    async def carry(
        self, request: web.Request, elsewhere: Elsewhere, limit: int, body: bytes | None = None
    ) -> web.StreamResponse:
        """Answers a request by the worker that has its session. Of its body, which may be read up to `limit` bytes,
        this much was read, or all of it. Raises Refusal, and Gone when its client has left."""

    async def carry_on(self, request: web.Request, elsewhere: Elsewhere, hand_over: HandOver) -> None:
        """Brings a WebSocket, whose handshake is answered, to the worker that has its session. Raises Refusal."""

    async def carry_stream(
        self, head: Sequence[tuple[bytes, bytes]], remote: str, elsewhere: Elsewhere, hand_over: HandOver
    ) -> None:
        """The same for a session of WebTransport: the head of its CONNECT, and from which address that came."""


def carrying(service: Service) -> Carrying | None:
    """What carries the requests of this server's clients; None where it is no worker of a cluster."""
    return cast("Carrying | None", service.carrying)


def carried(request: web.Request) -> Carried | None:
    """What is known of a request that another worker has brought; None for any other."""
    return cast("Carried | None", request.get(KEY))


def hop_of(request: web.Request) -> asyncio.Transport | None:
    """The connection by which another worker has brought a request; None for any other request."""
    return None if carried(request) is None else request.transport


def mark(request: web.Request, what: Carried) -> None:
    """This request was brought by another worker."""
    request[KEY] = what
