"""Listens: on the demo's port, and on one port for each lane of the race, all for the same application."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Sequence

from aiohttp import web

from ..transports import TRANSPORTS
from ..web.plugin import get_server
from .app import Listening, make_app
from .meter import Meter

__all__ = ["Demo"]

# What handlers and connections get to end by themselves, in seconds, once the sessions have ended.
PATIENCE = 1.0
WILDCARDS = ("", "0.0.0.0", "::")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Demo:
    """The demo on `host` and `port` (0: any free one), for as long as the `async with` lasts.

    Entering raises OSError where it cannot listen.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, transports: Sequence[str] = tuple(TRANSPORTS)) -> None:
        self._host = host
        self.port: int = port
        self.lanes: tuple[int, ...] = ()
        self.meter: Meter = Meter()
        self._transports = tuple(transports)
        self._stack = contextlib.AsyncExitStack()
        self.app: web.Application

    async def __aenter__(self) -> Demo:
        async with self._stack:
            await self._start()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        listeners = self._stack.enter_context(contextlib.ExitStack())
        main = await _bind(self._host, self.port)
        self.port = main[0].getsockname()[1]
        bound = list(main)
        for each in bound:
            listeners.callback(each.close)
        lanes = []
        for number in range(1, len(self._transports) + 1):
            # Beside the main port, where people who open ports by hand expect them.
            sockets = await _bind_somewhere(self._host, self.port + number)
            for each in sockets:
                listeners.callback(each.close)
            bound += sockets
            lanes.append(sockets[0].getsockname()[1])
        self.lanes = tuple(lanes)
        listening = Listening(self._host, self.port, self.lanes, _origins(self._host, self.port), self.meter)
        self.app = make_app(self._transports, listening=listening)
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=PATIENCE)
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        assert runner.server is not None
        factory = self.meter.wrap(runner.server)
        for each in bound:
            server = await asyncio.get_running_loop().create_server(factory, sock=each, backlog=128)
            self._stack.callback(server.close)

    async def end_sessions(self) -> None:
        """Ends all sessions while it still listens, so that clients can acknowledge it."""
        await get_server(self.app)._service.shutdown()


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Sockets on all addresses of `host`, with the same port. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = socket.socket(family, kind, protocol)
            except OSError:
                continue  # an address family that this machine does not have
            sockets.append(one)
            if os.name == "posix" and sys.platform != "cygwin":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if not port and len(sockets) > 1:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            one.bind(address)
        if not sockets:
            raise OSError(f"{host} has no address here")
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


async def _bind_somewhere(host: str, port: int) -> list[socket.socket]:
    """The same; on any free port if this one is taken."""
    if port < 65_536:
        with contextlib.suppress(OSError):
            return await _bind(host, port)
    return await _bind(host, 0)


def _origins(host: str, port: int) -> tuple[str, ...]:
    """Where the page may have come from: this demo, by every name of it that is known."""
    names = {_in_url(host)}
    if host in WILDCARDS or host == "localhost" or host.startswith("127.") or host == "::1":
        names |= set(LOOPBACK)
    if host in WILDCARDS:
        names -= {"", "0.0.0.0", "[::]"}
        with contextlib.suppress(OSError):
            name = socket.gethostname()
            names.add(name)
            for _, _, _, _, address in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM):
                names.add(_in_url(str(address[0])))
        names |= {_in_url(address) for address in _outgoing()}
    return tuple(sorted(f"http://{name.lower()}:{port}" for name in names if "%" not in name))


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _outgoing() -> Iterator[str]:
    """This machine's own addresses towards the rest of the world. Nothing is sent: a datagram socket only looks up."""
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((elsewhere, 9))
            yield str(one.getsockname()[0])
