"""What a test leaves open when its event loop is closed.

A transport that is closing has what it still writes, and to tell its protocol; under load a test may be over before.
Then the garbage collector finds it in another test, which fails for it. So those are waited for. Of what is not even
closing it is said at the end of the run which test has left it; and of what the garbage collector finds, whose it was.
Of aiohttp's sessions that nobody has closed it is said which test made them.
"""

from __future__ import annotations

import asyncio
import functools
import os
from asyncio import selector_events
from contextlib import suppress
from typing import Any

import aiohttp

__all__ = ["LEFT", "watch"]

LIMIT = 5.0  # seconds for all that are closing
LEFT: list[str] = []  # what was left open: by which test, and what


def transports(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """The sockets' transports of a loop that are not closed."""
    known: Any = getattr(loop, "_transports", {})
    return [transport for transport in known.values() if transport._sock is not None]


async def ends(loop: asyncio.AbstractEventLoop) -> None:
    """Waits for those that are closing."""
    for _ in range(3):  # who was told to close in the last turn
        await asyncio.sleep(0)
    until = loop.time() + LIMIT
    while any(transport.is_closing() for transport in transports(loop)) and loop.time() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def watch() -> None:
    """From now on this is done with each loop of asyncio's own that is closed."""
    closed: Any = selector_events.BaseSelectorEventLoop.close

    def close(loop: Any) -> None:
        if not loop.is_closed() and not loop.is_running() and transports(loop):
            loop.run_until_complete(ends(loop))
            for transport in transports(loop):
                LEFT.append(f"{_test()} left {transport!r} of {_whose(transport.get_protocol())}")
        closed(loop)

    kind: Any = selector_events.BaseSelectorEventLoop
    kind.close = close
    told: Any = vars(selector_events)["_SelectorTransport"]
    found = told.__del__

    def delete(transport: Any) -> None:
        if transport._sock is not None:
            with suppress(Exception):  # it may be half there
                LEFT.append(f"{_test()} found {transport!r} of {_whose(transport._protocol)}, {transport._extra}")
        found(transport)

    told.__del__ = delete
    _watch_http()


def _watch_http() -> None:
    """The same for aiohttp's sessions, which may have no transport."""
    kind: Any = aiohttp.ClientSession
    makes, ends = kind.__init__, kind.__del__
    makers: dict[int, str] = {}

    @functools.wraps(makes)
    def make(session: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        makers[id(session)] = _test()
        makes(session, *args, **kwargs)

    def end(session: aiohttp.ClientSession, *args: Any) -> None:
        maker = makers.pop(id(session), "nobody known")
        if not session.closed:
            LEFT.append(f"{_test()} found {session!r}, made by {maker}")
        ends(session, *args)

    kind.__init__, kind.__del__ = make, end


def _test() -> str:
    return os.environ.get("PYTEST_CURRENT_TEST", "no test")


def _whose(protocol: object) -> str:
    """A protocol, with what it refers to."""
    return f"{protocol!r} {getattr(protocol, '__dict__', '')}"
