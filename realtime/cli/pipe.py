"""Both directions between a session and standard input and output, until one of them ends."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from ..client import ClientSession
from ..core.errors import LocalProtocolError, SessionClosed
from ..core.lifecycle import State
from .stdio import Input, Lines, Output, harmless, note

__all__ = ["Pipe", "describe"]

# How long nothing has to have come after the end of input, in seconds: QUIET, or ROUND_TRIPS times what the last
# acknowledgement took (but not for ever). A transport that polls makes several polls in that time.
QUIET = 1.0
ROUND_TRIPS = 3.0
MOST_QUIET = 10.0
# How much of a binary message is shown where it can't be written as it is.
SHOWN = 32


class Pipe:
    """Pipes `source` into an open session and the session into `target`, and says what becomes of it."""

    def __init__(
        self, session: ClientSession, source: Input, target: Output, *, binary: bool, linger: float | None
    ) -> None:
        self._session = session
        self._source = source
        self._target = target
        self._binary = binary
        self._linger = linger
        self._max_size = session._machine.server.max_size
        self._quiet = QUIET
        self._heard = 0.0  # when the last message was written out, or everything was acknowledged
        self._writing = False
        self._lines = 0
        self._failures = 0
        self._replaced = False
        self._transport = session.transport
        self._state = session.state
        # Only a terminal is protected from what peers send: a file or program gets it as it came.
        self._terminal = sys.stdout is not None and sys.stdout.isatty()

    async def run(self) -> int:
        """Runs until the session, the output or the input ends; returns the exit code."""
        session = self._session
        typing = sys.stdin is not None and sys.stdin.isatty()
        note(f"connected over {self._with_reasons(session.transport)}" + ("; Ctrl-D ends" if typing else ""))
        undo = session.on_change(self._changed)
        receiving = asyncio.ensure_future(self._receive())
        sending = asyncio.ensure_future(self._send())
        ends: set[asyncio.Future[Any]] = {receiving, self._target.failed}
        try:
            await asyncio.wait({*ends, sending}, return_when=asyncio.FIRST_COMPLETED)
            # All is sent and acknowledged, or the session is over: what comes back?
            while not any(end.done() for end in ends) and (left := self._left()) > 0:
                await asyncio.wait(ends, timeout=None if left == float("inf") else left)
            for task in (receiving, sending):
                if task.done():
                    task.result()
        finally:
            undo()
            receiving.cancel()
            sending.cancel()
        return self._verdict()

    def _left(self) -> float:
        """How much longer it has to stay quiet, in seconds."""
        if self._writing:
            return self._quiet
        return self._heard + self._quiet - asyncio.get_running_loop().time()

    def _verdict(self) -> int:
        session = self._session
        if self._target.failed.done():
            error = self._target.failed.result()
            if isinstance(error, BrokenPipeError):  # whoever read has read enough
                return 0
            note(f"standard output cannot be written: {error.strerror}")
            return 1
        if session.close_code is not None:
            why = f" ({session.close_reason})" if session.close_reason else ""
            note(f"the session ended with {session.close_code}{why}")
            lost = len(session.unacknowledged)
            if lost:
                note(f"{lost} {'message was' if lost == 1 else 'messages were'} never acknowledged")
            if session.close_code not in (1000, 1001):
                return 3
        return 1 if self._failures else 0

    # -- up ----------------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        """Sends all of the input, and waits until it is acknowledged. Returns early when the session ends."""
        loop = asyncio.get_running_loop()
        try:
            if self._binary:
                while chunk := await self._source.read():
                    for start in range(0, len(chunk), self._max_size):
                        await self._session.send(chunk[start : start + self._max_size])
            else:
                await self._send_lines()
            if self._source.error is not None:
                self._failed(f"standard input cannot be read: {self._source.error.strerror}")
            started = loop.time()
            await self._session.flush()
        except SessionClosed:
            # Receiving ends by itself, once all that came has been written.
            self._quiet = float("inf")
            return
        self._heard = loop.time()
        if self._linger is None:
            self._quiet = min(max(QUIET, ROUND_TRIPS * (self._heard - started)), MOST_QUIET)
        else:
            self._quiet = self._linger

    async def _send_lines(self) -> None:
        lines = Lines(self._max_size)
        while chunk := await self._source.read():
            for line in lines.feed(chunk):
                await self._send_line(line)
        for line in lines.end():
            await self._send_line(line)

    async def _send_line(self, line: bytes | None) -> None:
        self._lines += 1
        if line is None:
            self._failed(f"line {self._lines} is longer than the server's {self._max_size} bytes, and was not sent")
            return
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = line.decode(errors="replace")
            if not self._replaced:
                self._replaced = True
                note(f"line {self._lines} is not UTF-8: what cannot be read is sent as \N{REPLACEMENT CHARACTER}")
        try:
            await self._session.send(text)
        except LocalProtocolError as error:
            self._failed(f"line {self._lines} was not sent: {error}")

    def _failed(self, text: str) -> None:
        self._failures += 1
        note(text)

    # -- down --------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        """Writes out all that comes, until the session ends."""
        loop = asyncio.get_running_loop()
        async for message in self._session:
            self._writing = True
            await self._target.write(self._rendered(message))
            self._writing = False
            self._heard = loop.time()

    def _rendered(self, message: str | bytes) -> bytes:
        if isinstance(message, bytes):
            return message if self._binary else describe(message).encode() + b"\n"
        text = harmless(message) if self._terminal else message
        return text.encode() + b"\n"

    # -- what happens to the session ---------------------------------------------------------------------------------

    def _changed(self, event: str) -> None:
        session = self._session
        if event == "dropped":
            note(f"the server has dropped messages for being slow here: {session.dropped} so far")
        elif event == "transport":
            before, self._transport = self._transport, session.transport
            note(f"now over {session.transport}, after {self._with_reasons(before)}")
        elif event == "state" and session.state is not self._state:
            before_state, self._state = self._state, session.state
            if session.state is State.DETACHED:
                note("the connection is lost; trying again")
            elif session.state is State.OPEN:
                note(f"connected again over {session.transport}")
            elif session.state is State.DRAINING and before_state is not State.DRAINING:
                note("the server is about to close the session")

    def _with_reasons(self, name: str) -> str:
        """A transport's name, and what went wrong with those that were tried and failed."""
        tried = "; ".join(f"{other}: {what}" for other, what in self._session.attempts.items())
        return f"{name} ({tried})" if tried else name


def describe(data: bytes) -> str:
    """A binary message in one line, for people."""
    shown = data[:SHOWN].hex(" ") + (" …" if len(data) > SHOWN else "")
    return f"<{len(data)} byte{'' if len(data) == 1 else 's'}{': ' if data else ''}{shown}>"
