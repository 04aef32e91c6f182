"""A session at the server, as its handler is given it: what both ends have, and rooms, identity and negotiation.

The client's is client/session. Knows no aiohttp.
"""

from __future__ import annotations

import asyncio

from .base_session import BaseSession
from .core.config import OnFull
from .core.negotiation import Choice
from .core.server_machine import ServerMachine
from .hub import Hub
from .listener import SessionListener
from .loops import gives_way
from .request import SessionRequest

__all__ = ["ServerListener", "Session"]


class ServerListener(SessionListener[ServerMachine]):
    """A session's listener at the server."""

    __slots__ = ()

    def may_be_drained(self) -> None:
        """Drained: everything is here, and the handler has come back for more. Now the close can go out."""
        if self.machine.drained and self.first is not None:
            self.machine.close(1012, "the server restarts", self.runtime.clock.now())


class Session(BaseSession[ServerMachine]):
    """A session at the server: what a handler is given."""

    __slots__ = ("_authorized", "_choices", "_handled_since", "_hub", "_path", "_polled", "request")

    def __init__(self, listener: ServerListener, path: str, on_full: OnFull, hub: Hub, request: SessionRequest) -> None:
        super().__init__(listener, on_full)
        self._hub = hub
        self._path = path
        self._polled: asyncio.BaseTransport | None = None  # the connection that the last held poll was answered on
        self._handled_since = 0.0
        self._choices: tuple[Choice, ...] = ()
        self._authorized: tuple[bytes, float] | None = None  # for which credentials, and when
        self.request: SessionRequest = request  # what opened it

    @property
    def negotiation(self) -> tuple[Choice, ...]:
        """Every transport with its verdict and reason, in the order of `transports`: why this one carries."""
        current = self.transport
        return tuple(
            choice._replace(verdict="taken", code="taken")
            if choice.name == current
            else choice._replace(verdict="offered", code="offered")
            if choice.verdict == "taken"
            else choice
            for choice in self._choices
        )

    @property
    def _returning(self) -> bool:
        """Whether its client is between two polls, on a connection that is open, and has to be told something: it will
        be back in a moment."""
        machine, polled = self._machine, self._polled
        between = machine.carrier is None and polled is not None and not polled.is_closing()
        return between and machine.outbox.unnumbered > 0

    @property
    def path(self) -> str:
        """The path of its endpoint."""
        return self._path

    @property
    def subprotocol(self) -> str | None:
        """The sub-protocol that was agreed on with a bare WebSocket client (RFC 6455 §1.9), such as "mqtt".

        None where the client offered none of the endpoint's `subprotocols`, and for clients of any other protocol.
        """
        return self.request.subprotocol

    @property
    def identity(self) -> str | None:
        """Who the client is, as the application's authorisation said; None where it said nobody."""
        return self._machine.identity

    @gives_way
    async def join(self, room: str) -> None:
        """Enters a room: its messages are sent to this session. Joining twice is harmless.

        Raises SessionClosed when the session has ended.
        """
        self._check_loop()
        self._machine.check_open()
        self._hub.join(self, room)

    @gives_way
    async def leave(self, room: str) -> None:
        """Leaves a room. Leaving one it is not in is harmless. A session that ends leaves all its rooms."""
        self._check_loop()
        self._hub.leave(self, room)
