"""The race: for each visitor an endpoint per transport, so that what each costs can be told apart at the sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence

from ..core.errors import SessionClosed
from ..server import Server
from ..session import Session
from ..transports import WEBTRANSPORT
from .meter import Account, Meter

__all__ = ["Race"]

MAX_SIZE = 32_768
MAX_RATE = 200.0


class Lane:
    """The endpoint of one transport. It echoes what begins with "e", and counts everything.

    What begins with "d" is JSON: {"rate": messages a second, "size": characters}, and from then on such messages are
    sent down; rate 0 stops them. All else is counted only.
    """

    def __init__(self) -> None:
        self.up: int = 0
        self.down: int = 0

    async def __call__(self, session: Session) -> None:
        """One session."""
        sending: asyncio.Task[None] | None = None
        try:
            async for message in session:
                self.up += 1
                if not isinstance(message, str):
                    continue
                if message.startswith("e"):
                    await session.send(message)
                    self.down += 1
                elif message.startswith("d"):
                    if sending is not None:
                        sending.cancel()
                    rate, size = _orders(message[1:])
                    sending = asyncio.create_task(self._send(session, rate, size)) if rate else None
        finally:
            if sending is not None:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    async def _send(self, session: Session, rate: float, size: int) -> None:
        loop = asyncio.get_running_loop()
        start, number = loop.time(), 0
        with contextlib.suppress(SessionClosed):
            while True:
                number += 1
                await session.send(f"d{number} ".ljust(size, "x"))
                self.down += 1
                # Who is slow gets less, and no flood afterwards.
                start = max(start, loop.time() - (number + 1) / rate)
                await asyncio.sleep(start + number / rate - loop.time())


def _orders(text: str) -> tuple[float, int]:
    try:
        fields = json.loads(text)
        # In this order: JSON of Python's has a NaN, of which nothing is left.
        return min(max(0.0, float(fields["rate"])), MAX_RATE), min(max(int(fields["size"]), 1), MAX_SIZE)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return 0.0, 1


class Race:
    """One visitor's lanes: of these transports, and perhaps one of WebTransport, of which no bytes are counted."""

    def __init__(
        self,
        server: Server,
        meter: Meter,
        prefix: str,
        token: str,
        transports: Sequence[str],
        *,
        webtransport: bool = False,
    ) -> None:
        self._server = server
        self._meter = meter
        self._prefix = prefix
        self._lanes: dict[str, tuple[str, Lane, Account]] = {}
        for name in transports:
            path = f"/r/{token}/{name}"
            lane = Lane()
            # Neither the server's memory nor its ranking matters here: each lane has one transport.
            server.endpoint(path, max_size=MAX_SIZE, max_message_rate=2 * MAX_RATE)(lane)
            account = meter.accounts[prefix + path] = Account()
            self._lanes[name] = path, lane, account
        if webtransport:
            name, lane = WEBTRANSPORT.name, Lane()
            path = f"/r/{token}/{name}"
            server.endpoint(path, max_size=MAX_SIZE, max_message_rate=2 * MAX_RATE, transports=(name,))(lane)
            self._lanes[name] = path, lane, Account()

    @property
    def paths(self) -> dict[str, str]:
        """The endpoint of each transport."""
        return {name: self._prefix + path for name, (path, _, _) in self._lanes.items()}

    def counts(self) -> dict[str, dict[str, int]]:
        """What each transport has carried and cost, since the visitor came."""
        return {
            name: {
                "up": lane.up,
                "down": lane.down,
                "received": account.received,
                "sent": account.sent,
                "requests": account.requests,
            }
            for name, (_, lane, account) in self._lanes.items()
        }

    async def aclose(self) -> None:
        """The endpoints go. Sessions that still use them end in their own time."""
        for path, _, _ in self._lanes.values():
            self._server._service.endpoints.pop(path, None)
            self._meter.accounts.pop(self._prefix + path, None)
