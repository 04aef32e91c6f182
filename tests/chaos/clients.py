"""The clients: our own for Python, and the JavaScript ones of strangers.cjs, which a process of Node runs."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import realtime

from .account import Room, Session
from .worker import ROOMS

__all__ = ["Crowd", "PythonClient"]

# What opens by a URL cannot bring cursors, which must not stand there: what is missing is told as a gap.
BY_URL = ("sse", "multipart")
SCRIPT = Path(__file__).with_name("strangers.cjs")


class PythonClient:
    """Sends numbers and expects them back, in one session after the other; and is in the rooms."""

    def __init__(
        self, url: str, transport: str, seed: int, told: Callable[[Session], object], *, calm: bool = False
    ) -> None:
        """A calm one says little, for as long as it can, and is in no rooms."""
        self.rooms = {room: Room() for room in ROOMS}
        self.gaps = 0
        self.dropped = 0  # messages that its sessions were told were, since it was too far behind
        self.begun = asyncio.Event()  # it has heard of the worker that has its session
        self.now = "has no session"  # what it is about
        self.brings_cursors = transport not in BY_URL
        self._url = f"{url}/realtime/count" + ("" if calm else "?rooms=1")
        self._calm = calm
        self._transport = transport
        self._random = random.Random(seed)
        self._told = told
        self._leaving = False
        self._news = asyncio.Event()

    def leave(self) -> None:
        """The session that is open is the last."""
        self._leaving = True
        self._news.set()

    async def run(self) -> None:
        """Until it is told to leave."""
        while not self._leaving:
            sessions = aiter(realtime.connect(self._url, transports=self._transport, backoff=(0.02, 0.5)))
            with suppress(realtime.RealtimeError, OSError):  # of a time when nobody could be reached
                async with aclosing(sessions):
                    async for session in sessions:
                        await self._be(session)
                        if self._leaving:
                            return

    async def _be(self, session: realtime.ClientSession) -> None:
        account = Session("python", self._transport, opened=time.monotonic())

        def changed(event: str) -> None:
            if event == "gap":
                assert session.gap is not None
                self.gaps += 1
                self.rooms[session.gap.room].gap = True

        session.on_change(changed)
        self.now = f"is in {session!r}"
        sending = asyncio.create_task(self._send(session, account))
        try:
            async for message in session:
                assert isinstance(message, str)
                room = session.last.room
                if room is None:
                    account.hear(message)
                    self.begun.set()
                    self._news.set()
                else:
                    self.rooms[room].hear(int(message))
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        self.dropped += session.dropped
        account.code, account.why = session.close_code, session.close_reason or ""
        account.unsent = len(session.unacknowledged)
        account.ended = time.monotonic()
        self.now = f"is behind {session!r}"
        self.begun.clear()
        self._told(account)

    async def _send(self, session: realtime.ClientSession, account: Session) -> None:
        """Numbers, a few at a time; now and then it waits for all answers and closes."""
        most = sys.maxsize if self._calm else self._random.randrange(50, 400)
        with suppress(realtime.SessionClosed):
            while account.sent < most and not self._leaving:
                for _ in range(self._random.choice((1, 1, 2, 5))):
                    account.sent += 1
                    try:
                        await session.send(str(account.sent))
                    except (realtime.SessionClosed, asyncio.CancelledError):  # it was not taken
                        account.sent -= 1
                        raise
                await asyncio.sleep(1.0 if self._calm else self._random.choice((0.0, 0.02, 0.05, 0.2)))
            while account.received < account.sent:
                self._news.clear()
                await self._news.wait()
            account.asked = True
            await session.close()


class Crowd:
    """A process of Node with clients of all kinds, which tells of each session in a line of JSON."""

    def __init__(
        self,
        urls: Sequence[str],
        clients: Sequence[str],
        seed: int,
        told: Callable[[Any], object],
        made: Callable[..., Any] = Session,
    ) -> None:
        self._made = made
        self._plan = json.dumps({"urls": list(urls), "clients": list(clients), "seed": seed})
        self._told = told

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the block runs. At its end they leave, and what they have to tell is heard."""
        node = await asyncio.create_subprocess_exec(
            "node", str(SCRIPT), self._plan, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert node.stdin is not None
        assert node.stdout is not None
        hearing = asyncio.create_task(self._hear(node.stdout))
        try:
            yield
        finally:
            node.stdin.close()  # they leave
            try:
                await asyncio.wait_for(asyncio.shield(hearing), 60.0)
            finally:
                with suppress(ProcessLookupError):
                    node.kill()
                await node.wait()
                await hearing

    async def _hear(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self._told(self._made(**json.loads(line)))
