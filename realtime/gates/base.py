"""The interfaces between a gate and the code that brings it clients: Wait, and Connection for carriers of both ways."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol, TypeVar

__all__ = ["Connection", "Gone", "Ignoring", "Wait", "wait"]

T = TypeVar("T")


class Gone(Exception):
    """The client has left while the application was asked: nothing is opened, and nothing answered."""


class Wait(Protocol):
    """Waits for what the application says of a client. Raises Gone when the client has left by then."""

    async def __call__(self, asking: Coroutine[Any, Any, T], /) -> T: ...


async def wait(asking: Coroutine[Any, Any, T], /) -> T:
    """The Wait of a carrier that cannot tell whether its client is still there."""
    return await asking


class Connection(Protocol):
    """What a protocol makes of a WebSocket, or of anything else that carries messages both ways: it is told what comes,
    in order. None of these raises."""

    def connected(self) -> Awaitable[None] | None:
        """The connection stands. What this returns is awaited before anything is read."""

    def message(self, data: str | bytes) -> Awaitable[None] | None:
        """A message. What this returns is awaited before the next is read: that is back-pressure."""

    def control(self) -> bool:
        """A ping or a pong. Whether a ping is to be answered."""

    def closed(self, code: int, reason: str) -> None:
        """The peer has begun the closing handshake (RFC 6455 §7.1.5, §7.1.6)."""

    def failed(self, code: int) -> None:
        """The connection was closed from here with this code, since what came was no message."""

    def writable_again(self) -> None:
        """The link, which was not writable, is."""

    def lost(self) -> None:
        """The connection is gone, in whatever way. Nothing comes after it."""


class Ignoring:
    """The Connection of a refused client: messages are read and ignored until the closing handshake is done."""

    def connected(self) -> None:
        """Nothing is waited for."""

    def message(self, data: str | bytes) -> None:
        """Ignores the message."""

    def control(self) -> bool:
        """Pings are not answered."""
        return False

    def closed(self, code: int, reason: str) -> None:
        """Does nothing: the close is expected."""

    def failed(self, code: int) -> None:
        """Does nothing: the connection is closed already."""

    def writable_again(self) -> None:
        """Does nothing: nothing waits to be written."""

    def lost(self) -> None:
        """Does nothing: there is no session."""
