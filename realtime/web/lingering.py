"""The connections between two requests, when the application shuts down: aiohttp serves none of them any more, though
they stay open until all is over. A client between two polls would never be told that its session ends.

Knows aiohttp, and no protocol.
"""

from __future__ import annotations

import asyncio
import warnings

from aiohttp import web

from .links import keep_reading
from .takeover import InFront, between_requests, parser_of

__all__ = ["LEAST", "Lingering", "serving"]

# So many connections are noted at least before the closed ones are looked for.
LEAST = 64
# How long a request may take that is under way when all is over, in seconds.
PATIENCE = 1.0
# What is asked of aiohttp's handlers, beside what is public.
ASKED = ("_task_handler", "_messages", "_waiter")


class Lingering:
    """The connections that requests have come on, and the application that they were for."""

    def __init__(self) -> None:
        self.connections: set[asyncio.Transport] = set()
        self._most = LEAST
        self._application: web.Application | None = None  # the outermost one
        self.paused: bool = False
        self._waiting: list[asyncio.Transport] = []
        self._server: web.Server | None = None
        self._accepting: set[web.Server] = set()  # the runner's, and a cluster's inner port

    def note(self, request: web.Request) -> None:
        """A request has come."""
        transport = request.transport
        if transport is None or transport in self.connections:
            return
        self.connections.add(transport)
        self._application = request.match_info.apps[0]
        if (server := request.protocol._manager) is not None:
            self._accepting.add(server)
        if len(self.connections) > self._most:
            self.connections = self._open()
            self._most = max(LEAST, 2 * len(self.connections))

    def forget(self, transport: asyncio.Transport) -> None:
        """This connection is served on by somebody else."""
        self.connections.discard(transport)

    def _open(self) -> set[asyncio.Transport]:
        """Those that aiohttp serves, or will again."""
        return {
            transport
            for transport in self.connections
            if not transport.is_closing() and isinstance(transport.get_protocol(), web.RequestHandler | InFront)
        }

    def _served(self) -> set[asyncio.Transport]:
        return {transport for transport in self._open() if _handler(transport) is not None}

    def pause(self) -> None:
        """aiohttp is shutting down: those of these connections wait that it leaves, until go_on(), since it would throw
        away what comes on them. On others a request is under way: they go on.

        Asked before anybody in the application has been waited for. Where somebody was, something may have been thrown
        away, and the rest of it is not to be taken for a request: these connections end."""
        self.paused = True
        for transport in self._served():
            handler = _handler(transport)
            if handler is None or not _is_known(handler):
                continue
            if _has_done(handler):
                transport.close()
            elif handler._waiter is None or handler._messages:
                keep_reading(handler)
            elif transport.is_reading():
                transport.pause_reading()
                self._waiting.append(transport)

    async def go_on(self) -> None:
        """Serves on what aiohttp has left, until stop()."""
        if not self.paused:
            self.pause()
        connections, self.connections = self._served(), set()
        waiting, self._waiting = self._waiting, []
        if self._application is None:
            return
        for _ in range(2):  # whoever waits for a request ends in the next turn; all others have one to answer
            await asyncio.sleep(0)
        left = []
        for transport in connections:
            handler = None if transport.is_closing() else _handler(transport)
            if handler is None or not _is_known(handler) or not _has_done(handler):
                keep_reading(transport.get_protocol())
            elif between_requests(handler):
                left.append(transport)
            else:  # the beginning of a request is aiohttp's: what makes no sense without it is not to be read
                transport.close()
        if left and (server := self.server()) is not None:
            for transport in left:
                protocol = server()
                transport.set_protocol(protocol)
                protocol.connection_made(transport)
        for transport in waiting:
            if not transport.is_closing() and not transport.is_reading():
                transport.resume_reading()

    def server(self) -> web.Server | None:
        """What serves connections on while aiohttp is shutting down; None where no request has come."""
        if self._server is None and self._application is not None:
            self._server = serving(self._application)
        return self._server

    async def stop(self) -> None:
        """All were told: ends the connections that were served on.

        And those that came into being while aiohttp looked for the ones without a request: it has served these until
        now, would take no notice of what they bring, and wait for their end for as long as it waits for handlers."""
        server, self._server, self._application = self._server, None, None
        accepting, self._accepting, self.connections = self._accepting, set(), set()
        self.paused = False
        for one in accepting:
            one.pre_shutdown()
        if server is not None:
            server.pre_shutdown()
            await server.shutdown(PATIENCE)


def _handler(transport: asyncio.Transport) -> web.RequestHandler | None:
    """aiohttp's, if it serves a connection; something may stand in front of it. It need not be the one that has served
    the request by which the connection is known."""
    protocol: object = transport.get_protocol()
    handler = getattr(protocol, "handler", protocol)
    return handler if isinstance(handler, web.RequestHandler) else None


def _is_known(handler: web.RequestHandler) -> bool:
    """Whether it has what is asked of it here."""
    return parser_of(handler) is not None and all(hasattr(handler, name) for name in ASKED)


def _has_done(handler: web.RequestHandler) -> bool:
    """Whether aiohttp has left a connection: what would serve its next request has ended."""
    task = handler._task_handler
    return task is None or task.done()


def serving(application: web.Application) -> web.Server:
    """Serves further connections by an application that has started."""
    with warnings.catch_warnings():
        # A runner would start the application again.
        warnings.simplefilter("ignore", DeprecationWarning)
        return application.make_handler(loop=asyncio.get_running_loop(), access_log=None)
