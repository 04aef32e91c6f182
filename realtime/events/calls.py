"""Calls: events that were sent with a number, and wait for the ack of that number.

An ack is taken once. One that comes when nobody waits for it any more says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any

from ..clock import Patience
from ..core.errors import LocalProtocolError, SessionClosed
from ..core.settings import check, number
from ..protocols.layers.socketio.answers import answered
from ..protocols.layers.socketio.packets import MAX_ID

__all__ = ["MAX_CALLS", "Calls"]

# So many may wait at a time, of one session.
MAX_CALLS = 4096
_TIMEOUT = number(0).or_none("as long as it takes")


class Calls:
    """Those of one session, whatever its namespaces. `changed` is called when the first begins to wait, and when none
    waits any more. `numbers` are theirs: where a client may answer in another session than it was asked in, those of
    all sessions are different ones."""

    __slots__ = ("_changed", "_numbers", "waiting")

    def __init__(self, changed: Callable[[], object], numbers: Iterator[int] | None = None) -> None:
        # By namespace and number. For others to look whether there are some.
        self.waiting: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}
        self._numbers = count() if numbers is None else numbers
        self._changed = changed

    def __len__(self) -> int:
        return len(self.waiting)

    def begin(self, namespace: str) -> tuple[int, asyncio.Future[list[Any]]]:
        """A number, and what its ack will be. Raises LocalProtocolError when too many wait."""
        if len(self.waiting) >= MAX_CALLS:
            raise LocalProtocolError(f"{MAX_CALLS} calls of this session wait for their answers already")
        number = next(self._numbers) % (MAX_ID + 1)
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.waiting[namespace, number] = future
        if len(self.waiting) == 1:
            self._changed()
        return number, future

    def end(self, namespace: str, number: int) -> None:
        """Nobody waits for it any more."""
        if self.waiting.pop((namespace, number), None) is not None and not self.waiting:
            self._changed()

    def answer(self, namespace: str, number: int, args: list[Any]) -> None:
        """An ack has come."""
        future = self.waiting.get((namespace, number))
        if future is not None:
            self.end(namespace, number)
            if not future.done():
                future.set_result(args)

    def fail(self, code: int, reason: str, namespace: str | None = None) -> None:
        """No ack will come any more, for any call or for those of a namespace: they raise SessionClosed."""
        for key, future in tuple(self.waiting.items()):
            if namespace is None or key[0] == namespace:
                self.end(*key)
                if not future.done():
                    future.set_exception(SessionClosed(code, reason))

    async def call(self, namespace: str, send: Callable[[int], Awaitable[None]], timeout: float | None) -> Any:
        """Sends an event with the number that `send` is given, and waits for what its ack says, for so many seconds.

        Raises TimeoutError; EventError when the ack tells an error; SessionClosed; and TypeError for what are no
        seconds.
        """
        check("timeout", timeout, _TIMEOUT)
        number, future = self.begin(namespace)
        try:
            async with Patience(timeout):
                await send(number)
                return answered(await future)
        finally:
            self.end(namespace, number)
            future.cancel()  # where it has failed meanwhile, nobody has to hear of it
