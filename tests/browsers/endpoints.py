"""The endpoints that the scenarios of client-js/test/browser talk to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import realtime

__all__ = ["make_server", "padded"]

# Short, so that nothing is waited for; recycling often.
SETTINGS: dict[str, Any] = {
    "poll_interval": (0.01, 0.1),
    "close_timeout": 3.0,
    "shutdown_timeout": 0.5,
    "max_size": 1_048_576,
    "open_timeout": 60.0,  # an engine of 2011 reckons with a megabyte before its first word, on a machine that is busy
}


def padded(number: int) -> str:
    """The message with this number, as volume.js makes it."""
    return f"{number}:" + "\u00e9\u2028x"[: number % 4] + "-" * (19 + number % 41)


def make_server(*, allowed_origins: tuple[str, ...] = (), **settings: Any) -> realtime.Server:
    """A server with all of them."""
    server = realtime.Server(allowed_origins=allowed_origins, **{**SETTINGS, **settings})
    notes: dict[str, asyncio.Future[str]] = {}

    def note(name: str) -> asyncio.Future[str]:
        return notes.setdefault(name, asyncio.get_running_loop().create_future())

    @server.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @server.endpoint("/spell")
    async def spell(session: realtime.Session) -> None:
        async for message in session:
            if isinstance(message, str):
                await session.send(" ".join(f"{ord(character):x}" for character in message))
            else:
                await session.send("bytes " + message.hex())
            await session.send(message)

    @server.endpoint("/close")
    async def close(session: realtime.Session) -> None:
        code, _, reason = str(await session.receive()).partition(" ")
        await session.send("last words")
        await session.close(int(code), reason)

    @server.endpoint("/note")
    async def take_note(session: realtime.Session) -> None:
        name = str(await session.receive())
        await session.send("noted")
        await session.wait_closed()
        if not note(name).done():
            note(name).set_result(f"{session.close_code} {session.close_reason}")

    @server.endpoint("/noted")
    async def noted(session: realtime.Session) -> None:
        name = str(await session.receive())
        await session.send(await note(name))
        await session.wait_closed()

    @server.endpoint("/numbers", max_stream_size=16_384)
    async def numbers(session: realtime.Session) -> None:
        count = int(await session.receive())

        async def send() -> None:
            for number in range(1, count + 1):
                await session.send(padded(number))
                if count <= 100:  # for faults: over a while
                    await asyncio.sleep(0.01)

        sending = asyncio.create_task(send())
        try:
            verdict = "all right"
            for number in range(1, count + 1):
                message = await session.receive()
                if message != padded(number) and verdict == "all right":
                    verdict = f"{message[:40]!r} where {padded(number)[:40]!r} was next"
            await sending
            await session.send(verdict)
            await session.wait_closed()
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, realtime.SessionClosed):
                await sending

    return server
