"""An application under test on a free port, and sessions with it that are closed in the end.

For any test framework; the pytest fixture over it is in pytest_realtime.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, TypeAlias, Unpack

from aiohttp import web

from ..client import ClientSession, connect
from ..client.options import ConnectSettings
from ..core.settings import shown
from ..server import Server
from ..web.plugin import setup

if TYPE_CHECKING:
    from aiohttp.test_utils import BaseTestServer, TestServer

__all__ = ["Clients", "UnderTest", "serve"]

# An application; a server that no application has yet (it is set up below /realtime); one of aiohttp's that runs.
UnderTest: TypeAlias = "web.Application | Server | BaseTestServer"


@contextlib.asynccontextmanager
async def serve(app: web.Application | Server, *, shutdown_timeout: float = 3.0) -> AsyncIterator[TestServer]:
    """Serves an application on a free port of this machine:

        async with realtime.testing.serve(app) as server:
            async with realtime.connect(server.make_url("/realtime/chat")) as session: ...

    A realtime.Server may be given instead of an application, and is set up below /realtime. In the end sessions are
    closed as in any shutdown, and handlers get `shutdown_timeout` seconds. Raises TypeError for anything else.
    """
    from aiohttp.test_utils import TestServer  # not needed by who only wants a clock

    server = TestServer(_application(app))
    await server.start_server(shutdown_timeout=shutdown_timeout)
    try:
        yield server
    finally:
        await server.close()


def _application(app: web.Application | Server) -> web.Application:
    if isinstance(app, web.Application):
        return app
    if not isinstance(app, Server):
        raise _wrong(app, "an aiohttp.web.Application or a realtime.Server")
    application = web.Application()
    setup(application, app)
    return application


def _wrong(app: object, right: str) -> TypeError:
    hint = ": await it first" if inspect.isawaitable(app) else ": call it first" if callable(app) else ""
    if isinstance(app, Coroutine):
        app.close()  # or Python says as well that nobody has awaited it
    return TypeError(f"what is under test is {right}, not {shown(app)}{hint}")


class Clients:
    """Opens sessions with applications under test, and closes everything at the end of the `async with`.

        async with realtime.testing.Clients() as client:
            session = await client(app, "/realtime/chat", transports="polling")

    In pytest the fixture `realtime_client` is one.
    """

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._sessions: list[ClientSession] = []
        # By identity, with the object itself so that its id stays its own; and what only one may start at a time.
        self._servers: dict[int, tuple[object, asyncio.Lock]] = {}
        self._running: dict[int, BaseTestServer] = {}

    async def __call__(self, app: UnderTest, path: str, **options: Unpack[ConnectSettings]) -> ClientSession:
        """A session at `path`, which has the prefix in front and may end with a query.

        The application is started with its first session, on a free port, and shared by all its sessions. `options`
        are those of realtime.connect(). Raises what that raises, and TypeError for what is no application.
        """
        session = await connect((await self.server(app)).make_url(path), **options)
        self._sessions.append(session)
        return session

    async def server(self, app: UnderTest) -> BaseTestServer:
        """The running server of an application, started if it was not: `.make_url(path)` gives its addresses."""
        from aiohttp.test_utils import BaseTestServer  # as in serve()

        if not isinstance(app, (web.Application, Server, BaseTestServer)):
            raise _wrong(app, "an aiohttp.web.Application, a realtime.Server, or a server of aiohttp.test_utils")
        _, starting = self._servers.setdefault(id(app), (app, asyncio.Lock()))
        async with starting:
            if not isinstance(app, (web.Application, Server)):
                await app.start_server()  # does nothing when it runs
                return app
            if id(app) not in self._running:
                self._running[id(app)] = await self._stack.enter_async_context(serve(app))
            return self._running[id(app)]

    async def __aenter__(self) -> Clients:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        async with self._stack:
            await asyncio.gather(*(session.close() for session in self._sessions))
