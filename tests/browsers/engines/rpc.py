"""Requests and answers over a WebSocket, as the DevTools protocol and WebDriver BiDi have them.

Both number their commands and send events in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from .process import PATIENCE, EngineError, Program

__all__ = ["Rpc"]


class Rpc:
    """A connection to a browser. `on_event` gets each message that answers no command."""

    def __init__(self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, program: Program) -> None:
        self._http = http
        self._socket = socket
        self._program = program
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())
        self.on_event: Callable[[dict[str, Any]], object] = lambda event: None

    @classmethod
    async def connect(cls, url: str, program: Program) -> Rpc:
        """Connects to the browser that `program` is."""
        http = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(PATIENCE):
                socket = await http.ws_connect(url, max_msg_size=0, autoping=True)
        except BaseException:
            await http.close()
            raise
        return cls(http, socket, program)

    @property
    def alive(self) -> bool:
        """Whether commands can be sent."""
        return not self._socket.closed and not self._reader.done() and self._program.alive

    async def call(self, method: str, params: dict[str, Any] | None = None, **extra: Any) -> Any:
        """Sends a command; its result. Raises EngineError for its error, and when the browser has gone."""
        if not self.alive:
            raise self._program.failure(f"cannot do {method}: it has gone")
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(PATIENCE):
                await self._socket.send_json({"id": number, "method": method, "params": params or {}, **extra})
                return await future
        except TimeoutError:
            raise self._program.failure(f"no answer to {method} within {PATIENCE:g} s") from None
        except ConnectionError:
            raise self._program.failure(f"cannot do {method}: it has gone") from None
        finally:
            del self._waiting[number]

    async def close(self) -> None:
        """Ends the connection."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        await self._socket.close()
        await self._http.close()

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(json.loads(message.data))
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(self._program.failure("it has gone"))

    def _take(self, message: dict[str, Any]) -> None:
        future = self._waiting.get(message.get("id", 0))
        if future is None:
            self.on_event(message)
        elif not future.done():
            if message.get("error"):
                future.set_exception(EngineError(f"{self._program.name}: {message.get('message', message['error'])}"))
            else:
                future.set_result(message.get("result"))
