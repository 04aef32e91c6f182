"""`realtime connect`: opens a session, lets a Pipe work on it, and closes it whatever happens."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

import aiohttp

import realtime

from .pipe import Pipe
from .signals import signals
from .stdio import Input, Output, note

__all__ = ["Options", "run"]

# How long a signal lets the goodbye to the server take, in seconds.
GOODBYE = 0.5
# How long an ordinary goodbye may take: all that was sent is acknowledged by then.
CLOSE_TIMEOUT = 2.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line said."""

    url: str
    transports: Sequence[str] | None
    headers: Mapping[str, str]
    auth: Any
    upgrade: bool
    binary: bool
    linger: float | None  # seconds of silence after the end of input; None: chosen to fit the network


def run(options: Options) -> int:
    """Runs the command and returns its exit code. Raises LocalProtocolError for a wrong URL or wrong options."""
    return asyncio.run(_main(options))


async def _main(options: Options) -> int:
    with signals() as asked:
        # A client of our own, so that leaving in a hurry leaves nothing open.
        async with aiohttp.ClientSession() as http:
            try:
                opening = asyncio.ensure_future(_open(options, http))
                await _either(opening, asked)
                if not opening.done():
                    opening.cancel()  # which closes what the server is opening just now
                    await asyncio.wait({opening}, timeout=GOODBYE)
                    _leave(asked.result())
                session = opening.result()
            except realtime.NegotiationError as error:
                note(f"cannot connect: {_words(error)}")
                return 1
            work = asyncio.ensure_future(_work(session, options))
            await _either(work, asked)
            if not work.done():
                work.cancel()
                if session._machine.carrier is not None:  # there may be somebody to say goodbye to
                    await asyncio.wait({asyncio.ensure_future(session.close())}, timeout=GOODBYE)
                _leave(asked.result())
            return work.result()


async def _open(options: Options, http: aiohttp.ClientSession) -> realtime.ClientSession:
    return await realtime.connect(
        options.url,
        transports=options.transports,
        headers=options.headers,
        auth=options.auth,
        upgrade=options.upgrade,
        http=http,
        close_timeout=CLOSE_TIMEOUT,
    )


async def _work(session: realtime.ClientSession, options: Options) -> int:
    output = Output(_descriptor(sys.stdout))
    pipe = Pipe(session, Input(_descriptor(sys.stdin)), output, binary=options.binary, linger=options.linger)
    code = await pipe.run()
    await session.close()
    await output.drain()
    return code


async def _either(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _leave(number: int) -> NoReturn:
    """Ends the process as a signal would. Not by returning: a name being looked up would keep the interpreter."""
    os._exit(128 + number)


def _words(error: realtime.NegotiationError) -> str:
    """What happened on each transport; transports that fared alike together."""
    alike: dict[str, list[str]] = {}
    for name, what in error.attempts.items():
        alike.setdefault(what, []).append(name)
    tried = "; ".join(f"{', '.join(names)}: {what}" for what, names in alike.items())
    return f"{error.message} ({tried})" if tried else error.message


def _descriptor(file: TextIO | None) -> int | None:
    """The file descriptor of a standard stream; None where the parent has closed it."""
    return None if file is None else file.fileno()
