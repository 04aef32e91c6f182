"""A session under load that counts everything: what the fault matrix and the long runs share.

Both sides send numbered messages, some binary, as fast as the other takes them, and check each one that arrives.
Nothing here knows which faults are on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

import realtime
from realtime.testing import FaultProxy

from ..patience import Broken, Pauses, eventually

__all__ = ["Report", "Soak", "soak_server"]

# Short, so that a black hole is found in a fraction of a second; the resume window outlasts every fault.
TIMING: dict[str, Any] = {
    "ping_interval": 0.4,
    "ping_timeout": 0.4,
    "resume_window": 60.0,
    "open_timeout": 20.0,
    "poll_interval": (0.01, 0.1),
    "max_queue": 64,
    "max_outbox": 128,
    "max_batch": 48,
}


def numbered(number: int) -> str | bytes:
    """The message with this number: text, every seventh binary, some with every kind of character."""
    text = f"{number}:" + 'é\u2028\U0001f600\x00"\\'[number % 7 :] * (number % 3) + "x" * (number % 50)
    return text.encode() if number % 7 == 0 else text


@dataclass
class Report:
    """What one side saw."""

    received: int = 0
    wrong: list[str] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def take(self, message: str | bytes) -> None:
        """Counts a message that should be the next one."""
        expected = numbered(self.received + 1)
        if message != expected and len(self.wrong) < 5:
            self.wrong.append(f"{message[:40]!r} where {expected[:40]!r} was next")
        self.received += 1


async def exchange(session: Any, count: int, report: Report) -> None:
    """Sends `count` messages and receives as many, at the same time."""

    async def send() -> None:
        for number in range(1, count + 1):
            await session.send(numbered(number))

    sending = asyncio.ensure_future(send())
    try:
        while report.received < count:
            report.take(await session.receive())
        await sending
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, realtime.SessionClosed):
            await sending


class Soak:
    """A running server whose endpoint exchanges `count` messages with each client, behind a fault proxy."""

    def __init__(self, server: realtime.Server, port: int, proxy: FaultProxy, count: int) -> None:
        self.server = server
        self.port = port  # the server's own: for another box in between, with `url` set to what leads there
        self.proxy = proxy
        self.count = count
        self.reports: list[Report] = []  # one per session, of the server's side
        self.left: list[realtime.ClientSession] = []  # closed in the end, if the test has not
        self.done = asyncio.Event()
        self.url = f"{proxy.url}/realtime/soak"

    async def handle(self, session: realtime.Session) -> None:
        """The endpoint."""
        report = Report()
        self.reports.append(report)
        try:
            await exchange(session, self.count, report)
            await session.flush()
            # The client closes, when it has all of it.
            with contextlib.suppress(realtime.SessionClosed):
                report.take(await session.receive())
        finally:
            code, reason = session.close_code, session.close_reason
            report.closed = (code, reason or "") if code is not None else None
            self.done.set()

    async def run(
        self, *, meanwhile: Callable[[realtime.ClientSession], Any] | None = None, **options: Any
    ) -> tuple[Report, Report, realtime.ClientSession]:
        """One client's session from open to close: the server's report, the client's, and the session."""
        options = {"attach_timeout": 1.0, "post_timeout": 1.0, "backoff": (0.01, 0.1), **options}
        report = Report()
        async with contextlib.AsyncExitStack() as stack:
            session, pauses = await self._open(stack, options)
            extra = asyncio.ensure_future(meanwhile(session)) if meanwhile else None
            try:
                await exchange(session, self.count, report)
                await session.flush()
            finally:
                if extra is not None:
                    extra.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await extra
        assert session.close_code is not None
        report.closed = (session.close_code, session.close_reason or "")
        await self.done.wait()
        if pauses:  # those that came too late may have left sessions behind
            await eventually(lambda: all(report.closed for report in self.reports if report.received))
            self.reports = [report for report in self.reports if report.received]
        if len(self.reports) != 1:
            raise Broken("the client opened more than one session")
        return self.reports[0], report, session

    async def _open(
        self, stack: contextlib.AsyncExitStack, options: dict[str, Any]
    ) -> tuple[realtime.ClientSession, int]:
        """A session, closed by the stack, and how many attempts to open it a pause of the machine made too late."""
        number = 0
        while True:
            pauses = Pauses()
            try:
                with pauses:
                    return await stack.enter_async_context(realtime.connect(self.url, **options)), number
            except realtime.NegotiationError:
                if number == 6 or not pauses.any:
                    raise
            number += 1


@contextlib.asynccontextmanager
async def soak_server(
    count: int,
    *,
    random: Random | None = None,
    setup: Callable[[web.Application, realtime.Server], object] = realtime.setup,
    **settings: Any,
) -> AsyncIterator[Soak]:
    """Starts the server, which `setup` puts into an application, and the proxy."""
    server = realtime.Server(**{**TIMING, **settings})
    app = web.Application()
    setup(app, server)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with FaultProxy("127.0.0.1", port, random=random) as proxy:
            soak = Soak(server, port, proxy, count)
            server.endpoint("/soak")(soak.handle)
            try:
                yield soak
            finally:
                proxy.clear()
                for session in soak.left:
                    await session.close()
    finally:
        await runner.cleanup()
    assert len(server) == 0


def assert_exactly_once(server: Report, client: Report, count: int) -> None:
    """Sent is received, in order, on both sides, and both saw the clean close. Whatever the machine does."""
    if (server.wrong, client.wrong) != ([], []) or (server.received, client.received) != (count, count):
        raise Broken(f"of {count} messages: {server=}, {client=}")
    if not server.closed == client.closed == (1000, ""):
        raise Broken(f"not closed cleanly: {server=}, {client=}")
